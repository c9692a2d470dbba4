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
import logging
from collections.abc import Callable, Sequence

from drivers.telegram import BrokenTelegram, Decoder, Telegram
from drivers.telegram_points import TelegramMeterSettings, TelegramPoints
from drivers.transport import Link
from gateway.errors import MeterUnavailable
from gateway.reading import Clock, MeterDescription, Moment, Reading

_log = logging.getLogger(__name__)
#: How long a read waits for a telegram. The slowest meters send every 10 seconds.
TIMEOUT_S = 15.0
#: How soon a port that is away is opened again.
REOPEN_S = 2.0


class StreamMeter:
    """Implements ``gateway.reading.Meter``."""

    def __init__(self, settings: TelegramMeterSettings, bus: StreamBus) -> None:
        self._settings = settings
        self._bus = bus
        self._newest: tuple[Telegram, Moment] | None = None
        self._arrived = asyncio.Condition()
        self._points = TelegramPoints(settings, bus.name)

    @property
    def description(self) -> MeterDescription:
        """See ``gateway.reading.Meter``; another one when the meter sends other points."""
        return self._points.description

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
        return self._points.reading(telegram, moment)


class StreamBus:
    """Implements ``gateway.reading.Bus`` over a link that is only listened to."""

    def __init__(
        self,
        name: str,
        link: Link,
        decoder: Callable[[], Decoder],
        meters: Sequence[TelegramMeterSettings],
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
