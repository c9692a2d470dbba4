"""The outbox against a sink that confirms by hand: the cursor, the window, failures, and other sinks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.outbox import Outbox, Pacing
from gateway.state import State
from tests.delivery import OFFLINE, ONLINE, ORIGIN, HandSink, MemoryLog, StubbornStore, entry, eventually

QUICK = Pacing(backoff_s_min=0.001, backoff_s_max=0.002)
CURSOR = f"utility {ORIGIN}"


@contextlib.asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[asyncio.Task[None]]:
    """The outbox at work; closed at the end."""
    task = asyncio.create_task(outbox.run())
    try:
        yield task
    finally:
        await outbox.close(grace_s=0.1)
        await task


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.json")


def make(log: MemoryLog, sink: HandSink, state: State) -> Outbox:
    return Outbox(log, sink, state, will=OFFLINE, retained={"status": ONLINE}, pacing=QUICK)


async def test_sends_everything_in_order_and_once(state: State) -> None:
    """With a far side that confirms, each entry goes once, in order, and the cursor stands at the end."""
    log, sink = MemoryLog(1000), HandSink()
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
    assert sink.entries() == [(seq, entry(seq)) for seq in range(1000)]
    assert outbox.status.acked_seq == 999
    assert state.get("cursors", CURSOR) == 1000


async def test_new_entry_leaves_when_woken(state: State) -> None:
    """An entry that becomes durable later leaves on wake(), in a message of its own."""
    log, sink = MemoryLog(1), HandSink()
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
        log.grow(1)
        outbox.wake()
        await eventually(lambda: len(sink.arrived) == 2)
    assert [message.first_seq for message in sink.arrived] == [0, 1]


async def test_restart_goes_on_at_the_cursor(state: State) -> None:
    """A second run sends nothing that was confirmed in the first."""
    log = MemoryLog(10)
    outbox = make(log, HandSink(), state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
    log.grow(5)
    sink = HandSink()
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
    assert [seq for seq, _ in sink.entries()] == list(range(10, 15))


async def test_cursor_waits_for_the_head(state: State) -> None:
    """Confirmations of later messages do not move the cursor past one that is not confirmed."""
    log, sink = MemoryLog(700), HandSink(confirms=False)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: len(sink.pending) == 3)
        sink.confirm(2)
        await eventually(lambda: len(sink.pending) == 2)
        sink.confirm(1)
        await eventually(lambda: len(sink.pending) == 1)
        assert outbox.status.acked_seq == -1
        sink.confirm(0)
        await eventually(lambda: outbox.status.acked_seq == 699)


async def test_window_bounds_what_is_in_flight_and_read(state: State) -> None:
    """Whatever the backlog, at most a window of messages is pending, and no more is read from the log."""
    log, sink = MemoryLog(100_000), HandSink(window=3, confirms=False)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: len(sink.pending) == 3)
        # One read for the hello's genesis entry, one for each message.
        assert log.reads == 4
        sink.confirm(0)
        await eventually(lambda: len(sink.arrived) == 4)
    assert sink.most_pending == 3


async def test_what_came_while_the_window_was_full_leaves_together(state: State) -> None:
    """Live entries are not sent one by one once they have had to wait."""
    log, sink = MemoryLog(1), HandSink(window=1, confirms=False)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: len(sink.pending) == 1)
        for _ in range(50):
            log.grow(1)
            outbox.wake()
        sink.confirm()
        await eventually(lambda: len(sink.arrived) == 2)
    assert (sink.arrived[1].first_seq, len(sink.arrived[1].entries)) == (1, 50)


@pytest.mark.parametrize("it_arrived", [False, True], ids=["did-not-happen", "happened-untold"])
async def test_failed_delivery_is_sent_again(state: State, it_arrived: bool) -> None:
    """Whether or not the message arrived before its failure, it comes again, and nothing is lost or reordered."""
    log, sink = MemoryLog(600), HandSink(window=1)
    sink.fail_next = ("broker refused it: quota exceeded", it_arrived)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
    seqs = [seq for seq, _ in sink.entries()]
    repeats = [*range(256)] if it_arrived else []
    assert seqs == [*repeats, *range(600)]
    assert len(sink.hellos) == 2


async def test_failure_forgets_what_is_in_flight(state: State) -> None:
    """After a failure sending begins at the cursor, not behind messages that were under way."""
    log, sink = MemoryLog(1000), HandSink(confirms=False)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: len(sink.pending) == 4)
        sink.confirm(0)
        await eventually(lambda: outbox.status.acked_seq == 255)
        sink.break_link()
        await eventually(lambda: len(sink.hellos) == 2 and len(sink.pending) == 3)
        assert [message.first_seq for message, _ in sink.pending] == [256, 512, 768]


async def test_lost_link_is_reopened_with_nothing_to_send(state: State) -> None:
    """A connection that breaks while idle is noticed, said in the status, and made again."""
    log, sink = MemoryLog(1), HandSink()
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
        sink.break_link("broker b:1883: the connection broke")
        await eventually(lambda: len(sink.hellos) == 2)
        assert outbox.status.last_error == "broker b:1883: the connection broke"
        assert [seq for seq, _ in sink.entries()] == [0]


async def test_dead_sink_delays_nobody(state: State) -> None:
    """A sink that never confirms, and one that cannot be reached, leave the third one alone."""
    log = MemoryLog(2000)
    silent, away, live = HandSink("silent", confirms=False), HandSink("away"), HandSink("live")
    away.refuse_connect = "nothing listens there"
    outboxes = [make(log, sink, state) for sink in (silent, away, live)]
    async with running(outboxes[0]), running(outboxes[1]), running(outboxes[2]):
        await eventually(lambda: outboxes[2].status.backlog == 0)
        assert [outbox.status.backlog for outbox in outboxes] == [2000, 2000, 0]
        assert outboxes[1].status.last_error == "nothing listens there"


async def test_confirmation_clears_the_error(state: State) -> None:
    """The last error is gone once the far side confirms again."""
    log, sink = MemoryLog(3), HandSink()
    sink.fail_next = ("not now", False)
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
        assert outbox.status.last_error == ""
        assert outbox.status.state == "connected"
        assert outbox.status.last_ack_age_ms is not None


async def test_empty_log_waits(state: State) -> None:
    """Before the first durable entry there is nothing to say hello with; the outbox waits for it."""
    log, sink = MemoryLog(0), HandSink()
    outbox = make(log, sink, state)
    async with running(outbox):
        await eventually(lambda: outbox.status.last_error)
        assert not sink.hellos
        log.grow(1)
        await eventually(lambda: outbox.status.acked_seq == 0)


async def test_unsaved_cursor_stops_nothing() -> None:
    """A disk that does not take the cursor is a notice; messages go on."""
    log, sink = MemoryLog(20_001), HandSink()
    outbox = Outbox(log, sink, StubbornStore(), will=OFFLINE, pacing=QUICK)
    async with running(outbox):
        await eventually(lambda: outbox.status.backlog == 0)
    assert "check the disk" in outbox.status.notices[0]
