"""One outbox per sink: sends the log from its cursor, in order, at least once, and never keeps a second copy.

The cursor (``gateway/cursor.py``) moves only when the sink's ``deliver`` has returned for the message at the head. In
flight are at most ``sink.window`` messages; a failure forgets them all and begins again at the cursor, after a pause
that doubles with each failure and is jittered. Sending has no timer: an entry leaves when it is durable, and what
became durable while the window was full leaves together (``gateway/packing.py``).

Retained values (the newest checkpoint, status) go beside the entries and wait for nothing: while a backlog drains they
are ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.channel import Message
from gateway.cursor import Cursor, CursorStore
from gateway.errors import GatewayError, PrunedError, SinkUnavailable
from gateway.packing import LogReader, next_message
from gateway.sink import Hello, Lost, Sink

__all__ = ["CursorStore", "Hello", "LogReader", "Lost", "OutMessage", "Outbox", "OutboxStatus", "Pacing", "Sink"]

#: What sinks are given to send.
OutMessage = Message

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Pauses after failures, in seconds: the first, and the longest."""

    backoff_s_min: float = 0.5
    backoff_s_max: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """How delivery through one sink is going."""

    name: str
    #: ``connecting``, ``connected``, ``backing-off`` or ``stopped``.
    state: str
    #: The last seq the far side confirmed; -1 for none.
    acked_seq: int
    #: Durable entries that the far side has not confirmed.
    backlog: int
    #: The last failure in words; empty when none since the last confirmation.
    last_error: str
    #: Time since the far side confirmed anything; None if it has not since the start.
    last_ack_age_ms: int | None
    #: What an operator should know of the cursor's past: broken, beyond the log's end, not saved.
    notices: tuple[str, ...]


def pause_s(pacing: Pacing, failures: int, jitter: float) -> float:
    """How long to wait after *failures* failures in a row before this one; *jitter* from 0 to 1 takes up to half off.

    Without jitter all gateways of a region would come back to their broker in the same second.
    """
    longest: float = min(pacing.backoff_s_max, pacing.backoff_s_min * 2 ** min(failures, 30))
    return longest * (1 - jitter / 2)


class Outbox:
    """Delivers one log through one sink. All methods belong to the event loop's thread."""

    def __init__(
        self,
        log: LogReader,
        sink: Sink,
        store: CursorStore,
        *,
        will: bytes,
        retained: Mapping[str, bytes] | None = None,
        pacing: Pacing | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """*will* is what ``status`` becomes when the link breaks; *jitter* gives numbers from 0 to 1."""
        self._log, self._sink = log, sink
        self._cursor = Cursor(store, sink.name, log)
        self._will, self._retained = will, dict(retained or {})
        self._pacing, self._jitter = pacing or Pacing(), jitter
        self._position = self._cursor.seq
        self._confirmed_note: bytes | None = None
        self._sent_note: bytes | None = None
        self._shown_note: bytes | None = None
        self._in_flight: deque[tuple[Message, asyncio.Task[None]]] = deque()
        self._unpublished: dict[str, bytes] = {}
        self._publisher: asyncio.Task[None] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._news, self._drained = asyncio.Event(), asyncio.Event()
        self._closing = False
        self._lost: SinkUnavailable | None = None
        self._state, self._failures, self._last_error = "connecting", 0, ""
        self._last_ack_s: float | None = None

    @property
    def status(self) -> OutboxStatus:
        """The present state."""
        now_s = asyncio.get_running_loop().time()
        return OutboxStatus(
            name=self._sink.name,
            state=self._state,
            acked_seq=self._cursor.seq - 1,
            backlog=max(0, self._log.durable_size - self._cursor.seq),
            last_error=self._last_error,
            last_ack_age_ms=None if self._last_ack_s is None else int((now_s - self._last_ack_s) * 1000),
            notices=tuple(self._cursor.notices),
        )

    def wake(self) -> None:
        """Something became durable: entries or a checkpoint."""
        self._news.set()

    def set_status(self, topic_suffix: str, payload: bytes) -> None:
        """Sets a retained value (``status``, ``meter/NAME/status``), now and after each reconnect."""
        if self._retained.get(topic_suffix) != payload:
            self._retained[topic_suffix] = self._unpublished[topic_suffix] = payload
            self._news.set()

    async def run(self) -> None:
        """Delivers until it is cancelled or closed."""
        self._worker = asyncio.create_task(self._work(), name=f"outbox {self._sink.name}")
        try:
            await self._worker
        except asyncio.CancelledError:
            if not self._closing:
                raise

    async def close(self, farewell: Mapping[str, bytes] | None = None, *, grace_s: float = 5) -> None:
        """Ends ``run`` and the connection.

        If the far side is there, what is durable and the retained values of *farewell* are sent first, within
        *grace_s*. The cursor is saved.
        """
        self._closing = True
        for suffix, payload in (farewell or {}).items():
            self.set_status(suffix, payload)
        self._drained.clear()
        self._news.set()
        if self._worker is not None and not self._worker.done():
            if self._state == "connected":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_s):
                        await self._drained.wait()
            # Again, should a sink have swallowed it.
            while not self._worker.done():
                self._worker.cancel()
                await asyncio.wait({self._worker}, timeout=1)
        await self._sink.close()
        self._state = "stopped"
        await self._cursor.save()

    async def _work(self) -> None:
        while not self._closing:
            try:
                await self._session()
            except (GatewayError, OSError) as error:
                # An OSError comes from the disk under the log, which may be better next time.
                # The same trouble again is no news: weeks offline are normal.
                level = logging.DEBUG if self._last_error == str(error) else logging.WARNING
                _log.log(level, "channel %s: %s", self._sink.name, error)
                self._state, self._last_error = "backing-off", str(error)
                # A close() that waits for the drain has nothing to wait for any more.
                self._drained.set()
                await asyncio.sleep(pause_s(self._pacing, self._failures, self._jitter()))
                self._failures += 1

    async def _session(self) -> None:
        """One connection, from the cursor on, until it fails."""
        self._state, self._lost = "connecting", None
        self._position, self._sent_note = self._cursor.seq, self._confirmed_note
        hello = self._hello()
        self._unpublished.clear()
        await self._sink.connect(hello, self._on_lost)
        self._state, self._shown_note = "connected", hello.checkpoint
        began_s = asyncio.get_running_loop().time()
        try:
            await self._stream()
        finally:
            if asyncio.get_running_loop().time() - began_s > self._pacing.backoff_s_max:
                self._failures = 0
            await self._forget()

    def _hello(self) -> Hello:
        genesis = self._log.read(0, 1, max_entries=1)
        if not genesis:
            raise SinkUnavailable(f"channel {self._sink.name}: the log has no durable entry yet; waiting for its first")
        return Hello(
            origin=self._log.origin,
            genesis=genesis[0],
            checkpoint=self._log.newest_checkpoint,
            retained=dict(self._retained),
            will=self._will,
        )

    def _on_lost(self, error: SinkUnavailable) -> None:
        self._lost = error
        self._news.set()

    async def _stream(self) -> None:
        while True:
            # Cleared before looking: whatever happens from here on sets it again.
            self._news.clear()
            self._take_confirmations()
            if self._lost is not None:
                raise self._lost
            if self._send_next():
                # Others run between two messages, so that a backlog delays no poll and no other sink.
                await asyncio.sleep(0)
                continue
            self._show_retained()
            if self._closing and not self._in_flight and self._publisher is None:
                self._drained.set()
            await self._news.wait()

    def _send_next(self) -> bool:
        if len(self._in_flight) >= self._sink.window:
            return False
        try:
            message = next_message(self._log, self._position, self._sent_note, self._sink.message_bytes)
        except PrunedError as error:
            return self._pass_over(error.next_seq)
        if message is None:
            return False
        task = asyncio.create_task(self._sink.deliver(message))
        task.add_done_callback(self._wake)
        self._in_flight.append((message, task))
        self._position = message.end_seq
        self._sent_note = message.checkpoint or self._sent_note
        return True

    def _pass_over(self, next_seq: int) -> bool:
        """Goes on behind what was pruned before this channel was there; True when that is done."""
        # What is before it is confirmed first, so that the cursor moves in order.
        if self._in_flight:
            return False
        self._cursor.pass_over(next_seq)
        self._position = next_seq
        return True

    def _wake(self, _: asyncio.Task[None]) -> None:
        self._news.set()

    def _take_confirmations(self) -> None:
        """Moves the cursor over what is confirmed at the head. Raises what ``deliver`` raised."""
        while self._in_flight and self._in_flight[0][1].done():
            message, task = self._in_flight[0]
            task.result()
            # Confirmed: from here on a restart does not send it again, once the cursor is saved.
            self._in_flight.popleft()
            self._cursor.advance(message.end_seq)
            self._confirmed_note = message.checkpoint or self._confirmed_note
            self._last_ack_s = asyncio.get_running_loop().time()
            self._failures, self._last_error = 0, ""

    def _show_retained(self) -> None:
        note = self._log.newest_checkpoint
        if note is not None and note != self._shown_note:
            self._shown_note = self._unpublished["checkpoint"] = note
        if self._unpublished and self._publisher is None:
            self._publisher = asyncio.create_task(self._publish())
            self._publisher.add_done_callback(self._wake)

    async def _publish(self) -> None:
        """Sends what is retained anew; on failure the next connection shows it all."""
        try:
            while self._unpublished:
                suffix = next(iter(self._unpublished))
                await self._sink.publish_status(suffix, self._unpublished.pop(suffix))
        except SinkUnavailable as error:
            self._last_error = str(error)
        finally:
            self._publisher = None

    async def _forget(self) -> None:
        """Nothing is in flight any more; what was not confirmed is sent again from the cursor."""
        tasks = [task for _, task in self._in_flight]
        tasks += [self._publisher] if self._publisher is not None else []
        self._in_flight.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
