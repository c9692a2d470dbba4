"""The bytes of pending entries, on disk: files ``pending-<n>`` of about 4 MiB, by rising n, in a receiver's directory.

A file is a sequence of records: length of the entry (4 bytes, big-endian), CRC-32 of the entry (4 bytes), the entry.
The first record that is cut off or does not fit its checksum ends the file: no receiver had acknowledged it. An entry
that is settled by now, or there twice, or does not chain, is skipped. At most 64 files (256 MiB); a file goes when none
of its entries is pending.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway import durable
from gateway.channel import MAX_ENTRY
from gateway.errors import TamperError

MAX_SPOOL_FILES = 64
SPOOL_FILE = 4 << 20
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

    def compact(self, places: Sequence[int]) -> dict[int, int]:
        """Writes the entries at these places to new files, and removes the old ones; returns where each went."""
        old = sorted(self._files)
        self._next_file()
        moved = {place: self.append(self.read(place)) for place in places}
        self.sync()
        # A crash before all old files are gone leaves entries twice, and the second one is skipped.
        for number in old:
            os.close(self._files.pop(number))
            self._path(number).unlink()
        return moved

    def close(self) -> None:
        """Closes the files."""
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def _path(self, number: int) -> Path:
        return self._directory / f"pending-{number}"
