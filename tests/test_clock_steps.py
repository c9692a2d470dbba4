"""The wall clock is set while the log goes on: order is by seq, a clock-step entry says what happened, all verifies."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from gateway import watch
from gateway.clock import STEP_MS
from gateway.log.entry import Entry, Kind, decode
from gateway.log.log import Log
from gateway.log.verify import INTACT
from gateway.pace import Policy
from gateway.show import entry_line
from gateway.writer import Writer
from tests.log_dir import HandClock, Station

NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
BY_HAND = Policy(commit_ms=HOUR_MS, commit_entries=10**9, checkpoint_ms=HOUR_MS, checkpoint_entries=10**9)


class SetClock(HandClock):
    """Moves by one second with each look; its wall time can be set."""

    def set_wall(self, wall_ms: int) -> None:
        """The wall clock shows *wall_ms* from now on; CLOCK_BOOTTIME knows nothing of it."""
        self.start_ms = wall_ms - self.looks * 1000


async def stepped(state: Path, walls: list[int], monkeypatch: pytest.MonkeyPatch) -> tuple[Station, list[Entry]]:
    """A log that is written while the wall clock is set to each of *walls*, and its entries."""
    monkeypatch.setattr(watch, "CLOCK_S", 0)
    station = Station(state)
    station.clock = clock = SetClock(NOW_MS)
    log = station.start()
    writer = Writer(log, station.signer, BY_HAND, clock, lambda: None)
    watching = asyncio.create_task(watch.watch_clock(clock, writer))
    # The first look of the watch comes before the first step.
    await asyncio.sleep(0)
    for number, wall_ms in enumerate(walls, 1):
        writer.append(Kind.READING, [1, [], [[0, b"", number, 0]]])
        clock.set_wall(wall_ms)
        async with asyncio.timeout(20):
            while sum(decode(data).kind is Kind.CLOCK_STEP for data in all_entries(log)) < number:
                await asyncio.sleep(0)
                await writer.commit()
        writer.append(Kind.READING, [1, [], [[0, b"", -number, 0]]])
    watching.cancel()
    await writer.finish()
    return station, [decode(data) for data in station.entries()]


def all_entries(log: Log) -> list[bytes]:
    found: list[bytes] = []
    while batch := log.read(len(found)):
        found += batch
    return found


@pytest.mark.parametrize(
    "walls",
    [
        [NOW_MS - HOUR_MS],
        [NOW_MS + 20 * 365 * 24 * HOUR_MS],
        [0],
        [2**53 + 7],
        [0, 2**53 + 7, NOW_MS, NOW_MS - HOUR_MS, NOW_MS],
    ],
    ids=["back", "forward", "1970", "beyond 2^53", "all of them"],
)
async def test_a_step_of_the_clock_is_an_entry_and_nothing_else(
    tmp_path: Path, walls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told with what was expected and what was found; the seqs run on, boot time never falls, all verifies."""
    station, entries = await stepped(tmp_path, walls, monkeypatch)
    steps = [entry for entry in entries if entry.kind is Kind.CLOCK_STEP]
    assert len(steps) == len(walls)
    for step, wall_ms in zip(steps, walls, strict=True):
        expected_ms, found_ms, _ = step.body
        assert wall_ms <= found_ms <= wall_ms + 60_000
        assert abs(found_ms - expected_ms) > STEP_MS
    assert [entry.seq for entry in entries] == list(range(len(entries)))
    assert all(one.moment.boottime_ns <= two.moment.boottime_ns for one, two in pairwise(entries))
    assert station.verify().verdict == INTACT
    # People can read it, whatever year it says.
    assert all(entry_line(entry, lambda _seq: None) for entry in entries)
    station.log.close()


async def test_a_log_that_begins_in_1970_goes_on_in_the_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board without a battery starts in 1970, is killed, starts in the far future, and again in 1970."""
    for wall_ms in (0, 2**53 + 7, 0, NOW_MS):
        station = Station(tmp_path)
        station.clock = HandClock(wall_ms)
        station.start()
        station.read_meter(5)
        station.log.commit()
        station.sign()
        assert station.found.closed is None
        assert station.verify().verdict == INTACT
        station.log.close()
    moments = [decode(data) for data in all_entries(station.start())]
    assert [entry.boot for entry in moments if entry.kind is Kind.BOOT] == [0, 1, 2, 3, 4]
    station.log.close()


def test_a_clock_set_back_while_the_gateway_was_off_shows_at_the_boot_entry(tmp_path: Path) -> None:
    """No clock-step entry can say so, since nobody watched: the times fall there, the seqs do not, and all verifies."""
    first = Station(tmp_path)
    first.start()
    first.fill(2)
    first.stop()
    again = Station(tmp_path)
    again.clock = HandClock(NOW_MS - HOUR_MS)
    again.start()
    again.fill(2)
    again.stop()
    entries = [decode(data) for data in again.entries()]
    falls = [late for early, late in pairwise(entries) if late.moment.wall_ms < early.moment.wall_ms]
    assert [entry.kind for entry in falls] == [Kind.BOOT]
    assert not any(entry.kind is Kind.CLOCK_STEP for entry in entries)
    assert again.verify().verdict == INTACT
