"""One simulated meter (drivers/modbus/virtual_meter.py), and a bus of them in this process."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.house import ANCHOR_MS, House
from drivers.modbus.codec import decode
from drivers.modbus.definition import PointDef, list_definitions, load_definition
from drivers.modbus.meter import MeterSettings
from drivers.modbus.simulated_bus import open_simulated_bus
from drivers.modbus.virtual_meter import DEVICE_FAILURE, ILLEGAL_FUNCTION, SUNSPEC_BASE, VirtualMeter, quantity
from gateway.reading import Status
from tests.modbus_meters import TickingClock, definition

HOUSE = House(5)
NOON_MS = ANCHOR_MS + 300 * 86_400_000 + 43_200_000


def point(address: int, obis: str, unit: str, kind: str, **more: Any) -> PointDef:
    return PointDef(name=f"r{address}", obis=obis, unit=unit, address=address, fc=3, type=kind, **more)


def test_points_are_filled_by_their_obis_code_and_unit() -> None:
    """A definition that nobody here knows gets the house's voltage in V, its energy in Wh, and zero for the rest."""
    volts = point(0, "1-0:32.7.0", "V", "u16", scale10=-1)
    energy = point(1, "1-0:2.8.0", "Wh", "u32", word_order="cdab")
    other = point(3, "1-0:99.7.0", "bar", "u16")
    answer = VirtualMeter(definition(volts, energy, other), HOUSE).read(3, 0, 4, NOON_MS)
    assert isinstance(answer, list)
    raw = b"".join(word.to_bytes(2, "big") for word in answer)
    snapshot = HOUSE.at(NOON_MS)
    found = [decode(volts, raw[:2]), decode(energy, raw[2:6]), decode(other, raw[6:])]
    values = [reading.value.at(-3) for reading in found if reading.value]
    voltage, wh = snapshot.phases[0].voltage_mv, snapshot.export_mwh
    assert values == [(voltage + 50) // 100 * 100, (wh + 500) // 1000 * 1000, 0]


def test_a_read_may_begin_and_end_within_a_value() -> None:
    """A meter without alignment serves single registers of a pair, and they fit together."""
    meter = VirtualMeter(definition(point(10, "1-0:1.8.0", "Wh", "u32")), HOUSE)
    whole = meter.read(3, 10, 2, NOON_MS)
    assert isinstance(whole, list)
    assert [meter.read(3, address, 1, NOON_MS) for address in (10, 11)] == [[word] for word in whole]


def test_what_a_register_cannot_hold_is_a_failure_of_the_device() -> None:
    """No value is wrapped around: the meter answers exception 4."""
    meter = VirtualMeter(definition(point(0, "1-0:32.7.0", "V", "i16", scale10=-3)), HOUSE)
    assert meter.read(3, 0, 1, NOON_MS) == DEVICE_FAILURE
    assert meter.read(4, 0, 1, NOON_MS) == ILLEGAL_FUNCTION


@pytest.mark.parametrize(("unit", "exponent"), [("kWh", -6), ("Wh", -3), ("V", -3), ("%", -1), ("", -3)])
def test_units_are_powers_of_ten(unit: str, exponent: int) -> None:
    """The house counts in thousandths; kilo and percent only move the point."""
    assert quantity(HOUSE.at(NOON_MS), "1-0:14.7.0", unit).exponent == exponent


def test_a_sunspec_device_has_a_common_model_and_an_end() -> None:
    """Marker, model 1 of 66 registers, the meter model, and the end marker follow each other."""
    model = load_definition("sunspec-213")
    meter = VirtualMeter(model, HOUSE)
    assert meter.read(3, SUNSPEC_BASE, 4, NOON_MS) == [0x5375, 0x6E53, 1, 66]
    assert meter.read(3, SUNSPEC_BASE + 70, 2, NOON_MS) == [213, 124]
    assert meter.read(3, SUNSPEC_BASE + 72 + 124, 2, NOON_MS) == [0xFFFF, 0]
    assert meter.spans == {3: range(SUNSPEC_BASE, SUNSPEC_BASE + 74 + 124)}


async def test_a_bus_of_simulated_meters_needs_nothing_else() -> None:
    """All definitions behind a server in this process, read through a socket, and the port is free afterwards."""
    meters = [
        MeterSettings(name=name, definition=load_definition(name), unit=unit)
        for unit, name in enumerate(list_definitions(), start=1)
    ]
    bus = await open_simulated_bus("bench", meters, TickingClock())
    try:
        assert [meter.description.name for meter in bus.meters] == list(list_definitions())
        for meter in bus.meters:
            assert {each.status for each in (await meter.read()).points} == {Status.OK}
    finally:
        await bus.close()
