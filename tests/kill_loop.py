"""Kills a loaded gateway again and again, with the broker there and away, and looks at what that has cost.

One far side lives through all of it, on one persistent session. The moments are random, from a seed; some hit the
gateway while it starts.
"""

from __future__ import annotations

import random
import statistics
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gateway.log.entry import Kind, decode
from tests.far_side import FarSide
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import load_config, serve
from tests.whole import ORIGIN, RunningGateway, cli, objects, raw_entries

METERS = 10
TOPIC = "lab/kill"
#: The longest that the gateway lives between two kills; its start takes about half a second of it.
LIFE_S_MAX = 2.5
#: How likely the broker goes while the gateway is dead; it is back after the next kill.
AWAY = 0.7


@dataclass(slots=True)
class Report:
    """What one loop has shown."""

    kills: int = 0
    #: Kills with the broker away, and kills before the first reading of that life.
    broker_away: int = 0
    before_reading: int = 0
    entries: int = 0
    #: Seconds from process start to that life's first reading, with the broker there and away.
    back_s: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    duplicates: int = 0

    def text(self) -> str:
        """The figures in words."""
        there, away = (self._back(self.back_s[key]) for key in (True, False))
        return (
            f"{self.kills} kills ({self.broker_away} with the broker away, {self.before_reading} before the first "
            f"reading), {self.entries} entries, none lost; the far side saw one unbroken log and {self.duplicates} "
            f"repeated messages; first reading after process start: {there} with the broker, {away} without"
        )

    @staticmethod
    def _back(values: list[float]) -> str:
        return f"median {statistics.median(values):.2f} s, at most {max(values):.2f} s" if values else "none"


def kill_loop(folder: Path, kills: int, seed: int) -> Report:
    """Runs the loop; an AssertionError says what was lost."""
    chance, report = random.Random(seed), Report()
    with ExitStack() as stack:
        server = stack.enter_context(LibmodbusServer(contents=serve("eastron-sdm630").contents))
        broker = stack.enter_context(Broker(folder / "broker", settings=("max_queued_messages 0",)))
        gateway = RunningGateway(folder / "gateway", _config(server.port, broker.url))
        vkey = objects(gateway.cli("key", "new", "file:device-key.pem", "--json"))[0]["vkeys"][0]
        url = f"mqtt://{broker.url}/{TOPIC}"
        # First, so that nothing is missing from its session.
        far_side = stack.enter_context(FarSide(url, "--vkey", vkey, "--store", folder / "store"))
        broker.wait_line("Sending SUBACK")
        stack.enter_context(gateway)
        known: list[bytes] = []
        for _ in range(kills):
            known = _live_and_die(gateway, chance, report, known, there=broker.pid is not None)
            if broker.pid is None:
                broker.start()
            elif chance.random() < AWAY:
                broker.stop()
            gateway.spawn()
        _finish(gateway, broker, far_side, known)
        report.entries = len(raw_entries(gateway.state_dir / "log"))
        report.duplicates = far_side.findings.count("duplicate")
    _verify(folder, vkey)
    return report


def kill_first_starts(folder: Path, kills: int, seed: int) -> int:
    """Kills a gateway that never got far, in one state directory; returns the entries of the life that it then has."""
    chance = random.Random(seed)
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        gateway = RunningGateway(folder / "gateway", load_config(server.port, meters=2))
        for _ in range(kills):
            gateway.spawn()
            threading.Event().wait(chance.uniform(0.1, 0.8))
            gateway.kill()
            assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
        with gateway:
            gateway.wait_size(20)
            assert gateway.stop() == 0
        assert objects(gateway.cli("log", "verify", "--json"))[0]["ok"]
        return len(gateway.entries())


def _config(modbus_port: int, broker: str) -> str:
    channel = f'channels:\n  - {{name: far, mqtt: "mqtt://{broker}", topic: {TOPIC}}}'
    config = load_config(modbus_port, meters=METERS, rest=channel)
    # Some fast, some slow: periods from 0.1 to 1 s.
    for unit in range(1, METERS + 1):
        config = config.replace(f"unit: {unit}, every: 0.1,", f"unit: {unit}, every: {unit / 10},")
    return config


def _live_and_die(
    gateway: RunningGateway, chance: random.Random, report: Report, known: list[bytes], *, there: bool
) -> list[bytes]:
    """Lets the gateway live for a while and kills it; returns the entries on the disk."""
    threading.Event().wait(chance.uniform(0, LIFE_S_MAX))
    before = _entries(gateway)
    assert before[: len(known)] == known, "a start has changed entries"
    gateway.kill()
    after = _entries(gateway)
    assert after[: len(before)] == before, "a kill has changed entries that were there"
    assert not any("Traceback" in line for line in gateway.errors.lines), gateway.errors.lines
    report.kills += 1
    report.broker_away += not there
    entries = map(decode, after[len(known) :])
    first = next((entry for entry in entries if entry.kind is Kind.READING), None)
    if first is None:
        report.before_reading += 1
    else:
        report.back_s[there].append((first.moment.boottime_ns - gateway.started_ns) / 1e9)
    return after


def _entries(gateway: RunningGateway) -> list[bytes]:
    directory = gateway.state_dir / "log"
    return raw_entries(directory) if any(directory.glob("*.seg")) else []


def _finish(gateway: RunningGateway, broker: Broker, far_side: FarSide, known: list[bytes]) -> None:
    """The last life ends well, and the far side hears all of it."""
    if broker.pid is None:
        broker.start()
    gateway.wait_ready()
    gateway.wait_status(lambda told: told["log"]["size"] > len(known) + METERS, "polling is back")
    gateway.wait_status(lambda told: told["sinks"][0]["state"] == "connected", "the broker is found again")
    gateway.wait_status(lambda told: told["sinks"][0]["backlog"] < METERS, "the backlog is delivered")
    assert gateway.stop() == 0
    entries = raw_entries(gateway.state_dir / "log")
    assert entries[: len(known)] == known
    far_side.verified(len(entries))
    assert set(far_side.findings) <= {"duplicate"}, set(far_side.findings)
    assert far_side.interrupt() == 130


def _verify(folder: Path, vkey: str) -> None:
    """Both logs are good, and the same."""
    near, far = folder / "gateway" / "state", folder / "store"
    for directory in (near, far):
        found = objects(cli("log", "verify", str(directory), "--vkey", vkey, "--json"))[0]
        assert found["ok"], found
        assert found["origin"] == ORIGIN
        assert found["size"] == found["signed_size"], found
    assert raw_entries(far) == raw_entries(near / "log")
