"""The log as a folder of ew-link-bond: upstream's own bytes, and what has no place in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bond.carbon import CarbonCount
from gateway.bond.check import check
from gateway.bond.export import Export, File, Plan, write_folder
from gateway.bond.record import read_file
from gateway.bond.store import read_store
from gateway.errors import ConfigError
from gateway.log.view import LogView, find_log
from gateway.reading import Scaled
from gateway.views.source import Selection, Source
from tests.bond_folders import MINUTE_MS, START_MS, contents, written
from tests.bond_log import FIRST, JUMPED, TIMEOUT, BondLog, Value

PLAN: dict[str, Any] = {"meter": "roof", "point": "export_total"}
CARBON = {"carbon": ("grid", "carbon_intensity")}


def exported(state: Path, target: Path, *, start: int = 0, **plan: Any) -> tuple[Export, list[File]]:
    """Exports into *target*; returns the export and what was written."""
    export, files = Export(Plan(**(PLAN | plan))), list[File]()
    source = Source(LogView(find_log(state)), Selection(start=start))
    write_folder(target, export.files(source.readings()), files.append)
    return export, files


def told(files: list[File]) -> list[tuple[int, bool, int | None, bool | None]]:
    """Total, outage, CO2 and its flag of each file."""
    records = [read_file(file.data) for file in files]
    assert [str(record.value) for record in records] == [str(file.value) for file in files]
    return [
        (file.value, record.is_meter_down, record.co2_saved, record.is_co2_down)
        for file, record in zip(files, records, strict=True)
    ]


@pytest.mark.parametrize("side", ["producer", "consumer"])
def test_an_export_is_the_folder_that_upstream_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """Names, files and index, byte for byte; and upstream reads ours back with the same hashes."""
    log = BondLog(tmp_path / "state")
    readings: list[dict[str, Any]] = []
    for number in range(300):
        log.roof(number * 75, (1_000_000 + number * number, -3))
        readings.append(
            {"wall_ms": START_MS + number * 75 * MINUTE_MS, "value": 1_000_000 + number**2, "is_meter_down": False}
        )
        if side == "producer":
            readings[-1] |= {"co2_saved": 0, "is_co2_down": True}
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    monkeypatch.chdir(tmp_path / "ours")
    _, files = exported(log.done(), Path("store"), producer=side == "producer")
    theirs = written("store", readings, cwd=tmp_path / "theirs", protocol=4)
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")
    assert [file.hash for file in files] == theirs["told"]
    read_back = written("store", [], cwd=tmp_path / "ours")
    assert (read_back["last"], read_back["files"]) == (theirs["last"], theirs["files"])


def test_upstream_opens_a_longer_export_than_it_can_write(tmp_path: Path) -> None:
    """It finds the last hash; only when it adds a reading its own pickler fails, as in a folder of its own."""
    log = BondLog(tmp_path / "state")
    for number in range(500):
        log.roof(number, (number, 0))
    _, files = exported(log.done(), tmp_path / "store")
    found = written(tmp_path / "store", [])
    assert (found["last"], len(found["files"])) == (files[-1].hash, 500)
    later = {"wall_ms": START_MS + 500 * MINUTE_MS, "value": 500_000, "is_meter_down": False}
    assert written(tmp_path / "store", [later])["told"] == ["RecursionError"]


def test_an_outage_repeats_the_last_total_with_the_flag(tmp_path: Path) -> None:
    """No zero, and nothing before the first total; a value that the gateway did not believe is no file."""
    log = BondLog(tmp_path / "state")
    totals: list[Value] = [TIMEOUT, (1000, -3), TIMEOUT, (3, 0), TIMEOUT, (4, 0), (9, 0, JUMPED)]
    for minute, total in enumerate(totals):
        log.roof(minute, total)
    export, files = exported(log.done(), tmp_path / "store")
    assert [one[:2] for one in told(files)] == [(1000, False), (1000, True), (3000, False), (3000, True), (4000, False)]
    assert dict(export.skipped) == {
        "readings without a total before the first one": 1,
        "readings with a value that was not believed": 1,
    }
    assert export.outages == 2
    assert [file.reading.entry.seq for file in files] == list(range(FIRST + 1, FIRST + 6))
    assert check(read_store(tmp_path / "store")).all_breaks == []


def test_two_readings_of_one_second_are_two_files(tmp_path: Path) -> None:
    """Upstream would keep one. A clock set back does not put a later file before an earlier one either."""
    log = BondLog(tmp_path / "state")
    for number, minute in enumerate([0, 0.005, 0.005, 0.1, 5, -600, 5.5]):
        log.roof(minute, (number, 0))
    export, files = exported(log.done(), tmp_path / "store")
    assert [file.name[11:19] for file in files] == [
        *("12:00:00", "12:00:01", "12:00:02", "12:00:06", "12:05:00", "12:05:01", "12:05:30")
    ]
    assert export.chain.moved == 3
    report = check(read_store(tmp_path / "store"))
    assert report.all_breaks == []
    times = [link.time.isoformat() for link in report.store.indices[0].links or ()]
    assert times[5] == "2019-04-11T02:00:00.123000"


def test_a_total_that_falls_ends_the_export_with_the_way_on(tmp_path: Path) -> None:
    """A meter was exchanged: what comes after it is another chain."""
    log = BondLog(tmp_path / "state")
    for minute, total in enumerate([5000, 6000, 10]):
        log.roof(minute, (total, -3))
    state = log.done()
    with pytest.raises(ConfigError, match=r"entry 6: roof export_total fell from 6000 to 10 Wh.*--to.*--from"):
        exported(state, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    _, files = exported(state, tmp_path / "store", start=6)
    assert [one[0] for one in told(files)] == [10]


def test_a_longer_export_begins_with_the_shorter_one(tmp_path: Path) -> None:
    """The same readings give the same files and hashes, whenever they are exported."""
    log = BondLog(tmp_path / "state")
    for number in range(5):
        log.roof(number, (number, 0))
    log.station.log.commit()
    _, short = exported(tmp_path / "state", tmp_path / "short")
    for number in range(5, 9):
        log.roof(number, (number, 0))
    _, long = exported(log.done(), tmp_path / "long")
    assert [file.data for file in long[:5]] == [file.data for file in short]
    assert len(long) == 9


def test_readings_can_be_thinned_to_a_period(tmp_path: Path) -> None:
    """The first of each, by the wall clock; a period without a reading has no file."""
    log = BondLog(tmp_path / "state")
    for number, minute in enumerate([0, 1, 59, 60, 61, 200, 240]):
        log.roof(minute - 0.01, (99, 0, JUMPED))
        log.roof(minute, (number, 0))
    _, files = exported(log.done(), tmp_path / "store", every_s=3600)
    assert [file.value for file in files] == [0, 3000, 5000, 6000]


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"point": "import_total"}, "roof has no point import_total; its energy totals: export_total"),
        ({"point": "power_total"}, "power_total is in W, so it is no energy total"),
        ({"point": "trip"}, "trip can be set back"),
        ({"carbon": ("grid", "moer")}, "grid moer is in lb/MWh; a point in g/kWh is needed"),
        ({"carbon": ("grid", "co2")}, "grid has no point co2"),
        ({}, r"roof export_total: 1\.0005 kWh is no whole number of watt-hours"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, plan: dict[str, Any], why: str) -> None:
    """Before a folder is there."""
    log = BondLog(tmp_path / "state")
    log.grid(0, (400, 0))
    log.roof(1, (10005, -4))
    state = log.done()
    with pytest.raises(ConfigError, match=why):
        exported(state, tmp_path / "store", **plan)
    assert not (tmp_path / "store").exists()
    if not plan:
        _, files = exported(state, tmp_path / "store", round_down=True)
        assert files[0].value == 1000


def test_a_chain_is_never_written_over_another_one(tmp_path: Path) -> None:
    """Nor into a folder that upstream would not find again."""
    log = BondLog(tmp_path / "state")
    log.roof(0, (1, 0))
    state = log.done()
    (tmp_path / "empty").mkdir()
    exported(state, tmp_path / "empty")
    before = contents(tmp_path / "empty")
    for target in ("empty", "state", "100%", "empty/origin.pkl"):
        with pytest.raises(ConfigError, match=r"not empty|takes a %"):
            exported(state, tmp_path / target)
    assert contents(tmp_path / "empty") == before


# CO2.


def test_carbon_counts_each_watt_hour_once_at_its_own_intensity(tmp_path: Path) -> None:
    """From the first file on; a cleaner grid later takes nothing back; grams do not get lost between readings."""
    log = BondLog(tmp_path / "state")
    log.roof(0, (5_000_000, -3))
    log.grid(1, (4567, -1))
    log.roof(2, (5_001_001, -3))
    log.grid(3, (100, 0))
    log.roof(4, (5_002_001, -3))
    state = log.done()
    _, files = exported(state, tmp_path / "grams", **CARBON)
    # 1001 Wh × 456.7 g/kWh = 457.1567 g, and 100 g more.
    assert told(files) == [(5_000_000, False, 0, True), (5_001_001, False, 457, False), (5_002_001, False, 557, False)]
    _, files = exported(state, tmp_path / "kilograms", kilograms=True, **CARBON)
    assert [one[2] for one in told(files)] == [0, 0, 0]


def test_without_an_intensity_the_total_stays_and_the_flag_says_so(tmp_path: Path) -> None:
    """The service is down, or silent for two hours; without a carbon source it is down from the start."""
    log = BondLog(tmp_path / "state")
    log.grid(0, (500, 0))
    log.roof(0, (0, 0))
    log.roof(1, (2, 0))
    log.grid(2, TIMEOUT)
    log.roof(3, (4, 0))
    log.grid(4, (100, 0))
    log.roof(124, (5, 0))
    log.roof(125, (7, 0))
    log.roof(126, TIMEOUT)
    state = log.done()
    _, files = exported(state, tmp_path / "store", **CARBON)
    assert told(files) == [
        (0, False, 0, False),
        (2000, False, 1000, False),
        (4000, False, 1000, True),
        (5000, False, 1100, False),
        (7000, False, 1100, True),
        (7000, True, 1100, True),
    ]
    _, files = exported(state, tmp_path / "without")
    assert {one[2:] for one in told(files)} == {(0, True)}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.none() | st.tuples(st.integers(0, 10**6), st.integers(-6, 1)))))
def test_a_carbon_total_never_falls_and_loses_nothing(steps: list[tuple[int, tuple[int, int] | None]]) -> None:
    """Less than a gram is missing at any time, whatever the steps are."""
    count, exact, before = CarbonCount(), Fraction(0), 0
    for watt_hours, scaled in steps:
        if scaled is not None:
            exact += Fraction(watt_hours * scaled[0]) * Fraction(10) ** (scaled[1] - 3)
        intensity = None if scaled is None else Scaled(mantissa=scaled[0], exponent=scaled[1])
        total, down = count.add(watt_hours, intensity)
        assert (before <= total, 0 <= exact - total < 1, down) == (True, True, scaled is None)
        before = total
    assert CarbonCount().add(1000, Scaled(mantissa=-1, exponent=0)) == (0, True)
