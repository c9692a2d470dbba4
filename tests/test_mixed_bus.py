"""A mixed site through an hour: each meter is read in each of its slots, and what is missed elsewhere is counted.

Clock and wires are simulated, the rest is the gateway as it runs: see ``bench.meters_site``.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.meters_site import HOUR_S, MODBUS_S, P1_S, PLANS, Faults, Outcome, simulate
from gateway.log.entry import Kind
from tests.whole import cli, events, of_kind

METERS = tuple(PLANS)


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return simulate(tmp_path_factory.mktemp("hour"), HOUR_S)


def health(outcome: Outcome, meter: str) -> dict[str, Any]:
    return next(told for told in outcome.told["meters"] if told["name"] == meter)


def test_the_site_is_the_one_that_was_asked_for() -> None:
    """Four Modbus, two M-Bus, one SML, one DSMR."""
    kinds = [name.rstrip("1234") if name != "p1" else name for name in METERS]
    assert {kind: kinds.count(kind) for kind in kinds} == {"modbus": 4, "mbus": 2, "sml": 1, "p1": 1}


@pytest.mark.parametrize("meter", METERS)
def test_no_slot_is_missed(hour: Outcome, meter: str) -> None:
    """As many polls, and as many readings in the log, as there are slots; no gap."""
    assert hour.slots(meter) == HOUR_S // PLANS[meter].every_s
    assert len(hour.readings[meter]) == hour.slots(meter)
    told = health(hour, meter)
    assert (told["polls"], told["missed"], told["state"]) == (hour.slots(meter), 0, "online")
    assert hour.missed(meter) == 0


@pytest.mark.parametrize("meter", METERS)
def test_each_reading_lies_in_its_slot(hour: Outcome, meter: str) -> None:
    """In the order of the log, one behind the other."""
    readings, period_s = hour.readings[meter], PLANS[meter].every_s
    assert [int(one.at_s // period_s) for one in readings] == list(range(hour.slots(meter)))
    assert all(one.seq < later.seq and one.at_s < later.at_s for one, later in pairwise(readings))


@pytest.mark.parametrize("meter", METERS)
def test_each_value_is_what_the_meter_said_in_that_slot(hour: Outcome, meter: str) -> None:
    """To the last digit, with its unit, and nothing is flagged."""
    readings = hour.readings[meter]
    assert [one.values for one in readings] == [PLANS[meter].values(slot) for slot in range(hour.slots(meter))]
    assert {status for one in readings for status in one.statuses} == {"ok"}


def test_each_p1_reading_has_the_time_of_its_telegram(hour: Outcome) -> None:
    """The meter's clock, a second apart."""
    definitions = [one.seq for one in of_kind(hour.entries, Kind.DEFINITION) if one.body[0] == "p1"]
    times = [one.body[1][0] for one in of_kind(hour.entries, Kind.READING) if one.body[0] in definitions]
    assert len(times) == HOUR_S // P1_S
    assert {later - earlier for earlier, later in pairwise(times)} == {1000 * P1_S}


def test_lines_took_their_time(hour: Outcome) -> None:
    """A wire that carries everything at once would prove nothing: the slowest poll is far longer than its thinking."""
    first = {meter: readings[0].at_s for meter, readings in hour.readings.items()}
    assert max(first["mbus1"], first["mbus2"]) > 0.5, "two M-Bus meters at 2400 baud, one after the other"
    assert max(first[f"modbus{unit}"] for unit in (1, 2, 3, 4)) > 0.4, "four Modbus meters at 9600 baud"
    assert all(0.005 < busy < 0.5 for busy in hour.busy.values()), hour.busy


def test_the_log_of_the_hour_verifies(hour: Outcome) -> None:
    """By the command that a stranger runs; nothing happened but the meters' numbers and the stop."""
    done = cli("--config", str(hour.config), "log", "verify")
    assert done.returncode == 0, done.stderr
    assert set(events(hour.entries)) <= {"meter-number", "shutdown"}


def test_a_mute_meter_misses_its_own_slots_only(tmp_path: Path) -> None:
    """What it missed is counted once, slot for slot; its neighbours on the line lose nothing."""
    outcome = simulate(tmp_path, 300, Faults(mute_unit=3, mute_slots=range(10, 13)))
    assert outcome.slots("modbus3") == 300 // MODBUS_S
    readings = outcome.readings
    said = {int(one.at_s // MODBUS_S): one.values for one in readings["modbus3"]}
    assert not set(range(10, 13)) & set(said)
    assert outcome.missed("modbus3") == outcome.slots("modbus3") - len(said) >= 3
    assert said == {slot: PLANS["modbus3"].values(slot) for slot in said}
    for meter in set(METERS) - {"modbus3"}:
        assert (len(readings[meter]), outcome.missed(meter)) == (outcome.slots(meter), 0), meter


def test_a_meter_that_pushes_too_seldom_misses_slots(tmp_path: Path) -> None:
    """A telegram each 1.5 seconds, slots of one: no telegram is used twice, and what is missed is counted."""
    outcome = simulate(tmp_path, 300, Faults(p1_s=1.5))
    readings = outcome.readings["p1"]
    assert [one.values for one in readings] == [PLANS["p1"].values(number) for number in range(len(readings))]
    assert len(readings) <= 200
    told = health(outcome, "p1")
    assert outcome.missed("p1") == told["missed"] > 0
    # Left are the poll that the stop cut off, and the slot that came meanwhile.
    assert told["polls"] == len(readings) + 1
    assert outcome.slots("p1") - len(readings) - outcome.missed("p1") in (1, 2)
