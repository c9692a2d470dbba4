"""One request of a master, and what of the bytes that came back is its answer (EN 13757-2, section 5.7). Pure.

The bytes may begin with the request itself, since some level converters repeat what they send, and with noise, since
the line wakes up. Then

- a request for an acknowledgement wants E5 and nothing else;
- a request for data wants a long frame of a meter that is the one asked: its primary address, or the secondary one in
  its header. Anybody else's frame is refused, however good it is. E5 alone means that the meter has no data.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.mbus.address import ANY, SELECTED, Address, Primary
from drivers.mbus.decoder import read_header
from drivers.mbus.fixed import FIXED_SIZE, fixed
from drivers.mbus.frame import (
    ACK,
    FCB,
    FRAME_SIZE_MAX,
    FROM_MASTER,
    REQ_UD2,
    SND_NKE,
    SND_UD,
    Ack,
    Long,
    cut,
    long,
    short,
)
from drivers.mbus.header import FIXED, HIGHEST_FIRST
from drivers.mbus.record import BadRecord
from gateway.errors import MeterProtocolError, MeterUnavailable

_SELECT, _APPLICATION_RESET = 0x52, 0x50
#: CI fields that switch the baud rate (EN 13757-7).
BAUD_CODES = {300: 0xB8, 600: 0xB9, 1200: 0xBA, 2400: 0xBB, 4800: 0xBC, 9600: 0xBD, 19200: 0xBE, 38400: 0xBF}


class NoReply(MeterUnavailable):
    """The meter did not answer in time, or has nothing to say."""


class BadReply(MeterProtocolError):  # noqa: N818  (a finding about bytes, named as such)
    """Bytes that are no answer to what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, and from whom an answer is wanted."""

    frame: bytes
    #: Who is asked, for messages and to check the answer.
    meter: Address
    #: Wants a frame with data, else an acknowledgement.
    wants_data: bool = False

    def __str__(self) -> str:
        return f"{self.meter}"

    def judge(self, received: bytes) -> Ack | Long | int:
        """The answer in *received*, or how many bytes are missing at least. Raises BadReply."""
        if len(received) < len(self.frame) and self.frame.startswith(received):
            return len(self.frame) - len(received) + 1
        at = len(self.frame) if received.startswith(self.frame) else 0
        if at == len(received):
            return 1
        return self._data(received, at) if self.wants_data else self._ack(received[at:])

    def _ack(self, answer: bytes) -> Ack:
        if answer == ACK:
            return Ack()
        raise BadReply(f"{self}: {answer[:16].hex(' ')} instead of an acknowledgement")

    def _data(self, received: bytes, at: int) -> Long | int:
        missing = 9
        while (at := received.find(b"\x68", at)) >= 0:
            found = cut(received, at)
            if isinstance(found, Long) and not found.control & FROM_MASTER:
                self._check(found)
                return found
            if isinstance(found, int):
                missing = found
                break
            at += 1
        if len(received) > 2 * FRAME_SIZE_MAX:
            raise BadReply(f"{self}: {len(received)} bytes and no frame")
        return missing

    def gave_up(self, received: bytes) -> MeterUnavailable | BadReply:
        """What to raise when nothing more comes."""
        answer = received.removeprefix(self.frame)
        if not answer:
            return NoReply(f"{self}: no answer; check address, wiring and baud rate")
        if answer == ACK:
            return NoReply(f"{self}: the meter has no data")
        return BadReply(f"{self}: {len(answer)} bytes that are no frame: {answer[:16].hex(' ')}")

    def _check(self, frame: Long) -> None:
        """Raises BadReply unless the frame is from the meter that was asked."""
        if isinstance(self.meter, Primary):
            if self.meter.number not in (frame.address, ANY):
                raise BadReply(f"{self}: meter {frame.address} answered")
            return
        sender = identity(frame)
        if not self.meter.fits(sender):
            raise BadReply(f"{self}: {f'meter {sender}' if sender else 'a meter without identification'} answered")


def identity(frame: Long) -> str:
    """The secondary address that *frame* tells; empty where it tells none."""
    if frame.ci in FIXED and len(frame.data) == FIXED_SIZE:
        told = fixed(frame.data, highest_first=frame.ci in HIGHEST_FIRST)
        return f"{told.id}FFFFFF{told.medium:02X}"
    try:
        header, _ = read_header(frame)
    except BadRecord:
        return ""
    return header.secondary if header else ""


def _number(meter: Address) -> int:
    return meter.number if isinstance(meter, Primary) else SELECTED


def reset(meter: Address) -> Request:
    """SND_NKE: the next request has FCB 1; a selected meter is not selected any more."""
    return Request(frame=short(SND_NKE, _number(meter)), meter=meter)


def data(meter: Address, fcb: int) -> Request:
    """REQ_UD2 with FCB 0 or 1."""
    return Request(frame=short(REQ_UD2 | (FCB if fcb else 0), _number(meter)), meter=meter, wants_data=True)


def select(meter: Address) -> Request:
    """SND_UD to 253: from now on the meters that fit are the selected ones, and nobody else is."""
    assert not isinstance(meter, Primary), "a primary address needs no selection"
    return Request(frame=long(SND_UD, SELECTED, _SELECT, meter.selection), meter=meter)


def application_reset(meter: Address, subcode: int | None = None) -> Request:
    """Starts with the first telegram again; *subcode* chooses which ones are sent (EN 13757-3, annex)."""
    content = b"" if subcode is None else bytes((subcode,))
    return Request(frame=long(SND_UD, _number(meter), _APPLICATION_RESET, content), meter=meter)


def switch_baud(meter: Address, baud: int) -> Request:
    """The meter acknowledges at the old rate and then listens at the new one. Raises KeyError for an unknown rate."""
    return Request(frame=long(SND_UD, _number(meter), BAUD_CODES[baud]), meter=meter)
