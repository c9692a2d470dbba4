"""What a data set says: a number with its unit, a text, or why there is none; and when it was so.

- ``(value*unit)`` and ``(value)``: a number, where it is one. Codes that name things (``TEXTS``: serial numbers,
  versions, messages, status words) are texts even where they look like numbers.
- ``(time)(value*unit)``: a value with its own time, as of gas and water meters behind a P1 port.
- ``(value*unit)(…)``: the first is the value; what follows (a time without a zone, the same again) stays in the raw
  bytes only.
- Everything else, profiles and logs (C is 98 or 99) first of all: a text, all groups with their parentheses.
- An empty group, or one of blanks, is no value.

A time is ``YYMMDDhhmmssX``, local time with X = S in summer and W in winter (DSMR P1 companion standard 5.0.2, table
6-4, tag TST). Which zone that is no telegram says: *winter_offset_h* does, 1 for Central European Time, one hour more
in summer. A time without X could be either, and gives none. Years from 70 on are of the last century: a device that
was never set says 1970.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from drivers.iec62056.dataset import DataSet, group_values, number, obis
from drivers.telegram import TelegramPoint

#: Central European Time.
WINTER_OFFSET_H = 1

#: C.D of codes whose values name things: device and firmware numbers, dates and times of day, device addresses and
#: messages, status words, error registers, logical device names.
TEXTS = {"0.0", "0.2", "0.9", "42.0", "96.1", "96.5", "96.13", "97.97"}
#: C.D of those whose texts a P1 port writes as hexadecimal digits, and what is none of them: a version number.
IN_HEX, NOT_IN_HEX = {"42.0", "96.1", "96.13"}, "96.1.4"
#: C.D.E of codes that hold times of resets.
TEXTS_OF_THREE = {"0.1.2", "0.1.3", "0.1.4", "0.1.5"}
_TIME = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([SW]?)")
_CENTURY_SPLIT = 70


def local_ms(text: str, winter_offset_h: int = WINTER_OFFSET_H) -> int | None:
    """Unix milliseconds of ``YYMMDDhhmmssX``; None where it is none, or has no X."""
    match = _TIME.fullmatch(text) if text[-1:] in ("S", "W") else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    year += 1900 if year >= _CENTURY_SPLIT else 2000
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (int(moment.timestamp()) - 3600 * (winter_offset_h + (match[7] == "S"))) * 1000


def is_time(text: str) -> bool:
    """Whether *text* has the form of a time."""
    return _TIME.fullmatch(text) is not None


def point(data_set: DataSet, *, hex_texts: bool, winter_offset_h: int) -> TelegramPoint:
    """What *data_set* says. With *hex_texts* a text of hexadecimal digits is the printable ASCII that it stands for."""
    code, groups = obis(data_set.address), data_set.groups
    raw = data_set.text.encode("ascii")
    one, two, three = group_values(code)
    if len(groups) == 1:
        if two in TEXTS or three in TEXTS_OF_THREE:
            in_hex = hex_texts and two in IN_HEX and three != NOT_IN_HEX
            return _named(code, _from_hex(groups[0]) if in_hex else groups[0], raw)
        return _plain_or_time(code, groups[0], raw, local_ms(groups[0], winter_offset_h))
    if len(groups) == 2 and is_time(groups[0]):
        return _plain(code, groups[1], raw, local_ms(groups[0], winter_offset_h))
    first = _plain(code, groups[0], raw, None)
    if len(groups) > 2 or one in {"98", "99"} or first.value is None:
        return TelegramPoint(code=code, unit="", value=None, raw=raw, text=data_set.text)
    return first


def distinct(points: Sequence[TelegramPoint]) -> tuple[tuple[TelegramPoint, ...], list[str]]:
    """*points* with each code once, the first of them, and remarks on the others."""
    kept: dict[str, TelegramPoint] = {}
    again = [one for one in points if kept.setdefault(one.code, one) is not one]
    return tuple(kept.values()), [
        f"{one.code} stands there again with {one.raw.decode('ascii')[:80]}; the first counts" for one in again
    ]


def _named(code: str, text: str, raw: bytes) -> TelegramPoint:
    text = text.strip(" ")
    return TelegramPoint(code=code, unit="", value=None, raw=raw, text=text, fault="" if text else "it is empty")


def _plain_or_time(code: str, group: str, raw: bytes, time_ms: int | None) -> TelegramPoint:
    if time_ms is None:
        return _plain(code, group, raw, None)
    return TelegramPoint(code=code, unit="", value=None, raw=raw, text=group, time_ms=time_ms)


def _plain(code: str, group: str, raw: bytes, time_ms: int | None) -> TelegramPoint:
    """``value*unit``, or a text where neither a number nor a unit is there."""
    content, star, unit = group.partition("*")
    value = number(content)
    if value is not None:
        return TelegramPoint(code=code, unit=unit, value=value, raw=raw, time_ms=time_ms)
    text = content.strip(" ")
    fault = "it is empty" if not text else f"{text[:40]!r} is no number" if star else ""
    return TelegramPoint(code=code, unit=unit, value=None, raw=raw, text=text, time_ms=time_ms, fault=fault)


def _from_hex(text: str) -> str:
    try:
        found = bytes.fromhex(text).decode("ascii")
    except ValueError:
        return text
    return found if found.isprintable() and " " not in text else text
