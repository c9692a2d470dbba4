"""SML transport protocol, version 1: telegrams cut from a stream of bytes (BSI TR-03109-1, Anlage IV b, SML 1.04).

- A telegram is ``1b1b1b1b 01010101``, the payload, fill bytes (0 to 3 zeros), ``1b1b1b1b 1a``, the number of fill
  bytes, and two bytes of checksum over all before them, as sent.
- ``1b1b1b1b`` within the payload is sent twice. Any other sequence behind ``1b1b1b1b`` is an error here.
- The checksum is CRC-16/X-25 with its low byte first. The Holley DTZ541 sends CRC-16/KERMIT with its high byte first
  instead, in the telegram and in its messages; no other meter is known to send anything else.

After an error the search goes on behind the bytes that cannot be the start of a telegram: bytes that got lost cost
their telegram and no other. At most ``SIZE_MAX`` bytes are kept. What comes out does not depend on how the stream was
cut into pieces.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Literal

from drivers.telegram import BrokenTelegram

PROTOCOL = "sml"
#: A telegram is at most this long.
SIZE_MAX = 65_536
#: How much of what is broken is handed on, and how much noise is one piece of it.
RAW_MAX = 4096
_ESCAPE = b"\x1b" * 4
_START = _ESCAPE + b"\x01" * 4
_END = 0x1A
#: Start, and end with fill count and checksum.
_EDGE = 8

_MIRROR = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A CRC-16 with the reflected polynomial 0x1021, and how it travels."""

    name: str
    #: The register at the start, and what it is combined with at the end.
    start: int
    order: Literal["little", "big"]

    def of(self, data: bytes) -> bytes:
        """The checksum of *data*, as sent. ``binascii`` shifts the other way: bits are mirrored, there and back."""
        mirrored = binascii.crc_hqx(data.translate(_MIRROR), self.start)
        value = _MIRROR[mirrored & 0xFF] << 8 | _MIRROR[mirrored >> 8]
        return (value ^ self.start).to_bytes(2, self.order)


X25 = Checksum(name="CRC-16/X-25", start=0xFFFF, order="little")
KERMIT = Checksum(name="CRC-16/KERMIT", start=0, order="big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One telegram whose checksum is right."""

    #: Escapes undone, fill bytes cut off.
    payload: bytes
    raw: bytes
    #: Which checksum it was; its messages have the same.
    checksum: Checksum
    #: Where in *raw* an escape was undone.
    escapes: tuple[int, ...]

    def raw_offset(self, at: int) -> int:
        """Where byte *at* of the payload is in *raw*."""
        at += _EDGE
        for escape in self.escapes:
            at += 4 if escape + 4 <= at else 0
        return at


def broken(error: str, raw: bytes | bytearray) -> BrokenTelegram:
    """What is told of unusable bytes."""
    return BrokenTelegram(protocol=PROTOCOL, error=error, raw=bytes(raw[:RAW_MAX]))


class Transport:
    """Cuts a stream into frames; what is none is broken, in its place."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        #: How far the buffer was looked through.
        self._seen = 0
        self._escapes: list[int] = []

    def feed(self, data: bytes) -> list[Frame | BrokenTelegram]:
        """What is complete after *data* came. Never raises."""
        self._buffer += data
        found = []
        while (one := self._next()) is not None:
            found.append(one)
        return found

    def end(self) -> list[Frame | BrokenTelegram]:
        """What is left is broken: only the end sequence ends a telegram."""
        size, begun = len(self._buffer), self._buffer.startswith(_START)
        if not size:
            return []
        error = f"the stream ended within a telegram, {size} bytes behind its start" if begun else _noise(size)
        return [self._drop(size, error)]

    def _next(self) -> Frame | BrokenTelegram | None:
        if self._buffer.startswith(_START):
            return self._telegram()
        at = self._buffer.find(_START, self._seen)
        if at < 0:
            self._seen = max(0, len(self._buffer) - _EDGE + 1)
            if self._seen < RAW_MAX:
                return None
            at = RAW_MAX
        size = min(at, RAW_MAX)
        return self._drop(size, _noise(size))

    def _telegram(self) -> Frame | BrokenTelegram | None:
        """The telegram at the start of the buffer, once its end is there."""
        buffer = self._buffer
        while True:
            at = buffer.find(_ESCAPE, max(self._seen, _EDGE))
            self._seen = len(buffer) - len(_ESCAPE) + 1 if at < 0 else at
            if self._seen > SIZE_MAX - _EDGE:
                return self._drop(SIZE_MAX - _EDGE, f"no end within {SIZE_MAX} bytes")
            if at < 0 or len(buffer) < at + _EDGE:
                return None
            what = bytes(buffer[at + 4 : at + _EDGE])
            if what == _ESCAPE:
                self._escapes.append(at)
                self._seen = at + _EDGE
            elif what[0] == _END:
                return self._complete(at + _EDGE)
            elif what == _START[4:]:
                return self._drop(at, f"another telegram starts at offset {at}, and this one has no end")
            else:
                return self._drop(at + 1, f"escape sequence {what.hex()} at offset {at} is unknown")

    def _complete(self, size: int) -> Frame | BrokenTelegram:
        raw = bytes(self._buffer[:size])
        checksum = next((one for one in (X25, KERMIT) if one.of(raw[:-2]) == raw[-2:]), None)
        payload, fill = _unescaped(raw, self._escapes), raw[-3]
        if checksum is None:
            # Where bytes were lost these may be the first ones of the next start.
            return self._drop(
                len(raw.rstrip(b"\x1b")),
                f"checksum {raw[-2:].hex()} at offset {size - 2} should be {X25.of(raw[:-2]).hex()}",
            )
        if fill > 3 or payload[len(payload) - fill :].strip(b"\0"):
            return self._drop(size, f"{fill} fill bytes are told at offset {size - 3}: not 0 to 3 zeros")
        escapes = tuple(self._escapes)
        self._cut(size)
        return Frame(payload=payload[: len(payload) - fill], raw=raw, checksum=checksum, escapes=escapes)

    def _drop(self, size: int, error: str) -> BrokenTelegram:
        told = broken(error, self._buffer[:size])
        self._cut(size)
        return told

    def _cut(self, size: int) -> None:
        del self._buffer[:size]
        self._seen = 0
        self._escapes.clear()


def _noise(size: int) -> str:
    return f"{size} bytes at offset 0 belong to no telegram"


def _unescaped(raw: bytes, escapes: list[int]) -> bytes:
    stops = [at + 4 for at in escapes] + [len(raw) - _EDGE]
    starts = [_EDGE] + [at + _EDGE for at in escapes]
    return b"".join(raw[start:stop] for start, stop in zip(starts, stops, strict=True))
