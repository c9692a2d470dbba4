"""The running gateway: how old a reading is at the subscriber, and what the process costs.

Ten meters of twelve points each second behind libmodbus, ``commit: {seconds: 0}``, mosquitto, and a subscriber in this
process. Age is CLOCK_BOOTTIME at receipt less the entry's own, which is that of the last reply of its poll. Beside it,
in the same minute, runs a plain loop (``bench/plain_loop.py``) with a server of its own and the same broker.
``BENCH_SECONDS`` sets how long (60).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.channel import decode_message
from gateway.log.entry import Kind, decode
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.whole import RunningGateway

METERS = 10
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))
AGE_MS_MAX, RSS_MB_MAX, CPU_PERCENT_MAX, START_S_MAX = 30, 40, 3, 1
#: A broker that writes no line for each packet, as in the field.
QUIET = ("log_type error", "log_type notice", "log_type information")
_TOPIC, _PLAIN_TOPIC = "bench/gateway", "bench/plain"


class Subscriber:
    """Notes when which reading arrived: (CLOCK_BOOTTIME of the reading, of its arrival), in nanoseconds."""

    def __init__(self, port: int) -> None:
        self.ours: list[tuple[int, int]] = []
        self.plain: list[tuple[int, int]] = []
        self.news = threading.Condition()
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, "subscriber")
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _, __, message: self._take(message.topic, message.payload)
        client.connect("127.0.0.1", port)
        client.subscribe([(f"{_TOPIC}/entries", 1), (_PLAIN_TOPIC, 1)])
        client.loop_start()
        assert subscribed.wait(10), "the broker did not confirm the subscription"

    def _take(self, topic: str, payload: bytes) -> None:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        with self.news:
            if topic == _PLAIN_TOPIC:
                self.plain.append((json.loads(payload)["read_ns"], now_ns))
            else:
                entries = map(decode, decode_message(payload).entries)
                readings = [entry for entry in entries if entry.kind is Kind.READING]
                self.ours += [(entry.moment.boottime_ns, now_ns) for entry in readings]
            self.news.notify_all()

    def wait(self, both: int) -> None:
        """Waits until that many readings of each side have arrived."""
        with self.news:
            arrived = self.news.wait_for(lambda: min(len(self.ours), len(self.plain)) >= both, SECONDS + 60)
        assert arrived, f"only {len(self.ours)} and {len(self.plain)} readings arrived"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def rows() -> list[dict[str, Any]]:
    """The gateway's figures."""
    contents = serve("eastron-sdm630").contents
    with (
        tempfile.TemporaryDirectory() as name,
        LibmodbusServer(contents=contents) as server,
        LibmodbusServer(contents=contents) as other,
        Broker(Path(name) / "broker", settings=QUIET) as broker,
    ):
        channel = f'channels:\n  - {{name: bench, mqtt: "mqtt://{broker.url}", topic: {_TOPIC}}}'
        config = load_config(server.port, meters=METERS, every="1", commit="{seconds: 0}", rest=channel)
        config = config.replace("checkpoint: {seconds: 1,", "checkpoint: {seconds: 60,")
        subscriber = Subscriber(broker.port)
        plain_command = [sys.executable, "-m", "bench.plain_loop", str(other.port), str(broker.port), _PLAIN_TOPIC]
        plain_started_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        plain = subprocess.Popen([*plain_command, str(METERS)])
        try:
            with RunningGateway(Path(name) / "gateway", config) as gateway:
                return _measure(gateway, plain.pid, subscriber, plain_started_ns)
        finally:
            plain.terminate()
            plain.wait()
            subscriber.close()


def _measure(
    gateway: RunningGateway, plain: int, subscriber: Subscriber, plain_started_ns: int
) -> list[dict[str, Any]]:
    subscriber.wait(3 * METERS)
    start_s = (subscriber.ours[0][1] - gateway.started_ns) / 1e9
    plain_start_s = (subscriber.plain[0][1] - plain_started_ns) / 1e9
    start_cpu_s = _cpu_s(gateway.pid)
    ours, others = len(subscriber.ours), len(subscriber.plain)
    began_s, began = time.monotonic(), (start_cpu_s, _cpu_s(plain))
    subscriber.wait(ours + int(SECONDS * METERS))
    took_s = time.monotonic() - began_s
    cpu = [100 * (_cpu_s(pid) - before) / took_s for pid, before in zip((gateway.pid, plain), began, strict=True)]
    rss = [_rss_mb(pid) for pid in (gateway.pid, plain)]
    p50, p99, count = _ages(subscriber.ours[ours:])
    plain_p50, plain_p99, _ = _ages(subscriber.plain[others:])
    told = gateway.status()
    assert not told["log"]["troubles"], told
    assert sum(meter["missed"] for meter in told["meters"]) == 0, told
    load = f"{METERS} meters × 12 points each second, MQTT, `commit: {{seconds: 0}}`"
    return [
        _row(
            f"age of a reading at the subscriber: {load}",
            f"p99 ≤ {AGE_MS_MAX} ms",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {count} readings",
            f"pymodbus + paho, nothing durable: p50 {plain_p50:.1f} ms, p99 {plain_p99:.1f} ms",
            met=p99 <= AGE_MS_MAX,
        ),
        _row(
            f"memory of the running gateway: {load}",
            f"≤ {RSS_MB_MAX} MB RSS",
            f"{rss[0]:.1f} MB after {took_s:.0f} s",
            f"pymodbus + paho loop: {rss[1]:.1f} MB",
            met=rss[0] <= RSS_MB_MAX,
        ),
        _row(
            f"processor time of the running gateway: {load}",
            f"≤ {CPU_PERCENT_MAX} % of one core",
            f"{cpu[0]:.2f} %",
            f"pymodbus + paho loop: {cpu[1]:.2f} %",
            met=cpu[0] <= CPU_PERCENT_MAX,
        ),
        _row(
            "process start to the first reading that is durable and at the subscriber (first start: makes key and log)",
            f"≤ {START_S_MAX} s",
            f"{start_s:.2f} s; {start_cpu_s:.2f} s of processor time after three polls",
            f"pymodbus + paho loop, from process start to its first message: {plain_start_s:.2f} s",
            met=start_s <= START_S_MAX,
        ),
    ]


def _row(figure: str, goal: str, measured: str, comparison: str, *, met: bool) -> dict[str, Any]:
    return {"figure": figure, "goal": goal, "measured": measured, "comparison": comparison, "met": met}


def _ages(arrivals: list[tuple[int, int]]) -> tuple[float, float, int]:
    """Median and 99th percentile in milliseconds, and the number of readings."""
    ages_ms = [(arrived - read) / 1e6 for read, arrived in arrivals]
    cuts = statistics.quantiles(ages_ms, n=100)
    return cuts[49], cuts[98], len(ages_ms)


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far (proc(5), stat fields 14 and 15), in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    """Resident memory in millions of bytes (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) * 1024 / 1e6
