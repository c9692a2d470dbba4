"""What goes into messages: checkpoints, retained values, limits of size; and any failures at all leave a whole log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import SinkUnavailable
from gateway.outbox import Outbox, Pacing
from gateway.packing import MESSAGE_BYTES, MESSAGE_ENTRIES, next_message, resend
from gateway.state import State
from tests.delivery import OFFLINE, ONLINE, ORIGIN, HandSink, MemoryLog, entry, eventually

LIMIT = 1 << 20


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.json")


def make(log: MemoryLog, sink: HandSink, state: State) -> Outbox:
    pacing = Pacing(backoff_s_min=0.0001, backoff_s_max=0.0002)
    return Outbox(log, sink, state, will=OFFLINE, retained={"status": ONLINE}, pacing=pacing)


def test_checkpoint_travels_with_the_entries_it_covers() -> None:
    """A message carries the newest checkpoint that ends within it."""
    log = MemoryLog(300)
    log.sign(100)
    covered = log.sign(200)
    message = next_message(log, 0, None, LIMIT)
    assert message is not None
    assert (message.end_seq, message.checkpoint) == (MESSAGE_ENTRIES, covered)
    message = next_message(log, MESSAGE_ENTRIES, covered, LIMIT)
    assert message is not None
    assert (message.first_seq, message.checkpoint) == (MESSAGE_ENTRIES, None)
    assert next_message(log, 300, covered, LIMIT) is None


def test_checkpoint_over_entries_already_sent_goes_alone() -> None:
    """It goes once, without entries, at the position reached, even when entries went beyond its size meanwhile."""
    log = MemoryLog(12)
    note = log.sign(10)
    message = next_message(log, 12, None, LIMIT)
    assert message is not None
    assert (message.first_seq, message.entries, message.checkpoint) == (12, (), note)
    assert next_message(log, 12, note, LIMIT) is None


def test_checkpoint_ahead_waits_for_its_entries() -> None:
    """While a backlog drains, the newest checkpoint is not sent before what it covers."""
    log = MemoryLog(1000)
    newest = log.sign()
    message = next_message(log, 0, None, LIMIT)
    assert message is not None
    assert message.checkpoint is None
    message = next_message(log, 900, None, LIMIT)
    assert message is not None
    assert message.checkpoint == newest


def test_messages_keep_to_the_far_sides_limit() -> None:
    """Entries are packed to the smaller of our limit and the far side's; one entry always goes."""
    log = MemoryLog(4000)
    for limit in (LIMIT, 8192, 5000, 4096, 1):
        message = next_message(log, 0, None, limit)
        assert message is not None
        size = sum(map(len, message.entries))
        assert len(message.entries) == 1 or size <= limit - 4096
        assert len(message.entries) <= MESSAGE_ENTRIES
        assert sum(map(len, message.entries[:-1])) < MESSAGE_BYTES


def test_resend_covers_exactly_the_range() -> None:
    """Entries asked for again come in order, bounded by what exists."""
    log = MemoryLog(1000)
    messages = list(resend(log, 100, 900, LIMIT))
    assert [seq for message in messages for seq in range(message.first_seq, message.end_seq)] == [*range(100, 900)]
    assert b"".join(b"".join(message.entries) for message in messages) == b"".join(map(entry, range(100, 900)))
    assert [message.end_seq for message in resend(log, 990, 5000, LIMIT)] == [1000]
    assert list(resend(log, 1000, 2000, LIMIT)) == []


async def test_heartbeat_is_sent_once_and_again_after_a_failure(state: State) -> None:
    """A checkpoint without entries is delivered like a message: until it is confirmed."""
    log, sink = MemoryLog(5), HandSink()
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.status.backlog == 0)
    sink.confirms = False
    note = log.sign()
    outbox.wake()
    await eventually(lambda: sink.pending)
    sink.break_link()
    await eventually(lambda: len(sink.hellos) == 2 and sink.pending)
    sink.confirm()
    await eventually(lambda: not sink.pending)
    outbox.wake()
    await outbox.close()
    await task
    assert [message.checkpoint for message in sink.arrived] == [None, note, note]


async def test_newest_checkpoint_is_retained_ahead_of_the_backlog(state: State) -> None:
    """Late subscribers find the newest checkpoint, whatever the backlog."""
    log, sink = MemoryLog(10_000), HandSink(window=1, confirms=False)
    first = log.sign(500)
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: sink.pending)
    assert sink.hellos[0].checkpoint == first
    newest = log.sign()
    outbox.wake()
    await eventually(lambda: sink.retained == [("checkpoint", newest)])
    await outbox.close(grace_s=0)
    await task


async def test_statuses_are_shown_when_they_change_and_after_reconnects(state: State) -> None:
    """A changed status goes out once; each new connection begins with all of them, and with genesis and will."""
    log, sink = MemoryLog(2), HandSink()
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.status.backlog == 0)
    for _ in range(3):
        outbox.set_status("meter/main/status", b'{"state":"ok"}')
    await eventually(lambda: sink.retained)
    sink.break_link()
    await eventually(lambda: len(sink.hellos) == 2)
    await outbox.close()
    await task
    assert sink.retained == [("meter/main/status", b'{"state":"ok"}')]
    hello = sink.hellos[1]
    assert (hello.origin, hello.genesis, hello.will) == (ORIGIN, entry(0), OFFLINE)
    assert hello.retained == {"status": ONLINE, "meter/main/status": b'{"state":"ok"}'}


class WildSink(HandSink):
    """Fails at random: connections, deliveries before and after arrival, links."""

    def __init__(self, seed: int) -> None:
        super().__init__(window=3)
        self._chance = random.Random(seed)

    async def connect(self, *arguments: object) -> None:
        if self._chance.random() < 0.3:
            raise SinkUnavailable("no")
        await super().connect(*arguments)  # type: ignore[arg-type]

    async def deliver(self, message: object) -> None:
        if self._chance.random() < 0.3:
            self.fail_next = ("no", self._chance.random() < 0.5)
        await asyncio.sleep(0)
        await super().deliver(message)  # type: ignore[arg-type]
        if self._chance.random() < 0.1 and self._lost is not None:
            self.break_link()


def in_order_without_repeats(entries: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """What a receiver keeps that knows entries by their seq. Fails at a gap."""
    size = 0
    for seq, data in entries:
        assert seq <= size, f"gap before {seq}"
        if seq == size:
            size += 1
            yield seq, data


@given(seed=st.integers(0, 2**32), size=st.integers(1, 2000))
def test_any_failures_leave_a_whole_log(tmp_path_factory: pytest.TempPathFactory, seed: int, size: int) -> None:
    """Whatever fails when: everything arrives, in order, and repeats are recognised by their seq."""
    sink, log = WildSink(seed), MemoryLog(size)
    state = State(tmp_path_factory.mktemp("state") / "state.json")

    async def run() -> None:
        outbox = make(log, sink, state)
        task = asyncio.create_task(outbox.run())
        await eventually(lambda: outbox.status.backlog == 0)
        await outbox.close(grace_s=0)
        await task

    asyncio.run(run())
    assert list(in_order_without_repeats(sink.entries())) == [(seq, entry(seq)) for seq in range(size)]
