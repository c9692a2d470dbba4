"""The quick recognition of plain readings (gateway/log/plain.py) never recognises what ``parse`` refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import Kind, encode, parse
from gateway.log.plain import is_plain_reading
from gateway.reading import Moment
from tests.test_entry import bad, good, hashes, moments, naturals, numbers

raw = st.binary(max_size=17)
point = st.tuples(bad, raw).map(list) | st.tuples(good, raw, numbers, st.integers(-64, 64)).map(list)
bodies = st.tuples(naturals, st.lists(numbers, max_size=1), st.lists(point, max_size=26)).map(list)
seqs = st.integers(0, 600) | st.integers(65_000, 66_000) | naturals


def made(seq: int, prev: bytes, boot: int, moment: Moment, body: list[Any], kind: Kind = Kind.READING) -> bytes:
    return encode(kind=kind, seq=seq, prev=prev, boot=boot, moment=moment, body=body)


def is_entry(data: bytes, seq: int, prev: bytes) -> bool:
    try:
        items = parse(data)
    except MalformedError:
        return False
    return (items[1], items[2], items[3]) == (Kind.READING, seq, prev)


@settings(max_examples=300)
@given(seqs, hashes, naturals, moments, bodies)
def test_common_readings_are_recognised(seq: int, prev: bytes, boot: int, moment: Moment, body: list[Any]) -> None:
    """All with up to 23 points of at most 16 raw bytes, at places from 256 to 2^32."""
    data = made(seq, prev, boot, moment, body)
    common = 256 <= seq < 1 << 32 and len(body[2]) <= 23 and all(len(point[1]) <= 16 for point in body[2])
    assert is_plain_reading(data, seq, prev) == common
    assert not is_plain_reading(data, seq + 1, prev)
    assert not is_plain_reading(data, seq, bytes(31) + b"\1")


@settings(max_examples=500)
@given(st.data(), hashes, naturals, moments, bodies, st.integers(256, 70_000))
def test_changed_bytes_are_recognised_only_where_they_are_an_entry(
    data: st.DataObject, prev: bytes, boot: int, moment: Moment, body: list[Any], seq: int
) -> None:
    """Bytes replaced, put in or left out behind prev, several at a time."""
    changed = bytearray(made(seq, prev, boot, moment, body))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(40, len(changed)))
        change = data.draw(st.sampled_from(["replace", "insert", "remove"]))
        if change == "insert" or at == len(changed):
            changed[at:at] = data.draw(st.binary(min_size=1, max_size=3))
        else:
            changed[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1)) if change == "replace" else b""
    if is_plain_reading(bytes(changed), seq, prev):
        assert is_entry(bytes(changed), seq, prev)


def test_every_single_byte_change_agrees_with_parse() -> None:
    """Each byte of a reading of two points, set to each of its 255 other values."""
    moment = Moment(boottime_ns=10**15, wall_ms=1_790_000_000_000, quality="S", error_ms=5)
    body = [300, [-5], [[0, b"\1\2\3\4", 70_000, -2], [17, b""]]]
    prev = bytes(range(32))
    whole = made(70_000, prev, 3, moment, body)
    assert is_plain_reading(whole, 70_000, prev)
    for at in range(len(whole)):
        for value in range(256):
            changed = whole[:at] + bytes([value]) + whole[at + 1 :]
            assert is_plain_reading(changed, 70_000, prev) == is_entry(changed, 70_000, prev), (at, value)


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.READING])
def test_other_kinds_are_left_to_parse(kind: Kind) -> None:
    """They have other bodies."""
    data = bytearray(made(300, bytes(32), 0, Moment(boottime_ns=1, wall_ms=1, quality="U", error_ms=-1), [1, [], []]))
    data[2] = kind
    assert not is_plain_reading(bytes(data), 300, bytes(32))
