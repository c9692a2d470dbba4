"""What a decoder makes of the bytes of a meter that speaks in telegrams: values under OBIS codes, exactly as they came.

A decoder is pure: bytes in, telegrams out. It takes bytes as they arrive, in pieces of any size, finds the next
telegram after noise, and keeps at most so much as one telegram may be long. What it cannot use is a
``BrokenTelegram``, in its place in the stream, never silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gateway.reading import Scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramPoint:
    """One value of a telegram."""

    #: OBIS code ``A-B:C.D.E*F`` (IEC 62056-61; ``*F`` is left out where it is 255), or, of a protocol without OBIS
    #: codes, a name that is unique in the telegram, such as ``volume_t1``.
    code: str
    #: Unit symbol, such as ``Wh``; empty for a pure number or a text.
    unit: str
    #: None where the telegram has no number there, or says that it is invalid; *text* says what it has.
    value: Scaled | None
    #: The value's own bytes, as they came.
    raw: bytes
    #: A value that is a text, such as a serial number; empty for a number.
    text: str = ""
    #: The meter's own time of this value, Unix milliseconds; None where it has none.
    time_ms: int | None = None
    #: Why there is no value; empty where there is one.
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """One telegram, its checksums found right."""

    protocol: str
    #: Who sent it: a server id, serial number or address, in the protocol's usual notation; empty where none is told.
    meter: str
    #: The meter's own time, Unix milliseconds; None where it has none, or only counts seconds since it was powered.
    time_ms: int | None
    points: tuple[TelegramPoint, ...]
    #: All bytes, as they came.
    raw: bytes
    #: What is odd about it but harms no value, in words.
    remarks: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenTelegram:
    """Bytes that are none, or of a telegram whose checksum or structure is wrong."""

    protocol: str
    #: What is wrong, where (an offset in *raw*), and which value was found.
    error: str
    #: The bytes, at most 4,096 of them.
    raw: bytes


class Decoder(Protocol):
    """Takes a stream of bytes apart. The contract test is ``tests/contract_decoder.py``."""

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """What is complete after *data* came; keeps the rest. Never raises, whatever the bytes."""

    def end(self) -> list[Telegram | BrokenTelegram]:
        """The line went silent, or the file ended: what is left is broken, or a telegram that silence ends."""
