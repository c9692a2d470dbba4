"""What stands before the records of a meter's answer (EN 13757-3, sections 6 and 7; EN 13757-7 for the CI field).

=======  ==========================================================================================================
CI       what follows
=======  ==========================================================================================================
72, 76   long header, 12 bytes: identification (8 BCD digits), manufacturer (2), version, medium, access number,
         status, signature or configuration (2); then records
7A, 7E   short header: access number, status, configuration (2); then records
78, 7C   records at once
73, 77   fixed structure (``fixed.py``)
70       application error: none or one byte of reason
71       alarm: one byte of state
=======  ==========================================================================================================

Multi-byte fields come with the lowest byte first; CI fields with bit 2 set (76, 77, 7C, 7E) have the highest first.
A manufacturer is three letters of five bits each. The secondary address of a meter is its identification,
manufacturer, version and medium, usually written as those eight bytes in the order of the long header.
"""

from __future__ import annotations

from dataclasses import dataclass

LONG_HEADER = frozenset((0x72, 0x76))
SHORT_HEADER = frozenset((0x7A, 0x7E))
NO_HEADER = frozenset((0x78, 0x7C))
FIXED = frozenset((0x73, 0x77))
APPLICATION_ERROR = 0x70
ALARM = 0x71
HIGHEST_FIRST = frozenset((0x76, 0x77, 0x7C, 0x7E))

LONG_HEADER_SIZE, SHORT_HEADER_SIZE = 12, 4

#: EN 13757-3, table 6 (device types), and what libmbus calls them, so that both can be compared.
MEDIA = {
    0x00: "other",
    0x01: "oil",
    0x02: "electricity",
    0x03: "gas",
    0x04: "heat: outlet",
    0x05: "steam",
    0x06: "warm water",
    0x07: "water",
    0x08: "heat cost allocator",
    0x09: "compressed air",
    0x0A: "cooling: outlet",
    0x0B: "cooling: inlet",
    0x0C: "heat: inlet",
    0x0D: "heat / cooling",
    0x0E: "bus/system",
    0x0F: "unknown",
    0x10: "irrigation water",
    0x11: "water data logger",
    0x12: "gas data logger",
    0x13: "gas converter",
    0x14: "calorific value",
    0x15: "hot water",
    0x16: "cold water",
    0x17: "dual water",
    0x18: "pressure",
    0x19: "A/D converter",
    0x1A: "smoke detector",
    0x1B: "room sensor",
    0x1C: "gas detector",
    0x20: "breaker: electricity",
    0x21: "valve: gas or water",
    0x25: "customer unit",
    0x28: "waste water",
    0x29: "waste",
    0x2A: "carbon dioxide",
    0x30: "service tool",
    0x31: "gateway",
    0x32: "unidirectional repeater",
    0x33: "bidirectional repeater",
    0x36: "radio converter: system",
    0x37: "radio converter: meter",
    0x38: "wired adapter",
}

#: EN 13757-3, table 9: the byte behind CI 70.
APPLICATION_ERRORS = {
    0: "unspecified error",
    1: "CI field is not implemented",
    2: "buffer too long, truncated",
    3: "too many records",
    4: "premature end of record",
    5: "more than 10 DIFEs",
    6: "more than 10 VIFEs",
    8: "application busy",
    9: "too many readouts",
}

_APPLICATION_STATES = {1: "application busy", 2: "application error", 3: "abnormal condition"}
_STATUS_BITS = {2: "power low", 3: "permanent error", 4: "temporary error"}
#: Configuration field, bits 8 to 12: the ways of encryption that are defined (EN 13757-7, table 19). Meters from before
#: it keep a signature there that means nothing.
_ENCRYPTIONS = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 10, 13))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A long or a short header."""

    #: Eight digits; A to F where the meter sends them; empty in a short header.
    id: str = ""
    #: Three letters, such as ``ELS``; empty in a short header.
    manufacturer: str = ""
    #: Version and medium; -1 in a short header.
    version: int = -1
    medium: int = -1
    access: int
    status: int
    signature: int
    #: Identification, manufacturer, version and medium in 16 hex digits; empty in a short header.
    secondary: str = ""

    @property
    def medium_name(self) -> str:
        """The medium in words."""
        return MEDIA.get(self.medium, f"medium {self.medium:02X}")

    @property
    def encryption(self) -> int:
        """The mode of encryption, 0 for none."""
        mode = (self.signature >> 8) & 0x1F
        return mode if mode in _ENCRYPTIONS else 0

    def remarks(self) -> tuple[str, ...]:
        """What the status byte tells, in words (EN 13757-3, section 7.4)."""
        if not self.status:
            return ()
        told = [_APPLICATION_STATES[self.status & 3]] if self.status & 3 else []
        told += [name for bit, name in _STATUS_BITS.items() if self.status >> bit & 1]
        if self.status >> 5:
            told.append(f"the manufacturer's bits {self.status & 0xE0:02X}")
        return (f"status {self.status:02X}: {', '.join(told)}",)


def letters(code: int) -> str:
    """The manufacturer in letters: ``letters(0x1593)`` is ``ELS``."""
    return "".join(chr(64 + (code >> shift & 0x1F)) for shift in (10, 5, 0))


def maker(text: str) -> int:
    """The inverse of ``letters``. Raises ValueError for anything but three capital letters."""
    if len(text) != 3 or not all("A" <= letter <= "Z" for letter in text):
        raise ValueError(f"{text!r} is no manufacturer; three capital letters are, such as ELS")
    return sum((ord(letter) - 64) << shift for letter, shift in zip(text, (10, 5, 0), strict=True))


def long_header(data: bytes, *, highest_first: bool = False) -> Header:
    """The header in the first 12 bytes of *data*."""
    fields = [data[0:4], data[4:6], data[10:12]]
    id_bytes, maker_bytes, signature = [field[::-1] if highest_first else field for field in fields]
    return Header(
        id=id_bytes[::-1].hex().upper(),
        manufacturer=letters(int.from_bytes(maker_bytes, "little")),
        version=data[6],
        medium=data[7],
        access=data[8],
        status=data[9],
        signature=int.from_bytes(signature, "little"),
        secondary=(id_bytes[::-1] + maker_bytes + data[6:8]).hex().upper(),
    )


def short_header(data: bytes, *, highest_first: bool = False) -> Header:
    """The header in the first 4 bytes of *data*."""
    return Header(
        access=data[0],
        status=data[1],
        signature=int.from_bytes(data[2:4], "big" if highest_first else "little"),
    )
