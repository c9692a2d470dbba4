"""The segment files of one log directory: append, commit, read.

The order of things is the guarantee. An entry is written into the preallocated file at once (from here on a killed
process loses nothing), and is durable when the fdatasync of its commit has returned (from here on a power cut loses
nothing, and it may leave the device). ``durable_size`` moves only then. Formats: ``gateway.log.frame``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from gateway import durable
from gateway.errors import ConfigError, LogUnavailable
from gateway.log.entry import NO_PREV
from gateway.log.frame import CHECKPOINT, ENTRY, HEADER, block_end, encode_frame
from gateway.log.reader import SegmentReader
from gateway.log.scan import Contents, Header, extend_tree, load, segment_name, segment_starts
from gateway.log.tree import Frontier

SEGMENT_BYTES = 1 << 20
#: Space in the last segment of a full disk that is kept for alarms, gaps and the last checkpoint.
RESERVE = 64 * 1024
_SPARE = "spare"


class Segments:
    """Appends entries and checkpoint notes to a log directory, and reads entries back.

    ``append`` may be called while another thread is in ``commit``; each is otherwise one caller's.
    """

    def __init__(self, directory: Path, origin: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.directory = directory
        self.origin = origin
        #: What went wrong on the disk, in words.
        self.faults: list[str] = []
        #: (segment file, offset) from where on a file is void because the disk did not confirm it.
        self.voids: list[tuple[str, int]] = []
        self.tree = Frontier()
        self.last_hash = NO_PREV
        self.durable_size = 0
        self.newest_checkpoint: bytes | None = None
        self.segment_bytes = segment_bytes
        self._lock = threading.RLock()
        self._committing = threading.Lock()
        self._starts: list[int] = []
        self._reader = SegmentReader(directory, self._starts)
        self._fd = -1
        self._offset = self._capacity = self._confirmed = 0
        self._full: list[int] = []
        self._names_dirty = self._dirty = self._failed = False
        self._unsynced: list[tuple[int, bytes, bytes]] = []
        self._durable_tree, self._durable_hash = Frontier(), NO_PREV
        self._full_disk = False

    @classmethod
    def open(cls, directory: Path, origin: str | None = None, *, segment_bytes: int = SEGMENT_BYTES) -> Segments:
        """Opens an intact log directory, or an empty one (which needs *origin*).

        Raises FrameError where the last segment is not intact (``gateway.log.recovery`` decides what that means),
        ConfigError where the log there has another origin, OSError from the disk.
        """
        durable.make_directory(directory)
        for leftover in directory.glob(".*.tmp"):
            leftover.unlink()
        starts = segment_starts(directory)
        if not starts:
            if origin is None:
                raise ConfigError(f"{directory} holds no log, and no origin was given to begin one")
            return cls(directory, origin, segment_bytes=segment_bytes)
        contents = load(directory / segment_name(starts[-1]))
        if contents.fault is not None:
            raise contents.fault
        if origin not in (None, contents.header.origin):
            raise ConfigError(f"{directory} holds the log {contents.header.origin!r}, not {origin!r}")
        segments = cls(directory, contents.header.origin, segment_bytes=segment_bytes)
        segments.resume(contents, starts)
        return segments

    def resume(self, contents: Contents, starts: list[int]) -> None:
        """Goes on behind the last good entry of *contents*, the newest segment.

        Nothing is overwritten: after a deviation a new segment is begun, and the file is kept as it is.
        """
        self.tree = contents.header.tree()
        extend_tree(self.tree, contents.entries)
        tail = Frontier()
        extend_tree(tail, contents.entries[-1:])
        self.last_hash = tail.root() if contents.entries else contents.header.prev
        self.newest_checkpoint = contents.notes[-1][1] if contents.notes else contents.header.note or None
        self._starts[:] = starts
        self._durable_tree, self._durable_hash = self.tree.copy(), self.last_hash
        self.durable_size = self.size
        if contents.fault is None:
            self._fd = os.open(contents.path, os.O_RDWR | os.O_CLOEXEC)
            self._capacity = os.fstat(self._fd).st_size
            self._offset = self._confirmed = block_end(contents.end)
            # A process that was killed may have left entries that the disk has not confirmed.
            durable.sync_file(self._fd)
            durable.sync_directory(self.directory)
        elif not contents.entries:
            self._starts.remove(contents.header.first_seq)
            durable.set_aside(contents.path, ".broken")

    @property
    def size(self) -> int:
        """Entries appended, durable or not."""
        return self.tree.size

    def durable_tree(self) -> Frontier:
        """The tree over the durable entries; the only one that may be signed."""
        with self._lock:
            return self._durable_tree.copy()

    def append(self, data: bytes, leaf: bytes, *, vital: bool = False) -> int:
        """Writes one entry; returns its seq. It is not durable before the next ``commit``.

        *vital* entries (alarms, gaps) may use the space kept for them. Raises LogUnavailable; nothing is then
        appended.
        """
        with self._lock:
            self._put(ENTRY, data, vital=vital)
            seq = self.tree.size
            self.tree.append(leaf)
            self.last_hash = leaf
            self._unsynced.append((ENTRY, data, leaf))
        return seq

    def checkpoint(self, note: bytes) -> None:
        """Writes a signed checkpoint; durable with the next ``commit``. Raises LogUnavailable."""
        with self._lock:
            self._put(CHECKPOINT, note, vital=True)
            self._unsynced.append((CHECKPOINT, note, b""))

    def _put(self, kind: int, payload: bytes, *, vital: bool) -> None:
        if self._failed:
            raise LogUnavailable(f"the log in {self.directory} takes no entry: {self.faults[-1:] or 'disk failure'}")
        frame = encode_frame(kind, payload)
        try:
            reserve = RESERVE if self._full_disk and not vital else 0
            if self._fd < 0 or self._offset + len(frame) > self._capacity - reserve:
                self._roll()
            written = os.pwrite(self._fd, frame, self._offset)
            if written != len(frame):
                durable.write_all(self._fd, frame[written:], self._offset + written)
        except OSError as error:
            raise LogUnavailable(f"the log in {self.directory} cannot be written: {error.strerror}") from error
        self._offset += len(frame)
        self._dirty = True

    def _roll(self) -> None:
        """Begins a new segment at the present end. The old one stays to be synced by the next commit."""
        header = self._header(self.tree, self.last_hash)
        fd = self._new_file(header)
        if self._fd >= 0:
            self._full.append(self._fd)
        self._fd = fd

    def _header(self, tree: Frontier, last_hash: bytes) -> Header:
        notes = [payload for kind, payload, _ in self._unsynced if kind == CHECKPOINT]
        note = notes[-1] if notes else self.newest_checkpoint or b""
        return Header(origin=self.origin, first_seq=tree.size, prev=last_hash, edge=tree.hashes(), note=note)

    def _new_file(self, header: Header) -> int:
        spare = self.directory / _SPARE
        path = self.directory / segment_name(header.first_seq)
        if path.exists():
            durable.set_aside(path, ".void")
        if not spare.exists():
            self._prepare_now(spare)
        fd = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        try:
            frame = encode_frame(HEADER, header.encode())
            durable.write_all(fd, frame, 0)
            # A crash from here on leaves a segment without durable entries: recovery takes it for torn at worst.
            spare.rename(path)
        except OSError:
            os.close(fd)
            raise
        self._offset, self._capacity = block_end(len(frame)), os.fstat(fd).st_size
        self._names_dirty = self._dirty = True
        if header.first_seq not in self._starts:
            self._starts.append(header.first_seq)
        return fd

    def _prepare_now(self, spare: Path) -> None:
        try:
            os.close(durable.preallocate(spare, b"", self.segment_bytes))
        except OSError:
            self._full_disk = True
            raise
        self._full_disk = False

    def prepare(self) -> None:
        """Makes the next segment ready, so that a full disk is met here and not by an append. Blocks on the disk.

        Raises LogUnavailable when there is no room; appends go on in what is left.
        """
        spare = self.directory / _SPARE
        if spare.exists():
            return
        try:
            self._prepare_now(spare)
        except OSError as error:
            raise LogUnavailable(f"no room for the next log segment in {self.directory}: {error.strerror}") from error

    def commit(self) -> int:
        """Makes all that was appended before durable; returns the durable size. Blocks on the disk.

        When the disk refuses, the segment is given up and what it had not confirmed is written into a new one; when
        that fails too, LogUnavailable is raised, and the next commit tries again.
        """
        with self._committing:
            with self._lock:
                if not self._dirty and not self._failed:
                    return self.durable_size
                # From here on appends go to the next block: a block on its way to the disk is not touched again.
                self._offset = min(block_end(self._offset), self._capacity)
                files, self._full = [*self._full, self._fd], []
                names, self._names_dirty, self._dirty = self._names_dirty, False, False
                pending, tree, last_hash = len(self._unsynced), self.tree.copy(), self.last_hash
                confirmed = self._offset
            error = None if self._failed else self._sync(files, names=names)
            if error is not None or self._failed:
                with self._lock:
                    self._replace(files, error)
                    pending, tree, last_hash = len(self._unsynced), self.tree.copy(), self.last_hash
                    confirmed = self._offset
            with self._lock:
                self._confirm(pending, tree, last_hash)
                self._confirmed = confirmed
            return self.durable_size

    def _sync(self, files: list[int], *, names: bool) -> OSError | None:
        try:
            for fd in files:
                durable.sync_file(fd)
            if names:
                durable.sync_directory(self.directory)
        except OSError as error:
            return error
        for fd in files[:-1]:
            os.close(fd)
        return None

    def _confirm(self, pending: int, tree: Frontier, last_hash: bytes) -> None:
        notes = [payload for kind, payload, _ in self._unsynced[:pending] if kind == CHECKPOINT]
        del self._unsynced[:pending]
        self.newest_checkpoint = notes[-1] if notes else self.newest_checkpoint
        self._durable_tree, self._durable_hash = tree, last_hash
        self.durable_size = tree.size

    def _replace(self, files: list[int], error: OSError | None) -> None:
        """Gives up the segments that were not confirmed and writes their entries again, elsewhere, in full.

        The failed files are never synced again: a second fdatasync that succeeds would prove nothing.
        """
        if error is not None:
            self.faults.append(f"the disk did not confirm {segment_name(self._starts[-1])}: {error.strerror}")
        self._failed = True
        for fd in {*files, *self._full, self._fd} - {-1}:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._full, self._fd = [], -1
        try:
            self._give_up_files()
            (self.directory / _SPARE).unlink(missing_ok=True)
            self._fd = self._new_file(self._header(self._durable_tree, self._durable_hash))
            self._offset = self._rewrite(self._offset)
            durable.sync_file(self._fd)
            durable.sync_directory(self.directory)
        except OSError as second:
            self.faults.append(f"nor did it take the entries into a new segment: {second.strerror}")
            raise LogUnavailable(f"the disk under {self.directory} confirms nothing: {second.strerror}") from second
        self._failed = self._dirty = False

    def _give_up_files(self) -> None:
        size = self._durable_tree.size
        for start in [start for start in self._starts if start > size]:
            durable.set_aside(self.directory / segment_name(start), ".void")
            self._starts.remove(start)
        if self._starts and self._starts[-1] < size:
            self.voids.append((segment_name(self._starts[-1]), self._confirmed))

    def _rewrite(self, offset: int) -> int:
        for kind, payload, _ in self._unsynced:
            frame = encode_frame(kind, payload)
            durable.write_all(self._fd, frame, offset)
            offset += len(frame)
        return block_end(offset)

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        """Durable entries from seq *start* on: at most *max_entries*, and no more once *max_bytes* are reached.

        Costs the same per entry at any depth. Raises TamperError where the file has changed.
        """
        limit = self.durable_size if stop is None else min(stop, self.durable_size)
        return self._reader.read(start, limit, max_entries=max_entries, max_bytes=max_bytes)

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        """The newest durable note with *first_seq* < size ≤ *end_seq* among those last read or written."""
        return self._reader.checkpoint_covering(first_seq, end_seq, self.newest_checkpoint)

    def close(self) -> None:
        """Closes the files; what was not committed stays written but unconfirmed."""
        for fd in {*self._full, self._fd} - {-1}:
            os.close(fd)
        self._full, self._fd = [], -1
