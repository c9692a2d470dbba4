"""Meter definitions made up for tests of the bus, and a clock that tests can read."""

from __future__ import annotations

from typing import Any

from drivers.modbus.bus import BusSettings, ModbusBus, open_bus
from drivers.modbus.definition import Definition, PointDef
from drivers.modbus.meter import MeterSettings
from drivers.transport import SerialSettings
from gateway.reading import Moment, Reading
from tests.paced_line import word


def point(address: int, *, name: str = "", fc: int = 3, kind: str = "u16", **more: Any) -> PointDef:
    return PointDef(name=name or f"r{address}", obis="", unit="", address=address, fc=fc, type=kind, **more)


def definition(*points: PointDef, **more: Any) -> Definition:
    fields: dict[str, Any] = {
        "id": "test-meter", "manufacturer": "Test", "models": ("T",), "trust": "hardware", "sources": (),
        "max_registers": 125, "max_gap": None, "barriers": (), "align_even": False, "turnaround_ms": 0,
        "refresh_ms": 0, "serial": None, "sunspec": None, "identify": (), "vectors": (), "notes": "",
        "digest": bytes(32),
    }  # fmt: skip
    return Definition(points=points, **(fields | more))


def meter(unit: int, what: Definition, name: str = "") -> MeterSettings:
    return MeterSettings(name=name or f"m{unit}", definition=what, unit=unit)


class TickingClock:
    """Each look is one second later."""

    def __init__(self) -> None:
        self.ticks = 0

    def __call__(self) -> Moment:
        self.ticks += 1
        return Moment(boottime_ns=self.ticks * 10**9, wall_ms=self.ticks * 1000, quality="U", error_ms=-1)


def serial_bus(device: str, *meters: MeterSettings, baud: int = 115200, **more: Any) -> ModbusBus:
    """A bus on a pseudo-terminal: 8N1, since parity cannot be set there twice."""
    settings = BusSettings(name="bus", kind="serial", serial=SerialSettings(device=device, baud=baud), **more)
    return open_bus(settings, meters, TickingClock())


def tcp_bus(port: int, *meters: MeterSettings, kind: str = "tcp", **more: Any) -> ModbusBus:
    return open_bus(BusSettings(name="bus", kind=kind, host="127.0.0.1", port=port, **more), meters, TickingClock())


def raws(reading: Reading) -> list[str]:
    return [each.raw.hex() for each in reading.points]


def statuses(reading: Reading) -> list[str]:
    return [each.status.text for each in reading.points]


def held(unit: int, *addresses: int, fc: int = 3) -> list[str]:
    """What the paced line's registers hold."""
    return [f"{word(unit, fc, address):04x}" for address in addresses]
