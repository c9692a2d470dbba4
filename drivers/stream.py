"""A bus whose meters push telegrams: a stream of bytes, a decoder, and for each meter its newest telegram.

A task reads the port from the first read on, since the moment of a telegram is that of its last byte. A telegram counts
once: a read takes the newest one that no read has taken, or waits for the next; it never gives an old one again. What a
telegram holds is known when the first one came: until then a meter's description has no points.

A meter whose *id* is given takes the telegrams of that sender only; one without takes those of whoever sends, and a
change of the sender shows in its readings.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.obis import quantity
from drivers.telegram import BrokenTelegram, Decoder, Telegram, TelegramPoint
from drivers.transport import Link
from gateway.errors import MeterUnavailable
from gateway.reading import Clock, MeterDescription, Moment, PointReading, PointSpec, Reading, Status

_log = logging.getLogger(__name__)
#: How long a read waits for a telegram. The slowest meters send every 10 seconds.
TIMEOUT_S = 15.0
#: How soon a port that is away is opened again.
REOPEN_S = 2.0
MAX_POINTS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMeterSettings:
    """One meter on such a bus."""

    name: str
    model: str
    #: Who sends, as the telegrams name it; empty for anybody.
    id: str = ""
    #: Names or codes of the points to read; empty: every number of the first telegram.
    points: tuple[str, ...] = ()


class StreamMeter:
    """Implements ``gateway.reading.Meter``."""

    def __init__(self, settings: StreamMeterSettings, bus: StreamBus) -> None:
        self._settings = settings
        self._bus = bus
        self._newest: tuple[Telegram, Moment] | None = None
        self._arrived = asyncio.Condition()
        digest = hashlib.sha256(f"{settings.model}\n{settings.id}\n{' '.join(settings.points)}\n".encode()).digest()
        self._description = MeterDescription(
            name=settings.name, model=settings.model, digest=digest, location=bus.name, points=()
        )
        self._codes: tuple[str, ...] = ()

    @property
    def description(self) -> MeterDescription:
        """See ``gateway.reading.Meter``; another one when the meter sends other points."""
        return self._description

    def wants(self, telegram: Telegram) -> bool:
        """Whether the telegram is this meter's."""
        return self._settings.id in ("", telegram.meter)

    async def take(self, telegram: Telegram, moment: Moment) -> None:
        """It came at that moment."""
        async with self._arrived:
            self._newest = (telegram, moment)
            self._arrived.notify()

    async def read(self) -> Reading:
        """See ``gateway.reading.Meter``."""
        self._bus.listen()
        async with self._arrived:
            try:
                async with asyncio.timeout(self._bus.timeout_s):
                    await self._arrived.wait_for(lambda: self._newest is not None)
            except TimeoutError as error:
                raise MeterUnavailable(f"{self._settings.name}: {self._bus.fault(self._settings.id)}") from error
            assert self._newest is not None, "waited for"
            (telegram, moment), self._newest = self._newest, None
        return self._reading(telegram, moment)

    def _reading(self, telegram: Telegram, moment: Moment) -> Reading:
        by_code = {point.code: point for point in telegram.points}
        self._describe(telegram)
        units = [spec.unit for spec in self._description.points]
        points = [_point(by_code.get(code), unit) for code, unit in zip(self._codes, units, strict=True)]
        return Reading(
            moment=moment,
            points=tuple(points),
            meter_ms=telegram.time_ms,
            meter_id=telegram.meter,
            remarks=telegram.remarks,
        )

    def _describe(self, telegram: Telegram) -> None:
        """Spells the points out, once; and again when what is sent has more of what is wanted, or other units."""
        known = dict(zip(self._codes, self._description.points, strict=True))
        coded = any(":" in point.code for point in telegram.points)
        found = {point.code: _spec(point) for point in telegram.points if self._is_wanted(point, coded=coded)}
        specs = known | {code: spec for code, spec in found.items() if known.get(code) != spec}
        if specs != known:
            self._codes = tuple(specs)[:MAX_POINTS]
            points = tuple(specs[code] for code in self._codes)
            self._description = dataclasses.replace(self._description, points=points)

    def _is_wanted(self, point: TelegramPoint, *, coded: bool) -> bool:
        """Without a choice every number is; in a telegram with OBIS codes those that have one."""
        wanted = self._settings.points
        if not wanted:
            return point.value is not None and (":" in point.code or not coded)
        return point.code in wanted or quantity(point.code).name in wanted


def _spec(point: TelegramPoint) -> PointSpec:
    known = quantity(point.code)
    return PointSpec(
        name=known.name,
        obis=point.code if ":" in point.code else "",
        unit=point.unit,
        register=f"telegram {point.code}",
        monotonic=known.monotonic,
    )


def _point(point: TelegramPoint | None, unit: str) -> PointReading:
    if point is None:
        return PointReading(status=Status.UNSUPPORTED, raw=b"", value=None)
    if point.value is None or point.unit != unit:
        return PointReading(status=Status.INVALID, raw=point.raw, value=None)
    return PointReading(status=Status.OK, raw=point.raw, value=point.value)


class StreamBus:
    """Implements ``gateway.reading.Bus`` over a link that is only listened to."""

    def __init__(
        self,
        name: str,
        link: Link,
        decoder: Callable[[], Decoder],
        meters: Sequence[StreamMeterSettings],
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = name
        self.timeout_s = timeout_s
        self._link = link
        self._make = decoder
        self._clock = clock
        self._meters = tuple(StreamMeter(meter, self) for meter in meters)
        self._task: asyncio.Task[None] | None = None
        #: What went wrong last on the line; empty when telegrams come.
        self._error = ""
        self._strangers: dict[str, None] = {}

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._name

    @property
    def meters(self) -> Sequence[StreamMeter]:
        """See ``gateway.reading.Bus``."""
        return self._meters

    def listen(self) -> None:
        """Begins to read the port, if it is not read already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"bus {self._name}")
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # A decoder that raises is a fault of ours: it is told, and the next read begins to listen again.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = f"the decoder failed: {error!r}"
            self._link.close()
            _log.error("bus %s: %s", self._name, self._error, exc_info=error)

    def fault(self, wanted: str) -> str:
        """Why there is no telegram, in words."""
        if self._error:
            return self._error
        if wanted and self._strangers:
            return f"no telegram of {wanted} in {self.timeout_s:g} s, but of {', '.join(self._strangers)}; correct id"
        return f"no telegram in {self.timeout_s:g} s; check the head, the cable and the line's settings"

    async def _run(self) -> None:
        while True:
            decoder = self._make()
            try:
                await self._link.open()
                while True:
                    data = await self._link.receive(asyncio.get_running_loop().time() + self.timeout_s)
                    moment = self._clock()
                    # Silence ends what has no end of its own.
                    for found in decoder.feed(data) if data else decoder.end():
                        await self._deliver(found, moment)
            except MeterUnavailable as error:
                self._error = str(error)
                for found in decoder.end():
                    await self._deliver(found, self._clock())
            await asyncio.sleep(REOPEN_S)

    async def _deliver(self, found: Telegram | BrokenTelegram, moment: Moment) -> None:
        if isinstance(found, BrokenTelegram):
            self._error = f"{found.protocol}: {found.error}"
            return
        self._error = ""
        takers = [meter for meter in self._meters if meter.wants(found)]
        if not takers and len(self._strangers) < 16:
            self._strangers[found.meter] = None
        for meter in takers:
            await meter.take(found, moment)

    async def close(self) -> None:
        """Releases the port."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._link.close()
