"""One request, one reply: what the two kinds of Modbus line have in common.

Time-outs are computed: the time that request and expected reply need on the wire, plus the time that the meter may
take to think (``delay_s``). A time-out set in the config replaces the sum.

A garbled exchange is repeated once, because noise is short; a time-out is not, because a dead meter is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.modbus.frame import RTU_REQUEST_SIZE, BadReply, Request
from drivers.transport import Link, LinkLost, SerialSettings
from gateway.errors import MeterUnavailable

#: MBAP or serial line, a network adds this much at most to a healthy exchange.
NETWORK_S = 0.2
#: How long a reply that has begun may pause: USB adapters hand bytes over every 16 ms, a busy host later.
STALL_S = 0.05


class NoReply(MeterUnavailable):
    """The meter did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a meter answered."""

    #: Register contents, big-endian, two bytes a register.
    registers: bytes
    #: How long the meter took, without the time on the wire.
    delay_s: float


class Line(Protocol):
    """A bus that carries one exchange at a time; the caller takes turns."""

    async def exchange(self, request: Request, delay_s: float) -> Reply:
        """The answer to *request* of a meter that thinks for up to *delay_s*.

        Raises NoReply, BadReply (after which the line is silent or closed), MeterRefused, or LinkLost.
        """

    def close(self) -> None:
        """Releases the port; the next exchange opens it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things take on one line, in seconds."""

    #: One character on the serial line.
    char_s: float
    #: Silence between frames: 3.5 characters, 1.75 ms above 19200 baud (serial line section 2.5.1.1).
    silence_s: float
    #: How long a reply that has begun may pause.
    stall_s: float
    #: Bytes arrive no faster than the line carries them: one may sleep until most are here.
    paced: bool
    #: Replaces the computed time-out.
    timeout_s: float | None
    #: The latest that a reply may begin after the moment it was due.
    late_s: float

    @classmethod
    def serial(cls, settings: SerialSettings, timeout_ms: int | None, late_ms: int, *, network: bool = False) -> Timing:
        """The timing of a serial line, or of one behind a network."""
        char_s = settings.bits_per_char / settings.baud
        return cls(
            char_s=char_s,
            silence_s=3.5 * char_s if settings.baud <= 19200 else 0.00175,
            stall_s=max(STALL_S, 3.5 * char_s) + (NETWORK_S if network else 0),
            paced=not network,
            timeout_s=None if timeout_ms is None else timeout_ms / 1000,
            late_s=late_ms / 1000 + (NETWORK_S if network else 0),
        )

    def wire_s(self, request: Request) -> float:
        """What *request* and its reply occupy the line for, without the meter's thinking and the silences."""
        return (RTU_REQUEST_SIZE + request.rtu_reply_size) * self.char_s

    def reply_timeout_s(self, request: Request, delay_s: float) -> float:
        """How long after sending the reply may take to begin and end."""
        return self.timeout_s or self.wire_s(request) + delay_s + self.stall_s

    def nap_s(self, missing: int) -> float:
        """How long one may sleep while *missing* bytes of a reply arrive: less than they need, by two milliseconds."""
        return missing * self.char_s - 0.002 if self.paced else 0.0


async def reopening(link: Link, exchange: Callable[[], Awaitable[Reply]]) -> Reply:
    """What *exchange* returns; tried once more when a link that had been open turns out to be gone.

    Servers close idle connections, and nobody looks until the next request.
    """
    reused = link.is_open
    try:
        return await exchange()
    except LinkLost:
        if not reused:
            raise
    return await exchange()


async def ask(line: Line, request: Request, delay_s: float) -> Reply:
    """The answer to *request*; a garbled reply is asked for once more. Raises as ``Line.exchange``."""
    try:
        return await line.exchange(request, delay_s)
    except BadReply:
        return await line.exchange(request, delay_s)
