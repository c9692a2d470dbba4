"""A disk that records what is done to it, served through FUSE.

``python -m tests.powercut.fuse_disk MOUNT IMAGE TRACE`` says ``ready`` and serves until MOUNT is unmounted.

Two files stand in MOUNT. ``disk`` begins as a copy of IMAGE; ``marks`` takes one marker with each write(2). All that
reaches the two is appended to TRACE in the order in which it came, which one single-threaded process makes exact: what
the kernel had handed to the disk before a marker stands before it. A record of TRACE is:

======  =====  =====================================================================
offset  bytes  content
======  =====  =====================================================================
0       1      ``W`` a write, ``F`` a flush of the disk's cache, ``M`` a marker
1       8      offset on the disk, big-endian; 0 but for a write
9       4      length of the data, big-endian; 0 for a flush
13      n      data
======  =====  =====================================================================
"""

from __future__ import annotations

import errno
import stat
import struct
import sys
from pathlib import Path
from typing import Any

import mfusepy

RECORD = struct.Struct(">cQI")
WRITE, FLUSH, MARK = b"W", b"F", b"M"


class RecordingDisk(mfusepy.Operations):
    """The two files."""

    use_ns = True

    def __init__(self, image: Path, trace: Path) -> None:
        self._disk = bytearray(image.read_bytes())
        self._trace = trace.open("wb")

    def init(self, path: str) -> None:
        """The kernel has the mount, and asks: only now may somebody open the files."""
        print("ready", flush=True)

    def _record(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        self._trace.write(RECORD.pack(kind, offset, len(data)) + data)

    def getattr(self, path: str, fh: int = 0) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path not in ("/disk", "/marks"):
            raise mfusepy.FuseOSError(errno.ENOENT)
        size = len(self._disk) if path == "/disk" else 0
        return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": size}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", "disk", "marks"]

    def open(self, path: str, flags: int) -> int:
        return 1

    def truncate(self, path: str, length: int, fh: int = 0) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._disk[offset : offset + size]) if path == "/disk" else b""

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == "/marks":
            self._record(MARK, 0, data)
        elif offset + len(data) > len(self._disk):
            raise mfusepy.FuseOSError(errno.ENOSPC)
        else:
            self._disk[offset : offset + len(data)] = data
            self._record(WRITE, offset, data)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        if path == "/disk":
            self._record(FLUSH)
        return 0

    def flush(self, path: str, fh: int) -> int:
        """A close(2); it says nothing about what is durable."""
        return 0

    def destroy(self, path: str) -> None:
        self._trace.close()


def main() -> None:
    mount, image, trace = map(Path, sys.argv[1:])
    mfusepy.FUSE(RecordingDisk(image, trace), str(mount), foreground=True, nothreads=True)


if __name__ == "__main__":
    main()
