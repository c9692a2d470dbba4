"""The master of a line: reads meters by primary or secondary address (EN 13757-2, section 5.7; EN 13757-3, section 8).

A read is SND_NKE or, for a secondary address, the selection, then REQ_UD2 with FCB 1, 0, 1, … as long as the meter says
that more records follow. A request without a usable answer is sent again with the same FCB, twice at most; so a meter
that did answer sends the same telegram once more, and none is lost.

A telegram that is byte for byte one that this meter sent before, access number included, may be a copy that came late.
It is asked for once more; a meter that then sends it again means it, since some never count their access number.

No step here looks at the clock or at the line: that is the port's.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from drivers.mbus import exchange
from drivers.mbus.address import PRIMARY_MAX, SELECTED, Address, Primary, Secondary
from drivers.mbus.decoder import MORE_FOLLOW, MbusDecoder
from drivers.mbus.exchange import BadReply, NoReply, Request, identity
from drivers.mbus.frame import Ack, Long
from drivers.mbus.header import APPLICATION_ERROR
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import MeterProtocolError

#: EN 13757-2, section 5.7.4: after the first try.
REPEATS = 2
#: A search asks mostly for meters that are not there.
SEARCH_REPEATS = 1
TELEGRAMS_MAX = 32
#: Telegrams remembered of one meter, and meters of which any are.
_KNOWN_MAX, _METERS_MAX = 8, 512
_BUSY = b"\x08"


class Exchanging(Protocol):
    """What a master needs of a port."""

    async def exchange(self, request: Request) -> Ack | Long:
        """The answer to *request*. Raises NoReply, BadReply, or LinkLost."""

    async def linger(self) -> bytes:
        """What comes behind an answer, within the time that another meter has to begin its own."""

    def close(self) -> None:
        """Releases the port; the next exchange opens it again."""


class Master:
    """One line's only master. Its methods wait for each other."""

    def __init__(self, port: Exchanging, *, repeats: int = REPEATS, zone_min: int | None = None) -> None:
        self._port = port
        self._repeats = repeats
        self._decoder = MbusDecoder(zone_min=zone_min)
        self._turn = asyncio.Lock()
        #: The last telegrams of each meter.
        self._known: dict[str, tuple[bytes, ...]] = {}

    def close(self) -> None:
        """Releases the port."""
        self._port.close()

    async def read(self, meter: Address) -> tuple[Telegram, ...]:
        """All telegrams of one meter, in its order, one at least.

        Raises NoReply (MeterUnavailable), BadReply or another MeterProtocolError, or LinkLost. A meter that fails in
        the middle has no telegrams: half of its values would look like all of them.
        """
        async with self._turn:
            await self._begin(meter)
            telegrams: list[Telegram] = []
            while len(telegrams) < TELEGRAMS_MAX:
                before = telegrams[-1] if telegrams else None
                telegram = await self._telegram(meter, (len(telegrams) + 1) & 1, before)
                if before is not None and telegram.raw == before.raw:
                    break
                telegrams.append(telegram)
                if MORE_FOLLOW not in telegram.remarks:
                    break
            return tuple(telegrams)

    async def _begin(self, meter: Address) -> None:
        """Makes FCB 1 the next one, and selects a meter by its secondary address."""
        request = exchange.select(meter) if isinstance(meter, Secondary) else exchange.reset(meter)
        await self._repeated(request, self._repeats)

    async def _forget(self) -> None:
        """Deselects whoever is selected; nobody need be."""
        try:
            await self._port.exchange(exchange.reset(Primary(number=SELECTED)))
        except (NoReply, BadReply):
            return

    async def _telegram(self, meter: Address, fcb: int, before: Telegram | None) -> Telegram:
        """The telegram that *fcb* asks for; one that is known already only if the meter insists."""
        request = exchange.data(meter, fcb)
        refused = b""
        for left in reversed(range(self._repeats + 1)):
            try:
                frame = await self._port.exchange(request)
                assert isinstance(frame, Long), "wanted data"
                telegram = self._checked(request, frame, before)
            except (NoReply, BadReply):
                if not left:
                    raise
                continue
            known = self._known.get(telegram.meter, ())
            if telegram.raw not in known or telegram.raw == refused or not left:
                self._know(telegram, known)
                return telegram
            refused = telegram.raw
        raise AssertionError("the last try returns or raises")

    def _know(self, telegram: Telegram, known: tuple[bytes, ...]) -> None:
        if len(self._known) >= _METERS_MAX:
            self._known.clear()
        self._known[telegram.meter] = (*known, telegram.raw)[-_KNOWN_MAX:]

    def _checked(self, request: Request, frame: Long, before: Telegram | None) -> Telegram:
        """What the frame says. Raises BadReply, NoReply when the meter is busy, MeterProtocolError when it refuses."""
        telegram = self._decoder.telegram(frame)
        if isinstance(telegram, BrokenTelegram):
            raise BadReply(f"{request}: {telegram.error}")
        if frame.ci == APPLICATION_ERROR:
            message = f"{request}: {telegram.points[0].fault}"
            raise NoReply(message) if frame.data == _BUSY else MeterProtocolError(message)
        if before is not None and telegram.meter != before.meter:
            raise BadReply(f"{request}: {telegram.meter} answered in the middle of {before.meter}")
        return telegram

    async def _repeated(self, request: Request, repeats: int) -> None:
        for left in reversed(range(repeats + 1)):
            try:
                await self._port.exchange(request)
            except (NoReply, BadReply):
                if not left:
                    raise
            else:
                return

    async def reset(self, meter: Address) -> None:
        """SND_NKE. Raises as ``read``."""
        async with self._turn:
            await self._begin(meter)

    async def application_reset(self, meter: Address, subcode: int | None = None) -> None:
        """Back to the first telegram, or to those that *subcode* names. Raises as ``read``."""
        async with self._turn:
            await self._begin(meter)
            await self._repeated(exchange.application_reset(meter, subcode), self._repeats)

    async def switch_baud(self, meter: Address, baud: int) -> None:
        """The meter changes its rate; the caller opens a port at the new one. Raises as ``read``."""
        async with self._turn:
            await self._begin(meter)
            await self._repeated(exchange.switch_baud(meter, baud), self._repeats)

    async def is_there(self, number: int) -> bool:
        """Whether somebody answers at that primary address, or several do."""
        async with self._turn:
            try:
                await self._repeated(exchange.reset(Primary(number=number)), SEARCH_REPEATS)
            except NoReply:
                return False
            except BadReply:
                return True
            return True

    async def scan(self, first: int = 0, last: int = PRIMARY_MAX) -> tuple[int, ...]:
        """The primary addresses that somebody answers at, of a range."""
        return tuple([number for number in range(first, last + 1) if await self.is_there(number)])

    async def probe(self, pattern: Secondary) -> str | None:
        """Who fits *pattern*: None for nobody, the secondary address of the only one, or empty for several."""
        async with self._turn:
            try:
                await self._repeated(exchange.select(pattern), SEARCH_REPEATS)
            except NoReply:
                return None
            except BadReply:
                return ""
            for _ in range(SEARCH_REPEATS + 1):
                try:
                    frame = await self._port.exchange(exchange.data(pattern, 1))
                except (NoReply, BadReply):
                    continue
                assert isinstance(frame, Long), "wanted data"
                return "" if await self._port.linger() else identity(frame)
            return ""

    async def release(self) -> None:
        """Deselects whoever is selected."""
        async with self._turn:
            await self._forget()
