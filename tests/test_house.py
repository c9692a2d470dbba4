"""The simulated house (drivers/house.py): counters that only rise, and agree with the power."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.house import ANCHOR_MS, CYCLE_MS, DAYS, SLOT_MS, House, Snapshot, reactive_mvar

DAY_MS = 86_400_000
#: Milliwatt-milliseconds in a milliwatt-hour.
MWH = 3_600_000
HOUSE = House(1)
moments = st.integers(ANCHOR_MS, ANCHOR_MS + 20 * 365 * DAY_MS)


def counters(snapshot: Snapshot) -> list[int]:
    phases = [(phase.import_mwh, phase.export_mwh) for phase in snapshot.phases]
    return [snapshot.import_mwh, snapshot.export_mwh, *(each for pair in phases for each in pair)]


@given(moments, st.integers(0, 2 * DAY_MS))
def test_no_counter_ever_falls(start_ms: int, later_ms: int) -> None:
    """Not within a slot, not across nodes, midnights and cycles."""
    before, after = counters(HOUSE.at(start_ms)), counters(HOUSE.at(start_ms + later_ms))
    assert all(old <= new for old, new in zip(before, after, strict=True))


@given(moments, st.integers(1, SLOT_MS))
def test_energy_is_the_integral_of_power(start_ms: int, span_ms: int) -> None:
    """Within a slot power is a straight line, so import less export is its mean times the time, to the last digit."""
    start_ms = start_ms // SLOT_MS * SLOT_MS
    end_ms = start_ms + min(span_ms, SLOT_MS - 1)
    before, after = HOUSE.at(start_ms), HOUSE.at(end_ms)
    twice = (before.power_mw + after.power_mw) * (end_ms - start_ms)
    net = (after.import_mwh - after.export_mwh) - (before.import_mwh - before.export_mwh)
    # Power is rounded to a milliwatt and each counter down to a milliwatt-hour.
    assert abs(2 * net * MWH - twice) <= 2 * (end_ms - start_ms) + 4 * 2 * MWH


@given(moments)
def test_a_restart_goes_on_where_it_was(wall_ms: int) -> None:
    """The same seed and time give the same house, in another process as well: nothing is kept."""
    assert House(1).at(wall_ms) == HOUSE.at(wall_ms)


@given(moments)
def test_a_cycle_later_power_is_the_same_and_the_counters_are_not(wall_ms: int) -> None:
    """The course repeats, the energy adds up."""
    now, later = HOUSE.at(wall_ms), HOUSE.at(wall_ms + CYCLE_MS)
    assert now.power_mw == later.power_mw
    assert later.import_mwh - now.import_mwh > 0
    assert later.export_mwh - now.export_mwh > 0


@given(moments)
def test_values_are_those_of_a_house(wall_ms: int) -> None:
    """Voltage, frequency and current stay where a house's are; the phases make up the total."""
    snapshot = HOUSE.at(wall_ms)
    assert abs(sum(phase.power_mw for phase in snapshot.phases) - snapshot.power_mw) <= 3
    assert 49_900 < snapshot.frequency_mhz < 50_100
    assert (snapshot.power_factor < 0) == (snapshot.power_mw < 0)
    assert snapshot.apparent_mva >= abs(snapshot.power_mw)
    for phase in snapshot.phases:
        assert 220_000 < phase.voltage_mv < 240_000
        assert 0 <= phase.current_ma < 80_000


@pytest.mark.parametrize("seed", range(1, 9))
def test_the_sun_feeds_in_at_noon_and_not_at_midnight(seed: int) -> None:
    """On most days of the cycle the house exports at noon; it never does at midnight."""
    house = House(seed)
    noon = [house.at(ANCHOR_MS + day * DAY_MS + DAY_MS // 2).power_mw for day in range(DAYS)]
    midnight = [house.at(ANCHOR_MS + day * DAY_MS).power_mw for day in range(DAYS)]
    assert sum(power < 0 for power in noon) >= DAYS // 2
    assert min(midnight) > 0


def test_houses_differ_by_their_seed() -> None:
    """Two meters do not show the same values."""
    when = ANCHOR_MS + 100 * DAY_MS
    assert counters(House(1).at(when)) != counters(House(2).at(when))
    assert len(House(3, 1).at(when).phases) == 1


def test_before_the_anchor_the_counters_stand_still() -> None:
    """A board that thinks it is 1970 sees a house with new meters, and no error."""
    assert counters(HOUSE.at(0)) == counters(HOUSE.at(ANCHOR_MS)) == [0] * 8


def test_reactive_power_completes_the_triangle() -> None:
    """3 and 4 make 5; rounding never takes a root of less than nothing."""
    assert reactive_mvar(3000, 5000) == 4000
    assert reactive_mvar(5, 4) == 0
