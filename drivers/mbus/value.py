"""Data fields as exact values (EN 13757-3, section 6.3 and annex A). All of them arrive lowest byte first.

- Integers (type B) are signed; the most negative one means "invalid". Flags (type D) are not signed.
- BCD (type A): two digits a byte. F as the highest digit is a minus sign; A to F anywhere else is no number.
- Reals (type H) are IEEE 754 binary32, given as the shortest decimal that reads back.
- A field of variable length begins with LVAR: 00 to BF so many characters of ISO 8859-1, the last one first; C0 to C9
  and D0 to D9 positive and negative BCD; E0 to EF so many bytes of a number; F0 to F6 16 to 64 bytes of one. What
  has more than 8 bytes is given as text, in hex digits.
- Dates: two bytes are type G, three type J (a time of day), four type F, six type I. A meter tells local time and no
  zone. Years: two digits below 81 are 20xx, unless type F's hundreds say otherwise. "Every day" is
  no date.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from drivers.ieee754 import BINARY32, shortest
from drivers.mbus.vif import BITS, DATE, IDENTITY
from gateway.reading import Scaled

#: Low half of DIF → bytes of data (table 4); the variable length is its own case, F is a special function.
SIZES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
VARIABLE, SPECIAL = 13, 15

_NO_DATA, _SELECTION, _REAL = 0, 8, 5
_BCD = frozenset((9, 10, 11, 12, 14))
_YEAR_OF_CENTURY_MAX = 80
_NUMBER_BYTES_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a data field holds: a number, a text, or a fault; with a fault the text may tell what was sent."""

    value: Scaled | None = None
    text: str = ""
    fault: str = ""
    #: A date with a time, in the meter's own zone, and whether it says that summer time is in force.
    clock: dt.datetime | None = None
    summer: bool = False


def variable_size(lvar: int) -> int | None:
    """Bytes behind *lvar*; None where it is reserved."""
    if lvar <= 0xBF:
        return lvar
    if lvar <= 0xC9 or 0xD0 <= lvar <= 0xD9:
        return lvar & 0x0F
    if 0xE0 <= lvar <= 0xEF:
        return lvar - 0xE0
    if 0xF0 <= lvar <= 0xF4:
        return 4 * (lvar - 0xEC)
    return {0xF5: 48, 0xF6: 64}.get(lvar)


def content(coding: int, kind: str, data: bytes) -> Content:
    """What *data* holds, coded as the low half of a DIF says."""
    if coding == VARIABLE:
        return _variable(data[0], data[1:], kind)
    if coding in (_NO_DATA, _SELECTION):
        return Content(fault="no data")
    if coding in _BCD:
        return _bcd(data, kind)
    if coding == _REAL:
        return _real(data)
    return _date(data) if kind == DATE else _integer(data, kind)


def _integer(data: bytes, kind: str) -> Content:
    if kind == IDENTITY:
        return Content(text=str(int.from_bytes(data, "little")))
    number = int.from_bytes(data, "little", signed=kind != BITS)
    if kind != BITS and number == -(1 << 8 * len(data) - 1):
        return Content(text=f"{data[::-1].hex().upper()}", fault="the meter marks the value as invalid")
    return Content(value=Scaled(mantissa=number, exponent=0))


def _bcd(data: bytes, kind: str, sign: int = 1) -> Content:
    digits = data[::-1].hex().upper()
    if kind == IDENTITY and digits.isdecimal():
        return Content(text=digits)
    if kind == DATE:
        return Content(text=digits, fault="a date in BCD is not read")
    number = digits
    if digits[:1] == "F" and sign > 0:
        number, sign = digits[1:], -1
    if not number.isdecimal():
        return Content(text=digits, fault=f"{digits} is no BCD number")
    return Content(value=Scaled(mantissa=sign * int(number), exponent=0))


def _real(data: bytes) -> Content:
    value = shortest(int.from_bytes(data, "little"), BINARY32)
    if value is None:
        return Content(text=data[::-1].hex().upper(), fault="infinite or not a number")
    return Content(value=value)


def _variable(lvar: int, data: bytes, kind: str) -> Content:
    if lvar <= 0xBF:
        text = "".join(letter if letter.isprintable() else "." for letter in data[::-1].decode("latin-1"))
        return Content(text=text) if text else Content(fault="an empty text")
    if not data:
        return Content(fault="no data")
    if lvar <= 0xD9:
        return _bcd(data, kind, -1 if lvar >= 0xD0 else 1)
    if len(data) > _NUMBER_BYTES_MAX:
        return Content(text=data[::-1].hex().upper())
    return (
        Content(text=data[::-1].hex().upper(), fault="a date of this length") if kind == DATE else _integer(data, kind)
    )


def _date(data: bytes) -> Content:
    reader = {2: _type_g, 3: _type_j, 4: _type_f, 6: _type_i}.get(len(data))
    sent = data[::-1].hex().upper()
    if reader is None:
        return Content(text=sent, fault=f"a date of {len(data)} bytes is not read")
    try:
        return reader(data)
    except ValueError as error:
        return Content(text=sent, fault=f"no date: {error}")


def _years(low: int, high: int) -> int:
    """The seven bits of a year that are spread over two bytes."""
    return low >> 5 | high >> 4 << 3


def _type_g(data: bytes) -> Content:
    year = _years(data[0], data[1])
    if year > 99:
        raise ValueError("of every year")
    century = 2000 if year <= _YEAR_OF_CENTURY_MAX else 1900
    return Content(text=dt.date(century + year, data[1] & 0x0F, data[0] & 0x1F).isoformat())


def _type_j(data: bytes) -> Content:
    return Content(text=dt.time(data[2] & 0x1F, data[1] & 0x3F, data[0] & 0x3F).isoformat())


def _type_f(data: bytes) -> Content:
    minute, hour, day, month = data
    if minute & 0x80:
        raise ValueError("the meter marks its time as invalid")
    year, hundreds = _years(day, month), hour >> 5 & 3
    if year > 99:
        raise ValueError("of every year")
    if not hundreds and year <= _YEAR_OF_CENTURY_MAX:
        hundreds = 1
    clock = _clock(1900 + 100 * hundreds + year, month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, 0)
    return _told(clock, "minutes", summer=bool(hour & 0x80))


def _type_i(data: bytes) -> Content:
    second, minute, hour, day, month, _ = data
    if minute & 0x80:
        raise ValueError("the meter marks its time as invalid")
    year = _years(day, month)
    if year > 99:
        raise ValueError("of every year")
    clock = _clock(2000 + year, month & 0x0F, day & 0x1F, hour & 0x1F, minute & 0x3F, second & 0x3F)
    return _told(clock, "seconds", summer=bool(second & 0x40))


def _clock(*fields: int) -> dt.datetime:
    year, month, day, hour, minute, second = fields
    return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  (the meter tells no zone)


def _told(clock: dt.datetime, precision: str, *, summer: bool) -> Content:
    text = clock.isoformat(timespec=precision)
    return Content(text=f"{text} (summer time)" if summer else text, clock=clock, summer=summer)
