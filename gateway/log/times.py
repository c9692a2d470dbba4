"""Finds the entries of a time window without reading the whole log, and without believing that time goes forward.

The wall time of an entry is a claim: a clock may be set back and forth, so neither the first and the last entry of a
stretch nor a binary search says what is between them. What does is the smallest and the largest wall time in each
*block* of 4,096 entries, found by reading it once. A block is passed over only if its two times say that nothing in it
can be in the window; every other block is read, and so is the rest behind the last whole block. So the answer is always
the one that reading everything would give.

The times of blocks are kept in the file ``wall-times`` beside the log, if it can be written there::

    meter-gateway/wall-times@v1 <newline>
    48 bytes per block: hash of its subtree in the log's tree (level 12), smallest and largest wall time (Unix
    milliseconds, 8 bytes each, big-endian, signed)
    SHA-256 of all that is before

A row counts for the block whose subtree has that hash, and for no other, so a file of another log or of another past
of this one does no harm; a file with any byte changed is not used. It can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import cbor2

from gateway.durable import write_replacing
from gateway.log.entry import parse
from gateway.log.kinds import HIGHEST, LOWEST
from gateway.log.tree import NodeSource

FILE = "wall-times"
LEVEL = 12
_HEADER = b"meter-gateway/wall-times@v1\n"
_ROW = struct.Struct(">32sqq")
_SUM = 32
#: Rows for 100 years of ten meters at 10 s; a longer file is none of ours.
_MAX_FILE = 64 << 20

#: Smallest and largest wall time of a block, Unix milliseconds.
Bounds = tuple[int, int]
#: The entries from the first seq up to the second, without those that were pruned.
Read = Callable[[int, int], Iterable[bytes]]


class WallTimes:
    """The wall times of one log's blocks: known ones from the file, others by reading the entries."""

    def __init__(self, path: Path, node: NodeSource, read: Read, level: int = LEVEL) -> None:
        """*level* is that of the blocks' subtrees; a file holds blocks of one level."""
        self._path = path
        self._level = level
        self._node = node
        self._read = read
        self._known = read_times(path)
        self._new = False

    def may_hold(
        self, since_ms: int, until_ms: int, size: int, progress: Callable[[int], None] = lambda _done: None
    ) -> Iterator[tuple[int, int]]:
        """Stretches (first seq, seq behind the last) of a log of *size* outside of which no time is in the window.

        The window is from *since_ms* on and before *until_ms*. *progress* is told how many entries were looked at.
        """
        block = 1 << self._level
        whole = size - size % block
        for start in range(0, whole, block):
            low, high = self._bounds(start >> self._level)
            progress(start + block)
            if low < until_ms and high >= since_ms:
                yield start, start + block
        if whole < size:
            yield whole, size

    def _bounds(self, index: int) -> Bounds:
        key = self._node(self._level, index)
        if key not in self._known:
            times = [wall_ms_of(data) for data in self._read(index << self._level, (index + 1) << self._level)]
            # Of a block that was pruned, what is left counts, and nothing may be.
            self._known[key] = (min(times, default=HIGHEST), max(times, default=LOWEST))
            self._new = True
        return self._known[key]

    def keep(self) -> None:
        """Writes what was learnt to the file. A place that cannot be written costs the next search its time only."""
        if self._new:
            with contextlib.suppress(OSError):
                write_replacing(self._path, encode_times(self._known))
                self._new = False


def wall_ms_of(data: bytes) -> int:
    """The wall time in an entry's bytes, for a fifth of what decoding costs. Raises MalformedError for no entry."""
    try:
        items = cbor2.loads(data)
        found = items[6] if type(items) is list else None
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError, LookupError):
        found = None
    return found if type(found) is int and LOWEST <= found <= HIGHEST else int(parse(data)[6])


def encode_times(times: dict[bytes, Bounds]) -> bytes:
    """The file of these rows."""
    data = _HEADER + b"".join(_ROW.pack(key, *bounds) for key, bounds in times.items())
    return data + sha256(data).digest()


def read_times(path: Path) -> dict[bytes, Bounds]:
    """The rows of the file at *path*; none when it is missing, unreadable or changed."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError:
        return {}
    rows = data[len(_HEADER) : -_SUM]
    sound = data.startswith(_HEADER) and len(data) <= _MAX_FILE and len(rows) % _ROW.size == 0
    if not sound or sha256(data[:-_SUM]).digest() != data[-_SUM:]:
        return {}
    return {key: (low, high) for key, low, high in _ROW.iter_unpack(rows)}
