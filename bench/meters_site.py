"""A whole gateway on a mixed site in simulated time: four Modbus meters, two M-Bus, one SML and one DSMR P1.

Real are the config, the composition, the gateway with its pollers, the drivers and decoders, and the log with its key,
commits and checkpoints. Simulated are the clock and the wires (``bench.meters_wire``), in the place of serial ports.

What a meter says tells in which slot it was asked, or which of its telegrams it is, so that an entry of another slot,
meter or telegram has other values. The energies and powers of one meter fit each other, or they would be flagged.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.meters_wire import START_S, START_WALL_MS, SimulatedLoop, Wire
from drivers.transport import SerialSettings
from gateway.app import App
from gateway.log.entry import Entry, Kind, description, points_of
from gateway.reading import MeterDescription
from gateway.service import Gateway
from tests.mbus_bus import SimulatedBus, SimulatedMeter
from tests.p1_telegrams import with_crc
from tests.paced_line import framed
from tests.sml_frames import entry, octets, signed, telegram, values
from tests.whole import entries_of, of_kind

HOUR_S = 3600
#: Where the drivers take their serial ports from: the wires are put there. The last one is what the others build on.
_PORTS = ("drivers.mbus.port.ParitySerialLink", "drivers.modbus.bus.SerialLink", "drivers.transport.SerialLink")
MODBUS_S, MBUS_S, SML_S, P1_S = 10, 60, 2, 1
#: When in the first period the meters that push begin, and by how much their clocks are slow.
_SML_PHASE_S, _P1_PHASE_S, _DRIFT = 0.7, 0.4, 20e-6
#: How long a Modbus or M-Bus meter thinks.
_THINK_S = 0.03
_SML_ID = bytes.fromhex("0a01454d480000a1b2c3")
_MODBUS_UNITS = (1, 2, 3, 4)
#: Where an Eastron meter has its serial number.
_NUMBER_AT = 0xFC00
_POINTS = "import_total, export_total, voltage_l1, current_l1"
_CONFIG = """
origin: example.org/simulated
state_dir: {state_dir}
log: {{commit: {{seconds: 10, entries: 256}}, checkpoint: {{seconds: 60, entries: 1024}}}}
buses:
  - {{name: cabinet, serial: /simulated/modbus, baud: 9600}}
  - {{name: heat, serial: /simulated/mbus, protocol: mbus, baud: 2400}}
  - {{name: head, serial: /simulated/sml, protocol: sml, baud: 9600}}
  - {{name: port, serial: /simulated/p1, protocol: dsmr, baud: 115200}}
meters:
{modbus}
  - {{name: mbus1, bus: heat, unit: 7, every: {mbus_s}}}
  - {{name: mbus2, bus: heat, id: "12345678", every: {mbus_s}}}
  - {{name: sml, bus: head, every: {sml_s}}}
  - {{name: p1, bus: port, every: {p1_s}}}
"""


def modbus_values(unit: int, slot: int) -> dict[str, str]:
    """Numbers that a float32 holds exactly."""
    energy = f"{1000 * unit + slot / 8:.3f}".rstrip("0").rstrip(".")
    return {
        "import_total": f"{energy} kWh",
        "export_total": f"{unit} kWh",
        "voltage_l1": f"{230 + unit} V",
        "current_l1": f"{slot % 64 / 4:g} A",
    }


def mbus_values(start: int, slot: int) -> dict[str, str]:
    """What the counter shows, in Wh, and which telegram of one it is."""
    return {"energy": f"{start + slot} Wh", "dimensionless": "0"}


def sml_values(number: int) -> dict[str, str]:
    """A telegram each two seconds, and a Wh each: 1,800 W."""
    return {"import_total": f"{1_000_000 + number}.0 Wh", "power_total": "1800 W"}


def p1_values(number: int) -> dict[str, str]:
    """A telegram each second, and a Wh each: 3.6 kW."""
    return {"import_t1": _kwh(number), "power_import": "3.600 kW", "voltage_l1": "230.1 V"}


def _kwh(number: int) -> str:
    total = 1_234_567 + number
    return f"{total // 1000}.{total % 1000:03d} kWh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One meter: how often it is read, and what the reading of each slot must say."""

    every_s: int
    #: Slot → point → value and unit, as text.
    values: Callable[[int], dict[str, str]]


PLANS: Mapping[str, Plan] = {
    **{f"modbus{u}": Plan(every_s=MODBUS_S, values=partial(modbus_values, u)) for u in _MODBUS_UNITS},
    "mbus1": Plan(every_s=MBUS_S, values=partial(mbus_values, 7000)),
    "mbus2": Plan(every_s=MBUS_S, values=partial(mbus_values, 8000)),
    "sml": Plan(every_s=SML_S, values=sml_values),
    "p1": Plan(every_s=P1_S, values=p1_values),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong on a site."""

    #: A Modbus unit that says nothing in these slots.
    mute_unit: int = 0
    mute_slots: range = range(0)
    #: Seconds between two P1 telegrams.
    p1_s: float = P1_S


class Wires:
    """The four lines and the meters behind them."""

    def __init__(self, loop: SimulatedLoop, faults: Faults) -> None:
        self._faults = faults
        self._mbus = (SimulatedMeter(7, "00000007"), SimulatedMeter(8, "12345678"))
        self._mbus_line = SimulatedBus(*self._mbus)
        self.wires = {
            "modbus": Wire(loop, 9600, 10),
            "mbus": Wire(loop, 2400, 11),
            "sml": Wire(loop, 9600, 10),
            "p1": Wire(loop, 115200, 10),
        }
        self.wires["modbus"].answer = self._modbus
        self.wires["mbus"].answer = self._heat
        self.wires["sml"].pushed = _each(START_S + _SML_PHASE_S, SML_S, sml_telegram)
        self.wires["p1"].pushed = _each(START_S + _P1_PHASE_S, faults.p1_s, p1_telegram)

    def link(self, settings: SerialSettings) -> Wire:
        """What a driver gets for a serial port."""
        wire = self.wires[settings.device.rpartition("/")[2]]
        assert abs(wire.char_s - settings.bits_per_char / settings.baud) < 1e-9, f"{settings} does not fit the line"
        return wire

    def _modbus(self, frame: bytes, heard_s: float) -> list[tuple[float, bytes]]:
        unit, function, address, size = struct.unpack(">BBHH", frame[:6])
        slot = _slot(heard_s, MODBUS_S)
        assert framed(frame[:6]) == frame, "the gateway's CRC is wrong"
        if unit == self._faults.mute_unit and slot in self._faults.mute_slots:
            return []
        words = bytearray(0x20000)
        for at, value in zip((0x48, 0x4A, 0x00, 0x06), modbus_values(unit, slot).values(), strict=True):
            words[2 * at : 2 * at + 4] = struct.pack(">f", float(value.split()[0]))
        words[2 * _NUMBER_AT : 2 * _NUMBER_AT + 4] = struct.pack(">I", 63_000_000 + unit)
        return [(_THINK_S, framed(bytes((unit, function, 2 * size)) + words[2 * address : 2 * (address + size)]))]

    def _heat(self, frame: bytes, heard_s: float) -> list[tuple[float, bytes]]:
        for meter, start in zip(self._mbus, (7000, 8000), strict=True):
            meter.value = start + _slot(heard_s, MBUS_S)
        return [(_THINK_S + after_s, said) for after_s, said in self._mbus_line.heard(frame)]


def _slot(at_s: float, period_s: int) -> int:
    return int((at_s - START_S) // period_s)


def _each(at_s: float, every_s: float, make: Callable[[int], bytes]) -> Iterator[tuple[float, bytes]]:
    number = 0
    while True:
        yield at_s + number * every_s * (1 + _DRIFT), make(number)
        number += 1


def sml_telegram(number: int) -> bytes:
    """The counter in tenths of Wh, and the power."""
    total = entry("0100010800ff", signed(10 * (1_000_000 + number), 5), unit=30, scaler=-1)
    power = entry("0100100700ff", signed(1800, 4), unit=27, scaler=0)
    return telegram(values([entry("0100600100ff", octets(_SML_ID)), total, power], _SML_ID))


def p1_telegram(number: int) -> bytes:
    """Of version 5, with the meter's own clock."""
    told = datetime.fromtimestamp(START_WALL_MS // 1000 + 3600 + number, UTC)
    lines = (
        "1-3:0.2.8(50)",
        f"0-0:1.0.0({told:%y%m%d%H%M%S}W)",
        "0-0:96.1.1(4530303030303030303030303030303031)",
        f"1-0:1.8.1({_kwh(number).split()[0]:0>10}*kWh)",
        "1-0:1.7.0(03.600*kW)",
        "0-0:96.13.0(48616C6C6F2C20776572656C6421)",
        "1-0:32.7.0(230.1*V)",
    )
    return with_crc(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One reading in the log."""

    seq: int
    #: Seconds since the start.
    at_s: float
    values: dict[str, str]
    #: Statuses of its points.
    statuses: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulated time left behind."""

    seconds: int
    config: Path
    #: What ``status`` said last.
    told: dict[str, Any]
    #: Line → how much of the time it carried characters.
    busy: dict[str, float]
    entries: list[Entry] = field(repr=False)
    #: By meter, in the order of the log.
    readings: dict[str, list[Seen]] = field(repr=False)

    def slots(self, meter: str) -> int:
        """How often that meter was due."""
        return self.seconds // PLANS[meter].every_s

    def missed(self, meter: str) -> int:
        """How many slots gap entries name."""
        return sum(one.body[3] for one in of_kind(self.entries, Kind.GAP) if one.body[0] == meter)


def _readings(entries: list[Entry]) -> dict[str, list[Seen]]:
    described = {one.seq: description(one.body) for one in of_kind(entries, Kind.DEFINITION)}
    found: dict[str, list[Seen]] = {name: [] for name in PLANS}
    for one in of_kind(entries, Kind.READING):
        meter = described[one.body[0]]
        found[meter.name].append(_seen(meter, one))
    return found


def _seen(meter: MeterDescription, one: Entry) -> Seen:
    pairs = list(zip(meter.points, points_of(one.body), strict=True))
    return Seen(
        seq=one.seq,
        at_s=one.moment.boottime_ns / 1e9 - START_S,
        values={spec.name: f"{point.value} {spec.unit}".rstrip() for spec, point in pairs},
        statuses=frozenset(point.status.text for _, point in pairs),
    )


def simulate(folder: Path, seconds: int = HOUR_S, faults: Faults | None = None) -> Outcome:
    """Runs a gateway in *folder* for so long, from its start to its clean stop."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    modbus = "\n".join(
        f"  - {{name: modbus{unit}, bus: cabinet, model: eastron-sdm630, unit: {unit}, every: {MODBUS_S}, "
        f"points: [{_POINTS}]}}"
        for unit in _MODBUS_UNITS
    )
    path.write_text(_CONFIG.format(state_dir=folder / "state", modbus=modbus, mbus_s=MBUS_S, sml_s=SML_S, p1_s=P1_S))
    app = App()
    config = app.load(path)
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner(loop_factory=SimulatedLoop))
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        wires = Wires(loop, faults or Faults())
        for place in _PORTS:
            stack.enter_context(patch(place, wires.link))
        app.clock = loop.moment
        told = runner.run(_run(Gateway(config, app, app.keeper(config), app.counter(config)), loop, seconds))
    busy = {name: wire.characters * wire.char_s / seconds for name, wire in wires.wires.items()}
    entries = entries_of(config.state_dir / "log")
    return Outcome(seconds=seconds, config=path, told=told, busy=busy, entries=entries, readings=_readings(entries))


async def _run(gateway: Gateway, loop: SimulatedLoop, seconds: int) -> dict[str, Any]:
    """What the status said at the end."""
    running = asyncio.create_task(gateway.run())
    started = asyncio.create_task(gateway.started.wait())
    await asyncio.wait((running, started), return_when=asyncio.FIRST_COMPLETED)
    assert loop.time() == START_S, "the start took simulated time: slots would be counted wrongly"
    # Just before the next slots: all meters are due together there.
    await asyncio.sleep(seconds - 0.001)
    told = gateway.describe()
    gateway.stopping.set()
    await running
    return told
