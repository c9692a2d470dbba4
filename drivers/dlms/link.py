"""How APDUs get to a meter and back, without any I/O: over HDLC (IEC 62056-46) or over the TCP wrapper (62056-47).

Both take what ``framing.Scanner`` finds and say what to do next. HDLC as a client does it:

    closed --SNRM--> opening --UA--> open --DISC--> closing --UA or DM--> closed

- SNRM and UA agree on the longest information of a frame each way, and on a window. This client sends one frame at a
  time (window 1), and takes as many as the meter sends before it wants an answer.
- An I-frame carries N(S), its own number, and N(R), the number of the next one expected; all count to 7 and start
  again. A frame that was seen before is left aside, so a repeated or late one does no harm.
- A frame with the poll bit wants an answer: the next part of a long APDU, or RR ("receiver ready").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from drivers.dlms import hdlc, wrapper
from drivers.dlms.assembly import MESSAGE_MAX
from drivers.dlms.framing import Scanner, Unit
from gateway.errors import MeterProtocolError

SNRM, DISC, UA, DM, FRMR, RR, RNR = 0x83, 0x43, 0x63, 0x0F, 0x87, 0x01, 0x05
POLL = 0x10
_DEFAULT_INFORMATION = 128
#: What a frame holds at most, less a header with the longest addresses.
INFORMATION_MAX = 2030


class LinkRefused(MeterProtocolError):  # noqa: N818  (named by what came)
    """The meter does not take part: it is disconnected, or rejects a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to do after a frame."""

    #: To be sent now; empty for nothing.
    send: bytes = b""
    #: A whole APDU came.
    apdu: bytes | None = None
    #: The link opened or closed.
    turned: bool = False


class DataLink(Protocol):
    """One link to one meter."""

    def scanner(self) -> Scanner:
        """A new scanner for what the port brings."""

    def open(self) -> bytes:
        """What opens the link; empty where nothing is needed."""

    def send(self, apdu: bytes) -> bytes:
        """The first bytes to send of *apdu*; ``take`` gives what follows."""

    def take(self, unit: Unit) -> Next:
        """What follows from a frame. Raises LinkRefused."""

    def repeat(self) -> bytes:
        """What to send again when no answer came; empty where repeating would do harm."""

    def close(self) -> bytes:
        """What closes the link; empty where nothing is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrapperLink:
    """Over TCP. A frame from another port is left aside."""

    client: int = 16
    server: int = 1

    def scanner(self) -> Scanner:
        """See ``DataLink``."""
        return Scanner({wrapper.FIRST_BYTE: wrapper.find})

    def open(self) -> bytes:
        """See ``DataLink``."""
        return b""

    def send(self, apdu: bytes) -> bytes:
        """See ``DataLink``."""
        return wrapper.build(self.client, self.server, apdu)

    def take(self, unit: Unit) -> Next:
        """See ``DataLink``."""
        ports = int.from_bytes(unit.source, "big"), int.from_bytes(unit.destination, "big")
        return Next(apdu=unit.data) if ports == (self.server, self.client) else Next()

    def repeat(self) -> bytes:
        """See ``DataLink``."""
        return b""  # TCP repeats on its own; a second request would get a second reply

    def close(self) -> bytes:
        """See ``DataLink``."""
        return b""


class _State(Enum):
    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


class HdlcLink:
    """Over a serial line, or a TCP connection to one."""

    def __init__(self, client: int = 16, server: bytes = b"\x03", information_max: int = 1024, window: int = 1) -> None:
        """*server* is the meter's address as ``hdlc.address`` makes it.

        Raises ValueError for an information that does not fit a frame, or a window that is none.
        """
        if not 32 <= information_max <= INFORMATION_MAX or not 1 <= window <= 7:
            raise ValueError(
                f"information of {information_max} bytes, window {window}: 32 to 2030, and 1 to 7 are possible"
            )
        self._client, self._server = hdlc.address(client), server
        self._information_max, self._window = information_max, window
        self._state = _State.CLOSED
        #: Longest information that the meter takes.
        self.send_max = _DEFAULT_INFORMATION
        self._sent = self._received = 0
        self._rest = b""
        self._parts = bytearray()
        self._last = b""

    def scanner(self) -> Scanner:
        """See ``DataLink``."""
        return Scanner({hdlc.FLAG: hdlc.find})

    def open(self) -> bytes:
        """See ``DataLink``."""
        self._state, self._sent, self._received = _State.OPENING, 0, 0
        self._rest, self._parts = b"", bytearray()
        sizes = [(5, self._information_max), (6, self._information_max)]
        windows = [(7, self._window), (8, self._window)]
        limits = b"".join(bytes([code, 2]) + value.to_bytes(2, "big") for code, value in sizes)
        limits += b"".join(bytes([code, 4]) + value.to_bytes(4, "big") for code, value in windows)
        return self._frame(SNRM | POLL, bytes([0x81, 0x80, len(limits)]) + limits)

    def send(self, apdu: bytes) -> bytes:
        """See ``DataLink``."""
        self._rest, self._parts = hdlc.LLC_COMMAND + apdu, bytearray()
        return self._next_part()

    def take(self, unit: Unit) -> Next:
        """See ``DataLink``."""
        if (unit.destination, unit.source) != (self._client, self._server):
            return Next()
        control = unit.control & ~POLL
        if self._state is _State.OPENING:
            return self._opening(control, unit)
        if self._state is _State.CLOSING:
            return self._closing(control)
        if control in (DM, FRMR):
            self._state = _State.CLOSED
            raise LinkRefused("the meter is disconnected" if control == DM else "the meter rejects a frame (FRMR)")
        if not control & 1:
            return self._information(unit)
        if control & 0x0F in (RR, RNR):
            return self._acknowledged(control)
        return Next()

    def repeat(self) -> bytes:
        """See ``DataLink``."""
        return self._last

    def close(self) -> bytes:
        """See ``DataLink``."""
        self._state = _State.CLOSING
        return self._frame(DISC | POLL)

    def _opening(self, control: int, unit: Unit) -> Next:
        if control == UA:
            self.send_max = min(self._information_max, _limit(unit.data, 6))
            self._state = _State.OPEN
            return Next(turned=True)
        if control == DM:
            raise LinkRefused("the meter does not open the link (DM); check the addresses")
        return Next()  # of the time before: the answer is still to come

    def _closing(self, control: int) -> Next:
        if control not in (UA, DM):
            return Next()
        self._state = _State.CLOSED
        return Next(turned=True)

    def _information(self, unit: Unit) -> Next:
        if unit.control >> 1 & 7 != self._received:
            return self._again(unit)
        self._received = (self._received + 1) & 7
        if unit.opens:
            self._parts = bytearray()
        self._parts += unit.data
        if len(self._parts) > MESSAGE_MAX + 64:
            raise LinkRefused(f"an APDU of more than {MESSAGE_MAX} bytes")
        if not unit.more:
            apdu, self._parts = bytes(self._parts), bytearray()
            return Next(apdu=apdu)
        return Next(send=self._ready()) if unit.control & POLL else Next()

    def _again(self, unit: Unit) -> Next:
        """A frame that came before, or one behind a lost one: where the meter waits, it is told what is wanted."""
        return Next(send=self._ready()) if unit.control & POLL and unit.more else Next()

    def _acknowledged(self, control: int) -> Next:
        if self._rest and control >> 5 == self._sent and control & 0x0F == RR:
            return Next(send=self._next_part())
        return Next()

    def _next_part(self) -> bytes:
        part, self._rest = self._rest[: self.send_max], self._rest[self.send_max :]
        control = self._received << 5 | POLL | self._sent << 1
        self._sent = (self._sent + 1) & 7
        return self._frame(control, part, segmented=bool(self._rest))

    def _ready(self) -> bytes:
        return self._frame(self._received << 5 | POLL | RR)

    def _frame(self, control: int, information: bytes = b"", *, segmented: bool = False) -> bytes:
        self._last = hdlc.build(self._server, self._client, control, information, segmented=segmented)
        return self._last


def _limit(information: bytes, wanted: int) -> int:
    """One limit of a UA: what the meter receives at most is code 6."""
    at = 3
    while at + 2 <= len(information):
        code, size = information[at], information[at + 1]
        if code == wanted:
            return int.from_bytes(information[at + 2 : at + 2 + size], "big") or _DEFAULT_INFORMATION
        at += 2 + size
    return _DEFAULT_INFORMATION
