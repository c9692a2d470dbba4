"""The least DLMS meters, behind ports without any I/O, for tests."""

from __future__ import annotations

from collections.abc import Callable

from drivers.dlms import axdr, hdlc
from drivers.dlms.apdu import Attribute
from drivers.dlms.framing import Unit
from drivers.dlms.link import RR, UA
from drivers.dlms.service import Wanted
from drivers.dlms.session import Security
from tests.dlms_telegrams import KEYS

ENERGY = Wanted(attribute=Attribute(class_id=3, name=bytes.fromhex("0100010800ff"), attribute=2))
VALUE = axdr.integer(axdr.UINT32, 4711)
INITIATED = bytes.fromhex("0800065f1f04000010151fff0007")
SECURE = Security(keys=KEYS, title=b"CLIENT\x00\x01", counter=1)


def aare(result: int = 0, diagnostic: int = 0, initiate: bytes = INITIATED, title: bytes = b"") -> bytes:
    body = bytes.fromhex("a109060760857405080101 a20302 01") + bytes([result])
    body += bytes.fromhex("a305a1030201") + bytes([diagnostic])
    body += bytes([0xA4, len(title) + 2, 4, len(title)]) + title if title else b""
    return (
        bytes([0x61, len(body) + len(initiate) + 4])
        + body
        + bytes([0xBE, len(initiate) + 2, 4, len(initiate)])
        + initiate
    )


class Line:
    """A port whose far end is a function from a frame to the bytes that come back."""

    def __init__(self, meter: Callable[[bytes], bytes]) -> None:
        self._meter = meter
        self._waiting = b""
        self.is_open = False
        self.sent: list[bytes] = []

    async def open(self) -> None:
        self.is_open = True

    def send(self, data: bytes) -> None:
        assert self.is_open, "sends to a closed port"
        self.sent.append(data)
        self._waiting += self._meter(data)

    async def receive(self, deadline: float) -> bytes:
        found, self._waiting = self._waiting, b""
        return found

    def close(self) -> None:
        self.is_open = False
        self._waiting = b""


class HdlcMeter:
    """The least meter: one value, in frames of *size*; *spoil* changes what the line carries."""

    def __init__(self, size: int = 200, spoil: Callable[[int, bytes], bytes] | None = None) -> None:
        self.size = size
        self.spoil = spoil or (lambda place, frame: frame)
        self.count = 0
        self.requests: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        self.sent = self.received = 0
        self.rest = self.last = self.heard = b""

    def __call__(self, frame: bytes) -> bytes:
        found = hdlc.find(bytearray(frame), 0)
        unit: Unit = found.unit  # type: ignore[union-attr]
        answer = self.answer(unit)
        self.count += 1
        return self.spoil(self.count, answer)

    def frame(self, control: int, data: bytes = b"", *, more: bool = False) -> bytes:
        return hdlc.build(b"\x21", b"\x03", control, data, segmented=more)

    def answer(self, unit: Unit) -> bytes:
        control = unit.control & ~0x10
        if control == 0x83:
            self._reset()
            return self.frame(UA | 0x10, bytes.fromhex("81800c 050180 060180 070400000001".replace(" ", "")))
        if control == 0x43:
            return self.frame(UA | 0x10)
        if control & 1:
            if self.rest and unit.control >> 5 == self.sent:
                return self.part()
            return self.last
        if unit.control >> 1 & 7 != self.received:
            return self.last
        self.received = (self.received + 1) & 7
        self.heard += unit.data
        if unit.more:
            self.last = self.frame(self.received << 5 | 0x10 | RR)
            return self.last
        apdu, self.heard = self.heard, b""
        self.requests.append(apdu)
        self.rest = hdlc.LLC_RESPONSE + self.reply(apdu)
        return self.part()

    def part(self) -> bytes:
        data, self.rest = self.rest[: self.size], self.rest[self.size :]
        control = self.received << 5 | 0x10 | self.sent << 1
        self.sent = (self.sent + 1) & 7
        self.last = self.frame(control, data, more=bool(self.rest))
        return self.last

    def reply(self, apdu: bytes) -> bytes:
        if apdu[0] == 0x60:
            return aare()
        if apdu[0] == 0x62:
            return bytes.fromhex("6303800100")
        return bytes([0xC4, 1, apdu[2], 0]) + VALUE
