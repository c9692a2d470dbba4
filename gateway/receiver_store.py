"""Where a receiver keeps what it received: a log that ``log verify`` accepts, and beside it what is not settled yet.

In the directory:

    <seq>.seg …       the settled entries and their checkpoints, a log as ``gateway/log/frame.py`` specifies
    pending-<n>       pending entries, in files of about 4 MiB, by rising n
    evidence/         what contradicts the log, at most 64 files and 16 MiB
    .lock             an advisory lock (flock(2)): one receiver at a time

A pending file is a sequence of records: length of the entry (4 bytes, big-endian), CRC-32 of the entry (4 bytes), the
entry. The first record that is cut off or does not fit its checksum ends the file: no receiver had acknowledged
it. An entry in it that is settled, or does not chain, is skipped. At most 64 files; a file goes when none of its
entries is pending.

Order of things: pending entries are durable before their message is acknowledged; settled entries and their
checkpoint are durable in the log before they leave the pending files. A crash in between leaves entries in both, which
is harmless.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway import durable
from gateway.channel import MAX_ENTRY
from gateway.errors import ConfigError, TamperError
from gateway.log.frame import FrameError
from gateway.log.scan import Contents, extend_tree, load, segment_name, segment_starts
from gateway.log.segment import Segments
from gateway.log.tree import EMPTY_ROOT, Frontier, leaf_hash
from gateway.receiver_branches import Window

MAX_SPOOL_FILES = 64
SPOOL_FILE = 4 << 20
MAX_UNCOMMITTED = 4 << 20
MAX_EVIDENCE_FILES = 64
MAX_EVIDENCE = 16 << 20
_RECORD = struct.Struct(">II")
_PLACE_BITS = 32


class Spool:
    """The pending entries' bytes. A place is the file's number and the offset in it; places rise."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        found = (path.name.removeprefix("pending-") for path in directory.glob("pending-*"))
        self._files = {int(n): os.open(self._path(int(n)), os.O_RDWR | os.O_CLOEXEC) for n in found if n.isdecimal()}
        self._offset = 0
        self._dirty = self._names_dirty = False

    @property
    def full(self) -> bool:
        """Whether there is no room for another entry."""
        return len(self._files) >= MAX_SPOOL_FILES and self._offset >= SPOOL_FILE

    def replay(self) -> Iterator[tuple[int, bytes]]:
        """(place, entry) of every record; what follows the last whole one of a file is cut off."""
        for number in sorted(self._files):
            self._offset = 0
            while (data := self._record(number, self._offset)) is not None:
                yield number << _PLACE_BITS | self._offset, data
                self._offset += _RECORD.size + len(data)
            os.ftruncate(self._files[number], self._offset)

    def read(self, place: int) -> bytes:
        """The entry at *place*. Raises TamperError when it is not as it was written."""
        number, offset = place >> _PLACE_BITS, place & (1 << _PLACE_BITS) - 1
        data = self._record(number, offset)
        if data is None:
            raise TamperError(f"{self._path(number)}: the record at byte {offset} was changed; keep the file, restart")
        return data

    def _record(self, number: int, offset: int) -> bytes | None:
        head = os.pread(self._files[number], _RECORD.size, offset)
        length, checksum = _RECORD.unpack(head) if len(head) == _RECORD.size else (0, 0)
        data = os.pread(self._files[number], length, offset + _RECORD.size) if 1 <= length <= MAX_ENTRY else b""
        return data if data and len(data) == length and zlib.crc32(data) == checksum else None

    def append(self, data: bytes) -> int:
        """Writes an entry and returns its place; durable after ``sync``."""
        if not self._files or self._offset >= SPOOL_FILE:
            self._next_file()
        number, place = max(self._files), max(self._files) << _PLACE_BITS | self._offset
        record = _RECORD.pack(len(data), zlib.crc32(data)) + data
        durable.write_all(self._files[number], record, self._offset)
        self._offset += len(record)
        self._dirty = True
        return place

    def _next_file(self) -> None:
        self.sync()
        number = max(self._files, default=-1) + 1
        self._files[number] = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._offset = 0
        self._names_dirty = True

    def sync(self) -> None:
        """What was appended is durable on return."""
        if self._dirty:
            durable.sync_file(self._files[max(self._files)])
        if self._names_dirty:
            durable.sync_directory(self._directory)
        self._dirty = self._names_dirty = False

    def forget_below(self, place: int | None) -> None:
        """Entries before *place* are settled, or all of them for None: they may go, and go when it costs little."""
        newest = max(self._files, default=0)
        keep_from = newest if place is None else place >> _PLACE_BITS
        for number in [number for number in self._files if number < keep_from]:
            os.close(self._files.pop(number))
            self._path(number).unlink()
        if place is None and self._files and self._offset:
            os.ftruncate(self._files[newest], 0)
            self._offset = 0

    def close(self) -> None:
        """Closes the files."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _path(self, number: int) -> Path:
        return self._directory / f"pending-{number}"


class ReceiverStore:
    """The directory of one receiver. Raises ConfigError, TamperError or OSError when it cannot be used."""

    def __init__(self, directory: Path) -> None:
        durable.make_directory(directory)
        self.directory = directory
        self._lock = _lock(directory)
        self._segments: Segments | None = None
        if segment_starts(directory):
            self._open(None)
        self.spool = Spool(directory)
        self._uncommitted = 0
        self._settled = False
        self._evidence = directory / "evidence"

    def begin(self, origin: str) -> None:
        """Says which log this is to be. Raises ConfigError where another one is there."""
        if self._segments is None:
            self._open(origin)
        if self.segments.origin != origin:
            raise ConfigError(
                f"{self.directory} holds the log {self.segments.origin!r}, not {origin!r}; take another --store"
            )

    def _open(self, origin: str | None) -> None:
        """Opens the log in the directory, or begins one; a torn tail, which a power cut leaves, is cut."""
        newest = _newest(self.directory)
        if newest is None:
            self._segments = Segments.open(self.directory, origin) if origin else None
            return
        self._segments = Segments(self.directory, newest.header.origin)
        self._segments.resume(newest, segment_starts(self.directory))

    @property
    def origin(self) -> str | None:
        """The log that is here; None while there is none."""
        return self._segments.origin if self._segments else None

    @property
    def segments(self) -> Segments:
        """The settled log. ``begin`` came before."""
        assert self._segments is not None
        return self._segments

    def window(self) -> Window:
        """The settled entries of the newest segment."""
        starts = segment_starts(self.directory)
        if not starts:
            return Window(Frontier())
        contents = load(self.directory / segment_name(starts[-1]))
        window = Window(contents.header.tree())
        for data in contents.entries:
            window.add(leaf_hash(data))
        return window

    def settle(self, entries: Iterable[bytes], note: bytes) -> None:
        """Appends settled entries and the checkpoint that settles them; durable after ``commit``."""
        segments = self.segments
        for data in entries:
            segments.append(data, leaf_hash(data))
            self._uncommitted += len(data)
            if self._uncommitted > MAX_UNCOMMITTED:
                # Bounds what waits for the disk. A crash after it leaves entries that wait for their checkpoint.
                self._commit_segments()
        segments.checkpoint(note)
        self._settled = True

    def commit(self, oldest_pending: int | None) -> None:
        """All that was settled, and all that is pending, is durable on return.

        *oldest_pending* is the place of the oldest entry that is still pending, None when there is none.
        """
        self.spool.sync()
        if not self._settled:
            return
        self._commit_segments()
        # Durable in the log: from here on the pending files may lose it.
        self.spool.forget_below(oldest_pending)
        self._settled = False

    def _commit_segments(self) -> None:
        self.segments.commit()
        self._uncommitted = 0

    def entry(self, seq: int) -> bytes:
        """The settled entry *seq*."""
        self._commit_segments()
        return self.segments.read(seq, seq + 1)[0]

    def leaves(self, start: int, stop: int) -> list[bytes]:
        """Leaf hashes of settled entries."""
        self._commit_segments()
        found: list[bytes] = []
        while start + len(found) < stop:
            found += map(leaf_hash, self.segments.read(start + len(found), stop))
        return found

    def root_at(self, size: int) -> bytes:
        """The root over the first *size* settled entries, from the segment that holds the last of them."""
        if size == 0:
            return EMPTY_ROOT
        self._commit_segments()
        start = max(start for start in segment_starts(self.directory) if start <= size)
        path = self.directory / segment_name(start)
        try:
            contents = load(path)
        except FrameError as error:
            raise _changed(path, error) from error
        if contents.next_seq < size:
            raise TamperError(f"{path}: entry {contents.next_seq} is missing or changed; keep it, take another --store")
        tree = contents.header.tree()
        extend_tree(tree, contents.entries[: size - start])
        return tree.root()

    def keep_evidence(self, name: str, data: bytes) -> Path | None:
        """Keeps *data* under *name*; None when there is no more room, or the same is there already."""
        durable.make_directory(self._evidence)
        kept = [path.stat().st_size for path in self._evidence.iterdir()]
        path = self._evidence / name
        if path.exists() or len(kept) >= MAX_EVIDENCE_FILES or sum(kept) + len(data) > MAX_EVIDENCE:
            return None
        durable.write_atomically(path, data)
        return path

    def close(self) -> None:
        """Closes all files; another receiver may use the directory then."""
        self.spool.close()
        if self._segments is not None:
            self._segments.close()
        os.close(self._lock)


def _lock(directory: Path) -> int:
    fd = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise ConfigError(f"{directory} is in use by another receiver; stop it, or take another --store") from error
    return fd


def _newest(directory: Path) -> Contents | None:
    """The newest segment that can be gone on from. Raises TamperError where bytes have changed."""
    for start in reversed(segment_starts(directory)):
        path = directory / segment_name(start)
        try:
            contents = load(path)
        except FrameError as error:
            if not error.torn:
                raise _changed(path, error) from error
            # Its header never reached the disk, so nothing in it was acknowledged.
            durable.set_aside(path, ".broken")
            continue
        if contents.fault is not None and not contents.fault.torn:
            raise _changed(path, contents.fault) from contents.fault
        return contents
    return None


def _changed(path: Path, error: FrameError) -> TamperError:
    return TamperError(f"{path}: {error}: the stored log was changed or damaged; keep it, and take another --store")
