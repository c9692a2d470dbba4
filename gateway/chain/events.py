"""Follows the events of a contract and hands each to a task: confirmed ones only, in order, none left out.

One step reads one range of blocks, all of them at least *confirmations* deep, and each line waits for the one before::

    tip         number and hash of the range's last block
    logs        the events of the range; nothing else of the chain is ever in memory
    tip again   the same hash: no other chain came in between, so the range is all of one chain
    standing    the cursor's block is still on the chain: the range goes on from what was read before
    handle      each event, one after the other
    reached     the task hears that all up to the tip was handled
    cursor      durable

A crash before the last line repeats events whose cursor was not durable yet: a task hears each event at least once, in
order, and tells by ``Event.place`` or ``Event.key`` that it has dealt with it. The cursor is saved after 64 events, at
the end of a range that had any, and each minute while there are none, so that a quiet contract wears no disk.

Where the cursor's block has gone, the chain was reorganised deeper than *confirmations*, and what was handled may never
have happened. The walk goes back to the newest remembered block that is left, and again each line waits::

    vanished    the task takes back, or says, what came from blocks above that one
    told        an alarm names the blocks and the events, durably
    cursor      durable, at that block; from there on all is read again

A crash in between finds the same again. This is looked for only once the other chain is as deep as the cursor's block
had to be, so no short-lived branch undoes anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.chain.abi import topic
from gateway.chain.event_cursor import Event, EventCursor, Mark, cursor_of, cursor_value, numbered
from gateway.chain.refusals import LogsRefused
from gateway.chain.span import Span
from gateway.chain.values import Block, LogRecord
from gateway.errors import ChainUnavailable, GatewayError
from gateway.log.entry import ALARM
from gateway.task import Progress

_log = logging.getLogger(__name__)
TABLE = "chain-events"
SAVE_EVENTS = 64
SAVE_S = 60.0
POLL_S = 15.0
PAUSE_S_MIN, PAUSE_S_MAX = 5.0, 300.0
#: Events that an alarm names.
_NAMED = 8

#: Enters an event in the log: code, severity, subject, text; it is durable on return. Raises LogUnavailable.
Tell = Callable[[str, int, str, str], Awaitable[None]]
Topics = Sequence[bytes | Sequence[bytes] | None]


class EventClient(Protocol):
    """What is asked of a chain; ``gateway.chain.client.ChainClient`` is one. Raises ChainUnavailable."""

    @property
    def chain_id(self) -> int:
        """The chain's number."""

    async def head(self) -> Block:
        """The newest block."""

    async def block(self, number: int) -> Block | None:
        """That block; None where there is none yet."""

    async def logs(self, address: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
        """These events of blocks *first* to *last*, and no others, in the chain's order.

        Raises LogsRefused where that is too much at once.
        """


class EventTask(Protocol):
    """What an event sets off. What it raises (UnavailableError) is retried later, with the same event."""

    async def handle(self, event: Event) -> None:
        """On return all that the event asks for is done, durably. It may come again: then nothing is to be done."""

    async def reached(self, block: Block) -> None:
        """All events up to the end of *block* were handled; told also where there were none, and at the beginning."""

    async def vanished(self, after: int, keys: Sequence[str]) -> None:
        """What was handled from blocks above *after* never happened, or happens again; *keys* as far as remembered.

        On return it is taken back, or said, durably. May be told again.
        """


class CursorStore(Protocol):
    """Where cursors live; ``gateway.state.State`` is one."""

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""

    def set(self, table: str, key: str, value: Any) -> None:
        """On return the value is durable. Blocks; called from threads. Raises UnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events: of that contract, and with these topics; None takes any."""

    address: str
    topics: tuple[tuple[bytes, ...] | None, ...]

    @classmethod
    def of(cls, address: str, signatures: Sequence[str], indexed: Sequence[bytes | None] = ()) -> EventFilter:
        """Of events such as ``Transfer(address,address,uint256)``, whose indexed arguments have these 32 bytes."""
        arguments = [None if word is None else (word,) for word in indexed]
        return cls(address=address.lower(), topics=(tuple(map(topic, signatures)), *arguments))


class Listener:
    """Follows *wanted* for *task*; *name* is that of its cursor, and stays the same for the same *wanted*."""

    def __init__(
        self,
        name: str,
        client: EventClient,
        wanted: EventFilter,
        task: EventTask,
        store: CursorStore,
        tell: Tell,
        *,
        confirmations: int,
        start: int | None = None,
        anew: bool = False,
        poll_s: float = POLL_S,
    ) -> None:
        """Without a cursor, or *anew*, it begins with block *start*; None: with the blocks that come from now on."""
        self.name = name
        self.span = Span()
        #: Confirmed blocks that were not read when it looked last.
        self.behind = 0
        #: What keeps it, in words; empty while all is well.
        self.trouble = ""
        self.events = 0
        self._client, self._wanted, self._task = client, wanted, task
        self._store, self._tell = store, tell
        self._confirmations, self._start, self._poll_s = confirmations, start, poll_s
        self._key = f"{client.chain_id} {name}"
        self._anew = anew
        kept = None if anew else store.get(TABLE, self._key)
        self._cursor = cursor_of(kept)
        self._unreadable = kept is not None and self._cursor is None
        self._unsaved, self._saved_s = 0, 0.0

    async def run(self, progress: Progress) -> None:
        """Follows until it is cancelled; what goes wrong is a state."""
        pause_s = PAUSE_S_MIN
        try:
            while True:
                more = False
                try:
                    more = await self.step()
                except GatewayError as error:
                    self._fails(str(error))
                    wait_s, pause_s = pause_s, min(2 * pause_s, PAUSE_S_MAX)
                else:
                    self.trouble, wait_s, pause_s = "", self._poll_s, PAUSE_S_MIN
                progress.mark()
                await asyncio.sleep(0 if more else wait_s)
        finally:
            await self.save()

    def _fails(self, text: str) -> None:
        if not self.trouble:
            _log.warning("events %s: %s", self.name, text)
        self.trouble = text

    async def step(self) -> bool:
        """Reads and handles one range; whether there is more. Raises UnavailableError."""
        head = await self._client.head()
        safe = head.number - self._confirmations
        cursor = self._cursor or await self._begin(safe)
        if cursor is None or safe < cursor.next_block:
            self.behind = 0
            return False
        self.behind = safe - cursor.mark.number
        tip, records = await self._read(cursor.next_block, safe)
        standing = await self._client.block(cursor.mark.number)
        if standing is None:
            raise ChainUnavailable(f"{self.name}: the node tells block {tip.number}, and none of {cursor.mark.number}")
        if standing.hash != cursor.mark.hash:
            await self._go_back(cursor)
            return True
        await self._take(cursor, tip, numbered(records))
        self.behind = safe - tip.number
        return self.behind > 0

    async def _begin(self, safe: int) -> EventCursor | None:
        number = safe if self._start is None else max(self._start - 1, 0)
        if not 0 <= number <= safe:
            return None
        block = await self._block(number)
        if self._anew:
            # First of all: behind a crash the old cursor must not count again.
            await asyncio.to_thread(self._store.set, TABLE, self._key, None)
        if self._unreadable:
            text = f"its cursor in the state file cannot be read; it begins again behind block {number}"
            await self._tell("chain-cursor-lost", ALARM, self.name, text)
        await self._task.reached(block)
        self._cursor = EventCursor.at(block)
        await self._keep()
        return self._cursor

    async def _read(self, first: int, safe: int) -> tuple[Block, list[LogRecord]]:
        """The last block of the range that begins with *first*, and the range's events."""
        while True:
            size = min(self.span.size, safe - first + 1)
            tip = await self._block(first + size - 1)
            try:
                records = await self._client.logs(self._wanted.address, self._wanted.topics, first, tip.number)
            except LogsRefused:
                if not self.span.refused(size):
                    raise
                continue
            self.span.answered(size, len(records))
            if (await self._block(tip.number)).hash != tip.hash:
                raise ChainUnavailable(f"{self.name}: block {tip.number} changed while it was read; it is read again")
            return tip, records

    async def _take(self, cursor: EventCursor, tip: Block, events: Iterator[Event]) -> None:
        for event in events:
            if event.place <= cursor.place:
                continue
            await self._task.handle(event)
            self._cursor = cursor = cursor.behind_event(event)
            self.events += 1
            self._unsaved += 1
            if self._unsaved >= SAVE_EVENTS:
                await self._keep()
        await self._task.reached(tip)
        self._cursor = cursor.behind_block(tip)
        if self._unsaved or asyncio.get_running_loop().time() - self._saved_s >= SAVE_S:
            await self._keep()

    async def _go_back(self, cursor: EventCursor) -> None:
        common, left = await self._common(cursor)
        keys, all_of_them = cursor.gone_after(common.number)
        await self._task.vanished(common.number, keys)
        text = _reorg(cursor, common, keys, left=left, known=all_of_them)
        await self._tell("chain-reorg", ALARM, self.name, text)
        self._cursor = cursor.back_to(common)
        await self._keep()

    async def _common(self, cursor: EventCursor) -> tuple[Mark, bool]:
        """The newest remembered block that is on the chain; or the oldest as it is now, and False."""
        for mark in reversed(cursor.marks):
            block = await self._block(mark.number)
            if block.hash == mark.hash:
                return mark, True
        return Mark(number=block.number, hash=block.hash), False

    async def _block(self, number: int) -> Block:
        block = await self._client.block(number)
        if block is None:
            raise ChainUnavailable(f"{self.name}: the node is above block {number}, and does not tell it")
        return block

    async def save(self) -> None:
        """On return the cursor is durable, if the disk took it."""
        try:
            await self._keep()
        except GatewayError as error:
            _log.warning("events %s: its cursor was not saved, so a restart repeats events: %s", self.name, error)

    async def _keep(self) -> None:
        if self._cursor is not None:
            await asyncio.to_thread(self._store.set, TABLE, self._key, cursor_value(self._cursor))
            self._unsaved, self._saved_s = 0, asyncio.get_running_loop().time()

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        block = self._cursor.mark.number if self._cursor else None
        return {
            "name": self.name,
            "block": block,
            "behind": self.behind,
            "events": self.events,
            "trouble": self.trouble,
        }


def _reorg(cursor: EventCursor, common: Mark, keys: Sequence[str], *, left: bool, known: bool) -> str:
    blocks = f"blocks {common.number + 1} to {cursor.mark.number} that were read are not on the chain any more"
    if not left:
        blocks += f", nor is any remembered one: from {common.number} on this is another chain"
    if not keys and known:
        return f"{blocks}; no event in them was handled"
    named = ", ".join(keys[-_NAMED:])
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    older = "" if known else " and older ones that are not remembered"
    return f"{blocks}; the events handled from them are void: {named}{more}{older}; they are read again"
