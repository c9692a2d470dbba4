"""Random access to the entries of a log directory, packed or not, at the same cost per entry at any depth."""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import LogUnavailable, TamperError
from gateway.log.frame import BLOCK, CHECKPOINT, ENTRY, FrameError, frames
from gateway.log.nodes import NodeFiles, TreeNodes
from gateway.log.pack import note_size
from gateway.log.packs import Packs
from gateway.log.scan import segment_name
from gateway.log.tree import leaf_hash

__all__ = ["SegmentReader", "note_size"]

#: Readers in flight that are remembered: one per sink and a few more.
_PLACES = 32
_NOTES = 256
_LEAVES_BYTES = 1 << 20
#: Read at a time: most often the newest few entries are wanted. Any frame behind any padding fits into the second.
_WINDOWS = (16 * 1024, 128 * 1024)


class SegmentReader:
    """Reads entries by seq. *starts* are the first seqs of the segment files; the writer appends to the list."""

    def __init__(self, directory: Path, starts: list[int]) -> None:
        self._directory = directory
        self._starts = starts
        self.packs = Packs(directory)
        self.node_files = NodeFiles(directory)
        #: Where a reader that goes on will find its next seq: seq → (segment, offset).
        self._places: dict[int, tuple[int, int]] = {}
        self._notes: dict[int, bytes] = {}

    def read(self, start: int, stop: int, *, max_entries: int, max_bytes: int) -> list[bytes]:
        """Entries from *start* up to *stop*, at least one if there is one, of one segment or chunk.

        Raises TamperError where a frame has changed or a file is missing, PrunedError for what was removed,
        LogUnavailable where the disk fails.
        """
        if start < 0 or start >= stop:
            return []
        if start < self.packs.end_seq:
            return self._read_packed(start, stop, max_entries, max_bytes)
        try:
            return self._read_segment(start, stop, max_entries, max_bytes)
        except FileNotFoundError as error:
            # Another process may have packed it since this one looked.
            self.packs.refresh()
            if start < self.packs.end_seq:
                return self._read_packed(start, stop, max_entries, max_bytes)
            raise TamperError(
                f"entry {start} is not in {self._directory}: its segment is missing", seq=start
            ) from error

    def _read_segment(self, start: int, stop: int, max_entries: int, max_bytes: int) -> list[bytes]:
        index = bisect.bisect_right(self._starts, start) - 1
        if index < 0:
            raise FileNotFoundError
        segment = self._starts[index]
        if index + 1 < len(self._starts):
            stop = min(stop, self._starts[index + 1])
        try:
            found = self._collect(segment, start, min(stop - start, max_entries), max_bytes)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LogUnavailable(f"{segment_name(segment)} cannot be read: {error.strerror}") from error
        if not found:
            raise TamperError(f"entry {start} is not in {segment_name(segment)}", seq=start)
        return found

    def _read_packed(self, start: int, stop: int, max_entries: int, max_bytes: int) -> list[bytes]:
        try:
            found = self.packs.read(start, stop, max_entries=max_entries, max_bytes=max_bytes)
            note = self.packs.newest_note(start)
        except FileNotFoundError as error:
            raise TamperError(f"entry {start}: its pack is missing", seq=start) from error
        except OSError as error:
            raise LogUnavailable(f"the pack of entry {start} cannot be read: {error.strerror}") from error
        if note is not None:
            # One for a whole pack: so who reads on through it gets a checkpoint now and then.
            self._remember(note)
        return found

    def nodes(self, *, believe: bool = True) -> TreeNodes:
        """Hashes of complete subtrees, for one proof; *believe* set to False takes nothing but the entries."""
        return TreeNodes(self.node_files, self.leaves, self.packs.pruned_hash, believe=believe)

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """Leaf hashes of the entries from *start* up to *stop*, all of which must be there. Raises as ``read``."""
        found: list[bytes] = []
        while start < stop:
            batch = self.read(start, stop, max_entries=stop - start, max_bytes=_LEAVES_BYTES)
            found += map(leaf_hash, batch)
            start += len(batch)
        return found

    def _collect(self, segment: int, start: int, count: int, max_bytes: int) -> list[bytes]:
        seq, offset = self._nearest(start, segment)
        began = offset
        found: list[bytes] = []
        with (self._directory / segment_name(segment)).open("rb", buffering=0) as file:
            try:
                for kind, payload, end in _frames_from(file.fileno(), offset):
                    if kind == ENTRY:
                        if seq == start:
                            began = offset
                        seq += 1
                        if seq > start:
                            found.append(payload)
                            max_bytes -= len(payload)
                    elif kind == CHECKPOINT:
                        self._remember(payload)
                    offset = end
                    # Looked at here, not in the loop's head: what follows may be half written by an append.
                    if len(found) == count or (found and max_bytes <= 0):
                        break
            except FrameError as error:
                # What stands before the deviation is sound; who reads on from there meets it first.
                if not found:
                    raise TamperError(f"{segment_name(segment)}: {error}", seq=seq) from error
        # The beginning too: whoever proves an entry reads its neighbours next.
        self._keep_place(start, segment, began)
        self._keep_place(start + len(found), segment, offset)
        return found

    def _nearest(self, seq: int, segment: int) -> tuple[int, int]:
        """(seq, offset) of the nearest known place of that segment at or before entry *seq*."""
        known = [(at, offset) for at, (name, offset) in self._places.items() if name == segment and at <= seq]
        return max(known, default=(segment, 0))

    def first_checkpoint(self, seq: int) -> bytes | None:
        """The first stored checkpoint that covers entry *seq*; None when none does. Raises as ``read``."""
        try:
            try:
                return self._first_checkpoint(seq)
            except FileNotFoundError:
                # As above.
                self.packs.refresh()
                return self._first_checkpoint(seq)
        except OSError as error:
            raise LogUnavailable(f"the log in {self._directory} cannot be read: {error.strerror}") from error

    def _first_checkpoint(self, seq: int) -> bytes | None:
        for number, (_, end) in enumerate(self.packs.ranges):
            notes = self.packs.pack(number).notes() if end > seq else []
            if covering := [note for _, note in notes if note_size(note) > seq]:
                return min(covering, key=note_size)
        first = max(seq, self.packs.end_seq)
        for segment in self._starts[max(bisect.bisect_right(self._starts, first) - 1, 0) :]:
            note = self._first_note(segment, seq)
            if note is not None:
                return note
        return None

    def _first_note(self, segment: int, seq: int) -> bytes | None:
        # A checkpoint stands behind the entries that it covers, in the same segment or in a later one.
        with (self._directory / segment_name(segment)).open("rb", buffering=0) as file:
            try:
                for kind, payload, _ in _frames_from(file.fileno(), self._nearest(seq, segment)[1]):
                    if kind == CHECKPOINT and note_size(payload) > seq:
                        return payload
            except FrameError as error:
                raise TamperError(f"{segment_name(segment)}: {error}", seq=seq) from error
        return None

    def _keep_place(self, seq: int, segment: int, offset: int) -> None:
        self._places[seq] = (segment, offset)
        while len(self._places) > _PLACES:
            del self._places[next(iter(self._places))]

    def _remember(self, note: bytes) -> None:
        self._notes[note_size(note)] = note
        while len(self._notes) > _NOTES:
            del self._notes[next(iter(self._notes))]

    def checkpoint_covering(self, first_seq: int, end_seq: int, newest: bytes | None) -> bytes | None:
        """The newest note seen with *first_seq* < size ≤ *end_seq*; *newest* counts as seen."""
        if newest is not None:
            self._remember(newest)
        fitting = [size for size in self._notes if first_seq < size <= end_seq]
        return self._notes[max(fitting)] if fitting else None


def _frames_from(fd: int, offset: int) -> Iterator[tuple[int, bytes, int]]:
    """(type, payload, offset behind it) of each frame of the file from *offset* on."""
    while True:
        began, base = offset, offset - offset % BLOCK
        for window in _WINDOWS:
            data = os.pread(fd, window, base)
            for kind, payload, _, end in frames(data, began - base, window=True):
                offset = base + end
                yield kind, payload, offset
            if offset != began:
                break
        else:
            return
