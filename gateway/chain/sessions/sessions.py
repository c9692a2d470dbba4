"""Turns the rents of one object into metered sessions in the log: each opened once and closed once.

The log is the truth; ``gateway.chain.sessions.book`` says what its entries are and how they are read, and
``gateway.chain.sessions.rules`` which one comes next. The state file only saves reading the log again: ``{"log", "seq",
"hash", "book"}`` under ``CHAIN CONTRACT OBJECT`` in the table ``sessions`` is the book after all entries below *seq* of
the log *log*, the last of which has that leaf hash. So there is one order, entry first::

    look      the register at the time of the event, from the log: no effect
    append    the entry; a kill behind it leaves it, and the next start reads it; a power cut may leave nothing, and
              then nothing else has heard of it: the event comes again
    settle    the entry is durable
    keep      the book, durably; a crash before it costs reading the log's newest entries again
    return    only now the listener's cursor passes the event; a crash before it brings the event again, and the place
              in the book says that it was dealt with

Where the state file is lost, or the log is not the one that it was read from (an older copy was put back), the book is
read from the whole log, and ``open`` says from which block on the chain is to be read: nothing is missed, and nothing
comes twice. Where the log began a new epoch, the book goes on.

Nothing is switched: the log says what happened, and no output is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.chain.event_cursor import END, Event, Place
from gateway.chain.events import CursorStore, EventClient, EventFilter
from gateway.chain.sessions.book import CODES, LISTENING, OPENED, VOID, Book, book_of, book_value, facts_of, text_of
from gateway.chain.sessions.journal import Journal, Tail
from gateway.chain.sessions.registers import Register, RegisterValue
from gateway.chain.sessions.renting import rents_of
from gateway.chain.sessions.rules import Step, step_due, step_for
from gateway.chain.values import Block
from gateway.errors import ChainUnavailable
from gateway.log.entry import ALARM, INFORMATION

TABLE = "sessions"
#: How often the state file hears how far the log was read, while nothing happens: a start reads the rest again.
KEEP_S = 6 * 3600.0
#: Of a reason why a register has no value.
REASON_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rentable:
    """An object that can be rented on a chain."""

    contract: str
    object_id: bytes

    @property
    def events(self) -> EventFilter:
        """What is to be listened to."""
        return rents_of(self.contract, self.object_id)

    @property
    def name(self) -> str:
        """Of the listener and its cursor."""
        return f"sessions {self.contract.lower()} 0x{self.object_id.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """How far sessions got."""

    #: The first block that the log does not account for; None: it has nothing of them.
    start: int | None
    #: What a listener's cursor says is not in this log: it must begin with *start*.
    anew: bool


class Sessions:
    """A ``gateway.chain.events.EventTask`` for the rents of one object, metered by *register*."""

    def __init__(
        self, rentable: Rentable, client: EventClient, register: Register, journal: Journal, store: CursorStore
    ) -> None:
        self.rentable = rentable
        self._client, self._register, self._journal, self._store = client, register, journal, store
        self._same = {
            "chain": client.chain_id,
            "contract": rentable.contract.lower(),
            "object": f"0x{rentable.object_id.hex()}",
        }
        self._key = f"{client.chain_id} {rentable.contract.lower()} 0x{rentable.object_id.hex()}"
        self._book = Book()
        self._origin = ""
        #: Something was appended that is not known to be durable, or not in the state file.
        self._pending = False
        self._kept_s = 0.0

    async def open(self) -> Opened:
        """Reads how far it got; to be called first. Raises LogUnavailable, TamperError."""
        now = await self._journal.settle()
        self._origin = now.origin
        self._book, anew = await asyncio.to_thread(self._read, now)
        place = self._book.place
        if not anew:
            # Otherwise only when the listener's cursor is set back as well: a crash before must find the same again.
            await self._keep(now)
        return Opened(start=None if place is None else place[0], anew=anew)

    def _read(self, now: Tail) -> tuple[Book, bool]:
        tail, book = _kept(self._store.get(TABLE, self._key))
        start, anew = 0, False
        if tail is not None and tail.origin == now.origin:
            anew = not self._journal.stands(tail)
            start, book = (0, Book()) if anew else (tail.size, book)
        elif tail is not None:
            # A new epoch of the log.
            book = book.in_new_log()
        for seq, code, text in self._journal.events(start, now.size, str(self._same["object"]).encode()):
            facts = facts_of(text) if code in CODES else None
            if facts is not None and facts.items() >= self._same.items():
                # What is not in our form was not written by us, or by another version: it tells nothing here.
                with contextlib.suppress(LookupError, TypeError):
                    book = book.apply(code, seq, facts)
        return book, anew

    async def handle(self, event: Event) -> None:
        """See ``EventTask``."""
        await self._settle()
        if self._passed(event.place):
            return
        number = event.record.block_number
        block = await self._client.block(number)
        if block is None or block.hash != event.record.block_hash:
            raise ChainUnavailable(f"{self.rentable.name}: block {number} is another one now; it is read again")
        while not self._passed(event.place):
            await self._write(step_for(self._book, event, block.time_s), block)

    def _passed(self, place: Place) -> bool:
        return self._book.place is not None and place <= self._book.place

    async def reached(self, block: Block) -> None:
        """See ``EventTask``."""
        await self._settle()
        place = (block.number, END)
        if self._book.place is None:
            facts = {"point": self._register.point}
            await self._write(Step(code=LISTENING, severity=INFORMATION, place=place, facts=facts), block)
        if self._passed(place):
            return
        while (step := step_due(self._book, block.time_s, place)) is not None:
            await self._write(step, block)
        if asyncio.get_running_loop().time() - self._kept_s > KEEP_S:
            await self._keep(await self._journal.settle())

    async def vanished(self, after: int, keys: Sequence[str]) -> None:  # noqa: ARG002  (the book knows its own)
        """See ``EventTask``: an alarm names the entries that are void; what is read again is entered again."""
        await self._settle()
        if self._book.place is not None and self._book.place > (after, END):
            entries, earlier = self._book.void_after(after)
            facts = {"entries": entries, "earlier": earlier}
            await self._write(Step(code=VOID, severity=ALARM, place=(after, END), facts=facts))

    async def _write(self, step: Step, block: Block | None = None) -> None:
        number, index = step.place
        facts = {**self._same, "block": number, "index": None if index == END else index, **step.facts}
        if block is not None:
            facts["hash"] = f"0x{block.hash.hex()}"
        if step.code == OPENED:
            facts["log"] = self._origin
        for name, at_s in step.registers.items():
            found = await asyncio.to_thread(self._register.at, at_s * 1000)
            facts[name] = _register(found)
        seq = self._journal.append(step.code, step.severity, self._register.meter, text_of(facts))
        # From here on it is in the log as this process sees it: what follows may fail and is made up for.
        self._book, self._pending = self._book.apply(step.code, seq, facts), True
        await self._settle()

    async def _settle(self) -> None:
        if self._pending:
            await self._keep(await self._journal.settle())

    async def _keep(self, tail: Tail) -> None:
        value = {"log": tail.origin, "seq": tail.size, "hash": tail.hash.hex(), "book": book_value(self._book)}
        await asyncio.to_thread(self._store.set, TABLE, self._key, value)
        self._pending, self._kept_s = False, asyncio.get_running_loop().time()

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        running = self._book.open
        return {
            **self._same,
            "meter": self._register.meter,
            "point": self._register.point,
            "open": None if running is None else {"rent": running.rent, "until": running.until_s},
            "booked": len(self._book.booked),
        }


def _register(found: RegisterValue) -> dict[str, Any]:
    if found.reason:
        return {"reason": found.reason[:REASON_MAX]}
    return {"seq": found.seq, "unit": found.unit, "value": found.text, "wall_ms": found.wall_ms}


def _kept(value: Any) -> tuple[Tail | None, Book]:
    """Where the log was read up to, and the book; none and an empty one where that cannot be told."""
    try:
        tail = Tail(origin=str(value["log"]), size=int(value["seq"]), hash=bytes.fromhex(value["hash"]))
        book = book_of(value["book"])
    except (TypeError, ValueError, LookupError):
        return None, Book()
    return (None, Book()) if book is None else (tail, book)
