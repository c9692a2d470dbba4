"""A log on disk in which one meter counts what a test says, for all that a job on a chain sees of it."""

from __future__ import annotations

from pathlib import Path

from gateway.chain.totals import LogTotals, MeterPoint
from gateway.log.entry import Kind, definition_body
from gateway.log.log import Appended
from gateway.reading import MeterDescription, PointSpec, Status
from tests.log_dir import Station

EXPORT = MeterPoint(meter="roof", point="export_total")
CO2 = MeterPoint(meter="grid", point="carbon_intensity")
ROOF = MeterDescription(
    name="roof",
    model="eastron-sdm120",
    digest=bytes(32),
    location="bench unit 1",
    points=(
        PointSpec(name="power_total", obis="1-0:16.7.0", unit="W", register="fc4 0x000c"),
        PointSpec(name="export_total", obis="1-0:2.8.0", unit="kWh", register="fc4 0x004a", monotonic=True),
    ),
)
GRID = MeterDescription(
    name="grid",
    model="watttime-3",
    digest=bytes(32),
    location="api",
    points=(PointSpec(name="carbon_intensity", obis="", unit="g/kWh", register="data[].value"),),
)


class CountingLog:
    """A station with the definitions of two meters; each step is durable, and signed unless told otherwise."""

    def __init__(self, state: Path) -> None:
        self.station = Station(state)
        self.restart()

    def restart(self) -> None:
        """Another run on the same directory."""
        self.log = self.station.start()
        self.roof = self.log.append(Kind.DEFINITION, definition_body(ROOF)).seq
        self.grid = self.log.append(Kind.DEFINITION, definition_body(GRID)).seq
        self.settle()
        self.totals = LogTotals(self.log)

    def stop(self) -> None:
        """A clean stop."""
        self.station.stop()

    def settle(self, *, sign: bool = True) -> None:
        """Makes durable what there is."""
        self.log.commit()
        if sign:
            self.station.sign()

    def read(self, mantissa: int, exponent: int = -3, status: Status = Status.OK, *, sign: bool = True) -> Appended:
        """A reading of the roof's counter in kWh."""
        return self._reading([int(status), b"\x01", mantissa, exponent], sign)

    def fail(self, status: Status = Status.TIMEOUT) -> Appended:
        """A reading of the roof whose counter has no value."""
        return self._reading([int(status), b""], True)

    def _reading(self, counter: list[object], sign: bool) -> Appended:
        appended = self.log.append(Kind.READING, [self.roof, [], [[0, b"", -12, 0], counter]])
        self.settle(sign=sign)
        return appended

    def gap(self, meter: str = "roof") -> Appended:
        """The meter did not answer at all."""
        appended = self.log.append(Kind.GAP, [meter, 0, 1000, 1, "no answer"])
        self.settle()
        return appended

    def carbon(self, mantissa: int, exponent: int = 0) -> Appended:
        """A reading of the grid's carbon intensity in g/kWh."""
        appended = self.log.append(Kind.READING, [self.grid, [], [[0, b"", mantissa, exponent]]])
        self.settle()
        return appended

    def skip(self, seconds: int) -> None:
        """The clock moves on."""
        self.station.clock.looks += seconds
