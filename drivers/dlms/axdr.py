"""A-XDR data of DLMS (IEC 61334-6; the types of IEC 62056-6-2, section 4.1.5): one tag byte, then the value.

- A length is one byte up to 127, else 0x80 + n and n bytes, big-endian. Meters send longer forms than they need
  (``81 05``, ``82 00 e7``); they are read, and never written.
- array and structure: the number of elements, then the elements. compact-array: one description of the type for all
  elements, then a length and the elements without tags.
- bit-string: its length in bits, then as many bytes as hold them, the first bit highest.
- float32 and float64 become the shortest decimal that reads back as the same word; infinities and NaN are no value.

Nesting is at most ``DEPTH_MAX`` deep and one datum holds at most ``ITEMS_MAX`` others, so that no input costs more than
a small multiple of its size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from drivers.ieee754 import BINARY32, BINARY64, shortest
from gateway.errors import MeterProtocolError
from gateway.reading import Scaled

DEPTH_MAX = 12
ITEMS_MAX = 20_000

NULL, ARRAY, STRUCTURE, BOOLEAN, BIT_STRING = 0, 1, 2, 3, 4
INT32, UINT32, OCTETS, VISIBLE, UTF8, BCD = 5, 6, 9, 10, 12, 13
INT8, INT16, UINT8, UINT16, COMPACT_ARRAY = 15, 16, 17, 18, 19
INT64, UINT64, ENUM, FLOAT32, FLOAT64 = 20, 21, 22, 23, 24
DATE_TIME, DATE, TIME, DONT_CARE = 25, 26, 27, 255

#: Tag → struct format of one integer. 28 to 33 are the delta types.
_INTEGERS = {
    INT8: ">b", INT16: ">h", INT32: ">i", INT64: ">q",
    UINT8: ">B", UINT16: ">H", UINT32: ">I", UINT64: ">Q",
    ENUM: ">B", 28: ">b", 29: ">h", 30: ">i", 31: ">B", 32: ">H", 33: ">I",
}  # fmt: skip
_STRUCTS = {tag: struct.Struct(layout) for tag, layout in _INTEGERS.items()}
#: Tag → size of a value that is just bytes.
_BYTES = {DATE_TIME: 12, DATE: 5, TIME: 4}
_FLOATS = {FLOAT32: BINARY32, FLOAT64: BINARY64}
_TEXTS = (OCTETS, VISIBLE, UTF8)
#: Tags of whole numbers.
NUMBERS = frozenset(_STRUCTS)


class Malformed(MeterProtocolError):  # noqa: N818  (named by what came)
    """Bytes that are no A-XDR data."""


class CutShort(Malformed):
    """Bytes that could be the beginning of A-XDR data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One value with its type."""

    tag: int
    #: Whole numbers and enum: int; boolean: bool; array, structure, compact-array: a tuple; octet-, visible- and
    #: utf8-string, date-time, date, time: bytes; bit-string: text of 0 and 1; bcd: its two digits; float: its decimal.
    value: Value
    #: As it came, tag and all; without the tag for an element of a compact-array.
    raw: bytes

    @property
    def items(self) -> tuple[Datum, ...]:
        """The elements of an array or a structure; empty for anything else."""
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def octets(self) -> bytes:
        """The bytes of a string; empty for anything else."""
        return self.value if isinstance(self.value, bytes) else b""


Value: TypeAlias = bool | int | str | bytes | Scaled | tuple[Datum, ...] | None


def parse(data: bytes) -> Datum:
    """The one datum that *data* is. Raises Malformed, also when bytes follow it."""
    found, stop = read(data)
    if stop != len(data):
        raise Malformed(f"offset {stop}: {len(data) - stop} bytes follow the data")
    return found


def read(data: bytes, at: int = 0) -> tuple[Datum, int]:
    """The datum at *at*, and the offset after it. Raises Malformed, or CutShort where *data* ends too early."""
    return _Reader(data).datum(at, 0)


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """The length at *at*, and the offset after it. Raises Malformed or CutShort."""
    first = _byte(data, at)
    if first < 0x80:
        return first, at + 1
    size = first & 0x7F
    if not 1 <= size <= 4:
        raise Malformed(f"offset {at}: length 0x{first:02x} has {size} bytes; at most 4 are known")
    return int.from_bytes(_take(data, at + 1, size), "big"), at + 1 + size


def length(size: int) -> bytes:
    """*size* in the fewest bytes."""
    if size < 0x80:
        return bytes([size])
    body = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body


def octets(data: bytes) -> bytes:
    """*data* as an octet-string, tag and all."""
    return bytes([OCTETS]) + length(len(data)) + data


def integer(tag: int, value: int) -> bytes:
    """*value* as a whole number of that type. Raises ValueError when it is beyond its range."""
    try:
        return bytes([tag]) + _STRUCTS[tag].pack(value)
    except struct.error as error:
        raise ValueError(f"{value} does not fit tag {tag}") from error


def structure(*items: bytes, tag: int = STRUCTURE) -> bytes:
    """Encoded *items* as a structure, or with another *tag* as an array."""
    return bytes([tag]) + length(len(items)) + b"".join(items)


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise CutShort(f"offset {at}: the data end early")
    return data[at]


def _take(data: bytes, at: int, size: int) -> bytes:
    taken = data[at : at + size]
    if len(taken) != size:
        raise CutShort(f"offset {at}: {size} bytes are announced, {len(taken)} are there")
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """The type of the elements of a compact-array."""

    tag: int
    items: tuple[_Type, ...] = ()


class _Reader:
    """Reads one datum and counts what it holds."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._items = 0

    def datum(self, at: int, depth: int) -> tuple[Datum, int]:
        """The datum whose tag is at *at*."""
        tag = _byte(self._data, at)
        value, stop = self._value(tag, at + 1, depth)
        return Datum(tag=tag, value=value, raw=self._data[at:stop]), stop

    def _value(self, tag: int, at: int, depth: int) -> tuple[Value, int]:
        packed = _STRUCTS.get(tag)
        if packed is not None:
            stop = at + packed.size
            if stop > len(self._data):
                raise CutShort(f"offset {at}: {packed.size} bytes are announced, {len(self._data) - at} are there")
            number: int = packed.unpack_from(self._data, at)[0]
            return number, stop
        if tag in _TEXTS:
            size, start = read_length(self._data, at)
            return _take(self._data, start, size), start + size
        if tag in (ARRAY, STRUCTURE):
            return self._elements(at, depth)
        if tag == COMPACT_ARRAY:
            return self._compact(at, depth)
        return self._rare(tag, at)

    def _rare(self, tag: int, at: int) -> tuple[Value, int]:
        if tag in (NULL, DONT_CARE):
            return None, at
        if tag == BOOLEAN:
            return bool(_byte(self._data, at)), at + 1
        if tag == BCD:
            digits = f"{_byte(self._data, at):02x}"
            return (int(digits) if digits.isdecimal() else None), at + 1
        if tag in _FLOATS:
            layout = _FLOATS[tag]
            word = _take(self._data, at, layout.bits // 8)
            return shortest(int.from_bytes(word, "big"), layout), at + len(word)
        if tag == BIT_STRING:
            bits, start = read_length(self._data, at)
            packed = _take(self._data, start, (bits + 7) // 8)
            return "".join(f"{byte:08b}" for byte in packed)[:bits], start + len(packed)
        if tag in _BYTES:
            return _take(self._data, at, _BYTES[tag]), at + _BYTES[tag]
        raise Malformed(f"offset {at - 1}: 0x{tag:02x} is the tag of no type")

    def _count(self, at: int, more: int, depth: int) -> None:
        self._items += more
        if depth >= DEPTH_MAX:
            raise Malformed(f"offset {at}: nested more than {DEPTH_MAX} deep")
        if self._items > ITEMS_MAX:
            raise Malformed(f"offset {at}: more than {ITEMS_MAX} elements")

    def _elements(self, at: int, depth: int) -> tuple[Value, int]:
        count, here = read_length(self._data, at)
        self._count(at, count, depth)
        found = []
        for _ in range(count):
            item, here = self.datum(here, depth + 1)
            found.append(item)
        return tuple(found), here

    def _compact(self, at: int, depth: int) -> tuple[Value, int]:
        kind, here = self._type(at, depth + 1)
        size, here = read_length(self._data, here)
        stop = here + len(_take(self._data, here, size))
        found = []
        while here < stop:
            item, after = self._untagged(kind, here, depth + 1)
            if not here < after <= stop:
                raise Malformed(f"offset {here}: the elements of a compact-array do not fill its {size} bytes")
            found.append(item)
            here = after
        return tuple(found), stop

    def _type(self, at: int, depth: int) -> tuple[_Type, int]:
        self._count(at, 1, depth)
        tag = _byte(self._data, at)
        if tag == ARRAY:
            count = int.from_bytes(_take(self._data, at + 1, 2), "big")
            self._count(at, count, depth)
            item, here = self._type(at + 3, depth + 1)
            return _Type(tag=tag, items=(item,) * count), here
        if tag != STRUCTURE:
            return _Type(tag=tag), at + 1
        count, here = read_length(self._data, at + 1)
        found = []
        for _ in range(count):
            item, here = self._type(here, depth + 1)
            found.append(item)
        return _Type(tag=tag, items=tuple(found)), here

    def _untagged(self, kind: _Type, at: int, depth: int) -> tuple[Datum, int]:
        self._count(at, 1, depth)
        if kind.tag not in (ARRAY, STRUCTURE):
            value, here = self._value(kind.tag, at, depth)
            return Datum(tag=kind.tag, value=value, raw=self._data[at:here]), here
        found, here = [], at
        for part in kind.items:
            item, here = self._untagged(part, here, depth + 1)
            found.append(item)
        return Datum(tag=kind.tag, value=tuple(found), raw=self._data[at:here]), here
