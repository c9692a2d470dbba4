"""JSON and times exactly as they were sent (RFC 8259, RFC 3339): a number stays its digits, never a float.

- A number is a ``Number``: its text. It becomes a ``Scaled`` with the digits as sent, ``1.50`` being 150 × 10⁻², and
  ``-0.00`` being 0 × 10⁻². One that a reading cannot hold (more than 63 bits, an exponent beyond 64) is unusable.
- ``NaN``, ``Infinity``, a member that stands twice in an object, and nesting that the parser refuses are no JSON here.
- A time is Unix milliseconds. It needs a zone: ``Z``, ``+01:00`` or ``+0100``; what is below a millisecond is cut off.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from gateway.reading import Scaled

_NUMBER = re.compile(r"(-?)(\d{1,40})(?:\.(\d{1,60}))?(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_MANTISSA_MAX = (1 << 63) - 1
_EXPONENT_MAX = 64
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:([Zz])|([+-])(\d\d):?(\d\d))", re.ASCII
)


class Unusable(Exception):  # noqa: N818  (what was sent, named as such)
    """What was sent cannot be used; says where and why, in words that quote no value of a meter."""


@dataclass(frozen=True, slots=True)
class Number:
    """A JSON number: its text, as sent."""

    text: str


def parse(data: bytes) -> object:
    """The document. Raises Unusable."""
    try:
        text = data.decode("utf-8-sig")
        return json.loads(
            text, parse_float=Number, parse_int=Number, parse_constant=_no_number, object_pairs_hook=_members
        )
    except UnicodeDecodeError as error:
        raise Unusable(f"at {error.start}: not UTF-8, so no JSON") from error
    except json.JSONDecodeError as error:
        what = "HTML" if text.lstrip()[:1] == "<" else "no JSON"
        raise Unusable(f"at {error.pos}: {what} where JSON was expected ({error.msg[:60]})") from error
    except RecursionError as error:
        raise Unusable("its JSON is nested too deep") from error


def _no_number(text: str) -> NoReturn:
    raise Unusable(f"{text} is no JSON")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unusable(f"{clip(twice)} stands twice in one object")
    return found


def scaled(text: str) -> Scaled:
    """The exact value of a decimal number. Raises Unusable."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise Unusable("no decimal number")
    sign, whole, fraction, power = found[1], found[2], found[3] or "", int(found[4] or 0)
    return bounded(int(sign + whole + fraction), power - len(fraction))


def bounded(mantissa: int, exponent: int) -> Scaled:
    """That value, where a reading can hold it. Raises Unusable."""
    if abs(mantissa) > _MANTISSA_MAX or abs(exponent) > _EXPONENT_MAX:
        raise Unusable("a number with more digits than a reading holds")
    return Scaled(mantissa=mantissa, exponent=exponent)


def member(value: object, *path: str) -> object:
    """What stands at that path of nested objects; None where the last name is missing. Raises Unusable."""
    for depth, name in enumerate(path):
        if not isinstance(value, dict):
            where = ".".join(path[:depth]) or "the document"
            raise Unusable(f"{where} is {kind(value)}, not an object")
        value = value.get(name)
        if value is None and depth < len(path) - 1:
            raise Unusable(f"{'.'.join(path[: depth + 1])} is missing")
    return value


def members(value: object, *path: str) -> dict[str, object]:
    """The object at that path. Raises Unusable."""
    found = member(value, *path)
    if not isinstance(found, dict):
        raise Unusable(f"{'.'.join(path) or 'the document'} is {kind(found)}, not an object")
    return found


def items(value: object, *path: str) -> list[object]:
    """The list at that path. Raises Unusable."""
    found = member(value, *path)
    if not isinstance(found, list):
        raise Unusable(f"{'.'.join(path) or 'the document'} is {kind(found)}, not a list")
    return found


def word(value: object, *path: str) -> str:
    """The text at that path; empty where there is none."""
    found = member(value, *path)
    return found if isinstance(found, str) else ""


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "missing or null"
    if isinstance(value, bool):
        return "true or false"
    names: dict[type, str] = {Number: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "unknown")


def clip(text: str, length: int = 40) -> str:
    """A piece of foreign text that a message may show."""
    return repr(text[:length] + ("…" if len(text) > length else ""))


def time_ms(text: str) -> int:
    """Unix milliseconds of an RFC 3339 time. Raises Unusable."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise Unusable(f"{clip(text)} is no time with a zone (RFC 3339)")
    second = int(found[6])
    try:
        # A leap second is the one before it: Unix time has none.
        moment = datetime(*(int(found[n]) for n in range(1, 6)), min(second, 59), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError as error:
        raise Unusable(f"{clip(text)} is no time: {error}") from error
    offset_h, offset_min = int(found[10] or 0), int(found[11] or 0)
    if second > 60 or offset_h > 23 or offset_min > 59:
        raise Unusable(f"{clip(text)} is no time")
    offset_s = (offset_h * 60 + offset_min) * (-60 if found[9] == "-" else 60)
    whole_s = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _SECOND - offset_s
    return whole_s * 1000 + int((found[7] or "")[:3].ljust(3, "0"))


_SECOND = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


def unix_ms(value: object) -> int | None:
    """Unix milliseconds of a number of Unix seconds; None where a clock was never set, or there is none."""
    if not isinstance(value, Number):
        return None
    number = scaled(value.text)
    shift = number.exponent + 3
    if number.mantissa <= 0 or shift > 6:
        return None
    return int(number.mantissa * 10**shift if shift >= 0 else number.mantissa // 10**-shift)


def rfc3339(ms: int) -> str:
    """The same time as a text in UTC, to the second, ``2018-03-08T18:18:17Z``."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
