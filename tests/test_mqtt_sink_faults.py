"""Outbox and MQTT sink against a real mosquitto that is killed, away, or silent: nothing lost, order kept."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.outbox import Outbox, Pacing
from gateway.sinks.mqtt import MqttSettings, MqttSink
from gateway.state import State
from tests.delivery import OFFLINE, ONLINE, MemoryLog, entry, eventually
from tests.gate import Gate
from tests.mosquitto import Broker
from tests.subscriber import Subscriber, retained
from tests.test_outbox_messages import in_order_without_repeats

BASE = "energy/roof-7"
QUICK = Pacing(backoff_s_min=0.02, backoff_s_max=0.1)


def make(log: MemoryLog, port: int, folder: Path, *, window: int = 20, confirm_s: float = 20) -> Outbox:
    settings = MqttSettings(
        name="utility",
        host="127.0.0.1",
        port=port,
        topic=BASE,
        client_id="roof-7",
        window=window,
        confirm_s=confirm_s,
        connect_s=2,
    )
    state = State(folder / "state.json")
    return Outbox(log, MqttSink(settings), state, will=OFFLINE, retained={"status": ONLINE}, pacing=QUICK)


@contextlib.asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        await outbox.close(grace_s=1)
        await task


def assert_whole(subscriber: Subscriber, size: int) -> None:
    assert list(in_order_without_repeats(subscriber.entries())) == [(seq, entry(seq)) for seq in range(size)]


@pytest.mark.parametrize("window", [1, 20])
async def test_broker_killed_mid_stream(tmp_path: Path, window: int) -> None:
    """SIGKILL of the broker, three times in a backlog of 60,000: all arrives, in order, repeats with equal bytes.

    A broker may lose what it confirmed when it is killed before it passed it on. The subscriber therefore is there
    first, and takes what was sent to its socket before the PUBACK was.
    """
    size = 60_000
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE, keep=False, qos=0) as subscriber:
        async with Gate(broker.port) as gate:
            outbox = make(MemoryLog(size), gate.port, tmp_path, window=window)
            async with running(outbox):
                for times, kill_at in enumerate((5_000, 20_000, 40_000), 2):
                    await eventually(lambda: outbox.status.acked_seq > kill_at)  # noqa: B023
                    broker.kill()
                    gate.hold()
                    broker.start()
                    back = functools.partial(subscriber.wait, lambda: subscriber.subscribed == times)  # noqa: B023
                    await asyncio.to_thread(back, "the subscriber's return")
                    gate.release()
                await eventually(lambda: outbox.status.backlog == 0)
                await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(size - 1), "the last entry")
        assert_whole(subscriber, size)


async def test_broker_away_for_10_000_readings(tmp_path: Path) -> None:
    """Readings made while the broker is down arrive when it is back, all of them, in order."""
    size = 10_000
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        log = MemoryLog(1)
        outbox = make(log, broker.port, tmp_path)
        async with running(outbox):
            await eventually(lambda: outbox.status.backlog == 0)
            broker.stop()
            for _ in range(size):
                log.grow(1)
                outbox.wake()
                await asyncio.sleep(0)
            await eventually(lambda: outbox.status.state == "backing-off")
            assert outbox.status.backlog == size
            broker.start()
            await eventually(lambda: outbox.status.backlog == 0)
            await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(size), "the last entry")
        assert_whole(subscriber, size + 1)


async def test_link_that_dies_without_fin(tmp_path: Path) -> None:
    """A path that swallows everything is noticed by missing PUBACKs; a new connection goes on where it stopped."""
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        async with Gate(broker.port) as gate:
            log = MemoryLog(10)
            outbox = make(log, gate.port, tmp_path, confirm_s=0.3)
            async with running(outbox):
                await eventually(lambda: outbox.status.backlog == 0)
                gate.hold()
                log.grow(10)
                outbox.wake()
                await eventually(lambda: outbox.status.last_error)
                assert "confirmed nothing for 0.3 s" in outbox.status.last_error
                assert outbox.status.acked_seq == 9
                gate.release()
                await eventually(lambda: outbox.status.backlog == 0)
                await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(19), "the last entry")
                # The broker may have closed the old connection, will and all, only when the new one came.
                kept = await asyncio.to_thread(retained, broker.port, BASE, {"status"})
                assert kept["status"] == ONLINE
        assert_whole(subscriber, 20)


async def test_frozen_broker(tmp_path: Path) -> None:
    """A broker that is there and answers nothing (SIGSTOP) is left, tried again, and gets everything in the end."""
    size = 30_000
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        outbox = make(MemoryLog(size), broker.port, tmp_path, confirm_s=0.3)
        async with running(outbox):
            await eventually(lambda: outbox.status.acked_seq > 1000)
            broker.pause()
            await eventually(lambda: outbox.status.state == "backing-off")
            broker.resume()
            await eventually(lambda: outbox.status.backlog == 0)
            await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(size - 1), "the last entry")
        assert_whole(subscriber, size)


async def test_link_cut_again_and_again(tmp_path: Path) -> None:
    """Resets in the middle of a drain cost repeats, never entries."""
    size = 40_000
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        async with Gate(broker.port) as gate:
            outbox = make(MemoryLog(size), gate.port, tmp_path)
            async with running(outbox):
                for cut_at in range(2_000, 30_000, 3_000):
                    await eventually(lambda: outbox.status.acked_seq > cut_at)  # noqa: B023
                    gate.cut()
                await eventually(lambda: outbox.status.backlog == 0)
                await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(size - 1), "the last entry")
        assert_whole(subscriber, size)


async def test_restart_of_the_gateway_repeats_little(tmp_path: Path) -> None:
    """After a clean stop nothing is sent twice."""
    with Broker(tmp_path / "broker") as broker, Subscriber(broker.port, BASE) as subscriber:
        for size in (1_000, 2_000, 3_000):
            outbox = make(MemoryLog(size), broker.port, tmp_path)
            async with running(outbox):
                await eventually(lambda: outbox.status.backlog == 0)  # noqa: B023
        await asyncio.to_thread(subscriber.wait, lambda: subscriber.has_seq(2_999), "the last entry")
        assert [seq for seq, _ in subscriber.entries()] == list(range(3_000))


async def test_close_does_not_hang_on_a_silent_link(tmp_path: Path) -> None:
    """A stop on a path that swallows everything ends within its deadlines."""
    with Broker(tmp_path / "broker") as broker:
        async with Gate(broker.port) as gate:
            outbox = make(MemoryLog(5), gate.port, tmp_path)
            task = asyncio.create_task(outbox.run())
            await eventually(lambda: outbox.status.backlog == 0)
            gate.hold()
            await asyncio.wait_for(outbox.close(grace_s=0.1), 20)
            await task
