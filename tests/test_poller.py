"""Polls on schedule: what a meter said is a reading, what it did not say is a gap, and nothing is made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import LogUnavailable, MeterProtocolError, MeterUnavailable
from gateway.log.entry import Entry, Kind, decode
from gateway.log.log import Declared, Log, open_log
from gateway.pace import Policy
from gateway.poller import OFFLINE, ONLINE, MeterHealth, Poller
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status
from gateway.task import Progress
from gateway.writer import Writer

POINT = PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="fc4 0x0048 f32", monotonic=True)
DESCRIPTION = MeterDescription(name="main", model="m", digest=bytes(32), location="bench unit 1", points=(POINT,))


class SetClock:
    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> Moment:
        return Moment(boottime_ns=self.ms * 1_000_000, wall_ms=1_700_000_000_000 + self.ms, quality="S", error_ms=1)


class ScriptedMeter:
    """A ``gateway.reading.Meter`` that says what it is told to, and takes as long as it is told to."""

    description = DESCRIPTION

    def __init__(self, clock: SetClock) -> None:
        self._clock = clock
        self.script: list[int | Exception] = []

    async def read(self) -> Reading:
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        assert isinstance(said, int)
        point = PointReading(status=Status.OK, raw=b"\0\1", value=Scaled(mantissa=said, exponent=-1))
        return Reading(moment=self._clock(), points=(point,))


class NoSigner:
    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        raise AssertionError("nothing is signed here")


class Bench:
    """A poller on a real log."""

    def __init__(self, folder: Path) -> None:
        self.clock = SetClock()
        declared = Declared(origin="example.org/poller", software="test", commit_ms=0, commit_entries=1, vkeys=())
        self.log: Log = open_log(folder / "log", declared, self.clock, bytes(16))[0]
        policy = Policy(commit_ms=10_000, commit_entries=64, checkpoint_ms=10_000, checkpoint_entries=64)
        self.writer = Writer(self.log, NoSigner(), policy, self.clock, lambda: None)
        self.meter = ScriptedMeter(self.clock)
        self.changes: list[str] = []
        self.poller = Poller(self.meter, 1_000, self.writer, self.clock, self._changed)

    def _changed(self, health: MeterHealth) -> None:
        self.changes.append(health.state)

    async def say(self, *script: int | Exception) -> None:
        for said in script:
            self.meter.script.append(said)
            await self.poller.poll()
            self.clock.ms += 1_000

    def entries(self, *kinds: Kind) -> list[Entry]:
        self.log.commit()
        return [entry for entry in map(decode, self.log.read(0)) if not kinds or entry.kind in kinds]


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


AWAY = MeterUnavailable("main: no reply within 0.3 s")


async def test_the_definition_stands_before_the_first_reading(bench: Bench) -> None:
    """Once in a run; every reading refers to it."""
    await bench.say(10, 11)
    definition, *readings = bench.entries(Kind.DEFINITION, Kind.READING)
    assert definition.body[0] == "main"
    assert [entry.body[0] for entry in readings] == [definition.seq] * 2
    assert [entry.body[2] for entry in readings] == [[[0, b"\0\1", 10, -1]], [[0, b"\0\1", 11, -1]]]
    assert bench.poller.health.last_seq == readings[-1].seq


async def test_the_first_miss_is_recorded_at_once_and_the_rest_with_the_outage(bench: Bench) -> None:
    """Every missed poll is counted in exactly one gap entry, and no reading is made up."""
    await bench.say(10, AWAY, AWAY, AWAY, 11)
    gaps = bench.entries(Kind.GAP)
    assert [entry.body[0] for entry in gaps] == ["main", "main"]
    assert [entry.body[3] for entry in gaps] == [1, 2]
    assert gaps[0].body[4] == "no reply within 0.3 s"
    assert len(bench.entries(Kind.READING)) == 2
    assert bench.poller.health.missed == 3
    events = [entry.body[0] for entry in bench.entries(Kind.EVENT)]
    assert events == ["meter-offline", "meter-online"]
    assert bench.changes == [ONLINE, OFFLINE, ONLINE]


async def test_a_long_outage_is_recorded_every_minute(bench: Bench) -> None:
    """A power cut in the middle of a long outage costs a minute of its record, not all of it."""
    await bench.say(*[AWAY] * 150)
    counts = [entry.body[3] for entry in bench.entries(Kind.GAP)]
    assert counts == [1, 60, 60]
    await bench.say(5)
    assert sum(entry.body[3] for entry in bench.entries(Kind.GAP)) == 150


async def test_garbage_is_a_gap_with_its_reason(bench: Bench) -> None:
    """A wire that lies is told apart from one that is silent by the reason."""
    await bench.say(MeterProtocolError("main: unit 2 answered instead of unit 1"))
    assert [entry.body[4] for entry in bench.entries(Kind.GAP)] == ["unit 2 answered instead of unit 1"]


async def test_a_counter_that_fell_is_stored_as_read_and_flagged(bench: Bench) -> None:
    """The value in the log is the meter's, the status is ours."""
    await bench.say(100, 50, 51)
    points = [entry.body[2][0] for entry in bench.entries(Kind.READING)]
    assert [(point[0], point[2]) for point in points] == [(0, 100), (int(Status.FELL), 50), (0, 51)]


async def test_polls_that_the_bus_had_no_time_for_are_counted(bench: Bench) -> None:
    """A poll that took 3.5 periods cost three others, and the schedule stays on its multiples."""
    due = await bench.poller._wait(bench.clock().boottime_ns, Progress(0))
    bench.clock.ms += 3_500
    late = bench.clock().boottime_ns
    next_due = await bench.poller._wait(due, Progress(0))
    assert next_due == due + 3_000_000_000
    assert next_due <= late
    assert [entry.body[3] for entry in bench.entries(Kind.GAP)] == [3]


async def test_what_the_log_did_not_take_is_named_when_it_takes_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs readings, never the knowledge of how many."""
    await bench.say(10)
    append = bench.log.append

    def full(*_: object, **__: object) -> None:
        raise LogUnavailable("no room")

    monkeypatch.setattr(bench.log, "append", full)
    await bench.say(11, 12)
    monkeypatch.setattr(bench.log, "append", append)
    await bench.say(13)
    (gap,) = bench.entries(Kind.GAP)
    assert gap.body[3] == 2
    assert gap.body[4] == "not stored: no room"
    assert [entry.body[2][0][2] for entry in bench.entries(Kind.READING)] == [10, 13]
