"""Keeps the fields of concealed readings beside the log, durable before the entries that stand for them.

The order, as ``gateway.writer`` runs it; each step waits for the one before::

    keep        the record is written
    append      the log entry is written
    sync        the records are durable; called by the commit once it knows its entries (``Log.before_sync``)
    commit      the entry is durable

A crash after the first step leaves a record without an entry, which nobody looks for and the next start passes over;
a crash after any other leaves an entry with its record. Files are preallocated and padded like the log's segments, so
that a commit costs one more block and one more fdatasync(2), and nothing where no concealed entry is pending. A full
file is written anew without the padding, and its blocks, overwritten with zeroes, become the next file.

A file that the disk refused is given up, as a segment is. Its records that no sync has confirmed are written again
into a new one; where that fails too, the log goes on and an alarm says whose fields are in doubt.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.errors import LogUnavailable
from gateway.fields.files import (
    Contents,
    epoch_directories,
    epoch_directory,
    file_bytes,
    file_name,
    file_starts,
    files_of,
    load,
)
from gateway.fields.record import Record, encode_record
from gateway.fields.supply import Supply
from gateway.log.fields import SEED_BYTES, concealed_body
from gateway.log.frame import ENTRY, block_end, encode_frame
from gateway.reading import MeterDescription, Moment

_log = logging.getLogger(__name__)

FILE_BYTES = 512 * 1024
#: Newest files that a killed process may have left without syncing them.
_UNSYNCED_FILES = 4
_MAX_FAULTS = 8


def settle(state_dir: Path) -> None:
    """On return all records that a killed process wrote are durable, as far as the disk takes them.

    To be called before the log is opened, which confirms the entries that the same process wrote.
    """
    try:
        for directory in epoch_directories(state_dir):
            for start in file_starts(directory)[-_UNSYNCED_FILES:]:
                _settle(directory / file_name(start))
            durable.sync_directory(directory)
    except OSError as error:
        _log.error("fields in %s may not be durable: %s", state_dir, error)


def _settle(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        durable.sync_file(fd)
    finally:
        os.close(fd)


class FieldStore:
    """The records of one log. ``keep`` may be called while another thread is in ``sync`` or ``prepare``."""

    def __init__(self, state_dir: Path, origin: str, *, file_bytes: int = FILE_BYTES) -> None:
        self.directory = epoch_directory(state_dir, origin)
        self._faults: list[str] = []
        self._origin = origin
        self._supply = Supply(self.directory, origin, file_bytes)
        #: Held by whoever writes files anew.
        self.rewriting = threading.Lock()
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._fd = -1
        self._offset = self._capacity = 0
        self._path = self.directory
        #: Descriptors of full files that the next sync takes, and paths of those to be packed then.
        self._full: list[int] = []
        self._packable: list[Path] = []
        self._names_dirty = self._failed = False
        #: (seq, frame) of what no sync has confirmed.
        self._pending: list[tuple[int, bytes]] = []

    def resume(self, log_size: int) -> None:
        """Goes on behind the newest record, after a start; nothing is made where there is nothing yet.

        Whatever state the files are in is told by ``prepare`` and keeps nobody from starting.
        """
        if not self.directory.is_dir():
            return
        try:
            self._supply.tidy(log_size)
            starts = file_starts(self.directory)
            if starts:
                self._go_on(self.directory / file_name(starts[-1]))
        except OSError as error:
            self._fault(f"{self.directory} cannot be read: {error.strerror}; new fields go to a new file")

    def _go_on(self, path: Path) -> None:
        contents = load(path)
        if contents.fault or contents.origin != self._origin:
            self._cut(path, contents)
        elif path.stat().st_size >= self._supply.file_bytes:
            self._fd, self._path = os.open(path, os.O_RDWR | os.O_CLOEXEC), path
            self._capacity, self._offset = self._supply.file_bytes, block_end(contents.end)

    def _cut(self, path: Path, contents: Contents) -> None:
        """Leaves of a broken file what can be read; what was torn off was confirmed to nobody."""
        fault = contents.fault or f"it belongs to the log {contents.origin[:80]!r}"
        if contents.records and contents.origin in ("", self._origin):
            durable.replace_overwriting(path, file_bytes(self._origin, contents.records))
            self._fault(f"{path.name} was broken ({fault}): {len(contents.records)} records could be read and stay")
        else:
            kept = durable.set_aside(path, ".broken")
            self._fault(f"{path.name} was broken ({fault}): no record in it could be read; kept as {kept.name}")

    def keep(self, seq: int, meter: MeterDescription, moment: Moment, body: list[Any]) -> list[Any]:
        """Writes the record of the reading *body* of entry *seq*; returns the concealed entry's body.

        Raises LogUnavailable; nothing is then kept.
        """
        record = Record(seq=seq, meter=meter.name, wall_ms=moment.wall_ms, seed=os.urandom(SEED_BYTES), body=body)
        concealed = concealed_body(body[0], record.fields(meter))
        frame = encode_frame(ENTRY, encode_record(record))
        with self._lock:
            try:
                self._write(seq, frame)
            except OSError as error:
                raise LogUnavailable(f"the fields in {self.directory} cannot be written: {error.strerror}") from error
            self._pending.append((seq, frame))
        return concealed

    def _write(self, seq: int, frame: bytes) -> None:
        if self._failed:
            raise OSError(errno.EIO, "a write before failed")
        if self._fd < 0 or self._offset + len(frame) > self._capacity:
            self._begin(seq)
        try:
            durable.write_all(self._fd, frame, self._offset)
        except OSError:
            # Part of it may stand there: nothing may follow it in this file.
            self._failed = True
            raise
        self._offset += len(frame)

    def _begin(self, first_seq: int) -> None:
        """Begins a new file. The old one stays to be synced by the next ``sync``."""
        fd, path, offset = self._supply.begin(first_seq)
        self._leave()
        self._fd, self._path, self._offset, self._capacity = fd, path, offset, self._supply.file_bytes
        self._names_dirty = True

    def _leave(self) -> None:
        """Nothing is added to the present file any more."""
        if self._fd >= 0:
            self._full.append(self._fd)
            self._packable.append(self._path)
        self._fd = -1

    def prepare(self) -> list[str]:
        """Makes the next file ready, so that no append waits for it; only where one is in use. Blocks on the disk.

        Returns what went wrong since it was called last, in words.
        """
        if self._failed:
            self.sync()
        # Without room, files stay as they are, and the append that needs a new one says so.
        with contextlib.suppress(OSError):
            self._pack()
            if self._fd >= 0 or self._supply.disk_full:
                self._supply.prepare()
        with self._lock:
            faults, self._faults = self._faults, []
        return faults

    def _pack(self) -> None:
        if not self._packable or not self.rewriting.acquire(blocking=False):
            return
        try:
            with self._lock:
                # What is not synced yet can wait.
                paths, self._packable = ([], self._packable) if self._full else (self._packable, [])
            for path in paths:
                self._supply.pack(path)
        finally:
            self.rewriting.release()

    def sync(self) -> None:
        """On return the records kept before are durable, or a fault says that they may not be. Blocks on the disk."""
        with self._syncing:
            with self._lock:
                if not self._pending and not self._failed:
                    return
                # From here on records go to the next block: a block on its way to the disk is not touched again.
                self._offset = block_end(self._offset)
                full, self._full, current = self._full, [], self._fd
                names, self._names_dirty = self._names_dirty, False
                count, failed = len(self._pending), self._failed
            error = None if failed else durable.try_sync({*full, current} - {-1}, self.directory if names else None)
            with self._lock:
                if failed or error is not None:
                    self._replace([*full, current], error)
                else:
                    del self._pending[:count]
                    _close(full)

    def _replace(self, files: list[int], error: OSError | None) -> None:
        """Gives up the files that were not confirmed and writes their records again, elsewhere; see ``sync``."""
        if error is not None:
            self._fault(f"the disk did not confirm fields: {error.strerror}; they were written again, elsewhere")
        _close([*files, *self._full, self._fd])
        self._full, self._packable, self._fd, self._failed = [], [], -1, False
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            self._supply.drop()
            self._begin(pending[0][0])
            durable.write_all(self._fd, b"".join(frame for _, frame in pending), self._offset)
            durable.sync_file(self._fd)
            durable.sync_directory(self.directory)
        except OSError as second:
            self._failed = True
            seqs = f"{pending[0][0]} to {pending[-1][0]}"
            self._fault(f"the disk confirms nothing ({second.strerror}): fields of entries {seqs} may be lost")
        self._offset = block_end(self._offset + sum(len(frame) for _, frame in pending))

    def roll(self) -> list[Path]:
        """The files so far, oldest first; their records are durable, and none is written to again. Blocks."""
        with self._lock:
            self._leave()
            files = files_of(self.directory)
        self.sync()
        with self._lock:
            # Without anything pending nothing was left for the sync to do, nor to close.
            if not self._pending:
                _close(self._full)
                self._full = []
        return files

    def _fault(self, text: str) -> None:
        if text not in self._faults and len(self._faults) < _MAX_FAULTS:
            self._faults.append(text)

    def close(self) -> None:
        """Closes the files."""
        self.roll()


def _close(files: list[int]) -> None:
    for fd in set(files) - {-1}:
        # After a failed write, close(2) may report it once more.
        with contextlib.suppress(OSError):
            os.close(fd)
