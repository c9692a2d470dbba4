"""Asks a DLMS/COSEM meter: the port, the link and the association together, one request at a time.

A frame that comes garbled is as good as lost: after ``timeout_s`` the last one is sent again, ``repeats`` times, which
HDLC's frame numbers make harmless. When no reply comes at all, the association is given up and the next request opens
another one: so a reply that comes later belongs to none. A late reply within an association shows by its invoke id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.dlms import axdr
from drivers.dlms.acse import Agreed
from drivers.dlms.framing import Unit
from drivers.dlms.link import DataLink, Next
from drivers.dlms.service import Failure, Refused, Wanted
from drivers.dlms.session import Security, Session, State
from drivers.transport import Link
from gateway.errors import MeterProtocolError, MeterUnavailable

#: Late replies to earlier requests that are passed over before the one that is waited for.
_STALE_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a meter is waited for."""

    timeout_s: float = 3.0
    #: How often a frame without an answer is sent again.
    repeats: int = 2


class Client:
    """One meter behind one port. Its requests are made one after the other, in the order in which they come."""

    def __init__(self, name: str, port: Link, link: DataLink, security: Security, timing: Timing | None = None) -> None:
        self._name = name
        self._port = port
        self._link = link
        self._timing = timing or Timing()
        self._session = Session(security)
        self._scanner = link.scanner()
        self._units: deque[Unit] = deque()
        self._turn = asyncio.Lock()

    @property
    def name(self) -> str:
        """What messages call the meter."""
        return self._name

    @property
    def counter(self) -> int:
        """The next invocation counter; to be kept where there are keys."""
        return self._session.counter

    @property
    def agreed(self) -> Agreed | None:
        """What the meter agreed to in the first association; None while there was none."""
        return self._session.agreed

    async def get(self, wanted: Sequence[Wanted]) -> tuple[axdr.Datum | Failure, ...]:
        """The attributes, or why not, in order; opens port, link and association when they are not.

        Raises MeterUnavailable when no answer comes; MeterProtocolError, Refused among it, when it is no use.
        """
        async with self._turn:
            is_done = False
            try:
                await self._open()
                await self._exchange(self._session.get(wanted))
                is_done = True
            except (MeterUnavailable, MeterProtocolError) as error:
                if isinstance(error, Refused):
                    await self._hang_up()
                raise self._named(error) from error
            finally:
                # Also when it is cancelled: the reply that is still to come must find nobody.
                if not is_done:
                    self._give_up()
            return self._session.values

    async def close(self) -> None:
        """Ends association and link, as far as the meter answers, and releases the port."""
        async with self._turn:
            # Whatever fails here, or is cancelled: the port is released.
            try:
                with contextlib.suppress(MeterUnavailable, MeterProtocolError):
                    if self._session.state is State.OPEN and self._port.is_open:
                        await self._exchange(self._session.close())
                        await self._turn_link(self._link.close())
            finally:
                self._give_up()

    async def _hang_up(self) -> None:
        """Closes the link of a meter that refused: it takes no other client while it believes it open."""
        with contextlib.suppress(MeterUnavailable, MeterProtocolError):
            if self._port.is_open:
                await self._turn_link(self._link.close())

    def _named(self, error: MeterUnavailable | MeterProtocolError) -> MeterUnavailable | MeterProtocolError:
        text = f"{self._name}: {error}"
        return Refused(text, code=error.code) if isinstance(error, Refused) else type(error)(text)

    def _give_up(self) -> None:
        self._session.state = State.CLOSED
        self._scanner = self._link.scanner()
        self._units.clear()
        self._port.close()

    async def _open(self) -> None:
        if self._session.state is State.OPEN and self._port.is_open:
            return
        self._scanner = self._link.scanner()
        self._units.clear()
        await self._port.open()
        await self._turn_link(self._link.open())
        await self._exchange(self._session.open())

    async def _turn_link(self, data: bytes) -> None:
        """Opens or closes the link."""
        if data:
            self._port.send(data)
            while not (await self._answer()).turned:
                pass

    async def _exchange(self, apdu: bytes | None) -> None:
        """Sends a request and what it takes until the session has what it wants."""
        while apdu is not None:
            self._port.send(self._link.send(apdu))
            reply = await self._reply()
            for _ in range(_STALE_MAX):
                if not self._session.is_stale(reply):
                    break
                reply = await self._reply()
            apdu = self._session.take(reply)

    async def _reply(self) -> bytes:
        while True:
            found = await self._answer()
            if found.send:
                self._port.send(found.send)
            if found.apdu is not None:
                return found.apdu

    async def _answer(self) -> Next:
        """What follows from the next frame that is for this client."""
        for attempt in range(1 + self._timing.repeats):
            if attempt and self._link.repeat():
                self._port.send(self._link.repeat())
            deadline = asyncio.get_running_loop().time() + self._timing.timeout_s
            while (unit := await self._unit(deadline)) is not None:
                found = self._link.take(unit)
                if found != Next():
                    return found
            if not self._link.repeat():
                break
        raise MeterUnavailable("no answer in time; check address, wiring, baud rate, and what the meter allows")

    async def _unit(self, deadline: float) -> Unit | None:
        while not self._units:
            data = await self._port.receive(deadline)
            if not data:
                return None
            self._units += [found for found in self._scanner.feed(data) if isinstance(found, Unit)]
        return self._units.popleft()
