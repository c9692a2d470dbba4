"""S0 pulses to energy and power (drivers/s0/pulse.py)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.s0.pulse import MS, Constant, Edge, PulseTrain
from gateway.errors import ConfigError
from gateway.reading import Scaled


def train(*times_ms: float, first: int = 1) -> PulseTrain:
    """What a train makes of closings and openings in turn, at these times."""
    found = PulseTrain()
    for at, time_ms in enumerate(times_ms):
        found.feed(Edge(time_ns=int(time_ms * MS), closed=at % 2 == 0, number=first + at))
    return found


@pytest.mark.parametrize(
    ("times_ms", "pulses", "glitches"),
    [
        ((0, 30), 1, 0),
        ((0, 25), 1, 0),
        ((0, 24.999), 0, 0),
        ((0, 24.999, 100, 130), 1, 1),
        ((0, 30, 60, 90), 2, 0),
        ((0, 30, 54.9, 84.9), 1, 0),
        ((0, 30, 55, 85), 2, 0),
        ((0, 10, 15, 35), 1, 0),
        ((0, 10, 30, 40), 0, 0),
        ((0, 1, 2, 3, 4, 5, 6, 60, 61, 62), 1, 0),
        ((0, 5000), 1, 0),
        ((0,), 0, 0),
    ],
    ids=["shortest", "with transitions", "too short", "glitch", "fastest", "dropout", "just apart", "torn",
         "two glitches", "bouncing", "long", "not open yet"],
)  # fmt: skip
def test_a_pulse_is_thirty_milliseconds_less_one_transition(
    times_ms: tuple[float, ...], pulses: int, glitches: int
) -> None:
    """IEC 62053-31, 4.1.3.3 and 4.1.3.4."""
    found = train(*times_ms)
    assert (found.pulses, found.glitches, found.lost_edges) == (pulses, glitches, 0)


def test_a_line_that_was_closed_at_the_start_gives_no_pulse() -> None:
    """How long it had been closed is not known."""
    found = PulseTrain()
    found.feed(Edge(time_ns=0, closed=False, number=1))
    assert found.pulses == 0
    found.feed(Edge(time_ns=100 * MS, closed=True, number=2))
    found.feed(Edge(time_ns=130 * MS, closed=False, number=3))
    assert (found.pulses, found.lost_edges) == (1, 0)


def test_lost_edges_are_told_and_never_guessed() -> None:
    """The pulse they belonged to is not counted, and there is no power across them."""
    found = train(0, 30, 1000, 1030)
    assert found.interval_ns == 1000 * MS
    found.feed(Edge(time_ns=2000 * MS, closed=False, number=6))
    assert (found.pulses, found.lost_edges, found.interval_ns) == (2, 1, None)
    found.feed(Edge(time_ns=3000 * MS, closed=True, number=7))
    found.feed(Edge(time_ns=3030 * MS, closed=False, number=8))
    assert (found.pulses, found.interval_ns) == (3, None)
    found.feed(Edge(time_ns=3060 * MS, closed=False, number=9))
    assert found.lost_edges == 2


@given(st.lists(st.tuples(st.integers(30, 500), st.integers(30, 10_000)), max_size=40), st.data())
def test_bouncing_neither_adds_nor_takes_a_pulse(pulses: list[tuple[int, int]], data: st.DataObject) -> None:
    """Each transition may bounce for under 5 ms."""
    now, times = 0.0, []
    for closed_ms, open_ms in pulses:
        for length in (closed_ms, open_ms):
            bounces = data.draw(st.lists(st.floats(0.001, 0.6), max_size=6))
            times.append(now)
            times += [now + sum(bounces[: at + 1]) for at in range(len(bounces) // 2 * 2)]
            now += length
    assert train(*times).pulses == len(pulses)


@pytest.mark.parametrize(
    ("impulses", "count", "energy"),
    [(1000, 12565, "12.565"), (800, 1, "0.00125"), (2000, 3, "0.0015"), (500, 1, "0.002"), (1, 7, "7"),
     (10000, 12345, "1.2345"), (96, 96, "1.000000"), (96, 1, "0.010416"), (75, 2, "0.026666")],
)  # fmt: skip
def test_energy_is_the_exact_quotient_or_cut_where_there_is_none(impulses: int, count: int, energy: str) -> None:
    """12565 pulses of 1 Wh are 12.565 kWh, and never 12.56499."""
    assert str(Constant(impulses=impulses).energy(count)) == energy


@given(st.integers(1, 1_000_000), st.integers(0, 2**48))
def test_energy_is_never_more_than_was_counted(impulses: int, count: int) -> None:
    """Exact where it says so, otherwise less than 10**-6 kWh below."""
    constant = Constant(impulses=impulses)
    energy = constant.energy(count)
    missing = Fraction(count, impulses) - Fraction(energy.mantissa) * Fraction(10) ** energy.exponent
    assert missing == 0 if constant.is_exact else 0 <= missing < Fraction(1, 10**6)


def test_the_count_goes_on_from_the_meters_display() -> None:
    """Whichever has more digits."""
    start = Scaled(mantissa=123456, exponent=-1)
    assert str(Constant(impulses=1000).energy(5, start)) == "12345.605"
    assert str(Constant(impulses=1).energy(5, start)) == "12350.6"


def test_power_is_the_mean_of_the_last_interval_until_the_next_pulse_is_overdue() -> None:
    """3.6 s at 1000 imp/kWh are 1000 W; 4.5 s after the last pulse nobody knows."""
    constant, found = Constant(impulses=1000), train(0, 30, 3600, 3630)
    assert constant.power(found, 3630 * MS) == Scaled(mantissa=1000, exponent=0)
    assert constant.power(found, 8100 * MS) == Scaled(mantissa=1000, exponent=0)
    assert constant.power(found, 8101 * MS) is None
    assert constant.power(train(0, 30), 31 * MS) is None
    assert constant.power(PulseTrain(), 0) is None
    assert str(constant.power(train(0, 30, 3000, 3030), 3030 * MS)) == "1200"


def test_a_constant_that_no_meter_has_is_refused() -> None:
    """And the message says where it is printed."""
    for impulses in (0, -1, 1_000_001):
        with pytest.raises(ConfigError, match="plate"):
            Constant(impulses=impulses)
