"""A bus whose meters send telegrams when they are asked: one port, one question at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from drivers.telegram import Telegram, TelegramPoint
from drivers.telegram_points import TelegramMeterSettings, TelegramPoints
from gateway.errors import MeterProtocolError, MeterUnavailable
from gateway.reading import Clock, MeterDescription, Moment, Reading


class Asker(Protocol):
    """Asks the meters of one port."""

    async def ask(self, meter: str) -> Sequence[Telegram]:
        """What the meter of that id or address sends; one telegram at least.

        Raises MeterUnavailable without an answer, MeterProtocolError for one that cannot be used.
        """

    def close(self) -> None:
        """Releases the port; the next question opens it again."""


class AskedMeter:
    """Implements ``gateway.reading.Meter``."""

    def __init__(self, settings: TelegramMeterSettings, bus: AskedBus) -> None:
        self._settings = settings
        self._bus = bus
        self._points = TelegramPoints(settings, f"{bus.name} {settings.id}".rstrip())

    @property
    def description(self) -> MeterDescription:
        """See ``gateway.reading.Meter``; another one when the meter sends other points."""
        return self._points.description

    async def read(self) -> Reading:
        """See ``gateway.reading.Meter``."""
        try:
            telegrams, moment = await self._bus.ask(self._settings.id)
        except MeterUnavailable as error:
            raise MeterUnavailable(f"{self._settings.name}: {error}") from error
        except MeterProtocolError as error:
            raise MeterProtocolError(f"{self._settings.name}: {error}") from error
        return self._points.reading(_joined(telegrams), moment)


def _joined(telegrams: Sequence[Telegram]) -> Telegram:
    """One telegram of several that belong together; of a code that stands in two, the first counts."""
    first = telegrams[0]
    points: dict[str, TelegramPoint] = {}
    for telegram in telegrams:
        for point in telegram.points:
            points.setdefault(point.code, point)
    remarks = tuple(dict.fromkeys(remark for telegram in telegrams for remark in telegram.remarks))
    return Telegram(
        protocol=first.protocol,
        meter=first.meter,
        time_ms=next((telegram.time_ms for telegram in telegrams if telegram.time_ms is not None), None),
        points=tuple(points.values()),
        raw=b"".join(telegram.raw for telegram in telegrams),
        remarks=remarks,
    )


class AskedBus:
    """Implements ``gateway.reading.Bus``."""

    def __init__(self, name: str, asker: Asker, meters: Sequence[TelegramMeterSettings], clock: Clock) -> None:
        self._name = name
        self._asker = asker
        self._clock = clock
        self._turn = asyncio.Lock()
        self._meters = tuple(AskedMeter(meter, self) for meter in meters)

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._name

    @property
    def meters(self) -> Sequence[AskedMeter]:
        """See ``gateway.reading.Bus``."""
        return self._meters

    async def ask(self, meter: str) -> tuple[Sequence[Telegram], Moment]:
        """The telegrams of that meter, and when the last one came."""
        async with self._turn:
            telegrams = await self._asker.ask(meter)
            return telegrams, self._clock()

    async def close(self) -> None:
        """Releases the port after the question that is under way."""
        async with self._turn:
            self._asker.close()
