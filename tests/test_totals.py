"""What jobs on a chain see of the log: the newest total that counts, outages, and nothing that is only nearly there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import gateway.chain.totals as module
from gateway.chain.totals import LogTotals, MeterPoint
from gateway.errors import ConfigError
from gateway.log.entry import Kind
from gateway.log.tree import leaf_hash
from gateway.reading import Status
from tests.totals_log import CO2, EXPORT, CountingLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[CountingLog]:
    counting = CountingLog(tmp_path)
    yield counting
    counting.log.close()


async def test_the_newest_reading_is_found_with_its_exact_energy(log: CountingLog) -> None:
    """In whole Wh, a fraction rounded down; seq, bytes and leaf hash are the entry's own."""
    assert await log.totals.newest(EXPORT) is None
    log.read(1_234_567, -6)
    appended = log.read(9_876_549, -6)
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert (found.seq, found.data, found.leaf) == (appended.seq, appended.data, leaf_hash(appended.data))
    assert (found.watt_hours, found.status, found.unit) == (9876, Status.OK, "kWh")
    assert await log.totals.newest(EXPORT, after=found.seq) is None


async def test_what_is_not_durable_is_not_seen(log: CountingLog) -> None:
    """An appended entry may still be lost."""
    first = log.read(1000)
    log.log.append(Kind.READING, [log.roof, [], [[0, b"", 1, 0], [0, b"", 2000, -3]]])
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert found.seq == first.seq


async def test_what_a_checkpoint_covers_comes_first_but_nothing_waits_for_a_key(log: CountingLog) -> None:
    """A reading under no checkpoint is taken only where nothing newer than what is known is under one."""
    signed = log.read(1000)
    unsigned = log.read(2000, sign=False)
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert found.seq == signed.seq
    found = await log.totals.newest(EXPORT, after=signed.seq)
    assert found is not None
    assert found.seq == unsigned.seq


@pytest.mark.parametrize("status", [Status.FELL, Status.JUMPED, Status.INCONSISTENT])
async def test_a_suspect_value_is_passed_over(log: CountingLog, status: Status) -> None:
    """Nothing can be taken back from a chain."""
    good = log.read(1000)
    log.read(99_000_000, status=status)
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert found.seq == good.seq


async def test_a_negative_total_is_passed_over(log: CountingLog) -> None:
    """A counter below zero is none."""
    good = log.read(0)
    log.read(-5)
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert (found.seq, found.watt_hours) == (good.seq, 0)


async def test_an_outage_is_the_newest_that_is_said(log: CountingLog) -> None:
    """By a reading without a value, or by a gap; another meter's gap says nothing."""
    log.read(1000)
    failed = log.fail()
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert (found.seq, found.value, found.status) == (failed.seq, None, Status.TIMEOUT)
    log.read(1001)
    gap = log.gap()
    log.gap("other")
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert (found.seq, found.value, found.status) == (gap.seq, None, Status.OFFLINE)
    with pytest.raises(ConfigError, match="no value"):
        _ = found.watt_hours


async def test_a_value_before_an_entry_is_found_behind_outages_too(log: CountingLog) -> None:
    """For the carbon intensity that held when a reading was made."""
    carbon = log.carbon(412)
    log.gap("grid")
    reading = log.read(1000)
    log.carbon(500)
    found = await log.totals.value_before(CO2, reading.seq)
    assert found is not None
    assert found.seq == carbon.seq
    assert await log.totals.value_before(CO2, carbon.seq) is None


async def test_the_search_is_the_same_wherever_it_goes_on(log: CountingLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each entry, one that remembers its last search and a new one see the same, also over many steps."""
    monkeypatch.setattr(module, "_FIRST_STEP", 3)
    monkeypatch.setattr(module, "_STEP", 5)
    steps = [log.read, lambda _: log.carbon(7), lambda _: log.gap("other"), lambda _: log.fail()]
    for number in range(60):
        steps[number * number % 7 % 4](number)
        for asked in (EXPORT, CO2):
            assert await log.totals.newest(asked) == await LogTotals(log.log).newest(asked)
    for _ in range(40):
        log.gap("other")
    fresh = await LogTotals(log.log).newest(CO2)
    assert fresh is not None
    assert fresh == await log.totals.newest(CO2)


async def test_the_search_has_an_end(log: CountingLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter silent for long costs no walk through the whole log; what it said before is remembered."""
    log.read(1000)
    known = await log.totals.newest(EXPORT)
    monkeypatch.setattr(module, "LOOK_BACK", 8)
    for _ in range(10):
        log.gap("other")
    assert await LogTotals(log.log).newest(EXPORT) is None
    assert await log.totals.newest(EXPORT) == known


async def test_stretches_hold_every_value_once(log: CountingLog) -> None:
    """Suspect ones as well, zeroes as well, outages not; the end is where nothing moves any more."""
    wanted = [log.read(0), log.read(5, status=Status.JUMPED)]
    log.fail()
    wanted.append(log.read(6))
    found, seq = [], 0
    while (stretch := await log.totals.stretch(EXPORT, seq)).end > seq:
        found += stretch.values
        seq = stretch.end
    assert [one.seq for one in found] == [one.seq for one in wanted]
    assert seq == log.log.durable_size


async def test_what_cannot_be_told_is_said(log: CountingLog) -> None:
    """A point that is not there, one that is no energy, and a meter whose readings are concealed."""
    log.read(1000)
    with pytest.raises(ConfigError, match="has no point import_total; it has power_total, export_total"):
        await log.totals.newest(replace(EXPORT, point="import_total"))
    log.carbon(412)
    found = await log.totals.newest(CO2)
    assert found is not None
    with pytest.raises(ConfigError, match="'g/kWh' is no energy"):
        _ = found.watt_hours
    log.log.append(Kind.CONCEALED, [log.roof, 4, bytes(32)])
    log.settle()
    assert await log.totals.newest(CO2) == found
    with pytest.raises(ConfigError, match="concealed, and a chain is public"):
        await log.totals.newest(EXPORT)
    assert await log.totals.newest(MeterPoint(meter="cellar", point="x")) is None


async def test_a_restart_goes_on_with_the_same_log(log: CountingLog) -> None:
    """Another run has other definitions, and the readings of the run before still count."""
    read = log.read(1000)
    log.stop()
    log.restart()
    found = await log.totals.newest(EXPORT)
    assert found is not None
    assert (found.seq, log.totals.origin) == (read.seq, log.log.origin)
