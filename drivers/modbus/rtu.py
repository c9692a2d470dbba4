"""Modbus RTU as a master, on a serial port or through a TCP connection to one.

An RTU reply carries no number that ties it to its request, so a reply that comes late looks like the answer to the
request after it. The rules that keep a register's value from being taken for another's:

1. A request goes out only into silence of 3.5 characters; what arrives before it is thrown away.
2. The end of a reply is known from its length. A byte that does not fit makes all of it garbled; it is thrown away to
   the next silence.
3. As long as a unit may still owe a reply (after a time-out, a cancelled read, or garbled bytes that were not its
   reply), that unit is not asked: the line is listened to until the reply came or cannot come any more.
4. Other units may be asked meanwhile, since a reply names its unit: a late one can only spoil their exchange, which
   is then repeated. But once a unit was seen late, the line waits for it each time before anybody is asked.
"""

from __future__ import annotations

import asyncio

from drivers.door import Door
from drivers.modbus.frame import EXCEPTION, BadReply, Request, missing_rtu, parse_rtu, rtu_frame
from drivers.modbus.transaction import NoReply, Reply, Timing, reopening
from drivers.transport import Link
from gateway.errors import MeterRefused

#: A unit that was late is waited for during this time.
REMEMBER_LATE_S = 600.0
#: A line that is never silent for this long is not Modbus.
BABBLE_S = 2.0
#: Naps shorter than this are not worth a timer.
_NAP_S_MIN = 0.003


class RtuLine:
    """The master of one RTU line. Implements ``transaction.Line``."""

    def __init__(self, link: Link, timing: Timing) -> None:
        self._door = Door(link)
        self._link = link
        self._timing = timing
        #: When the line last carried a byte.
        self._heard = 0.0
        #: Units that may still owe a reply: the request, and until when.
        self._owing: dict[int, tuple[Request, float]] = {}
        #: Units that were late: when it happened last.
        self._late: dict[int, float] = {}

    def close(self) -> None:
        """Releases the port."""
        self._link.close()

    async def exchange(self, request: Request, delay_s: float) -> Reply:
        """See ``transaction.Line``."""
        return await reopening(self._link, lambda: self._exchange(request, delay_s))

    async def _exchange(self, request: Request, delay_s: float) -> Reply:
        await self._door.open()
        await self._await_owed(request.unit)
        await self._await_silence()
        deadline = self._send(request, delay_s)
        received = bytearray()
        sent = _now()
        try:
            await self._receive(request, deadline, received)
            registers = parse_rtu(request, bytes(received))
        except BadReply:
            await self._discard(request, received)
            raise
        except MeterRefused:
            self._settled(request.unit)
            raise
        self._settled(request.unit)
        return Reply(registers=registers, delay_s=self._heard - sent - self._timing.wire_s(request))

    def _send(self, request: Request, delay_s: float) -> float:
        """Sends *request*, from now on owed a reply, and returns its deadline."""
        frame = rtu_frame(request.unit, request.pdu)
        self._link.send(frame)
        now = _now()
        self._heard = now + len(frame) * self._timing.char_s
        deadline = now + self._timing.reply_timeout_s(request, delay_s)
        latest = self._heard + delay_s + self._timing.late_s + request.rtu_reply_size * self._timing.char_s
        self._owing[request.unit] = request, max(latest, deadline + self._timing.stall_s)
        return deadline

    def _settled(self, unit: int) -> None:
        self._owing.pop(unit, None)
        self._door.proved()

    async def _receive(self, request: Request, deadline: float, received: bytearray) -> None:
        """Takes one reply into *received*. Raises NoReply, or BadReply at the first byte that does not fit."""
        while missing := missing_rtu(request, received):
            if len(received) > 2 and self._timing.nap_s(missing) > _NAP_S_MIN:
                await asyncio.sleep(self._timing.nap_s(missing))
            data = await self._hear(deadline)
            if not data and not received:
                raise NoReply(f"{request}: no reply in time; check address, wiring and baud rate")
            if not data:
                raise BadReply(f"{request}: reply cut after {len(received)} bytes")
            received += data
            deadline = self._heard + missing * self._timing.char_s + self._timing.stall_s

    async def _hear(self, deadline: float) -> bytes:
        data = await self._link.receive(deadline)
        if data:
            self._heard = _now()
        return data

    async def _discard(self, request: Request, received: bytearray) -> None:
        """After garbled bytes: throws away all up to a silence, and finds out whether they were the reply."""
        received += await self._drain()
        header = bytes(received[:3])
        fits = header[:1] == bytes([request.unit]) and header[1:] in (
            bytes([request.fc, 2 * request.count]),
            *(bytes([request.fc | EXCEPTION, code]) for code in header[2:]),
        )
        alone = len(self._owing) == 1 and len(received) == request.rtu_reply_size
        if fits or alone:
            self._settled(request.unit)
        else:
            self._note_late(received, besides=request.unit)

    async def _drain(self) -> bytes:
        """All bytes until the line was silent for a stall. Raises NoReply when it never is: asking again is no use."""
        stray = bytearray()
        limit = _now() + BABBLE_S
        while data := await self._hear(_now() + self._timing.stall_s):
            stray += data
            if _now() > limit:
                raise NoReply(f"the line is never silent ({len(stray)} bytes): check wiring, termination, baud rate")
        return bytes(stray)

    async def _await_silence(self) -> None:
        """Returns when the line was silent for 3.5 characters; what came meanwhile is thrown away."""
        while stray := await self._hear(self._heard + self._timing.silence_s):
            stray += await self._drain()
            self._note_late(stray)

    def _note_late(self, stray: bytes | bytearray, besides: int = -1) -> None:
        """Learns from bytes that nobody waited for."""
        unit = stray[0] if stray else -1
        if unit in self._owing and unit != besides:
            self._late[unit] = _now()
            if _is_reply(self._owing[unit][0], bytes(stray)):
                del self._owing[unit]

    async def _await_owed(self, unit: int) -> None:
        """Listens until no reply can come that *unit*, or a unit known to be late, still owes."""
        while (until := self._owed_until(unit)) > _now():
            stray = await self._hear(until)
            if stray:
                self._note_late(stray + await self._drain())

    def _owed_until(self, unit: int) -> float:
        """Until when nobody may be asked; forgets debts and lateness that are over."""
        now = _now()
        self._owing = {owing: debt for owing, debt in self._owing.items() if debt[1] > now}
        self._late = {late: seen for late, seen in self._late.items() if now - seen < REMEMBER_LATE_S}
        waited_for = (debt[1] for owing, debt in self._owing.items() if owing == unit or owing in self._late)
        return max(waited_for, default=0.0)


def _is_reply(request: Request, frame: bytes) -> bool:
    """Whether *frame* is a reply to *request*, registers or refusal."""
    try:
        parse_rtu(request, frame)
    except MeterRefused:
        return True
    except BadReply:
        return False
    return True


def _now() -> float:
    return asyncio.get_running_loop().time()
