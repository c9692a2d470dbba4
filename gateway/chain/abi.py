"""The contract ABI (docs.soliditylang.org, "Contract ABI Specification"): how calls, results and events are written.

Types: ``uint8`` … ``uint256`` and ``int8`` … ``int256`` in steps of 8, ``bool``, ``address`` (``0x`` and 40 hex
digits), ``bytes1`` … ``bytes32``, ``bytes``, ``string``, tuples ``(T1,T2)``, arrays ``T[]`` and ``T[n]``. A value of a
static type takes whole words of 32 bytes in its place; a dynamic one leaves the distance to its content there, counted
from the beginning of the tuple or array that it belongs to.

``decode`` is the exact inverse of ``encode``: it refuses padding that is not zero, offsets that point elsewhere than
where ``encode`` would write, numbers out of range and bytes that are left. Contracts compiled by Solidity write so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.errors import ConfigError, MalformedError
from gateway.signing.evm import keccak256

WORD = 32
#: What a decoded answer may hold, so that a lying node cannot fill the memory.
ITEMS_MAX = 100_000
_NUMBER = re.compile(r"(u?)int([1-9][0-9]{0,2})")
_BYTES = re.compile(r"bytes([1-9]|[12][0-9]|3[0-2])")
_ARRAY = re.compile(r"(.+)\[([0-9]*)\]", re.DOTALL)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_SIGNATURE = re.compile(r"([A-Za-z_$][A-Za-z0-9_$]*)\((.*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """One parsed type; *kind* is uint, int, bool, address, fixed (bytesN), bytes, string, array or tuple."""

    text: str
    kind: str
    #: Bits of a number, bytes of a fixed one, items of an array (-1 for any number).
    size: int = 0
    #: Of what an array or a tuple is made.
    items: tuple[_Type, ...] = ()

    @property
    def dynamic(self) -> bool:
        if self.kind == "array":
            return self.size < 0 or self.items[0].dynamic
        return self.kind in ("bytes", "string") or any(item.dynamic for item in self.items)

    @property
    def head_bytes(self) -> int:
        """What it takes in its place."""
        if self.dynamic:
            return WORD
        if self.kind == "array":
            return self.size * self.items[0].head_bytes
        return sum(item.head_bytes for item in self.items) if self.kind == "tuple" else WORD


@lru_cache(maxsize=128)
def _parse(text: str) -> _Type:
    array = _ARRAY.fullmatch(text)
    if array:
        size = int(array[2]) if array[2] else -1
        return _Type(text=text, kind="array", size=size, items=(_parse(array[1]),))
    if text.startswith("(") and text.endswith(")"):
        return _Type(text=text, kind="tuple", items=tuple(map(_parse, _split(text[1:-1]))))
    number, fixed = _NUMBER.fullmatch(text), _BYTES.fullmatch(text)
    if number and int(number[2]) % 8 == 0 and int(number[2]) <= 256:
        return _Type(text=text, kind=f"{number[1]}int", size=int(number[2]))
    if fixed:
        return _Type(text=text, kind="fixed", size=int(fixed[1]))
    if text in ("bool", "address", "bytes", "string"):
        return _Type(text=text, kind=text)
    raise ConfigError(f"ABI type {text[:40]!r}: there is none; uint256, int256, bool, address, bytes32, bytes, string")


def _split(text: str) -> list[str]:
    """The types of a list such as ``uint256,(bool,address)[],string``."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]] if text else []


def types_of(signature: str) -> tuple[str, ...]:
    """The types of the arguments of ``name(T1,T2)``. Raises ConfigError where it is no signature."""
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise ConfigError(f"signature {signature[:80]!r} is not NAME(TYPE,TYPE) without spaces and argument names")
    return tuple(_split(match[2]))


@lru_cache(maxsize=128)
def topic(signature: str) -> bytes:
    """The first topic of the event of that signature: 32 bytes."""
    for name in types_of(signature):
        _parse(name)
    return keccak256(signature.encode())


def selector(signature: str) -> bytes:
    """The four bytes that a call of that function begins with."""
    return topic(signature)[:4]


def encode_call(signature: str, values: Sequence[Any]) -> bytes:
    """Selector and arguments. Raises ConfigError for a value that is not of its type."""
    return selector(signature) + encode(types_of(signature), values)


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """The words of *values*. Raises ConfigError for a value that is not of its type."""
    return _encode_row(tuple(map(_parse, types)), values)


def decode(types: Sequence[str], data: bytes) -> list[Any]:
    """The exact inverse of ``encode``; addresses in lower case. Raises MalformedError for anything else."""
    values, end = _Reader(data).row(tuple(map(_parse, types)), 0)
    if end != len(data):
        raise MalformedError(f"ABI: {len(data) - end} bytes more than {','.join(types)} take")
    return values


def _encode_row(row: Sequence[_Type], values: Sequence[Any]) -> bytes:
    if not isinstance(values, (list, tuple)) or len(values) != len(row):
        raise ConfigError(f"ABI: {values!r:.80} is not {len(row)} values")
    heads, tails = [], []
    distance = sum(item.head_bytes for item in row)
    for item, value in zip(row, values, strict=True):
        content = _encode_value(item, value)
        if item.dynamic:
            heads.append(distance.to_bytes(WORD, "big"))
            tails.append(content)
            distance += len(content)
        else:
            heads.append(content)
    return b"".join(heads + tails)


def _encode_value(item: _Type, value: Any) -> bytes:
    if item.kind == "array":
        if not isinstance(value, (list, tuple)) or item.size not in (-1, len(value)):
            raise _wrong(item, value)
        count = len(value).to_bytes(WORD, "big") if item.size < 0 else b""
        return count + _encode_row(item.items * len(value), value)
    if item.kind == "tuple":
        return _encode_row(item.items, value)
    if item.kind in ("bytes", "string"):
        return _encode_text(item, value)
    return _encode_word(item, value)


def _encode_text(item: _Type, value: Any) -> bytes:
    if item.kind == "string" and type(value) is str:
        data = value.encode()
    elif item.kind == "bytes" and type(value) is bytes:
        data = value
    else:
        raise _wrong(item, value)
    return len(data).to_bytes(WORD, "big") + data + bytes(-len(data) % WORD)


def _encode_word(item: _Type, value: Any) -> bytes:
    if item.kind == "bool" and type(value) is bool:
        return int(value).to_bytes(WORD, "big")
    if item.kind == "address" and type(value) is str and _ADDRESS.fullmatch(value):
        return bytes(12) + bytes.fromhex(value[2:])
    if item.kind == "fixed" and type(value) is bytes and len(value) == item.size:
        return value + bytes(WORD - item.size)
    if item.kind in ("int", "uint") and type(value) is int and _fits(item, value):
        return value.to_bytes(WORD, "big", signed=item.kind == "int")
    raise _wrong(item, value)


def _fits(item: _Type, value: int) -> bool:
    if item.kind == "uint":
        return 0 <= value < 1 << item.size
    return -(1 << item.size - 1) <= value < 1 << item.size - 1


def _wrong(item: _Type, value: Any) -> ConfigError:
    return ConfigError(f"ABI: {value!r:.80} is no {item.text}")


class _Reader:
    """Reads one encoding; *left* limits what it may make of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = ITEMS_MAX

    def row(self, row: Sequence[_Type], start: int) -> tuple[list[Any], int]:
        """The values of a tuple whose heads begin at *start*, and where it ends."""
        self._left -= len(row)
        if self._left < 0:
            raise MalformedError(f"ABI: more than {ITEMS_MAX} values")
        values, at = [], start
        end = start + sum(item.head_bytes for item in row)
        for item in row:
            if item.dynamic:
                self._require(int.from_bytes(self._word(at), "big") == end - start, at, "an offset out of order")
                value, end = self._value(item, end)
            else:
                value, _ = self._value(item, at)
            values.append(value)
            at += item.head_bytes
        return values, end

    def _value(self, item: _Type, at: int) -> tuple[Any, int]:
        if item.kind == "array":
            return self._array(item, at)
        if item.kind == "tuple":
            values, end = self.row(item.items, at)
            return tuple(values), end
        if item.kind in ("bytes", "string"):
            return self._text(item, at)
        return self._single(item, at), at + WORD

    def _array(self, item: _Type, at: int) -> tuple[list[Any], int]:
        count = item.size
        if count < 0:
            count = int.from_bytes(self._word(at), "big")
            at += WORD
        self._require(count <= self._left, at, f"an array of {count} items")
        return self.row(item.items * count, at)

    def _text(self, item: _Type, at: int) -> tuple[Any, int]:
        size = int.from_bytes(self._word(at), "big")
        start = at + WORD
        end = start + size + -size % WORD
        self._require(end <= len(self._data), at, f"{size} bytes, and {max(0, len(self._data) - start)} are there")
        self._require(not any(self._data[start + size : end]), at, "padding that is not zero")
        data = self._data[start : start + size]
        if item.kind == "bytes":
            return data, end
        try:
            return data.decode(), end
        except UnicodeDecodeError as error:
            raise MalformedError(f"ABI: the string at byte {at} is no UTF-8") from error

    def _single(self, item: _Type, at: int) -> Any:
        word = self._word(at)
        if item.kind == "fixed":
            self._require(not any(word[item.size :]), at, f"padding of a {item.text} that is not zero")
            return word[: item.size]
        value = int.from_bytes(word, "big", signed=item.kind == "int")
        if item.kind == "bool":
            self._require(value <= 1, at, f"a bool of {value}")
            return value == 1
        if item.kind == "address":
            self._require(value < 1 << 160, at, "an address longer than 20 bytes")
            return "0x" + word[12:].hex()
        self._require(_fits(item, value), at, f"{value}, which is no {item.text}")
        return value

    def _word(self, at: int) -> bytes:
        self._require(at + WORD <= len(self._data), at, f"the end: {len(self._data)} bytes are there")
        return self._data[at : at + WORD]

    def _require(self, good: bool, at: int, fault: str) -> None:  # noqa: FBT001  (the one thing it looks at)
        if not good:
            raise MalformedError(f"ABI: at byte {at} there is {fault}")
