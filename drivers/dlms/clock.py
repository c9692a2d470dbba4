"""The date-time of COSEM (IEC 62056-6-2, section 4.1.6.1): 12 bytes that may leave anything open.

Year (2 bytes), month, day, day of week, hour, minute, second, hundredths, deviation (2 bytes), status. 0xFF, or 0xFFFF
for the year, says that a field is not specified. The deviation is what must be added to the local time to get UTC, in
minutes: central Europe's winter is -60. 0x8000 says that it is not known; then there is no point in time, unless the
caller knows the offset of the meter's clock.

Status: bit 0 invalid, 1 doubtful, 2 another clock base, 3 the status itself is invalid, 7 daylight saving; 0xFF: none.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

SIZE = 12
_UNKNOWN = 0xFF
_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
INVALID, DOUBTFUL, OTHER_BASE, BAD_STATUS, DAYLIGHT_SAVING = 1, 2, 4, 8, 0x80
_STATUS_TEXT = {
    INVALID: "the meter says that its time is invalid",
    DOUBTFUL: "the meter says that its time is doubtful",
    OTHER_BASE: "the meter's clock runs from another base",
    BAD_STATUS: "the meter says that its clock's status is invalid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a date-time says."""

    #: Unix milliseconds; None where it is not specified, impossible, invalid, or local to an unknown place.
    time_ms: int | None
    #: ISO 8601 in the meter's own local time, question marks for what is open; the offset behind it where one is known.
    text: str
    #: What is odd about it.
    remarks: tuple[str, ...] = ()


def parse(data: bytes, offset_minutes: int | None = None) -> Stamp:
    """The stamp that 12 bytes are; *offset_minutes* (east of UTC positive) is assumed where it has no deviation.

    Raises ValueError for another size.
    """
    if len(data) != SIZE:
        raise ValueError(f"a date-time has {SIZE} bytes, not {len(data)}")
    deviation = int.from_bytes(data[9:11], "big", signed=True)
    # Meters that leave it open send 0x8000, and some 0xFFFF.
    stated = deviation if -900 <= deviation <= 900 and data[9:11] != b"\xff\xff" else None
    offset = offset_minutes if stated is None else -stated
    status = 0 if data[11] == _UNKNOWN else data[11]
    remarks = [text for bit, text in _STATUS_TEXT.items() if status & bit]
    local_ms = _local_ms(data)
    if local_ms is None:
        remarks.append(f"the meter's time is not specified or impossible: {data.hex()}")
    elif offset is None:
        remarks.append("the meter does not say how far its clock is from UTC")
    is_time = local_ms is not None and offset is not None and not status & INVALID
    return Stamp(
        time_ms=local_ms - offset * 60_000 if is_time and local_ms is not None and offset is not None else None,
        text=_text(data) + ("" if stated is None else _offset(-stated)),
        remarks=tuple(remarks),
    )


def is_plausible(data: bytes) -> bool:
    """Whether 12 bytes read as the date-time of a running clock; tells one from a string of 12 bytes."""
    return len(data) == SIZE and _local_ms(data) is not None and 1970 <= int.from_bytes(data[:2], "big") <= 2200


def encode(time_ms: int) -> bytes:
    """Unix milliseconds as a date-time in UTC, deviation 0."""
    days, rest_ms = divmod(time_ms, 86_400_000)
    day = dt.date.fromordinal(days + _EPOCH_DAY)
    minutes, rest_ms = divmod(rest_ms, 60_000)
    second, rest_ms = divmod(rest_ms, 1000)
    date = day.year.to_bytes(2, "big") + bytes([day.month, day.day, day.isoweekday()])
    return date + bytes([*divmod(minutes, 60), second, rest_ms // 10, 0, 0, 0])


def _local_ms(data: bytes) -> int | None:
    """Milliseconds since 1970 by the meter's own clock; None where it is not a moment."""
    year, month, day = int.from_bytes(data[:2], "big"), data[2], data[3]
    hour, minute, second, hundredths = data[5:9]
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = dt.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    fraction = hundredths if hundredths <= 99 else 0
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + fraction * 10


def _text(data: bytes) -> str:
    year = "????" if data[:2] == b"\xff\xff" else f"{int.from_bytes(data[:2], 'big'):04d}"
    month, day, hour, minute, second = (
        "??" if byte == _UNKNOWN else f"{byte:02d}" for byte in (data[2], data[3], *data[5:8])
    )
    fraction = f".{data[8]:02d}" if 0 < data[8] <= 99 else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{fraction}"


def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"
