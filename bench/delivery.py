"""Draining a backlog: 500,000 one-point entries from a log on disk, through the outbox, to a local mosquitto.

The draining process is a fresh one, so that its memory is its own. While it drains, a task that wants to run every
2 ms notes how late it was: that is the delay a live poll would meet. Beside it stands what a plain paho-mqtt program
does in the same minute with the same entries: one message for each, QoS 1.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.log.segment import SEGMENT_BYTES
from gateway.outbox import Outbox
from gateway.sinks.mqtt import MqttSettings, MqttSink
from gateway.state import State
from tests.log_dir import Station
from tests.mosquitto import Broker

ENTRIES = 500_000
PLAIN_ENTRIES = 10_000
GROUP = 256
BEAT_S = 0.002
GOAL_PER_S = 20_000


def rows() -> list[dict[str, Any]]:
    """The drain figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = _make_log(folder)
        # Quiet: mosquitto would otherwise write a line for each message of the plain program.
        with Broker(
            folder / "broker", settings=("log_type error", "log_type notice", "log_type information")
        ) as broker:
            one_by_one = _plain(broker.port, sample, in_flight=1)
            drained = _drain_apart(folder, broker.port)
            pipelined = _plain(broker.port, sample, in_flight=20)
    met = drained["per_s"] >= GOAL_PER_S and drained["rss_growth_kb"] <= 4096 and drained["late_ms_p99"] <= 10
    d = drained
    measured = (
        f"{d['per_s']:,.0f} entries/s, {d['cpu_s']:.1f} s of CPU; memory +{d['rss_growth_kb']:,} kB from first to "
        f"last tenth; a task due every 2 ms was {d['late_ms_p99']:.1f} ms late at p99, {d['late_ms_max']:.1f} at most"
    )
    comparison = (
        f"plain paho, a message for each entry, QoS 1: {one_by_one:,.0f} entries/s acknowledged one by one, "
        f"{pipelined:,.0f} with 20 in flight; the task without load: {d['idle_ms_p99']:.1f} ms at p99, "
        f"{d['idle_ms_max']:.1f} at most"
    )
    return [
        {
            "figure": f"draining a backlog of {d['entries']:,} entries to a local mosquitto",
            "goal": f"≥ {GOAL_PER_S:,} entries/s, memory flat, live polling not delayed",
            "measured": measured,
            "comparison": comparison,
            "met": met,
        }
    ]


def _make_log(folder: Path) -> list[bytes]:
    """A log of ENTRIES entries with a checkpoint over each 256; returns some of its entries."""
    station = Station(folder / "gateway", segment_bytes=SEGMENT_BYTES)
    station.start()
    while station.log.size < ENTRIES:
        station.read_meter(min(GROUP, ENTRIES - station.log.size))
        station.log.commit()
        station.sign()
    sample = station.log.read(2, max_entries=1024)
    station.log.close()
    return sample


def _drain_apart(folder: Path, port: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.delivery", str(folder), str(port)]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return result


async def _drain(folder: Path, port: int) -> dict[str, Any]:
    log = Station(folder / "gateway", segment_bytes=SEGMENT_BYTES).start()
    settings = MqttSettings(name="bench", host="127.0.0.1", port=port, topic="bench/roof-7", client_id="bench")
    outbox = Outbox(log, MqttSink(settings), State(folder / "state.json"), will=b"{}")
    idle = await _lateness_while(asyncio.sleep(1))
    memory: list[int] = []

    async def until_drained() -> None:
        while outbox.status.backlog:
            memory.append(_rss_kb())
            await asyncio.sleep(0.05)

    task = asyncio.create_task(outbox.run())
    began, cpu = time.perf_counter(), time.process_time()
    late = await _lateness_while(until_drained())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = outbox.status.acked_seq + 1
    await outbox.close()
    await task
    tenth = max(1, len(memory) // 10)
    return {
        "entries": size,
        "per_s": size / seconds,
        "cpu_s": cpu,
        "rss_growth_kb": max(memory[-tenth:]) - max(memory[:tenth]),
        "late_ms_p99": _percentile(late, 99),
        "late_ms_max": max(late),
        "idle_ms_p99": _percentile(idle, 99),
        "idle_ms_max": max(idle),
    }


async def _lateness_while(work: Any) -> list[float]:
    """How late, in ms, a task due every 2 ms was while *work* ran."""
    late: list[float] = []
    loop = asyncio.get_running_loop()

    async def beat() -> None:
        while True:
            due = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            late.append((loop.time() - due) * 1000)

    beating = asyncio.create_task(beat())
    await work
    beating.cancel()
    return late


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100]


def _rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def _plain(port: int, sample: list[bytes], *, in_flight: int) -> float:
    """Entries per second of a plain program that publishes each entry and waits for room in its window."""
    room = threading.Semaphore(in_flight)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "plain", protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = lambda *_: room.release()
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait()
    began = time.perf_counter()
    for number in range(PLAIN_ENTRIES):
        room.acquire()
        client.publish("plain/entries", sample[number % len(sample)], 1)
    for _ in range(in_flight):
        room.acquire()
    seconds = time.perf_counter() - began
    client.disconnect()
    client.loop_stop()
    return PLAIN_ENTRIES / seconds


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_drain(Path(sys.argv[1]), int(sys.argv[2])))))
