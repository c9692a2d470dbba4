"""The fixed data structure, CI 73: two counters of four bytes (EN 13757-3:2004, section 7, since withdrawn).

::

    identification (4, BCD)  access number  status  unit of counter 1  unit of counter 2  counter 1 (4)  counter 2 (4)

Status bit 0: the counters are binary, else BCD; bit 1: stored at a fixed date, else current; bit 2: power low;
bit 3: permanent error; bit 4: temporary error. The six low bits of a unit byte are the unit; the two high bits of both
make the medium. A unit of 3E means: as counter 1, but historic.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.mbus.record import Head, Record
from drivers.mbus.vif import NUMBER, UNKNOWN, Vif

FIXED_SIZE = 16
#: What the four high bits make (the first unit byte has the lower two), as device types of ``header.MEDIA``.
_MEDIA = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0x0F, 3, 4, 6, 7, 8, 0x0F)
_HISTORIC, _NONE = 0x3E, 0x3F
_BINARY, _STORED = 1, 2
_INT32, _BCD8 = 4, 12
_STATUS_BITS = {2: "power low", 3: "permanent error", 4: "temporary error"}
_ROWS = (
    (0x02, 9, "energy", "Wh", 0),
    (0x0B, 9, "energy", "J", 3),
    (0x14, 9, "power", "W", 0),
    (0x1D, 9, "power", "J/h", 3),
    (0x26, 9, "volume", "m3", -6),
    (0x2F, 9, "volume_flow", "m3/h", -6),
    (0x38, 1, "temperature", "°C", -3),
    (0x39, 1, "hca", "", 0),
    (_NONE, 1, "counter", "", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What such a telegram says."""

    id: str
    access: int
    status: int
    medium: int
    records: tuple[Record, Record]

    def remarks(self) -> tuple[str, ...]:
        """What the status byte tells, in words."""
        told = [name for bit, name in _STATUS_BITS.items() if self.status >> bit & 1]
        return (f"status {self.status:02X}: {', '.join(told)}",) if told else ()


def fixed(data: bytes, *, highest_first: bool = False) -> Fixed:
    """What the 16 bytes say."""
    first, second = data[6], data[7]
    fields = [data[0:4], data[8:12], data[12:16]]
    number, one, two = [field[::-1] if highest_first else field for field in fields]
    status = data[5]
    historic = second & 0x3F == _HISTORIC
    records = (
        Record(head=_head(first, status, stored=bool(status & _STORED)), data=one),
        Record(head=_head(first if historic else second, status, stored=historic or bool(status & _STORED)), data=two),
    )
    return Fixed(
        id=number[::-1].hex().upper(),
        access=data[4],
        status=status,
        medium=_MEDIA[first >> 6 | second >> 6 << 2],
        records=records,
    )


def _head(unit_byte: int, status: int, *, stored: bool) -> Head:
    unit = unit_byte & 0x3F
    vif = _vif(unit)
    return Head(
        coding=_INT32 if status & _BINARY else _BCD8,
        storage=int(stored),
        code=f"{vif.name}_s1" if stored else vif.name,
        unit=vif.unit,
        exponent=vif.exponent,
        kind=vif.kind,
        fault=f"unit {unit:02X} is not read" if vif.kind == UNKNOWN else "",
    )


def _vif(unit: int) -> Vif:
    for first, count, name, symbol, exponent in _ROWS:
        if first <= unit < first + count:
            return Vif(name=name, unit=symbol, exponent=exponent + unit - first, kind=NUMBER)
    return Vif(name=f"unit_{unit:02x}", kind=UNKNOWN)
