"""The files of a log directory: their names, the spare that is kept ready, and how a new segment begins.

A new segment is the spare under its final name. The spare was zero-filled and synced before, so a segment costs the
disk no allocation when it is needed, and a full disk is met while there is still room in the segment before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from itertools import pairwise
from pathlib import Path

from gateway import durable
from gateway.errors import LogUnavailable
from gateway.log.frame import HEADER, block_end, encode_frame
from gateway.log.scan import Header, segment_name

_SPARE = "spare"


class SegmentFiles:
    """Makes and gives up the segment files of one directory; *starts* are their first seqs, ascending."""

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self.directory = directory
        self.segment_bytes = segment_bytes
        self.starts: list[int] = []
        #: There was no room for a spare the last time.
        self.full_disk = False
        self._spare = directory / _SPARE
        #: A spare is made ahead in another thread than that of the appends.
        self._making = threading.Lock()

    def begin(self, header: Header, *, patient: bool = True) -> tuple[int, int]:
        """Makes the segment of *header*; returns its descriptor and the offset behind the header's commit.

        Nothing of it is durable yet: neither the header nor the name. Unless *patient*, a disk that was full is not
        asked again. Raises OSError; no segment is then made.
        """
        with self._making:
            return self._begin(header, patient=patient)

    def _begin(self, header: Header, *, patient: bool) -> tuple[int, int]:
        path = self.directory / segment_name(header.first_seq)
        if path.exists():
            durable.set_aside(path, ".void")
        if not self._spare.exists():
            if self.full_disk and not patient:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._make_spare()
        frame = encode_frame(HEADER, header.encode())
        end = block_end(len(frame))
        fd = os.open(self._spare, os.O_RDWR | os.O_CLOEXEC)
        try:
            durable.write_all(fd, frame.ljust(end, b"\0"), 0)
            # A crash from here on leaves a segment without durable entries: recovery takes it for torn at worst.
            self._spare.rename(path)
        except OSError:
            os.close(fd)
            self.drop_spare()
            raise
        if header.first_seq not in self.starts:
            self.starts.append(header.first_seq)
        return fd, end

    def prepare(self) -> None:
        """Makes the spare, if there is none. Blocks on the disk. Raises LogUnavailable when there is no room."""
        try:
            with self._making:
                if not self._spare.exists():
                    self._make_spare()
        except OSError as error:
            raise LogUnavailable(f"no room for the next log segment in {self.directory}: {error.strerror}") from error

    def _make_spare(self) -> None:
        try:
            # Its name need not last: it gets another, and that one is synced with the first commit.
            os.close(durable.preallocate_unnamed(self._spare, b"", self.segment_bytes))
        except OSError:
            self.full_disk = True
            raise
        self.full_disk = False

    def drop_spare(self) -> None:
        """Removes a spare that may not be empty, or not sound."""
        with contextlib.suppress(OSError):
            self._spare.unlink(missing_ok=True)

    def drop_below(self, end_seq: int) -> list[Path]:
        """Forgets the segments whose entries are all below *end_seq*, never the newest; returns them, to be removed."""
        gone = {start for start, stop in pairwise(self.starts) if stop <= end_seq}
        self.starts[:] = [start for start in self.starts if start not in gone]
        return [self.directory / segment_name(start) for start in sorted(gone)]

    def give_up(self, size: int) -> str | None:
        """Puts the segments that begin above *size* aside; name of the one that holds entry *size* - 1, if any."""
        for start in [start for start in self.starts if start > size]:
            durable.set_aside(self.directory / segment_name(start), ".void")
            self.starts.remove(start)
        return segment_name(self.starts[-1]) if self.starts and self.starts[-1] < size else None


def tidy(directory: Path) -> None:
    """Makes the log directory if need be, and removes what a crash left unfinished there.

    A power cut can undo the renaming of a spare after its content went to the disk: such a spare is not empty, and
    what is in it was never confirmed.
    """
    durable.make_directory(directory)
    for leftover in directory.glob(".*.tmp"):
        leftover.unlink()
    spare = directory / _SPARE
    if spare.exists():
        data = spare.read_bytes()
        if not data or data.count(0) != len(data):
            spare.unlink()


def close_all(files: list[int]) -> None:
    """Closes the open ones of these descriptors, each once; -1 is none."""
    for fd in set(files) - {-1}:
        # After a failed write, close(2) may report it once more.
        with contextlib.suppress(OSError):
            os.close(fd)
