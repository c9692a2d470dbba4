"""IEEE 754 numbers as shortest decimals (drivers/ieee754.py), against the interpreter's own conversions."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.ieee754 import BINARY32, BINARY64, nearest, shortest
from gateway.reading import Scaled

POWERS_OF_TWO = [exponent << 23 for exponent in range(1, 255)]


def decimal(value: Scaled) -> Decimal:
    return Decimal(value.mantissa).scaleb(value.exponent)


def single(word: int) -> float:
    return float(struct.unpack(">f", word.to_bytes(4, "big"))[0])


def reads_back(text: Fraction, word: int) -> bool:
    """Whether *text* lies within half a unit of the positive binary32 *word* (ends belong to even words)."""
    here = Fraction(single(word))
    below = (Fraction(single(word - 1)) + here) / 2
    above = (Fraction(single(word + 1)) + here) / 2
    return below <= text <= above if word % 2 == 0 else below < text < above


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(9007199254740993.0)
def test_binary64_prints_as_the_interpreter_prints_it(number: float) -> None:
    """Python's repr is a shortest decimal as well, found by other people's code."""
    word = int.from_bytes(struct.pack(">d", number), "big")
    found = shortest(word, BINARY64)
    assert found is not None
    assert decimal(found) == Decimal(repr(number)) + 0
    if number:
        assert nearest(found, BINARY64) == word


@given(st.integers(1, 0x7F7FFFFE))
@example(0x00800000)
@example(0x00000001)
@example(0x4CBC614F)
def test_binary32_is_the_shortest_decimal_that_reads_back(word: int) -> None:
    """It reads back, no decimal with one digit fewer does, and its word is found again."""
    found = shortest(word, BINARY32)
    assert found is not None
    exact = Fraction(decimal(found))
    assert reads_back(exact, word)
    assert nearest(found, BINARY32) == word
    unit = Fraction(10) ** (found.exponent + 1)
    shorter = math.floor(exact / unit)
    assert not reads_back(shorter * unit, word)
    assert not reads_back((shorter + 1) * unit, word)


@pytest.mark.parametrize("word", POWERS_OF_TWO)
def test_powers_of_two_have_a_narrower_half_below(word: int) -> None:
    """Below a power of two the neighbours are twice as close, which a careless search gets wrong."""
    found = shortest(word, BINARY32)
    assert found is not None
    assert reads_back(Fraction(decimal(found)), word)
    assert nearest(found, BINARY32) == word


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=12))
def test_a_decimal_becomes_the_nearest_binary64(text: Decimal) -> None:
    """The interpreter's own reading of the same text gives the same word."""
    _, digits, exponent = text.as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits))) * (-1 if text < 0 else 1)
    expected = int.from_bytes(struct.pack(">d", float(text) or 0.0), "big")
    assert nearest(Scaled(mantissa=mantissa, exponent=exponent), BINARY64) == expected


def test_halves_go_to_the_even_number() -> None:
    """16777217 lies between two binary32 numbers, 16777219 as well; each goes to the even significand."""
    for number, expected in ((16777217, 16777216), (16777219, 16777220)):
        assert single(nearest(Scaled(mantissa=number, exponent=0), BINARY32)) == expected


def test_beyond_the_largest_number_is_an_overflow() -> None:
    """The largest finite number is reached, the next decimal step is refused."""
    assert nearest(Scaled(mantissa=34028235, exponent=31), BINARY32) == 0x7F7FFFFF
    with pytest.raises(OverflowError, match="binary32"):
        nearest(Scaled(mantissa=34028236, exponent=31), BINARY32)
