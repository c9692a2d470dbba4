"""Points from the values of COSEM objects: exact numbers, texts, times, and the reason where there is none."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlms import axdr, clock, cosem
from drivers.telegram import TelegramPoint
from gateway.reading import Scaled

#: A scaler beyond this is none that a meter would have.
_SCALER_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One value of a list, and what the list says about it."""

    code: str
    value: axdr.Datum
    scaler: int = 0
    unit: str = ""
    #: The list told scaler and unit, or they are known.
    is_scaled: bool = False


def point(entry: Entry, offset_minutes: int | None = None) -> TelegramPoint:
    """The point of *entry*."""
    value, text, time_ms, fault = _read(entry, offset_minutes)
    unit = entry.unit if value is not None or fault else ""
    return TelegramPoint(
        code=entry.code, unit=unit, value=value, raw=entry.value.raw, text=text, time_ms=time_ms, fault=fault
    )


def number(datum: axdr.Datum, scaler: int = 0) -> Scaled | None:
    """The number that *datum* is, times 10**scaler; None where it is no number. Booleans and enums are numbers."""
    value = datum.value
    if isinstance(value, Scaled):
        return Scaled(mantissa=value.mantissa, exponent=value.exponent + scaler)
    return Scaled(mantissa=int(value), exponent=scaler) if isinstance(value, int) else None


def text(data: bytes) -> str:
    """*data* as text where it is printable, without the zeros or blanks behind it; else as OBIS code or hexadecimal."""
    found = data.rstrip(b"\x00 ").decode(errors="replace").replace("\ufffd", "\x00")
    if found.isprintable():
        return found
    return cosem.code(data) if len(data) == 6 and data[0] <= 15 else data.hex()


def shown(datum: axdr.Datum) -> str:
    """Any datum as a short text."""
    if isinstance(datum.value, tuple):
        return "[" + ", ".join(shown(item) for item in datum.items) + "]"
    if isinstance(datum.value, bytes):
        return clock.parse(datum.value).text if _is_time(datum) else text(datum.value)
    return "" if datum.value is None else str(datum.value)


def _is_time(datum: axdr.Datum) -> bool:
    if datum.tag == axdr.DATE_TIME:
        return True
    # An octet-string of 12 bytes may be a text as well; that of a date-time begins with a control character.
    return datum.tag == axdr.OCTETS and len(datum.octets) == clock.SIZE and datum.octets[0] in (6, 7, 8)


def _read(entry: Entry, offset_minutes: int | None) -> tuple[Scaled | None, str, int | None, str]:
    """Value, text, time and fault."""
    datum = entry.value
    while len(datum.items) == 1:
        datum = datum.items[0]
    if _is_time(datum) or (entry.code == "0-0:1.0.0" and len(datum.octets) == clock.SIZE):
        stamp = clock.parse(datum.octets, offset_minutes)
        return None, stamp.text, stamp.time_ms, "" if stamp.time_ms is not None else "; ".join(stamp.remarks)
    if abs(entry.scaler) > _SCALER_MAX:
        return None, "", None, f"the scaler {entry.scaler} is impossible"
    value = number(datum, entry.scaler)
    if value is not None:
        return value, "", None, ""
    if datum.value is None:
        return None, "", None, f"no value: {_WITHOUT.get(datum.tag, 'not a number')}"
    found = shown(datum)
    return None, found, None, "" if found else "an empty text"


_WITHOUT = {axdr.NULL: "null-data", axdr.DONT_CARE: "dont-care", axdr.BCD: "not decimal"}
