"""Pulse meters on the lines of GPIO chips: a count that only rises, kept across restarts and power cuts.

``PulseStore`` is given by whoever makes the bus, since only the gateway makes things durable. A read stores the count
before it gives it out. Therefore the count never falls behind a reading that somebody has. These pulses are lost, and
nothing can tell how many they were:

- those between the last read and a power cut or a kill: at most one poll's;
- those while the gateway did not run or the line was away, and the one pulse during which it started;
- those whose edges the kernel dropped since nobody read them in time: ``lost_edges`` tells of them.

So the energy is at least what is given, never more, as long as glitches shorter than a pulse are all that disturbs the
line. Compare it with the meter's display, and set ``start`` and a new meter name when it was exchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.s0.gpio import EdgeSource, LineSettings, open_line
from drivers.s0.pulse import Constant, PulseTrain
from gateway.errors import MeterUnavailable
from gateway.reading import Clock, MeterDescription, PointReading, PointSpec, Reading, Scaled, Status

_COUNT_BYTES = 8


class PulseStore(Protocol):
    """Where one meter's count survives."""

    def load(self) -> int:
        """The count stored last; 0 where none was. Called once, before the first read."""

    def store(self, count: int) -> None:
        """On return, *count* survives a power cut. Called in a thread, before a reading with a new count is given out.

        Who takes every reading into a durable log, and loads from its newest entry, need do nothing here. Raises
        MeterUnavailable when the count cannot be stored: the reading is then not given out.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class S0Settings:
    """One pulse meter."""

    name: str
    line: LineSettings
    #: What is printed on the meter, such as 1000 imp/kWh.
    constant: Constant
    #: The meter's display in kWh when the count began.
    start: Scaled | None = None


class S0Meter:
    """Implements ``gateway.reading.Meter``."""

    def __init__(self, settings: S0Settings, bus: S0Bus, store: PulseStore) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._train = PulseTrain()
        #: What the store has; None before it was asked.
        self._stored: int | None = None
        #: The count when the present train began.
        self._base = 0
        self._line: EdgeSource | None = None
        #: Reads take turns: an older count must not be stored behind a newer one.
        self._turn = asyncio.Lock()
        self._fault: MeterUnavailable | None = None

    @property
    def description(self) -> MeterDescription:
        """See ``gateway.reading.Meter``."""
        return _description(self._settings)

    async def read(self) -> Reading:
        """See ``gateway.reading.Meter``. The first read begins to count."""
        async with self._turn:
            self._listen()
            self.take()
            if self._fault is not None:
                fault, self._fault = self._fault, None
                raise MeterUnavailable(f"{self._settings.name}: {fault}") from fault
            points, moment = self._points(self._count), self._bus.clock()
            # A crash before this line: nobody has seen the count. Behind it: a start goes on from there.
            await self._keep()
            return Reading(moment=moment, points=points)

    async def close(self) -> None:
        """Takes what waits, gives the line back, and stores the count if that can be done."""
        async with self._turn:
            self.take()
            self.release()
            with contextlib.suppress(MeterUnavailable):
                await self._keep()

    def take(self) -> None:
        """Takes the edges that wait on the line; a fault is for the next read."""
        try:
            while self._line is not None and (found := self._line.read()):
                for edge in found:
                    self._train.feed(edge)
        except MeterUnavailable as error:
            self._fault = error
            self.release()

    def release(self) -> None:
        """Gives the line back; what was counted stays."""
        line, self._line = self._line, None
        if line is not None:
            asyncio.get_running_loop().remove_reader(line.fileno())
            line.close()

    @property
    def _count(self) -> int:
        return self._base + self._train.pulses

    async def _keep(self) -> None:
        count = self._count
        if self._stored is not None and count != self._stored:
            await asyncio.to_thread(self._store.store, count)
            self._stored = count

    def _listen(self) -> None:
        if self._line is not None:
            return
        if self._stored is None:
            self._stored = self._base = self._store.load()
        try:
            self._line = self._bus.open_line(self._settings.line)
        except MeterUnavailable as error:
            raise MeterUnavailable(f"{self._settings.name}: {error}") from error
        self._base, self._train = self._count, PulseTrain()
        asyncio.get_running_loop().add_reader(self._line.fileno(), self.take)

    def _points(self, count: int) -> tuple[PointReading, ...]:
        train, constant = self._train, self._settings.constant
        raw = count.to_bytes(_COUNT_BYTES, "big")
        power = constant.power(train, self._bus.monotonic_ns())
        interval = (train.interval_ns or 0).to_bytes(_COUNT_BYTES, "big")
        return (
            _ok(constant.energy(count, self._settings.start), raw),
            _ok(Scaled(mantissa=count, exponent=0), raw),
            PointReading(status=Status.INVALID, raw=interval, value=None) if power is None else _ok(power, interval),
            _plain(train.glitches),
            _plain(train.lost_edges),
        )


def _ok(value: Scaled, raw: bytes) -> PointReading:
    return PointReading(status=Status.OK, raw=raw, value=value)


def _plain(number: int) -> PointReading:
    return _ok(Scaled(mantissa=number, exponent=0), number.to_bytes(_COUNT_BYTES, "big"))


def _description(settings: S0Settings) -> MeterDescription:
    constant, start = settings.constant, settings.start
    worth = f"{constant.impulses} imp/kWh{'' if constant.is_exact else ', cut'}, from {start or 0} kWh"
    points = (
        PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register=f"pulses / {worth}", monotonic=True),
        PointSpec(name="pulses", obis="", unit="", register="pulses of 25 ms or more", monotonic=True),
        PointSpec(name="power_total", obis="1-0:16.7.0", unit="W", register="ns between the last two pulses"),
        PointSpec(name="glitches", obis="", unit="", register="closings under 25 ms since the line was opened"),
        PointSpec(name="lost_edges", obis="", unit="", register="edges lost since the line was opened"),
    )
    digest = hashlib.sha256(f"s0\n{constant.impulses}\n{start or 0}\n".encode()).digest()
    return MeterDescription(
        name=settings.name, model="s0-pulse", digest=digest, location=str(settings.line), points=points
    )


class S0Bus:
    """Implements ``gateway.reading.Bus``: lines that are read in the event loop whenever an edge comes."""

    def __init__(
        self,
        name: str,
        meters: Sequence[tuple[S0Settings, PulseStore]],
        clock: Clock,
        *,
        open_line: Callable[[LineSettings], EdgeSource] = open_line,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._name = name
        self.clock = clock
        self.open_line = open_line
        self.monotonic_ns = monotonic_ns
        self._meters = tuple(S0Meter(settings, self, store) for settings, store in meters)

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._name

    @property
    def meters(self) -> Sequence[S0Meter]:
        """See ``gateway.reading.Bus``."""
        return self._meters

    async def close(self) -> None:
        """Gives the lines back; pulses from now on are not counted."""
        for meter in self._meters:
            await meter.close()
