"""Register words to exact values and back, for every type and word order of a definition.

A raw value is the register contents as they travelled, two bytes a register, concatenated. First the word order is
undone, then the content is compared with the point's sentinels, then read as its type:

- unsigned and two's complement integers and SunSpec accumulators: the integer;
- ``f32`` and ``f64``: the shortest decimal that reads back as the same number; infinities and NaN are no value.

The result is that number times ten to ``scale10``, and to the content of the scale register where there is one: a
signed integer from -10 to 10, and anything else (SunSpec's "not implemented" is 0x8000) makes the value unknown.
An integer keeps the digits of its scale (2300 at -1 is ``230.0``). A positive power of ten is multiplied out as long
as the result stays below 10**15, so that 1.5 kW at ``scale10: 3`` is the integer 1500.
"""

from __future__ import annotations

from drivers.ieee754 import BINARY32, BINARY64, nearest, shortest
from drivers.modbus.definition import TYPES, PointDef
from gateway.reading import PointReading, Scaled, Status

#: Largest power of ten, either way, that a scale register may hold (SunSpec Information Model, type sunssf).
SCALE_MAX = 10

#: Mantissas are multiplied out below this.
PLAIN_MAX = 10**15


def decode(point: PointDef, raw: bytes, scale_raw: bytes | None = None) -> PointReading:
    """The value of *point* in register contents *raw*; *scale_raw* is the content of its scale register.

    Never raises for *raw* of the right length, whatever it holds. Raises ValueError for another length.
    """
    if len(raw) != 2 * point.words:
        raise ValueError(f"{point.name}: {len(raw)} bytes for {point.words} registers")
    content = reorder(raw, point.word_order)
    scale = _scale(point, scale_raw)
    number = None if content in point.invalid or scale is None else _number(point.type, content)
    if number is None or scale is None:
        return PointReading(status=Status.INVALID, raw=raw, value=None)
    value = _plain(Scaled(mantissa=number.mantissa, exponent=number.exponent + scale))
    return PointReading(status=Status.OK, raw=raw, value=value)


def encode(point: PointDef, value: Scaled | None, scale: int = 0) -> bytes:
    """Register contents that decode to *value*, rounded to what the type can hold; None gives the first sentinel.

    *scale* is what the point's scale register holds. Raises OverflowError for a value that does not fit, ValueError
    for None where the definition names no sentinel.
    """
    if value is None:
        if not point.invalid:
            raise ValueError(f"{point.name}: the definition names no sentinel for a missing value")
        return reorder(point.invalid[0], point.word_order)
    value = Scaled(mantissa=value.mantissa, exponent=value.exponent - point.scale10 - scale)
    size, kind = 2 * point.words, TYPES[point.type].kind
    if kind == "float":
        content = nearest(value, BINARY32 if size == 4 else BINARY64).to_bytes(size, "big")
    else:
        content = _rounded(value).to_bytes(size, "big", signed=kind == "signed")
    return reorder(content, point.word_order)


def reorder(raw: bytes, word_order: str) -> bytes:
    """Bytes on the wire to most significant first, and back: each word order is its own inverse."""
    if word_order == "dcba":
        return raw[::-1]
    words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
    if word_order == "cdab":
        words.reverse()
    elif word_order == "badc":
        words = [word[::-1] for word in words]
    return b"".join(words)


def parse_decimal(text: str) -> Scaled:
    """The exact value of plain decimal text such as ``-12.50``. Raises ValueError for anything else."""
    whole, point, fraction = text.partition(".")
    digits = whole.removeprefix("-") + fraction
    if not (digits.isascii() and digits.isdecimal()) or (point and not fraction):
        raise ValueError(f"{text!r} is no plain decimal number")
    return Scaled(mantissa=int(whole + fraction), exponent=-len(fraction))


def _scale(point: PointDef, scale_raw: bytes | None) -> int | None:
    if point.scale_register is None:
        return point.scale10
    if scale_raw is None or len(scale_raw) != 2:
        raise ValueError(f"{point.name}: the content of its scale register is missing")
    power = int.from_bytes(scale_raw, "big", signed=True)
    return power + point.scale10 if abs(power) <= SCALE_MAX else None


def _number(type_name: str, content: bytes) -> Scaled | None:
    kind = TYPES[type_name].kind
    if kind == "float":
        return shortest(int.from_bytes(content, "big"), BINARY32 if len(content) == 4 else BINARY64)
    return Scaled(mantissa=int.from_bytes(content, "big", signed=kind == "signed"), exponent=0)


def _plain(value: Scaled) -> Scaled:
    """The same value without a positive exponent, where the mantissa stays small."""
    if 0 < value.exponent <= 15 and abs(value.at(0)) < PLAIN_MAX:
        return Scaled(mantissa=value.at(0), exponent=0)
    return value


def _rounded(value: Scaled) -> int:
    """*value* as an integer, half away from zero."""
    if value.exponent >= 0:
        return value.at(0)
    unit: int = 10**-value.exponent
    magnitude = (abs(value.mantissa) + unit // 2) // unit
    return -magnitude if value.mantissa < 0 else magnitude
