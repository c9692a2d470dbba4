"""The segment files of one log directory: append, commit, read.

The order of things is the guarantee. An entry is written into the preallocated file at once (from here on a killed
process loses nothing), and is durable when the fdatasync of its commit has returned (from here on a power cut loses
nothing, and it may leave the device). ``durable_size`` moves only then. Formats: ``gateway.log.frame``.

A segment that the disk refused to write or to sync is poisoned: it is never synced again, since a second fdatasync
that succeeds would prove nothing. What it had not confirmed is written again into a new segment.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from gateway import durable
from gateway.errors import ConfigError, LogUnavailable
from gateway.log.entry import NO_PREV
from gateway.log.files import SegmentFiles, close_all, tidy
from gateway.log.frame import CHECKPOINT, ENTRY, block_end, encode_frame
from gateway.log.nodes import LAST_OF_RUN
from gateway.log.reader import SegmentReader
from gateway.log.scan import Contents, Header, extend_tree, load_chained, segment_name, segment_starts
from gateway.log.tree import Frontier, leaf_hash

SEGMENT_BYTES = 1 << 20
#: Space in the last segment of a full disk that is kept for alarms, gaps and the last checkpoint.
RESERVE = 64 * 1024
#: Faults that are remembered until the log can write them down.
_MAX_FAULTS = 8
#: Segments that a killed process may have left without syncing them.
UNSYNCED_SEGMENTS = 4


class Segments:
    """Appends entries and checkpoint notes to a log directory, and reads entries back.

    ``append`` may be called while another thread is in ``commit``; each is otherwise one caller's. A *copy* of a
    log must not hold a recovery entry of its own, so there a failure of the disk is final until the next start.
    """

    def __init__(self, directory: Path, origin: str, *, segment_bytes: int = SEGMENT_BYTES, copy: bool = False) -> None:
        self.directory = directory
        self.origin = origin
        #: What went wrong on the disk, in words.
        self.faults: list[str] = []
        #: (segment file, offset, length) of what is void because the disk did not confirm it.
        self.voids: list[tuple[str, int, int]] = []
        self.tree = Frontier()
        self.last_hash = NO_PREV
        self.durable_size = 0
        self.newest_checkpoint: bytes | None = None
        #: Called by a commit once it knows which entries it takes, before it syncs them; see ``Log.before_sync``.
        self.before_sync: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._committing = threading.Lock()
        self._files = SegmentFiles(directory, segment_bytes)
        self.reader = SegmentReader(directory, self._files.starts)
        self._copy = copy
        self._reserve = min(RESERVE, segment_bytes // 4)
        self._fd = -1
        self._offset = self._capacity = 0
        #: Descriptors of full segments that the next commit syncs.
        self._full: list[int] = []
        self._names_dirty = self._dirty = self._failed = False
        #: (frame, note or nothing) of what no commit has confirmed.
        self._unsynced: list[tuple[bytes, bytes]] = []
        self._durable_tree, self._durable_hash = Frontier(), NO_PREV
        #: Segment file and offset that the last commit reached.
        self._confirmed = ("", 0)

    @classmethod
    def open(cls, directory: Path, origin: str | None = None, *, segment_bytes: int = SEGMENT_BYTES) -> Segments:
        """Opens an intact log directory, or an empty one (which needs *origin*).

        Raises FrameError where the last segment is not intact (``gateway.log.recovery`` decides what that means),
        ConfigError where the log there has another origin, OSError from the disk.
        """
        tidy(directory)
        starts = segment_starts(directory)
        if not starts:
            if origin is None:
                raise ConfigError(f"{directory} holds no log, and no origin was given to begin one")
            return cls(directory, origin, segment_bytes=segment_bytes)
        contents = load_chained(directory / segment_name(starts[-1]))
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
        self.last_hash = leaf_hash(contents.entries[-1]) if contents.entries else contents.header.prev
        self.newest_checkpoint = contents.notes[-1][1] if contents.notes else contents.header.note or None
        self._files.starts[:] = starts
        # A process that was killed may have left entries that the disk has not confirmed.
        for start in starts[-UNSYNCED_SEGMENTS:]:
            self.close()
            self._fd = os.open(self.directory / segment_name(start), os.O_RDWR | os.O_CLOEXEC)
            durable.sync_file(self._fd)
        durable.sync_directory(self.directory)
        if contents.fault is None:
            self._capacity = os.fstat(self._fd).st_size
            self._offset = block_end(contents.end)
            self._confirmed = (contents.path.name, self._offset)
        else:
            self.close()
        self._durable_tree, self._durable_hash = self.tree.copy(), self.last_hash
        self.durable_size = self.size

    @property
    def size(self) -> int:
        """Entries appended, durable or not."""
        return self.tree.size

    def durable_tree(self) -> Frontier:
        """The tree over the durable entries; the only one that may be signed."""
        with self._lock:
            return self._durable_tree.copy()

    def append(self, data: bytes, leaf: bytes, *, spare: int = 2) -> int:
        """Writes one entry; returns its seq. It is not durable before the next ``commit``.

        On a full disk it leaves *spare* halves of the reserve to what matters more. Raises LogUnavailable; nothing is
        then appended.
        """
        frame = encode_frame(ENTRY, data)
        # Looked at without the lock too, since a commit that fights with the disk may hold it for long.
        if self._failed:
            raise self._refusal()
        with self._lock:
            self._write(frame, spare)
            tree = self.tree
            seq = tree.size
            if seq & LAST_OF_RUN == LAST_OF_RUN:
                self.reader.node_files.complete(tree, leaf)
            tree.append(leaf)
            self.last_hash = leaf
            self._unsynced.append((frame, b""))
        return seq

    def checkpoint(self, note: bytes) -> None:
        """Writes a signed checkpoint; durable with the next ``commit``. Raises LogUnavailable."""
        frame = encode_frame(CHECKPOINT, note)
        with self._lock:
            self._write(frame, 0)
            self._unsynced.append((frame, note))

    def _refusal(self) -> LogUnavailable:
        return LogUnavailable(f"the log in {self.directory} takes no entry: {'; '.join(self.faults[-1:])}")

    def _write(self, frame: bytes, spare: int) -> None:
        if self._failed:
            raise self._refusal()
        end = self._offset + len(frame)
        if end > self._capacity or (self._files.full_disk and end > self._capacity - spare * self._reserve // 2):
            self._roll()
            end = self._offset + len(frame)
        try:
            written = os.pwrite(self._fd, frame, self._offset)
            if written != len(frame):
                durable.write_all(self._fd, frame[written:], self._offset + written)
        except OSError as error:
            # Part of the frame may stand there: nothing may follow it in this file.
            self._failed = True
            self._fault(f"{segment_name(self._files.starts[-1])} cannot be written: {error.strerror}")
            raise LogUnavailable(f"the log in {self.directory} cannot be written: {error.strerror}") from error
        self._offset = end
        self._dirty = True

    def _roll(self) -> None:
        """Begins a new segment at the present end. The old one stays to be synced by the next commit."""
        try:
            fd, offset = self._files.begin(self._header(self.tree, self.last_hash), patient=False)
        except OSError as error:
            raise LogUnavailable(f"no room for the next log segment in {self.directory}: {error.strerror}") from error
        if self._fd >= 0:
            self._full.append(self._fd)
        self._use(fd, offset)

    def _use(self, fd: int, offset: int) -> None:
        self._fd, self._offset, self._capacity = fd, offset, os.fstat(fd).st_size
        self._names_dirty = self._dirty = True

    def _header(self, tree: Frontier, last_hash: bytes) -> Header:
        note = next((note for _, note in reversed(self._unsynced) if note), self.newest_checkpoint or b"")
        return Header(origin=self.origin, first_seq=tree.size, prev=last_hash, edge=tree.hashes(), note=note)

    def take_packs(self) -> list[Path]:
        """Reads from the packs that were made or pruned since; returns the segments that they hold, to be removed."""
        with self._lock:
            self.reader.packs.refresh()
            return self._files.drop_below(self.reader.packs.end_seq)

    def drop_below(self, end_seq: int) -> list[Path]:
        """Forgets the segments whose entries are all below *end_seq*, never the newest; they are to be removed."""
        with self._lock:
            return self._files.drop_below(end_seq)

    def prepare(self) -> None:
        """Makes the next segment ready, so that a full disk is met here and not by an append. Blocks on the disk.

        Raises LogUnavailable when there is no room; appends go on in what is left.
        """
        self._files.prepare()

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
                self._offset = block_end(self._offset)
                files, self._full = [*self._full, self._fd], []
                names, self._names_dirty, self._dirty = self._names_dirty, False, False
                reached = self._reached()
            error = None if self._failed else self._sync(files, names=names)
            with self._lock:
                if error is not None or self._failed:
                    self._replace(files, error)
                    reached = self._reached()
                else:
                    close_all(files[:-1])
                self._confirm(*reached)
                self.reader.node_files.flush(self.durable_size)
            return self.durable_size

    def _reached(self) -> tuple[int, Frontier, bytes, tuple[str, int]]:
        name = segment_name(self._files.starts[-1]) if self._files.starts else ""
        return len(self._unsynced), self.tree.copy(), self.last_hash, (name, self._offset)

    def _sync(self, files: list[int], *, names: bool) -> OSError | None:
        self.before_sync()
        return durable.try_sync(files, self.directory if names else None)

    def _confirm(self, pending: int, tree: Frontier, last_hash: bytes, confirmed: tuple[str, int]) -> None:
        notes = [note for _, note in self._unsynced[:pending] if note]
        del self._unsynced[:pending]
        self.newest_checkpoint = notes[-1] if notes else self.newest_checkpoint
        self._durable_tree, self._durable_hash, self._confirmed = tree, last_hash, confirmed
        self.durable_size = tree.size

    def _replace(self, files: list[int], error: OSError | None) -> None:
        """Gives up the segments that were not confirmed and writes their entries again, elsewhere, in full."""
        self._failed = True
        # Once more: entries were appended while the sync failed.
        self.before_sync()
        if error is not None:
            self._fault(f"the disk did not confirm {segment_name(self._files.starts[-1])}: {error.strerror}")
        self._full += files
        self.close()
        if self._copy:
            raise self._refusal()
        try:
            self._give_up()
            self._files.drop_spare()
            self._use(*self._files.begin(self._header(self._durable_tree, self._durable_hash)))
            frames = b"".join(frame for frame, _ in self._unsynced)
            durable.write_all(self._fd, frames, self._offset)
            durable.sync_file(self._fd)
            durable.sync_directory(self.directory)
        except OSError as second:
            self._fault(f"nor did it take the entries into a new segment: {second.strerror}")
            raise LogUnavailable(f"the disk under {self.directory} confirms nothing: {second.strerror}") from second
        self._offset = block_end(self._offset + len(frames))
        self._capacity = max(self._capacity, self._offset)
        self._failed = self._dirty = self._names_dirty = False

    def _give_up(self) -> None:
        name, offset = self._confirmed
        if self._files.give_up(self._durable_tree.size) == name:
            void = (name, offset, (self.directory / name).stat().st_size - offset)
            # The same when this is tried again.
            self.voids += [] if void in self.voids else [void]

    def _fault(self, text: str) -> None:
        if text not in self.faults and len(self.faults) < _MAX_FAULTS:
            self.faults.append(text)

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        """Durable entries from seq *start* on: at most *max_entries*, and no more once *max_bytes* are reached.

        Costs the same per entry at any depth. Raises TamperError where the file has changed, LogUnavailable.
        """
        limit = self.durable_size if stop is None else min(stop, self.durable_size)
        return self.reader.read(start, limit, max_entries=max_entries, max_bytes=max_bytes)

    def close(self) -> None:
        """Closes the files; what was not committed stays written but unconfirmed."""
        close_all([*self._full, self._fd])
        self._full, self._fd, self._capacity = [], -1, 0
