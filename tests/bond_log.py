"""A log with a producer's meter and a carbon source, for exports to ew-link-bond."""

from __future__ import annotations

from pathlib import Path

from gateway.log.entry import Kind, definition_body
from gateway.reading import MeterDescription, Moment, PointSpec
from tests.bond_folders import MINUTE_MS, START_MS
from tests.log_dir import Station

ROOF = MeterDescription(
    name="roof",
    model="eastron-sdm630",
    digest=bytes(32),
    location="cabinet unit 1",
    points=(
        PointSpec(name="export_total", obis="1-0:2.8.0", unit="kWh", register="fc4 0x004a", monotonic=True),
        PointSpec(name="trip", obis="1-0:2.128.0", unit="kWh", register="fc4 0x0186", resettable=True),
        PointSpec(name="power_total", obis="1-0:16.7.0", unit="W", register="fc4 0x0034"),
    ),
)
GRID = MeterDescription(
    name="grid",
    model="watttime-3",
    digest=bytes(32),
    location="api.watttime.org CAISO_NORTH",
    points=(
        PointSpec(name="moer", obis="", unit="lb/MWh", register="moer"),
        PointSpec(name="carbon_intensity", obis="", unit="g/kWh", register="moer"),
    ),
)
TIMEOUT = 17
#: Seq of the first reading.
FIRST = 4
JUMPED = 2
#: A point: mantissa and exponent, a status without a value, or all three.
Value = tuple[int, int] | int | tuple[int, int, int]


class BondLog:
    """A station whose readings are given one by one."""

    def __init__(self, state: Path) -> None:
        self.station = Station(state)
        log = self.station.start()
        self._roof = log.append(Kind.DEFINITION, definition_body(ROOF)).seq
        self._grid = log.append(Kind.DEFINITION, definition_body(GRID)).seq
        assert log.size == FIRST

    def roof(self, minute: float, total: Value) -> int:
        """A reading of the producer's meter, so many minutes after the start; returns its seq."""
        return self._read(self._roof, minute, [total, (0, 0), (50, 1)])

    def grid(self, minute: float, intensity: Value) -> int:
        """A reading of the carbon source."""
        return self._read(self._grid, minute, [(9000, -1), intensity])

    def _read(self, definition: int, minute: float, values: list[Value]) -> int:
        wall_ms = START_MS + round(minute * MINUTE_MS)
        # Far from zero: some readings are before the start.
        boottime_ns = (wall_ms - START_MS + 10**9) * 1_000_000
        moment = Moment(boottime_ns=boottime_ns, wall_ms=wall_ms, quality="S", error_ms=5)
        points = [
            [value, b""] if isinstance(value, int) else [*(value[2:] or (0,)), b"", *value[:2]] for value in values
        ]
        return self.station.log.append(Kind.READING, [definition, [], points], moment).seq

    def done(self) -> Path:
        """Closes the log; returns its state directory."""
        self.station.log.commit()
        self.station.sign()
        self.station.log.close()
        return self.station.state
