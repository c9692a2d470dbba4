"""Crash states: what a disk may hold after the power was cut at some place of a trace.

All that was written before the last flush is there. Of what came after, the disk kept

=========  ====================================================================================
none       nothing
all        everything
reordered  any of the writes, the later without the earlier as well
torn       any of the 512-byte sectors of any of the writes
broken     all but the last write, and of that one the first sectors only
=========  ====================================================================================

The first block is never torn: it holds ext4's superblock, whose checksum stands in another sector than what changes. A
disk that tears it has lost the file system until e2fsck(8) takes one of the copies, whatever lies in the files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.powercut.disk import SECTOR
from tests.powercut.trace import FLUSH, MARK, WRITE, Operation, Told

FATES = ("none", "all", "reordered", "torn", "broken")
_BLOCK = 4096
#: A write, cut to the sectors that the disk kept: (offset on the disk, data).
Kept = tuple[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashState:
    """One state of the disk, and what had been told by then."""

    #: Operations that had reached the disk.
    position: int
    fate: str
    image: bytes
    told: Told

    def __str__(self) -> str:
        return f"cut at {self.position}, {self.fate} of the rest kept"


def crash_states(
    trace: Sequence[Operation], image: bytes, told: Told, *, seed: int, count: int
) -> Iterator[CrashState]:
    """Up to *count* different states, by rising position. *image* and *told* are what the trace began with."""
    durable, flushed_before, said, heard = bytearray(image), 0, told.copy(), 0
    for position, fate, kept in _choices(trace, seed, count):
        flushed = _last_flush(trace, position)
        for operation in trace[flushed_before:flushed]:
            if operation.kind == WRITE:
                durable[operation.offset : operation.offset + len(operation.data)] = operation.data
        said.hear_all(trace[heard:position])
        flushed_before, heard = flushed, position
        left = bytearray(durable)
        for offset, data in kept:
            left[offset : offset + len(data)] = data
        yield CrashState(position=position, fate=fate, image=bytes(left), told=said.copy())


def _choices(trace: Sequence[Operation], seed: int, count: int) -> list[tuple[int, str, list[Kept]]]:
    """(position, fate, what is kept of the rest) of the states, none of them twice.

    Every other cut is made just when something was told, each kind of promise as often: that is when it costs most.
    """
    rng = random.Random(seed)
    marks = [0]
    for operation in trace:
        marks.append(marks[-1] + (operation.kind == MARK))
    promises = _promises(trace)
    first = min(map(min, promises))
    found: dict[object, tuple[int, str, list[Kept]]] = {}
    for _ in range(20 * count):
        if len(found) == count:
            break
        position = rng.choice([rng.choice(rng.choice(promises)), rng.randint(first, len(trace))])
        flushed = _last_flush(trace, position)
        rest = [operation for operation in trace[flushed:position] if operation.kind == WRITE]
        fate = rng.choice(FATES)
        kept = _kept(rest, fate, rng)
        found.setdefault((flushed, marks[position], tuple(kept)), (position, fate, kept))
    return sorted(found.values(), key=lambda choice: choice[0])


def _promises(trace: Sequence[Operation]) -> list[list[int]]:
    """The places just behind the markers, those of one kind together."""
    found: dict[str, list[int]] = {}
    for index, operation in enumerate(trace, 1):
        if operation.kind == MARK:
            found.setdefault(json.loads(operation.data)["told"], []).append(index)
    return list(found.values())


def _last_flush(trace: Sequence[Operation], position: int) -> int:
    while position and trace[position - 1].kind != FLUSH:
        position -= 1
    return position


def _kept(rest: list[Operation], fate: str, rng: random.Random) -> list[Kept]:
    lucky = rng.choice([0.2, 0.5, 0.8])
    whole = [(operation.offset, operation.data) for operation in rest]
    if fate == "none" or not rest:
        return []
    if fate == "all":
        return whole
    if fate == "reordered":
        return [write for write in whole if rng.random() < lucky]
    if fate == "broken":
        last = _sectors(whole[-1])
        return [*whole[:-1], *last[: rng.randrange(len(last))]]
    return [sector for write in whole for sector in _sectors(write) if rng.random() < lucky]


def _sectors(write: Kept) -> list[Kept]:
    offset, data = write
    if offset < _BLOCK:
        return [(offset, data[:_BLOCK]), *_sectors((_BLOCK, data[_BLOCK - offset :]))]
    return [(offset + start, data[start : start + SECTOR]) for start in range(0, len(data), SECTOR)]
