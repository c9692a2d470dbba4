"""A line of M-Bus meters on a serial port, or behind a TCP gateway that passes the bytes on.

The time-outs follow from the baud rate (EN 13757-2, section 5.5): an answer begins 11 to 330 bit times and 50 ms after
the request, and takes its length. A USB adapter, a busy host or a network add to that.

The rules that keep one meter's answer from being taken for another's:

1. A request goes out only into silence of 33 bit times; what arrives before it is thrown away.
2. Bytes that are not the answer are thrown away up to the next silence.
3. As long as an answer with data may still come (after a time-out or a cancelled read), nobody is asked.
4. On a serial port the kernel marks characters with wrong parity (termios(3): INPCK, PARMRK), and two zeros are put in
   their place: a frame that was hit is too long, where the sum over its bytes alone would let one in 256 pass; and
   meters that answer at once are not taken for silence.
"""

from __future__ import annotations

import asyncio
import termios
from dataclasses import dataclass

from drivers.door import Door
from drivers.mbus.exchange import BadReply, NoReply, Request
from drivers.mbus.frame import FRAME_SIZE_MAX, Ack, Long
from drivers.transport import Link, LinkLost, SerialLink, SerialSettings, TcpLink

BAUD = 2400
#: Start bit, eight data bits, even parity, one stop bit.
BITS_PER_CHAR = 11
_REPLY_BITS, _REPLY_S = 330, 0.05
_SILENCE_BITS = 33
#: USB adapters hand bytes over every 16 ms, a busy host later; a network takes its time.
_HOST_S, _NETWORK_S = 0.05, 0.2
#: A line that is never silent for this long is not M-Bus.
_BABBLE_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTiming:
    """How long things take on one line, in seconds."""

    char_s: float
    #: How long after the request an answer may begin.
    reply_s: float
    #: How long an answer that has begun may pause.
    stall_s: float
    #: Silence before a request.
    silence_s: float
    #: How much later than allowed an answer may still come.
    late_s: float

    @classmethod
    def at(cls, baud: int, *, network: bool = False, reply_ms: int | None = None, late_ms: int = 300) -> LineTiming:
        """The timing at *baud*. *reply_ms* replaces what the standard allows a meter to think."""
        extra_s = _HOST_S + (_NETWORK_S if network else 0.0)
        think_s = _REPLY_BITS / baud + _REPLY_S if reply_ms is None else reply_ms / 1000
        return cls(
            char_s=BITS_PER_CHAR / baud,
            reply_s=think_s + extra_s,
            stall_s=_SILENCE_BITS / baud + extra_s,
            silence_s=_SILENCE_BITS / baud,
            late_s=late_ms / 1000 + (_NETWORK_S if network else 0.0),
        )


class ParitySerialLink(SerialLink):
    """A serial port on which a character with wrong parity is received as two zeros."""

    def __init__(self, settings: SerialSettings) -> None:
        super().__init__(settings)
        self._marked = b""

    async def open(self) -> None:
        """See ``drivers.transport.Link``."""
        await super().open()
        self._marked = b""
        try:
            settings = termios.tcgetattr(self.fd)
            settings[0] |= termios.INPCK | termios.PARMRK
            termios.tcsetattr(self.fd, termios.TCSANOW, settings)
        except termios.error as error:
            raise self._lost(error) from error

    async def receive(self, deadline: float) -> bytes:
        """See ``drivers.transport.Link``."""
        while data := await super().receive(deadline):
            plain, self._marked = unmarked(self._marked + data)
            if plain:
                return plain
        return b""


def unmarked(data: bytes) -> tuple[bytes, bytes]:
    """What the kernel's marks stand for, and the rest that is not complete: ``FF FF`` is FF, ``FF 00 x`` a bad x."""
    if b"\xff" not in data:
        return data, b""
    plain, at = bytearray(), 0
    while at < len(data):
        if data[at] != 0xFF:
            size, meant = 1, data[at : at + 1]
        elif data[at + 1 : at + 2] == b"\x00":
            size, meant = 3, b"\x00\x00"
        else:
            size, meant = 2, b"\xff"
        if at + size > len(data):
            break
        plain += meant
        at += size
    return bytes(plain), data[at:]


class Port:
    """One line, one exchange at a time: the caller takes turns."""

    def __init__(self, link: Link, timing: LineTiming) -> None:
        self._link = link
        self._door = Door(link)
        self._timing = timing
        #: When the line last carried a byte, and until when an answer may come that nobody waits for.
        self._heard = 0.0
        self._owed_until = 0.0

    def close(self) -> None:
        """Releases the port; the next exchange opens it again."""
        self._link.close()

    async def exchange(self, request: Request) -> Ack | Long:
        """The answer to *request*. Raises NoReply, BadReply, or LinkLost."""
        reused = self._link.is_open
        try:
            return await self._exchange(request)
        except LinkLost:
            if not reused:
                raise
        return await self._exchange(request)

    async def linger(self) -> bytes:
        """What comes behind an answer, within the time that another meter has to begin its own."""
        try:
            data = await self._hear(_now() + self._timing.reply_s)
            return data + await self._drain() if data else b""
        except NoReply as error:
            return str(error).encode()

    async def _exchange(self, request: Request) -> Ack | Long:
        await self._door.open()
        await self._settle()
        self._link.send(request.frame)
        now = _now()
        self._heard = now + len(request.frame) * self._timing.char_s
        latest = self._heard + self._timing.reply_s
        if request.wants_data:
            self._owed_until = latest + FRAME_SIZE_MAX * self._timing.char_s + self._timing.late_s
        try:
            answer = await self._receive(request, latest)
        except BadReply:
            await self._drain()
            raise
        self._owed_until = 0.0
        self._door.proved()
        return answer

    async def _receive(self, request: Request, latest: float) -> Ack | Long:
        received = b""
        deadline = latest
        while data := await self._hear(deadline):
            received += data
            judged = request.judge(received)
            if not isinstance(judged, int):
                return judged
            deadline = max(latest, self._heard + judged * self._timing.char_s + self._timing.stall_s)
        if request.wants_data:
            self._owed_until = min(self._owed_until, _now() + self._timing.late_s)
        raise request.gave_up(received)

    async def _hear(self, deadline: float) -> bytes:
        data = await self._link.receive(deadline)
        if data:
            self._heard = max(self._heard, _now())
        return data

    async def _drain(self) -> bytes:
        """All bytes until the line was silent for a stall. Raises NoReply when it never is."""
        stray = b""
        limit = _now() + _BABBLE_S
        while data := await self._hear(_now() + self._timing.stall_s):
            stray = (stray + data)[-FRAME_SIZE_MAX:]
            if _now() > limit:
                raise NoReply("the line is never silent; check wiring, level converter and baud rate")
        return stray

    async def _settle(self) -> None:
        """Returns when the line is silent and nobody owes an answer; what came meanwhile is thrown away."""
        while await self._hear(max(self._owed_until, self._heard + self._timing.silence_s)):
            await self._drain()
        self._owed_until = 0.0


def serial_port(device: str, baud: int = BAUD, *, reply_ms: int | None = None, late_ms: int = 300) -> Port:
    """The port of a level converter on *device*, 8E1."""
    settings = SerialSettings(device=device, baud=baud, parity="even", stop_bits=1)
    return Port(ParitySerialLink(settings), LineTiming.at(baud, reply_ms=reply_ms, late_ms=late_ms))


def tcp_port(host: str, port: int, baud: int = BAUD, *, reply_ms: int | None = None, late_ms: int = 300) -> Port:
    """The port of a gateway that passes bytes on; *baud* is the rate of the line behind it."""
    timing = LineTiming.at(baud, network=True, reply_ms=reply_ms, late_ms=late_ms)
    return Port(TcpLink(host, port), timing)


def _now() -> float:
    return asyncio.get_running_loop().time()
