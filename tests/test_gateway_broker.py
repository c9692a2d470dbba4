"""The whole gateway and a broker that dies, stays away, or is cut off: nothing lost, order kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from tests.backlog import write_backlog
from tests.far_side import FarSide
from tests.gate import Gate
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.whole import DEADLINE_S, RunningGateway, cli, objects, of_kind, raw_entries

TOPIC = "lab/broker"
BACKLOG = 10_000


@dataclass(slots=True)
class Bench:
    """Server, broker and gateway of one test; the gateway is not started yet."""

    broker: Broker
    gateway: RunningGateway
    vkey: str
    store: Path

    def far_side(self) -> FarSide:
        """One that stores, on the broker itself."""
        return FarSide(f"mqtt://{self.broker.url}/{TOPIC}", "--vkey", self.vkey, "--store", self.store)

    def finish(self, far_side: FarSide) -> None:
        """Stops the gateway; the far side then has the whole log, good and without a gap."""
        # What a killed broker forgot can only be asked for while the gateway lives: all that was sent before the far
        # side was there again, so no more than is in the log from then on. Behind that its session brings everything.
        self.broker.wait_line(rf"follow-\S+ 1 {TOPIC}/entries", after=self.broker.started)
        far_side.verified(self.gateway.status()["log"]["size"])
        assert self.gateway.stop() == 0
        own = raw_entries(self.gateway.state_dir / "log")
        far_side.verified(len(own))
        assert set(far_side.findings) <= {"duplicate"}, set(far_side.findings)
        assert far_side.interrupt() == 130
        assert objects(cli("log", "verify", str(self.store), "--vkey", self.vkey, "--json"))[0]["ok"]
        assert raw_entries(self.store) == own


@contextmanager
def _bench(folder: Path, meters: int = 10) -> Iterator[Bench]:
    with (
        LibmodbusServer(contents=serve("eastron-sdm630").contents) as server,
        Broker(folder / "broker", settings=("max_queued_messages 0",)) as broker,
    ):
        channel = f'channels:\n  - {{name: far, mqtt: "mqtt://127.0.0.1:{broker.port}", topic: {TOPIC}}}'
        gateway = RunningGateway(folder / "gateway", load_config(server.port, meters=meters, rest=channel))
        made = objects(gateway.cli("key", "new", "file:device-key.pem", "--json"))[0]
        try:
            yield Bench(broker=broker, gateway=gateway, vkey=made["vkeys"][0], store=folder / "store")
        finally:
            if gateway.runs:
                gateway.kill()
            gateway.notify.close()


@contextmanager
def _gate(target: int) -> Iterator[tuple[Gate, asyncio.AbstractEventLoop]]:
    """A proxy in front of *target*, in a thread with an event loop of its own."""
    loop, gate, ready, stop = asyncio.new_event_loop(), Gate(target), threading.Event(), asyncio.Event()

    async def serve_until_stopped() -> None:
        async with gate:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve_until_stopped(),))
    thread.start()
    assert ready.wait(DEADLINE_S)
    try:
        yield gate, loop
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def test_a_broker_killed_again_and_again_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL loses what the broker had not saved; the far side asks for it again, and has all of it in the end."""
    with _bench(tmp_path) as bench, bench.far_side() as far_side:
        bench.gateway.start()
        for _ in range(3):
            told = bench.gateway.wait_status(lambda told: told["sinks"][0]["state"] == "connected", "connected")
            acked = told["sinks"][0]["acked_seq"]
            bench.gateway.wait_status(lambda told, acked=acked: told["sinks"][0]["acked_seq"] > acked + 40, "a stream")
            bench.broker.kill()
            size = bench.gateway.status()["log"]["size"]
            bench.gateway.wait_status(lambda told, size=size: told["log"]["size"] > size + 20, "polling goes on")
            bench.broker.start()
        bench.gateway.wait_status(lambda told: told["sinks"][0]["backlog"] < 40, "the backlog is gone")
        bench.finish(far_side)
        assert not list(of_kind(bench.gateway.entries(), Kind.GAP)), "no poll was missed meanwhile"


def test_a_broker_away_for_ten_thousand_readings_gets_them_in_order(tmp_path: Path) -> None:
    """The backlog comes from the log itself; live readings go on meanwhile and come behind it."""
    with _bench(tmp_path, meters=3) as bench:
        bench.broker.stop()
        write_backlog(bench.gateway.state_dir, bench.vkey, BACKLOG)
        bench.gateway.start()
        bench.gateway.wait_status(lambda told: told["sinks"][0]["state"] == "backing-off", "the broker is away")
        assert bench.gateway.status()["sinks"][0]["backlog"] >= BACKLOG
        bench.broker.start()
        with bench.far_side() as far_side:
            bench.gateway.wait_status(lambda told: told["sinks"][0]["backlog"] < 40, "the backlog is gone")
            bench.finish(far_side)
        assert not list(of_kind(bench.gateway.entries(), Kind.GAP)), "no live poll was delayed past its next"


@pytest.mark.parametrize("how", ["held", "cut"])
def test_a_link_that_dies_costs_nothing(tmp_path: Path, how: str) -> None:
    """Held: nothing passes and nobody is told, as behind a radio link that died without FIN. Cut: reset."""
    with _bench_behind_gate(tmp_path) as (bench, gate, loop), bench.far_side() as far_side:
        bench.gateway.start()
        bench.gateway.wait_status(lambda told: told["sinks"][0]["acked_seq"] > 40, "a stream")
        loop.call_soon_threadsafe(gate.hold if how == "held" else gate.cut)
        bench.gateway.wait_status(lambda told: told["sinks"][0]["last_error"], "the loss is noticed")
        loop.call_soon_threadsafe(gate.cut)
        loop.call_soon_threadsafe(gate.release)
        bench.gateway.wait_status(lambda told: told["sinks"][0]["state"] == "connected", "connected again")
        bench.gateway.wait_status(lambda told: told["sinks"][0]["backlog"] < 40, "the backlog is gone")
        bench.finish(far_side)
        assert not list(of_kind(bench.gateway.entries(), Kind.GAP)), "no poll was missed meanwhile"


@contextmanager
def _bench_behind_gate(folder: Path) -> Iterator[tuple[Bench, Gate, asyncio.AbstractEventLoop]]:
    """The far side is on the broker itself, the gateway behind the gate."""
    with _bench(folder) as bench, _gate(bench.broker.port) as (gate, loop):
        text = bench.gateway.config.read_text()
        bench.gateway.config.write_text(text.replace(f":{bench.broker.port}", f":{gate.port}"))
        yield bench, gate, loop
