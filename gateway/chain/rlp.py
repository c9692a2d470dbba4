"""RLP (Ethereum Yellow Paper, appendix B): the bytes of a transaction.

An item is a byte string or a list of items. A byte below 0x80 is itself; a string of up to 55 bytes follows 0x80 + its
length, a list 0xc0 + its length; longer ones follow 0xb7 or 0xf7 + the size of the length, and the length without
leading zeros. A number is its big-endian bytes without leading zeros, and 0 the empty string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gateway.errors import MalformedError

Item: TypeAlias = "bytes | Sequence[Item]"
#: What is read may be nested this deep; a transaction with an access list is 4 deep.
_DEPTH_MAX = 8


def encode(item: Item) -> bytes:
    """The bytes of *item*."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    content = b"".join(map(encode, item))
    return _head(0xC0, len(content)) + content


def number(value: int) -> bytes:
    """The byte string of a number, 0 or more."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode(data: bytes) -> Item:
    """The exact inverse of ``encode``. Raises MalformedError for anything that ``encode`` does not write."""
    item, end = _read(data, 0, 0)
    if end != len(data):
        raise MalformedError(f"RLP: {len(data) - end} bytes behind the item's end at {end}")
    return item


def _head(kind: int, size: int) -> bytes:
    if size < 56:
        return bytes([kind + size])
    length = number(size)
    return bytes([kind + 55 + len(length)]) + length


def _read(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if at >= len(data):
        raise MalformedError(f"RLP: an item is missing at byte {at}")
    if data[at] < 0x80:
        return data[at : at + 1], at + 1
    start, end = _bounds(data, at)
    if data[at] >= 0xC0:
        return _read_list(data, start, end, depth + 1), end
    if end - start == 1 and data[start] < 0x80:
        raise MalformedError(f"RLP: the byte {data[start]:#04x} at {start} has a head it does not need")
    return data[start:end], end


def _read_list(data: bytes, start: int, end: int, depth: int) -> Item:
    if depth > _DEPTH_MAX:
        raise MalformedError(f"RLP: lists are nested deeper than {_DEPTH_MAX} at byte {start}")
    items: list[Item] = []
    content = data[:end]
    while start < end:
        item, start = _read(content, start, depth)
        items.append(item)
    return items


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the item at *at* begins and ends."""
    short = data[at] % 0x40
    width = max(0, short - 55)
    start = at + 1 + width
    length = data[at + 1 : start]
    size = int.from_bytes(length, "big") if width else short
    if width and (size < 56 or length[0] == 0):
        raise MalformedError(f"RLP: the length of the item at byte {at} is not in its shortest form")
    if start + size > len(data):
        raise MalformedError(f"RLP: the item at byte {at} has {size} bytes, and {max(0, len(data) - start)} are there")
    return start, start + size
