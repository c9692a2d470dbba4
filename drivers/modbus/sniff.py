"""Modbus RTU as it is heard on a line: requests and replies in turn, for who sends a capture to support.

A capture has no gaps, so frames are found by their CRC: at each place the frames that could stand there are tried, a
reply to the request before first. Telegrams are replies to reads (functions 3 and 4) and exceptions; their points are
registers, ``fc4 0x0048`` and so on, one word each. Without its request a reply's registers have no addresses: they are
counted from ``+0``. Requests are told of in the reply that follows; one that nobody answered is broken.
"""

from __future__ import annotations

from drivers.crc16 import crc16
from drivers.modbus.frame import (
    EXCEPTION,
    EXCEPTION_TEXT,
    MAX_REGISTERS,
    MAX_RTU_FRAME,
    READ_FUNCTIONS,
    RTU_EXCEPTION_SIZE,
    RTU_REQUEST_SIZE,
    Request,
)
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.reading import Scaled

PROTOCOL = "modbus-rtu"
_NOISE_MAX = 4096
_CRC_SIZE = 2


class RtuSniffer:
    """A ``drivers.telegram.Decoder``."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._noise = bytearray()
        self._request: tuple[Request, bytes] | None = None

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        self._data += data
        return self._take(MAX_RTU_FRAME)

    def end(self) -> list[Telegram | BrokenTelegram]:
        """See ``drivers.telegram.Decoder``."""
        found = self._take(0)
        self._noise += self._data
        self._data.clear()
        return [*found, *self._unanswered(), *self._flushed()]

    def _take(self, keep: int) -> list[Telegram | BrokenTelegram]:
        """All frames that begin at least *keep* bytes before the end of what came."""
        found: list[Telegram | BrokenTelegram] = []
        while len(self._data) > keep:
            frame = self._frame()
            if frame is None:
                self._noise.append(self._data.pop(0))
                if len(self._noise) >= _NOISE_MAX:
                    found += self._flushed()
                continue
            del self._data[: len(frame)]
            found += self._flushed()
            if len(frame) == RTU_REQUEST_SIZE and _is_request(frame) and not self._answers(frame):
                found += self._unanswered()
                self._request = _request(frame), frame
            else:
                found.append(self._reply(frame))
        return found

    def _frame(self) -> bytes | None:
        """The frame at the beginning of what came, if there is one."""
        data = self._data
        fc = data[1] if len(data) > 1 else 0
        sizes = []
        if fc in READ_FUNCTIONS:
            reply = 3 + data[2] + _CRC_SIZE if len(data) > 2 and data[2] % 2 == 0 else 0
            fits = self._request is not None and len(data) > 2 and self._answers(bytes(data[:3]))
            sizes = [reply, RTU_REQUEST_SIZE] if fits else [RTU_REQUEST_SIZE, reply]
        elif fc & EXCEPTION and fc & ~EXCEPTION in READ_FUNCTIONS:
            sizes = [RTU_EXCEPTION_SIZE]
        for size in sizes:
            if RTU_EXCEPTION_SIZE <= size <= len(data) and crc16(bytes(data[:size])) == 0:
                return bytes(data[:size])
        return None

    def _answers(self, frame: bytes) -> bool:
        """Whether *frame* begins like the reply to the request before."""
        if self._request is None:
            return False
        request, _ = self._request
        return frame[:3] == bytes([request.unit, request.fc, 2 * request.count])

    def _reply(self, frame: bytes) -> Telegram | BrokenTelegram:
        request = self._request[0] if self._request and self._request[0].unit == frame[0] else None
        self._request = None
        if frame[1] & EXCEPTION:
            asked = f" to {request}" if request else ""
            meaning = EXCEPTION_TEXT.get(frame[2], "unknown")
            error = f"unit {frame[0]} answers{asked} with exception {frame[2]} ({meaning})"
            return BrokenTelegram(protocol=PROTOCOL, error=error, raw=frame)
        known = request is not None and self._fits(request, frame)
        start = request.address if request is not None and known else None
        words = [frame[at : at + 2] for at in range(3, len(frame) - _CRC_SIZE, 2)]
        remarks = () if known else ("its request was not heard, so the addresses of its registers are not known",)
        points = tuple(_point(frame[1], start, number, word) for number, word in enumerate(words))
        return Telegram(
            protocol=PROTOCOL, meter=f"unit {frame[0]}", time_ms=None, points=points, raw=frame, remarks=remarks
        )

    @staticmethod
    def _fits(request: Request, frame: bytes) -> bool:
        return frame[1] == request.fc and frame[2] == 2 * request.count

    def _unanswered(self) -> list[Telegram | BrokenTelegram]:
        if self._request is None:
            return []
        request, frame = self._request
        self._request = None
        return [BrokenTelegram(protocol=PROTOCOL, error=f"nobody answered {request}", raw=frame)]

    def _flushed(self) -> list[Telegram | BrokenTelegram]:
        if not self._noise:
            return []
        noise = bytes(self._noise)
        self._noise.clear()
        error = f"{len(noise)} bytes that are no frame: no CRC fits, from {noise[:8].hex(' ')} on"
        return [BrokenTelegram(protocol=PROTOCOL, error=error, raw=noise[:_NOISE_MAX])]


def _is_request(frame: bytes) -> bool:
    count = int.from_bytes(frame[4:6], "big")
    return 1 <= count <= MAX_REGISTERS and int.from_bytes(frame[2:4], "big") + count <= 0x10000


def _request(frame: bytes) -> Request:
    address, count = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
    return Request(unit=frame[0], fc=frame[1], address=address, count=count)


def _point(fc: int, start: int | None, number: int, word: bytes) -> TelegramPoint:
    place = f"+{number}" if start is None else f"0x{start + number:04x}"
    value = Scaled(mantissa=int.from_bytes(word, "big"), exponent=0)
    return TelegramPoint(code=f"fc{fc} {place}", unit="", value=value, raw=word)
