"""What a meter says twice must fit: phases to their sum, counters to the power. A misfit is flagged, not corrected."""

from __future__ import annotations

import random

import pytest

from gateway.crosscheck import CrossCheck
from gateway.reading import Moment, PointReading, PointSpec, Reading, Scaled, Status

POLL_NS = 10_000_000_000


def specs(*named: str) -> tuple[PointSpec, ...]:
    """``name unit``, each."""
    return tuple(
        PointSpec(name=name, obis="", unit=unit, register="r") for name, unit in (text.split() for text in named)
    )


def reading(at_ns: int, *values: tuple[int, int] | Status) -> Reading:
    points = [
        PointReading(status=value, raw=b"", value=None)
        if isinstance(value, Status)
        else PointReading(status=Status.OK, raw=b"\0", value=Scaled(mantissa=value[0], exponent=value[1]))
        for value in values
    ]
    moment = Moment(boottime_ns=at_ns, wall_ms=at_ns // 1_000_000, quality="S", error_ms=1)
    return Reading(moment=moment, points=tuple(points))


PHASES = specs("power_total kW", "power_l1 W", "power_l2 W", "power_l3 W")


@pytest.mark.parametrize(
    ("total", "phases", "fits"),
    [
        ((1500, -3), (500, 500, 500), True),
        ((-500, -3), (500, 500, -1500), True),
        ((1510, -3), (500, 500, 500), True),
        ((1560, -3), (500, 500, 500), False),
        ((-1500, -3), (500, 500, 500), False),
        ((15, -1), (500, 500, 500), True),
        ((0, 0), (0, 0, 0), True),
        ((21, -3), (0, 0, 0), False),
    ],
)
def test_phases_fit_their_sum_or_the_sum_is_flagged(
    total: tuple[int, int], phases: tuple[int, int, int], fits: bool
) -> None:
    """2 % of the magnitudes and 20 W are what a poll's own duration explains; nothing is changed but the status."""
    given = reading(0, total, *((phase, 0) for phase in phases))
    found = CrossCheck().check(PHASES, given)
    assert [point.value for point in found.points] == [point.value for point in given.points]
    assert [point.status for point in found.points] == [Status.OK if fits else Status.INCONSISTENT, *[Status.OK] * 3]


def test_what_is_missing_is_not_compared() -> None:
    """A phase without a value, a unit that is not known, a status that is no OK."""
    for values in (((9, 3), (1, 0), Status.TIMEOUT, (1, 0)), (Status.OFFLINE, (1, 0), (1, 0), (1, 0))):
        found = CrossCheck().check(PHASES, reading(0, *values))
        assert Status.INCONSISTENT not in [point.status for point in found.points]
    odd = specs("power_total hp", "power_l1 W", "power_l2 W", "power_l3 W")
    assert CrossCheck().check(odd, reading(0, (9, 3), (1, 0), (1, 0), (1, 0))).points[0].status is Status.OK


COUNTERS = specs("import_total kWh", "export_total Wh", "power_total W")


def run(factor_percent: int, *, gap: int = 1, floor: int = 200_000) -> list[list[Status]]:
    """An hour of a noisy house whose import counter runs at so many percent of the truth; statuses of each poll."""
    source, check = random.Random(5), CrossCheck()
    imported_mwns = exported_mwns = 0
    power, found = 800_000, []
    for poll in range(0, 360, gap):
        step_ns = POLL_NS * gap
        new = max(floor, min(3_000_000, power + source.randrange(-200_000, 200_001)))
        mean = (power + new) // 2
        imported_mwns += max(mean, 0) * step_ns
        exported_mwns += max(-mean, 0) * step_ns
        power = new
        imported_wh = imported_mwns * factor_percent // 100 // 3_600_000_000_000 // 1000
        exported_wh = exported_mwns // 3_600_000_000_000 // 1000
        given = reading(poll * POLL_NS, (imported_wh, -3), (exported_wh, 0), (power, -3))
        found.append([point.status for point in check.check(COUNTERS, given).points])
    return found


def test_counters_that_fit_the_power_are_left_alone() -> None:
    for floor in (200_000, -3_000_000):
        assert {status for statuses in run(100, floor=floor) for status in statuses} == {Status.OK}


@pytest.mark.parametrize("percent", [0, 50, 150, 1000])
def test_counters_that_run_at_another_pace_are_flagged_each_quarter_of_an_hour(percent: int) -> None:
    """A wrong transformer ratio, a counter of another unit, one that stands still."""
    flagged = [number for number, statuses in enumerate(run(percent)) if Status.INCONSISTENT in statuses]
    assert len(flagged) == 3
    assert all(run(percent)[number] == [Status.INCONSISTENT, Status.INCONSISTENT, Status.OK] for number in flagged)


def test_polls_far_apart_say_nothing() -> None:
    """Two minutes between two of them: what was in between nobody knows."""
    assert {status for statuses in run(1000, gap=12) for status in statuses} == {Status.OK}
