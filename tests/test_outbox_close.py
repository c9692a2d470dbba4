"""How an outbox ends, and how its cursor is stored and judged at the start."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from gateway.outbox import Outbox, Pacing, pause_s
from gateway.state import State
from tests.delivery import OFFLINE, ORIGIN, HandSink, MemoryLog, eventually

CURSOR = f"utility {ORIGIN}"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.json")


def make(log: MemoryLog, sink: HandSink, state: State) -> Outbox:
    return Outbox(log, sink, state, will=OFFLINE, pacing=Pacing(backoff_s_min=0.001, backoff_s_max=0.002))


async def test_close_sends_what_is_durable_first(state: State) -> None:
    """The last entries and the farewell leave before the connection ends."""
    log, sink = MemoryLog(1), HandSink()
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.status.backlog == 0)
    log.grow(500)
    await outbox.close({"meter/main/status": b"{}"})
    await task
    assert len(sink.entries()) == 501
    assert ("meter/main/status", b"{}") in sink.retained
    assert sink.closed == 1
    assert outbox.status.state == "stopped"
    assert state.get("cursors", CURSOR) == 501


async def test_close_waits_no_longer_than_its_grace(state: State) -> None:
    """A far side that does not confirm cannot hold up the stop; what it confirmed is kept."""
    log, sink = MemoryLog(300), HandSink(confirms=False)
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: len(sink.pending) == 2)
    sink.confirm(0)
    await eventually(lambda: outbox.status.acked_seq == 255)
    await outbox.close(grace_s=0.01)
    await task
    assert state.get("cursors", CURSOR) == 256
    assert sink.closed == 1


async def test_close_while_away(state: State) -> None:
    """An outbox in a long pause stops at once."""
    sink = HandSink()
    sink.refuse_connect = "nothing listens there"
    outbox = Outbox(MemoryLog(1), sink, state, will=OFFLINE, pacing=Pacing(backoff_s_min=3600, backoff_s_max=3600))
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.status.state == "backing-off")
    await asyncio.wait_for(outbox.close(), 20)
    await task


async def test_close_while_connecting(state: State) -> None:
    """A connection that is still being made does not hold up the stop."""

    class Slow(HandSink):
        async def connect(self, *_: object) -> None:
            await asyncio.Event().wait()

    outbox = make(MemoryLog(1), Slow(), state)
    task = asyncio.create_task(outbox.run())
    await asyncio.wait_for(outbox.close(), 20)
    await task


async def test_close_of_a_sink_that_swallows_cancellation(state: State) -> None:
    """A sink that goes on when it is cancelled, as careless code does, cannot hold up the stop."""

    class Careless(HandSink):
        async def connect(self, *arguments: object) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await super().connect(*arguments)  # type: ignore[arg-type]

    outbox = make(MemoryLog(1), Careless(), state)
    task = asyncio.create_task(outbox.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.wait_for(outbox.close(), 20)
    await task


async def test_close_without_run(state: State) -> None:
    """An outbox that never ran can be closed, twice."""
    sink = HandSink()
    outbox = make(MemoryLog(1), sink, state)
    await outbox.close()
    await outbox.close()
    assert sink.closed == 2


async def test_cancelled_run_says_so(state: State) -> None:
    """Who cancels run() gets the cancellation; close() afterwards saves the cursor."""
    log, sink = MemoryLog(10), HandSink()
    outbox = make(log, sink, state)
    task = asyncio.create_task(outbox.run())
    await eventually(lambda: outbox.status.backlog == 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await outbox.close()
    assert state.get("cursors", CURSOR) == 10


async def test_other_origin_starts_at_0(state: State) -> None:
    """The cursor of one log says nothing about another, nor that of one sink about another."""
    state.set("cursors", CURSOR, 7)
    assert make(MemoryLog(9), HandSink(), state).status.acked_seq == 6
    assert make(MemoryLog(9, origin="other.example"), HandSink(), state).status.acked_seq == -1
    assert make(MemoryLog(9), HandSink("archive"), state).status.acked_seq == -1


async def test_cursor_beyond_the_log_is_clamped_and_said(state: State) -> None:
    """A log that was set back does not wait until it has grown again, and the operator is told."""
    state.set("cursors", CURSOR, 50)
    status = make(MemoryLog(9), HandSink(), state).status
    assert status.acked_seq == 8
    assert "confirmed 50 entries" in status.notices[0]


@pytest.mark.parametrize("value", [-1, True, "7", None, 1.5, [7]])
async def test_cursor_that_is_no_seq_starts_over(state: State, value: object) -> None:
    """A stored value of the wrong kind is never used as a seq."""
    state.set("cursors", CURSOR, value)
    status = make(MemoryLog(9), HandSink(), state).status
    assert status.acked_seq == -1
    assert bool(status.notices) == (value is not None)


def test_pauses_double_to_a_limit_and_are_jittered() -> None:
    """0.5 s, 1 s, 2 s … 60 s, less up to a half; years of failures neither overflow nor lengthen it."""
    pacing = Pacing()
    assert [pause_s(pacing, failures, 0.0) for failures in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause_s(pacing, 3, 1.0) == 2
    assert pause_s(pacing, 10**9, 0.0) == 60
