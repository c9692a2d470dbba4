"""How far a listener has read a chain, and what it must remember to find out that what it read has gone.

A cursor stands behind event *index* of block *number*, or with no index behind the whole block; the events that are
listened to are counted from 0 in each block, since nodes do not agree on how to count all of them. It carries

- *marks*: number and hash of blocks that were read. Of three in a row the middle one is dropped where the other two are
  nearer to each other than half of what lies above them. So a few dozen reach back to where the listener began, and the
  newest one that is still on the chain is not much deeper than what has gone;
- *handled*: the newest events that were handled, to name those whose block has gone.

It is kept as JSON::

    {"block", "hash", "index", "marks": [[number, hash], …], "handled": [[block, key], …], "forgotten"}

with hashes in hex; *index* is null behind a whole block, and *forgotten* is the block of the newest handled event that
had to be dropped from the list, -1 for none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from gateway.chain.values import Block, LogRecord

#: Behind all events of a block.
END = 2**63 - 1
#: Handled events that are remembered.
HANDLED_MAX = 64
HASH_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A block that was read."""

    number: int
    hash: bytes


#: Block and index of an event.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event that is listened to."""

    record: LogRecord
    #: Its place among those of its block that are listened to.
    index: int

    @property
    def place(self) -> Place:
        """Ascends along the chain."""
        return self.record.block_number, self.index

    @property
    def key(self) -> str:
        """What tells it from all others of its chain, as people look for it: ``0xTRANSACTION:LOGINDEX``."""
        return f"0x{self.record.transaction.hex()}:{self.record.index}"


def numbered(records: Sequence[LogRecord]) -> Iterator[Event]:
    """The same in the same order, counted in each block."""
    for _, block in groupby(records, key=lambda record: record.block_number):
        for index, record in enumerate(block):
            yield Event(record=record, index=index)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCursor:
    """Where a listener stands."""

    mark: Mark
    #: Of the last event in that block that was handled; None when all of the block is.
    index: int | None = None
    #: Oldest first; the oldest is where the listener began, or began again.
    marks: tuple[Mark, ...]
    #: Block and key, oldest first.
    handled: tuple[tuple[int, str], ...] = ()
    forgotten: int = -1

    @classmethod
    def at(cls, block: Block) -> EventCursor:
        """Behind that block."""
        mark = Mark(number=block.number, hash=block.hash)
        return cls(mark=mark, marks=(mark,))

    @property
    def next_block(self) -> int:
        """The first block that is not read to its end."""
        return self.mark.number + (self.index is None)

    @property
    def place(self) -> Place:
        """What is at or before it was handled."""
        return self.mark.number, END if self.index is None else self.index

    def behind_event(self, event: Event) -> EventCursor:
        """After *event* was handled."""
        mark = Mark(number=event.record.block_number, hash=event.record.block_hash)
        handled = (*self.handled, (mark.number, event.key))
        surplus = handled[:-HANDLED_MAX]
        return replace(
            self,
            mark=mark,
            index=event.index,
            marks=thinned(self.marks, mark),
            handled=handled[len(surplus) :],
            forgotten=surplus[-1][0] if surplus else self.forgotten,
        )

    def behind_block(self, block: Block) -> EventCursor:
        """After everything up to *block* was handled."""
        mark = Mark(number=block.number, hash=block.hash)
        return replace(self, mark=mark, index=None, marks=thinned(self.marks, mark))

    def gone_after(self, number: int) -> tuple[Sequence[str], bool]:
        """Keys of the handled events above block *number*, and whether these are all there were."""
        return [key for block, key in self.handled if block > number], self.forgotten <= number

    def back_to(self, mark: Mark) -> EventCursor:
        """Behind the block *mark*, as if nothing above had been read."""
        marks = tuple(old for old in self.marks if old.number < mark.number)
        handled = tuple(item for item in self.handled if item[0] <= mark.number)
        forgotten = min(self.forgotten, mark.number)
        return replace(self, mark=mark, index=None, marks=(*marks, mark), handled=handled, forgotten=forgotten)


def thinned(marks: Sequence[Mark], newest: Mark) -> tuple[Mark, ...]:
    """*marks* with *newest*, without those that are not needed for the distances named above."""
    below = [mark for mark in marks if mark.number < newest.number]
    kept = below[:1]
    for mark, after in zip(below[1:], [*below, newest][2:], strict=True):
        # Dropped where its neighbours are near enough to each other.
        if 2 * (after.number - kept[-1].number) > newest.number - after.number:
            kept.append(mark)
    return (*kept, newest)


def cursor_value(cursor: EventCursor) -> dict[str, Any]:
    """As JSON."""
    return {
        "block": cursor.mark.number,
        "hash": cursor.mark.hash.hex(),
        "index": cursor.index,
        "marks": [[mark.number, mark.hash.hex()] for mark in cursor.marks],
        "handled": [list(item) for item in cursor.handled],
        "forgotten": cursor.forgotten,
    }


def cursor_of(value: Any) -> EventCursor | None:
    """The inverse of ``cursor_value``; None for anything else."""
    try:
        cursor = EventCursor(
            mark=_mark((value["block"], value["hash"])),
            index=value["index"],
            marks=tuple(map(_mark, value["marks"])),
            handled=tuple((block, key) for block, key in value["handled"]),
            forgotten=value["forgotten"],
        )
    except (TypeError, ValueError, LookupError, AttributeError):
        return None
    numbers = [cursor.mark.number, cursor.forgotten, *(block for block, _ in cursor.handled)]
    numbers += [mark.number for mark in cursor.marks] + ([] if cursor.index is None else [cursor.index])
    sound = all(type(number) is int for number in numbers) and all(type(key) is str for _, key in cursor.handled)
    return cursor if sound and cursor.marks and cursor_value(cursor) == value else None


def _mark(item: Any) -> Mark:
    number, digest = item
    found = bytes.fromhex(digest)
    if len(found) != HASH_BYTES:
        raise ValueError(digest)
    return Mark(number=number, hash=found)
