"""Counters are checked for direction and rate; what is suspect is kept and flagged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plausibility import CounterCheck
from gateway.reading import Moment, PointReading, PointSpec, Reading, Scaled, Status

SECOND_NS = 1_000_000_000
#: A counter in kWh that can rise by 36 kWh an hour: 0.01 kWh a second.
COUNTER = PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="", monotonic=True, max_per_hour=36)


def reading(at_s: int, value: Scaled | None) -> Reading:
    moment = Moment(boottime_ns=at_s * SECOND_NS, wall_ms=0, quality="U", error_ms=-1)
    status = Status.OK if value is not None else Status.TIMEOUT
    return Reading(moment=moment, points=(PointReading(status=status, raw=b"", value=value),))


def kwh(mantissa: int, exponent: int = -2) -> Scaled:
    return Scaled(mantissa=mantissa, exponent=exponent)


def judged(*values: tuple[int, Scaled | None], known: dict[str, Scaled] | None = None) -> list[Status]:
    check = CounterCheck(known)
    return [check.check((COUNTER,), reading(at_s, value)).points[0].status for at_s, value in values]


OK, FELL, JUMPED, TIMEOUT = Status.OK, Status.FELL, Status.JUMPED, Status.TIMEOUT


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0, kwh(100)), (10, kwh(100)), (20, kwh(110))], [OK, OK, OK]),
        ([(0, kwh(100)), (10, kwh(99))], [OK, FELL]),
        # A spurious zero is flagged on the way down and on the way up; the next value is sound again.
        ([(0, kwh(100)), (10, kwh(0)), (20, kwh(100)), (30, kwh(101))], [OK, FELL, JUMPED, OK]),
        # 0.01 kWh a second, and one step of the last digit that was due anyway.
        ([(0, kwh(100)), (10, kwh(111))], [OK, OK]),
        ([(0, kwh(100)), (10, kwh(112))], [OK, JUMPED]),
        # A failed read between two values is no value to compare with.
        ([(0, kwh(100)), (10, None), (20, kwh(120))], [OK, TIMEOUT, OK]),
        # The same quantity in another scale.
        ([(0, kwh(100)), (10, kwh(1, 0)), (20, kwh(1001, -3))], [OK, OK, OK]),
    ],
)
def test_a_counter_only_rises_and_not_faster_than_it_can(
    values: list[tuple[int, Scaled | None]], expected: list[Status]
) -> None:
    """Direction and rate, value by value."""
    assert judged(*values) == expected


def test_the_log_remembers_over_a_restart() -> None:
    """After a restart the time between is not known: the rate is not judged, the direction is."""
    assert judged((5, kwh(90)), known={"import_total": kwh(100)}) == [FELL]
    assert judged((5, kwh(90_000)), known={"import_total": kwh(100)}) == [OK]


def test_a_power_may_fall() -> None:
    """Only counters are checked."""
    power = PointSpec(name="power", obis="1-0:16.7.0", unit="W", register="")
    check = CounterCheck()
    for at_s, mantissa in enumerate((500, -300, 20_000)):
        assert check.check((power,), reading(at_s, kwh(mantissa))).points[0].status is Status.OK


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(-6, 3)), min_size=1, max_size=20))
def test_no_value_is_ever_changed(values: list[tuple[int, int]]) -> None:
    """Whatever is said of a value, the value and its words stay as read."""
    check = CounterCheck()
    for at_s, (mantissa, exponent) in enumerate(values):
        before = reading(at_s, kwh(mantissa, exponent))
        after = check.check((COUNTER,), before)
        assert after.points[0].value == before.points[0].value
        assert after.points[0].raw == before.points[0].raw
        assert after.moment == before.moment
