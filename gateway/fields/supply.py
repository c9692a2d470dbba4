"""Makes the sidecar's files, keeps the next one ready, and packs those that are full.

A new file is the spare under its final name; the spare was filled with zeroes and synced before. A full file is written
anew without the padding of its commits. Then its old blocks are overwritten with zeroes, and are the next spare: so the
packing costs the disk no more than the records, and leaves none of them in free blocks.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from gateway import durable
from gateway.fields.files import file_bytes, file_name, file_starts, header_frame, load

_SPARE = "spare"


class Supply:
    """The files of one directory. ``begin`` may be called while another thread is in ``prepare`` or ``pack``."""

    def __init__(self, directory: Path, origin: str, file_bytes: int) -> None:
        self.directory = directory
        self.file_bytes = file_bytes
        self._origin = origin
        self._spare = directory / _SPARE
        self._zeroed = directory / f"{_SPARE}.zeroed"
        self._lock = threading.Lock()
        #: There was no room for a spare the last time.
        self.disk_full = False

    def tidy(self, log_size: int) -> None:
        """Removes what a crash left unfinished, and files of which no record can have an entry. Raises OSError."""
        for leftover in [*self.directory.glob(".*.tmp"), *self.directory.glob(_SPARE + "*")]:
            if leftover != self._spare or not self._is_ready():
                durable.overwrite(leftover)
        # Entries from log_size on were lost in a power cut: their seqs will be given again.
        for start in [start for start in file_starts(self.directory) if start >= log_size]:
            durable.overwrite(self.directory / file_name(start))

    def _is_ready(self) -> bool:
        """Whether the spare is whole and empty: one whose renaming a power cut has undone holds records."""
        data = self._spare.read_bytes()
        return len(data) >= self.file_bytes and data.count(0) == len(data)

    def begin(self, first_seq: int) -> tuple[int, Path, int]:
        """Makes the file that begins with *first_seq*; returns its descriptor, path, and where records begin.

        Nothing of it is durable yet. Raises OSError; no file is then made.
        """
        path, head = self.directory / file_name(first_seq), header_frame(self._origin)
        with self._lock:
            self._make(patient=False)
            fd = os.open(self._spare, os.O_RDWR | os.O_CLOEXEC)
            try:
                durable.write_all(fd, head, 0)
                # A file of that name can hold only records whose seqs are given again now, or that are pending.
                self._spare.rename(path)
            except OSError:
                os.close(fd)
                raise
        return fd, path, len(head)

    def prepare(self) -> None:
        """Makes the spare, if there is none. Blocks on the disk. Raises OSError when there is no room."""
        with self._lock:
            self._make(patient=True)

    def _make(self, *, patient: bool) -> None:
        if self._spare.exists():
            return
        if self.disk_full and not patient:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            durable.make_directory(self.directory, 0o700)
            os.close(durable.preallocate_unnamed(self._spare, b"", self.file_bytes))
        except OSError:
            self.disk_full = True
            raise
        self.disk_full = False

    def drop(self) -> None:
        """Gives up the spare, which may not be sound."""
        self._spare.unlink(missing_ok=True)

    def pack(self, path: Path) -> None:
        """Writes a full file anew without its padding, and makes a spare of its blocks. Raises OSError.

        A broken one stays as it is. A crash leaves the file with padding or without, and perhaps a leftover.
        """
        contents = load(path)
        if contents.fault or not contents.records:
            return
        if self._zeroed.exists():
            durable.overwrite(self._zeroed)
        durable.replace_overwriting(path, file_bytes(self._origin, contents.records), self._zeroed)
        with self._lock:
            self._zeroed.rename(self._spare)
