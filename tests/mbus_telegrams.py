"""M-Bus telegrams built byte by byte, for the tests of the decoder and of the simulated bus."""

from __future__ import annotations

from drivers.mbus.decoder import MbusDecoder
from drivers.mbus.frame import long
from drivers.mbus.header import maker
from drivers.telegram import Telegram, TelegramPoint

#: EN 13757-3:2004, annex E, and the manuals of meters: an electricity and a water meter.
ENERGY = bytes.fromhex("04 03 39 30 00 00")
VOLUME = bytes.fromhex("0C 13 78 56 34 12")


def header(
    id_: str = "12345678", maker_: str = "ELS", version: int = 1, medium: int = 7, access: int = 0, status: int = 0
) -> bytes:
    """A long header."""
    names = bytes.fromhex(id_)[::-1] + maker(maker_).to_bytes(2, "little")
    return names + bytes((version, medium, access, status, 0, 0))


def telegram(*records: bytes | str, address: int = 1, ci: int = 0x72, head: bytes | None = None) -> bytes:
    """A meter's answer with these records, as bytes or hex digits."""
    body = b"".join(bytes.fromhex(record) if isinstance(record, str) else record for record in records)
    return long(0x08, address, ci, (header() if head is None else head) + body)


def only(*records: bytes | str, ci: int = 0x72, head: bytes | None = None) -> Telegram:
    """The one telegram that a decoder, told the zone, makes of these records."""
    decoder = MbusDecoder(zone_min=60)
    found = decoder.feed(telegram(*records, ci=ci, head=head)) + decoder.end()
    assert len(found) == 1
    assert isinstance(found[0], Telegram), found
    return found[0]


def told(point: TelegramPoint) -> str:
    """Its value or its text."""
    return point.text if point.value is None else str(point.value)


def repaired(frame: bytes) -> bytes:
    """The frame with lengths, checksum and stop byte that fit."""
    body = frame[4:-2][:255]
    if not frame.startswith(b"\x68") or len(body) < 3:
        return frame
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) & 0xFF, 0x16))
