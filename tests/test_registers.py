"""The register of a moment: the newest good reading before it, where it stands, or why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.chain.sessions.registers import LogRegister, RegisterValue
from gateway.chain.totals import MeterPoint
from gateway.log.entry import Kind, definition_body, reading_body
from gateway.log.log import Log
from gateway.reading import Moment, PointReading, Reading, Scaled, Status
from tests.log_dir import Station
from tests.session_side import POINT, T0, WALLBOX

AGE_S = 900


def moment(second: int) -> Moment:
    return Moment(boottime_ns=10**9, wall_ms=(T0 + second) * 1000, quality="S", error_ms=5)


def read(log: Log, definition: int, second: int, status: Status = Status.OK) -> int:
    value = Scaled(mantissa=second, exponent=-1) if status.has_value else None
    reading = Reading(moment=moment(second), points=(PointReading(status=status, raw=b"", value=value),))
    return log.append(Kind.READING, reading_body(definition, reading), moment(second)).seq


@pytest.fixture
def station(tmp_path: Path) -> Station:
    station = Station(tmp_path, segment_bytes=1 << 18)
    station.start()
    return station


def said(station: Station, second: int, point: MeterPoint = POINT) -> RegisterValue:
    station.log.commit()
    return LogRegister(station.directory, point, AGE_S).at((T0 + second) * 1000)


def test_it_is_the_newest_good_value_before_the_moment(station: Station) -> None:
    """With its entry, whatever the clock did and whatever was read behind it."""
    definition = station.log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
    seqs = {second: read(station.log, definition, second) for second in (0, 100, 200, 300)}
    for second in (0, 150, 200, 299):
        at = max(known for known in seqs if known <= second)
        expected = RegisterValue(seq=seqs[at], text=f"{at / 10:.1f}", unit="kWh", wall_ms=(T0 + at) * 1000)
        assert said(station, second) == expected
    again = read(station.log, definition, 100)
    assert said(station, 150).seq == again


def test_what_is_too_old_or_comes_later_does_not_count(station: Station) -> None:
    """To the millisecond."""
    definition = station.log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
    first = read(station.log, definition, 1000)
    assert said(station, 999) == RegisterValue(reason="nothing was read in the 900 s before")
    assert said(station, 1000).seq == said(station, 1000 + AGE_S).seq == first
    assert said(station, 1001 + AGE_S) == RegisterValue(reason="nothing was read in the 900 s before")


@pytest.mark.parametrize("status", [Status.FELL, Status.JUMPED, Status.INCONSISTENT, Status.TIMEOUT, Status.OFFLINE])
def test_a_value_that_is_not_good_is_passed_over(station: Station, status: Status) -> None:
    """Where there is no other one, its status is the reason; a gap is one that says offline."""
    definition = station.log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
    bad = read(station.log, definition, 100, status)
    assert said(station, 200).reason == f"no good value in the 900 s before; entry {bad} says {status.text}"
    good = read(station.log, definition, 50)
    assert said(station, 200).seq == good
    wall_ms = (T0 + 5000) * 1000
    gap = station.log.append(Kind.GAP, ["wallbox", wall_ms, wall_ms, 1, "no answer"], moment(5000)).seq
    assert said(station, 5100).reason.endswith(f"entry {gap} says offline")


def test_what_the_log_does_not_tell_has_a_reason(station: Station) -> None:
    """Another meter, a point that it has not, and readings that are concealed."""
    definition = station.log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
    read(station.log, definition, 100)
    assert said(station, 100, MeterPoint(meter="other", point="import_total")).reason.startswith("nothing was read")
    assert "no point export_total" in said(station, 100, MeterPoint(meter="wallbox", point="export_total")).reason
    station.log.append(Kind.CONCEALED, [definition, 1, bytes(32)], moment(200))
    assert "concealed" in said(station, 200).reason


def test_a_long_log_is_searched_by_its_blocks_times(station: Station) -> None:
    """Nine thousand entries, some with a clock that went astray; what was learnt is kept beside the log."""
    definition = station.log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
    seqs = {second: read(station.log, definition, second) for second in range(0, 90_000, 10)}
    astray = read(station.log, definition, 20_005)
    for second in (5, 20_004, 45_678, 89_999):
        found = said(station, second)
        assert (found.seq, found.text) == (seqs[second // 10 * 10], f"{second // 10}.0")
    assert said(station, 20_006).seq == astray
    assert (station.directory / "wall-times").exists()
