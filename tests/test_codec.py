"""Register words to exact values and back (drivers/modbus/codec.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.codec import SCALE_MAX, decode, encode, parse_decimal, reorder
from drivers.modbus.definition import TYPES, WORD_ORDERS, PointDef
from gateway.reading import Scaled, Status

INTEGERS = [name for name, kind in TYPES.items() if kind.kind != "float"]
FLOATS = {"f32": (8, 23), "f64": (11, 52)}


def point(kind: str = "u16", order: str = "abcd", **more: Any) -> PointDef:
    return PointDef(name="p", obis="1-0:1.8.0", unit="", address=0, fc=3, type=kind, word_order=order, **more)


def value(which: PointDef, words: str, scale: str | None = None) -> str | None:
    reading = decode(which, bytes.fromhex(words), None if scale is None else bytes.fromhex(scale))
    return None if reading.value is None else str(reading.value)


@given(st.sampled_from(sorted(TYPES)), st.sampled_from(WORD_ORDERS), st.integers(-18, 18), st.data())
def test_any_bytes_of_the_right_length_decode_to_a_value_or_to_invalid(
    kind: str, order: str, scale10: int, data: st.DataObject
) -> None:
    """No content of a register makes the decoder raise, and what it decodes prints."""
    which = point(kind, order, scale10=scale10, scale_register=9)
    raw = data.draw(st.binary(min_size=2 * which.words, max_size=2 * which.words))
    reading = decode(which, raw, data.draw(st.binary(min_size=2, max_size=2)))
    assert reading.raw == raw
    assert (reading.status is Status.OK) == (reading.value is not None)
    assert reading.value is None or str(reading.value)


@given(st.sampled_from(INTEGERS), st.sampled_from(WORD_ORDERS), st.integers(-18, 18), st.data())
def test_integers_survive_encoding_and_decoding(kind: str, order: str, scale10: int, data: st.DataObject) -> None:
    """Every integer type gives back its raw words in every word order, at any power of ten."""
    which = point(kind, order, scale10=scale10)
    raw = data.draw(st.binary(min_size=2 * which.words, max_size=2 * which.words))
    reading = decode(which, raw)
    assert encode(which, reading.value) == raw


@given(st.sampled_from(sorted(FLOATS)), st.sampled_from(WORD_ORDERS), st.integers(-6, 6), st.data())
def test_finite_floats_survive_decoding_and_encoding(kind: str, order: str, scale10: int, data: st.DataObject) -> None:
    """The decimal text of a float register is enough to get its words back; only the sign of zero is lost."""
    which = point(kind, order, scale10=scale10)
    raw = data.draw(st.binary(min_size=2 * which.words, max_size=2 * which.words))
    reading = decode(which, raw)
    bits, fraction = FLOATS[kind]
    word = int.from_bytes(reorder(raw, order), "big")
    if word >> fraction & (2**bits - 1) == 2**bits - 1:
        assert reading.status is Status.INVALID
    elif word << 1 & (2 ** (8 * len(raw)) - 1):
        assert encode(which, reading.value) == raw


@given(st.sampled_from(WORD_ORDERS), st.binary(max_size=8).filter(lambda raw: len(raw) % 2 == 0))
def test_each_word_order_is_its_own_inverse(order: str, raw: bytes) -> None:
    """Undoing a word order twice gives the bytes as they were."""
    assert reorder(reorder(raw, order), order) == raw


@pytest.mark.parametrize(
    ("order", "words"),
    [("abcd", "000186a0"), ("cdab", "86a00001"), ("badc", "0100a086"), ("dcba", "a0860100")],
)
def test_word_orders_name_the_bytes_as_they_travel(order: str, words: str) -> None:
    """100000 is 0x000186a0: a is the most significant byte."""
    assert value(point("u32", order), words) == "100000"


@pytest.mark.parametrize(
    ("kind", "scale10", "words", "text"),
    [
        ("u16", -1, "08fe", "230.2"),
        ("u16", -1, "08fc", "230.0"),
        ("i16", -3, "fc1a", "-0.998"),
        ("i32", 0, "ffffffff", "-1"),
        ("u32", 0, "ffffffff", "4294967295"),
        ("u64", -2, "ffffffffffffffff", "184467440737095516.15"),
        ("i64", 0, "8000000000000000", "-9223372036854775808"),
        ("acc32", 3, "00000002", "2000"),
        ("f32", 3, "3fc00000", "1500"),
        ("f32", 0, "43663333", "230.2"),
        ("f32", 0, "43663334", "230.20001"),
        ("f32", 0, "462a7521", "10909.282"),
        ("f32", 0, "80000000", "0"),
        ("f64", 0, "406cc66666666666", "230.2"),
    ],
)
def test_values_are_exact_decimals(kind: str, scale10: int, words: str, text: str) -> None:
    """Integers keep the digits of their scale; floats are the shortest decimal that reads back."""
    assert value(point(kind, scale10=scale10), words) == text


@pytest.mark.parametrize("words", ["7f800000", "ff800000", "7fc00000", "ffffffff"])
def test_infinities_and_nan_are_no_value(words: str) -> None:
    """A float that is no number is absent, with the raw words kept."""
    reading = decode(point("f32"), bytes.fromhex(words))
    assert (reading.status, reading.value, reading.raw.hex()) == (Status.INVALID, None, words)


def test_a_sentinel_is_compared_after_the_word_order() -> None:
    """0x7fffffff written in a definition matches ffff 7fff on a meter that sends the low word first."""
    which = point("i32", "cdab", invalid=(bytes.fromhex("7fffffff"),))
    assert value(which, "ffff7fff") is None
    assert value(which, "7fffffff") == "-32769"
    assert encode(which, None) == bytes.fromhex("ffff7fff")


@pytest.mark.parametrize(
    ("scale", "text"), [("0000", "5"), ("fffe", "0.05"), ("0002", "500"), ("fff6", "0.0000000005")]
)
def test_a_scale_register_is_a_power_of_ten(scale: str, text: str) -> None:
    """SunSpec's scale factor moves the point by as many places."""
    assert value(point(scale_register=1), "0005", scale) == text


@pytest.mark.parametrize("scale", ["8000", "000b", "fff5", "7fff"])
def test_a_scale_register_out_of_range_makes_the_value_unknown(scale: str) -> None:
    """0x8000 is SunSpec's "not implemented"; a power beyond 10 is no scale factor."""
    assert value(point(scale_register=1), "0005", scale) is None
    assert SCALE_MAX == 10


def test_a_wrong_length_is_the_callers_fault() -> None:
    """Bytes that do not fill the point's registers, or a missing scale, are a ValueError and no reading."""
    for raw in (b"", b"\0", b"\0\0\0\0"):
        with pytest.raises(ValueError, match="registers"):
            decode(point(), raw)
    with pytest.raises(ValueError, match="scale register"):
        decode(point(scale_register=1), b"\0\0")


def test_a_value_that_does_not_fit_is_refused() -> None:
    """Encoding never wraps around."""
    for kind, text in (("u16", "-1"), ("u16", "65536"), ("i16", "32768"), ("f32", "1" + "0" * 39)):
        with pytest.raises(OverflowError):
            encode(point(kind), parse_decimal(text))
    with pytest.raises(ValueError, match="sentinel"):
        encode(point(), None)


@pytest.mark.parametrize("text", ["", "-", ".", "1.", "1e3", "١", "+1", "0x1", " 1", "nan", "1.2.3"])
def test_only_plain_decimals_are_decimals(text: str) -> None:
    """Vectors are written as plain digits with at most one point."""
    with pytest.raises(ValueError, match="decimal"):
        parse_decimal(text)
    assert parse_decimal("-0.50") == Scaled(mantissa=-50, exponent=-2)
