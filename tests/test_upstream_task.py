"""The task beside the pollers: back pressure, alarms that repeat, and what is told of the meters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.errors import LogUnavailable
from gateway.log.entry import ALARM, INFORMATION, WARNING, Kind, decode
from gateway.log.imported import imports_in
from gateway.log.log import Appended, Declared, Log, open_log
from gateway.pace import Policy
from gateway.poller import MeterHealth
from gateway.receiver.run import Finding
from gateway.task import Progress
from gateway.upstream.alarms import EVERY_S, Alarms
from gateway.upstream.settings import UpstreamSettings
from gateway.upstream.upstream import Upstream
from gateway.writer import Writer
from tests.honest_log import ORIGIN, HonestLog, MemoryKey
from tests.metered_log import metered_log
from tests.test_writer import HandSigner
from tests.upstream_side import Channel

DECLARED = Declared(origin="example.org/ours", software="test", commit_ms=0, commit_entries=1, vkeys=())
AT_ONCE = Policy(commit_ms=0, commit_entries=1, checkpoint_ms=3_600_000, checkpoint_entries=10**6)


class FullDisk(Writer):
    """Takes no import while it is told so; events get in, as the reserve is for them."""

    full = False
    #: A commit does not find room either.
    no_room = False

    def _clear(self, what: str) -> bool:
        return not (what == "disk" and self.no_room) and super()._clear(what)

    def append(self, kind: Kind, body: list[object], *more: object, urgent: bool = False) -> Appended:
        if self.full and kind is Kind.IMPORTED:
            raise LogUnavailable("no room")
        return super().append(kind, body, urgent=urgent)


class Side:
    """Our log, a writer and one upstream on it."""

    def __init__(self, folder: Path, settings: UpstreamSettings) -> None:
        self.log: Log = open_log(folder / "log", DECLARED, SystemClock(), bytes(16))[0]
        self.writer = FullDisk(self.log, HandSigner(), AT_ONCE, SystemClock(), lambda: None)
        self.told: list[tuple[str, str]] = []
        self.upstream = Upstream(settings, folder / "upstream", folder / "log", self.writer, self._changed)

    def _changed(self, health: MeterHealth) -> None:
        self.told.append((health.name, health.state))

    def events(self) -> list[tuple[str, int, str]]:
        entries = map(decode, self.log.read(0))
        return [tuple(entry.body[:3]) for entry in entries if entry.kind is Kind.EVENT]  # type: ignore[misc]

    def imported(self) -> int:
        return sum(len(one.items) for one in imports_in(self.log.read(0), ORIGIN))


@asynccontextmanager
async def running(side: Side) -> AsyncIterator[Side]:
    tasks = [
        asyncio.create_task(side.writer.run_commits(Progress(0))),
        asyncio.create_task(side.upstream.run(Progress(0))),
    ]
    try:
        yield side
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait([task])
        await side.writer.finish()
        side.log.close()


async def eventually(met: object, what: str) -> None:
    async with asyncio.timeout(30):
        while not met():  # type: ignore[operator]
            await asyncio.sleep(0.02)
    assert what


@pytest.fixture(scope="module")
def log() -> HonestLog:
    return metered_log(200)


@pytest.fixture
def channel(tmp_path: Path, log: HonestLog) -> Channel:
    made = Channel(tmp_path / "channel")
    made.post(log, 0, 100, 100)
    return made


async def test_a_full_disk_makes_it_wait_and_costs_nothing(tmp_path: Path, channel: Channel, log: HonestLog) -> None:
    """Refused by the log, or told that the next segment has no room: no entry is lost, and the trouble is shown."""
    side = Side(tmp_path, channel.settings([log.vkey]))
    side.writer.full = True
    async with running(side):
        await eventually(lambda: side.upstream.trouble == "no room", "the trouble")
        side.writer.full = False
        await eventually(lambda: side.imported() == 100, "the import")
        assert side.upstream.trouble == ""
        side.writer.no_room = True
        side.writer.troubles["disk"] = "no room for the next segment"
        channel.post(log, 100, 200, 200)
        await eventually(lambda: "no room for what comes" in side.upstream.trouble, "the trouble")
        assert side.imported() == 100
        side.writer.no_room = False
        del side.writer.troubles["disk"]
        await eventually(lambda: side.imported() == 200, "the rest")
    assert sorted(side.told) == [("roof.main", "online"), ("roof.roof", "online")]


async def test_it_stops_while_it_waits(tmp_path: Path, channel: Channel, log: HonestLog) -> None:
    """A stop is not held up by a disk that takes nothing, and a new run goes on where the old one was."""
    side = Side(tmp_path, channel.settings([log.vkey]))
    side.writer.full = True
    async with running(side):
        await eventually(lambda: side.upstream.trouble, "the trouble")
    again = Side(tmp_path, channel.settings([log.vkey]))
    async with running(again):
        await eventually(lambda: again.imported() == 100, "the import")


async def test_another_past_ends_it_with_an_alarm(tmp_path: Path, channel: Channel, log: HonestLog) -> None:
    """The store was lost and a fork is shown: nothing is believed any more, and other tasks go on."""
    async with running(Side(tmp_path, channel.settings([log.vkey]))) as side:
        await eventually(lambda: side.imported() == 100, "the import")
    (tmp_path / "upstream").rename(tmp_path / "lost")
    fork, other = log.branch(50, "fork").grow(150), Channel(tmp_path / "other")
    other.post(fork, 0, 150, 150)
    async with running(Side(tmp_path, other.settings([log.vkey]))) as side:
        await eventually(lambda: ("upstream-tampered", ALARM, "roof") in side.events(), "the alarm")
        assert "do not go on from those in our log" in side.upstream.trouble
        assert side.imported() == 100
        assert side.upstream.describe()["imported_size"] == 100


async def test_another_log_under_the_same_name_is_refused(tmp_path: Path, channel: Channel, log: HonestLog) -> None:
    """The operator changed the key and not the name."""
    async with running(Side(tmp_path, channel.settings([log.vkey]))) as side:
        await eventually(lambda: side.imported() == 100, "the import")
    other = HonestLog(origin="other.example", key=MemoryKey(3))
    async with running(Side(tmp_path, channel.settings([other.vkey]))) as side:
        await eventually(lambda: ("upstream-refused", ALARM, "roof") in side.events(), "the alarm")


async def test_a_finding_turns_the_meters_off_until_more_is_verified(
    tmp_path: Path, channel: Channel, log: HonestLog
) -> None:
    """What was verified before does not speak against it; a duplicate is none."""
    async with running(Side(tmp_path, channel.settings([log.vkey]))) as side:
        await eventually(lambda: side.imported() == 100, "the import")
        side.upstream.found(Finding(kind="duplicate", seq=5, text="came again"), 100)
        assert {health.state for health in side.upstream.meters.values()} == {"online"}
        side.upstream.found(Finding(kind="fork", seq=100, text="another entry 100"), 100)
        assert {health.state for health in side.upstream.meters.values()} == {"offline"}
        assert side.upstream.meters["main"].error == "fork: another entry 100"
        channel.post(log, 100, 200, 200)
        await eventually(lambda: side.imported() == 200, "the rest")
        assert {health.state for health in side.upstream.meters.values()} == {"online"}
    assert ("upstream-fork", ALARM, "roof") in side.events()
    assert ("upstream-duplicate", ALARM, "roof") not in side.events()


async def test_a_hostile_meter_name_reaches_no_topic_and_no_path(tmp_path: Path, channel: Channel) -> None:
    """A verified log may still be somebody's who means harm: 300 meters, one with a path, a wildcard and an escape."""
    log, name = HonestLog(), "../../#/+\x1b[2J" + "x" * 200
    for number in range(300):
        log.append(Kind.DEFINITION, [f"{number}" if number else name, "m", bytes(32), "here", []])
        log.append(Kind.READING, [log.size - 1, [], []])
        log.append(Kind.GAP, [f"{number}" if number else name, 0, 1, 1, "no\x1b[2Jreply"])
    other = Channel(tmp_path / "other")
    other.post(log, 0, log.size, log.size)
    async with running(Side(tmp_path, other.settings([log.vkey]))) as side:
        await eventually(lambda: side.imported() == log.size, "the import")
        found = [health.name for health in side.upstream.meters.values()]
        assert len(found) == 256
        assert all(re.fullmatch(r"roof\.[A-Za-z0-9._-]{1,64}", name) for name in found)
        assert side.upstream.meters[name].error == "no\\x1b[2Jreply"


def test_a_flood_of_findings_is_a_few_events_and_every_one_is_counted() -> None:
    """One at once, the rest as a number each minute and at the end; kinds do not hide each other."""
    told: list[tuple[str, int, str]] = []
    now_s = [0.0]
    alarms = Alarms("roof", lambda code, severity, _name, text: told.append((code, severity, text)), lambda: now_s[0])
    for number in range(1000):
        assert alarms.finding(Finding(kind="malformed", seq=number, text=f"junk {number}"))
    assert alarms.finding(Finding(kind="fork", seq=1, text="another entry"))
    assert not alarms.finding(Finding(kind="full", seq=1, text="no room"))
    assert told == [
        ("upstream-malformed", ALARM, "junk 0"),
        ("upstream-fork", ALARM, "another entry"),
        ("upstream-full", WARNING, "no room"),
    ]
    now_s[0] = EVERY_S
    alarms.flush()
    assert told[3:] == [("upstream-malformed", ALARM, "999 more, the newest: junk 999")]
    alarms.finding(Finding(kind="malformed", seq=7, text="junk again"))
    alarms.finding(Finding(kind="fork", seq=1, text="once more"))
    alarms.flush(all_of_it=True)
    assert [text for _, _, text in told[4:]] == ["once more", "1 more, the newest: junk again"]
    assert alarms.count == 1004
    assert INFORMATION < WARNING
