"""Finds frames in a stream of bytes that may begin anywhere and hold anything, whatever the framing is.

A framing is a byte that every frame begins with, and a function (``Find``) that tells what stands there. It is asked
again when more bytes came, until it can tell. Where it finds no frame, the search goes on one byte further, so a false
start costs no frame behind it. What belongs to no frame is told as ``Noise``, in its place in the stream, in portions
that depend only on the bytes and never on the sizes of the pieces in which they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

#: Most bytes that one Noise holds.
NOISE_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One frame, its checksum (where the framing has one) found right."""

    #: The application layer's part of it.
    data: bytes
    #: All bytes, as they came.
    raw: bytes
    #: What *data* begins goes on in the next frame.
    more: bool = False
    #: *data* is the beginning of a message for sure.
    opens: bool = False
    #: Its place in the message, of a framing that counts the frames of one; else None.
    number: int | None = None
    #: HDLC only: its control byte and the addresses, as they came.
    control: int = 0
    destination: bytes = b""
    source: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Bytes that are no frame."""

    raw: bytes
    #: What is wrong with them, and where.
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A frame stands here."""

    unit: Unit
    #: Where it ends.
    stop: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """No frame stands here, and why not."""

    error: str


@dataclass(frozen=True, slots=True)
class Idle:
    """One byte of fill, which means nothing."""


@dataclass(frozen=True, slots=True)
class Wait:
    """More bytes are needed to tell; *fill* if, without any, it is one byte of fill."""

    fill: bool = False


Result: TypeAlias = Whole | Wrong | Idle | Wait
Find: TypeAlias = Callable[[bytearray, int], Result]


class Scanner:
    """Cuts a stream into frames and noise."""

    def __init__(self, framings: Mapping[int, Find]) -> None:
        self._framings = framings
        self._first = re.compile(b"[" + b"".join(re.escape(bytes([byte])) for byte in framings) + b"]")
        self._buffer = bytearray()
        self._noise = bytearray()
        self._error = ""

    def feed(self, data: bytes) -> list[Unit | Noise]:
        """What is complete after *data* came."""
        self._buffer += data
        return self._scan(final=False)

    def end(self) -> list[Unit | Noise]:
        """What is left when no more bytes come."""
        found = self._scan(final=True)
        return found + self._flush()

    def _scan(self, *, final: bool) -> list[Unit | Noise]:
        found: list[Unit | Noise] = []
        at, buffer = 0, self._buffer
        while at < len(buffer):
            find = self._framings.get(buffer[at])
            if find is None:
                match = self._first.search(buffer, at)
                stop = match.start() if match else len(buffer)
                found += self._drop(buffer[at:stop], "")
                at = stop
                continue
            result = find(buffer, at)
            if isinstance(result, Wait):
                if not final:
                    break
                result = Idle() if result.fill else Wrong("the frame is cut short")
            if isinstance(result, Whole):
                found += [*self._flush(), result.unit]
                at = result.stop
            else:
                found += self._drop(buffer[at : at + 1], result.error) if isinstance(result, Wrong) else []
                at += 1
        del buffer[:at]
        return found

    def _drop(self, data: bytearray, error: str) -> list[Unit | Noise]:
        """Adds to the noise, and tells it where it is much."""
        if error and not self._error:
            self._error = f"offset {len(self._noise)}: {error}"
        self._noise += data
        found: list[Unit | Noise] = []
        while len(self._noise) >= NOISE_MAX:
            found += self._tell(NOISE_MAX)
        return found

    def _flush(self) -> list[Unit | Noise]:
        return self._tell(len(self._noise)) if self._noise else []

    def _tell(self, size: int) -> list[Unit | Noise]:
        noise = Noise(raw=bytes(self._noise[:size]), error=self._error or f"no frame begins in these {size} bytes")
        del self._noise[:size]
        self._error = ""
        return [noise]
