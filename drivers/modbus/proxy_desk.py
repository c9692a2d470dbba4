"""Who of a proxy's clients is served next, and what they are told: no sockets.

Clients take turns, one request each, in the order of their connections. One request is on its way to the bus at a time,
and its answer goes to nobody but who asked; it is not cut short when the client leaves.

A unit that was silent is not asked again for a pause that doubles from 2 to 60 s: each time-out is time that the line
is kept from everybody, and for as long as a late reply may come it must not be asked anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from drivers.modbus import proxy_frame
from drivers.modbus.bus import BusBusy
from drivers.modbus.frame import Request
from drivers.modbus.meter import GATEWAY_SILENT
from drivers.modbus.proxy_frame import BUSY, PATH_UNAVAILABLE, TARGET_SILENT, Header, Refusal
from drivers.modbus.transaction import NoReply
from gateway.errors import MeterProtocolError, MeterRefused, MeterUnavailable

#: The unit ids of meters.
UNITS = frozenset(range(1, 248))
SILENT_S_MIN, SILENT_S_MAX = 2.0, 60.0


class GuestBus(Protocol):
    """A bus that others may read from; ``drivers.modbus.bus.ModbusBus`` is one."""

    async def read_as_guest(self, unit: int, fc: int, address: int, count: int, patience_s: float) -> bytes:
        """Register contents. Raises BusBusy, NoReply, MeterRefused, MeterProtocolError or MeterUnavailable."""


class Client(Protocol):
    """Who asked."""

    def say(self, frame: bytes) -> None:
        """Sends *frame*, if the client is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much clients may ask for at once, and how much patience they meet."""

    clients: int = 8
    #: Requests of one client, and of all, that wait or are on their way.
    outstanding: int = 4
    queue: int = 16
    #: From the first byte of a frame to its last.
    frame_s: float = 5.0
    #: Between two frames; and how long a client must have been idle to make room for a new one.
    idle_s: float = 120.0
    yield_s: float = 10.0
    #: For the polls to leave time for a request.
    turn_s: float = 3.0


USUAL = Limits()


@dataclass(slots=True, kw_only=True)
class ProxyStatus:
    """What a proxy has done, for status."""

    name: str
    #: HOST:PORT while it listens.
    listening: str = ""
    clients: int = 0
    #: Connections refused because there were too many; ended for what they sent, did not send, or did not take.
    turned_away: int = 0
    cut_off: int = 0
    requests: int = 0
    answered: int = 0
    #: Answers by exception code.
    exceptions: dict[int, int] = field(default_factory=dict)


class Desk:
    """Takes requests for one bus and answers them. *units* are the unit ids that it offers."""

    def __init__(self, bus: GuestBus, units: frozenset[int], limits: Limits, status: ProxyStatus) -> None:
        self._bus = bus
        self._units = units
        self._limits = limits
        self._status = status
        #: Requests of each client that wait, in the order of the clients' turns.
        self._waiting: dict[Client, deque[tuple[Header, Request]]] = {}
        #: Whose request is on its way.
        self._served: Client | None = None
        self._wanted = asyncio.Event()
        #: Silent units: the pause, and until when it lasts.
        self._silent: dict[int, tuple[float, float]] = {}

    def outstanding(self, client: Client) -> int:
        """How many requests of *client* wait or are on their way."""
        return len(self._waiting.get(client, ())) + (client is self._served)

    def ask(self, client: Client, header: Header, pdu: bytes) -> bool:
        """Takes a request in, or refuses it at once, which is False."""
        self._status.requests += 1
        try:
            request = proxy_frame.parse_request(header.unit, pdu)
            self._require_room(client, request)
        except Refusal as error:
            self._refuse(client, header, pdu[0], error.code)
            return False
        self._waiting.setdefault(client, deque()).append((header, request))
        self._wanted.set()
        return True

    def forget(self, client: Client) -> None:
        """The client left: what it still waits for is not asked."""
        self._waiting.pop(client, None)

    async def serve(self) -> None:
        """Asks for one request after the other, until it is cancelled."""
        while True:
            await self._wanted.wait()
            if not self._waiting:
                self._wanted.clear()
                continue
            client, requests = next(iter(self._waiting.items()))
            header, request = requests.popleft()
            self._served = client
            try:
                await self._serve(client, header, request)
            finally:
                self._served = None
                # Behind all others, also those who came meanwhile.
                if self._waiting.pop(client, None):
                    self._waiting[client] = requests

    async def _serve(self, client: Client, header: Header, request: Request) -> None:
        try:
            registers = await self._read(request)
        except Refusal as error:
            self._refuse(client, header, request.fc, error.code)
        else:
            self._status.answered += 1
            client.say(proxy_frame.answer(header, request, registers))

    def _require_room(self, client: Client, request: Request) -> None:
        """Raises Refusal for what is not offered or not possible now."""
        if request.unit not in self._units:
            raise Refusal(PATH_UNAVAILABLE)
        self._require_voice(request.unit)
        everybody = sum(map(len, self._waiting.values())) + (self._served is not None)
        if self.outstanding(client) >= self._limits.outstanding or everybody >= self._limits.queue:
            raise Refusal(BUSY)

    def _require_voice(self, unit: int) -> None:
        if _now() < self._silent.get(unit, (0.0, 0.0))[1]:
            raise Refusal(TARGET_SILENT)

    async def _read(self, request: Request) -> bytes:
        """The registers. Raises Refusal."""
        self._require_voice(request.unit)
        try:
            registers = await self._bus.read_as_guest(
                request.unit, request.fc, request.address, request.count, self._limits.turn_s
            )
        except BusBusy as error:
            raise Refusal(BUSY) from error
        except NoReply as error:
            self._was_silent(request.unit)
            raise Refusal(TARGET_SILENT) from error
        except MeterRefused as error:
            if error.code in GATEWAY_SILENT:
                self._was_silent(request.unit)
            else:
                self._silent.pop(request.unit, None)
            raise Refusal(error.code) from error
        except MeterProtocolError as error:
            raise Refusal(TARGET_SILENT) from error  # garbled
        except MeterUnavailable as error:
            raise Refusal(PATH_UNAVAILABLE) from error
        self._silent.pop(request.unit, None)
        return registers

    def _was_silent(self, unit: int) -> None:
        pause_s = min(2 * self._silent.get(unit, (SILENT_S_MIN / 2, 0.0))[0], SILENT_S_MAX)
        self._silent[unit] = pause_s, _now() + pause_s

    def _refuse(self, client: Client, header: Header, fc: int, code: int) -> None:
        self._status.exceptions[code] = self._status.exceptions.get(code, 0) + 1
        client.say(proxy_frame.refusal(header, fc, code))


def _now() -> float:
    return asyncio.get_running_loop().time()
