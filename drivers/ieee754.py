"""IEEE 754 binary32 and binary64 as exact decimals, in integer arithmetic only.

``shortest`` gives the decimal with the fewest digits that reads back as the same number, and among those the nearest
one (the rule of Steele and White, PLDI 1990, that every modern language prints by). So the value a meter shows as
230.2 is 230.2 and not 230.1999969482421875, and any two programs get the same digits from the same words.
``nearest`` is the inverse: the number that a decimal reads as, rounding half to even (IEEE 754-2019, section 4.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.reading import Scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One binary interchange format (IEEE 754-2019, table 3.5)."""

    bits: int
    #: Bits of the stored fraction.
    fraction: int

    @property
    def hidden(self) -> int:
        """The leading bit that a normal number does not store."""
        return 1 << self.fraction

    @property
    def exponent_mask(self) -> int:
        """The largest exponent field, which marks infinities and NaN."""
        return (1 << (self.bits - 1 - self.fraction)) - 1

    @property
    def lowest(self) -> int:
        """The power of two of one unit in the last place of the smallest numbers."""
        return 1 - (self.exponent_mask >> 1) - self.fraction


BINARY32 = Format(bits=32, fraction=23)
BINARY64 = Format(bits=64, fraction=52)


def shortest(word: int, layout: Format) -> Scaled | None:
    """The shortest decimal that reads back as *word*; None for infinities and NaN. Minus zero is zero."""
    field = (word >> layout.fraction) & layout.exponent_mask
    fraction = word & (layout.hidden - 1)
    if field == layout.exponent_mask:
        return None
    significand = fraction | layout.hidden if field else fraction
    if not significand:
        return Scaled(mantissa=0, exponent=0)
    exponent = layout.lowest + max(field, 1) - 1
    narrow_below = fraction == 0 and field > 1
    digits, power = _fewest_digits(significand, exponent, narrow_below=narrow_below)
    return Scaled(mantissa=-digits if word >> (layout.bits - 1) else digits, exponent=power)


def nearest(value: Scaled, layout: Format) -> int:
    """The word that *value* reads as. Raises OverflowError beyond the largest finite number."""
    sign = 1 << (layout.bits - 1) if value.mantissa < 0 else 0
    numerator: int = abs(value.mantissa) * 10 ** max(value.exponent, 0)
    denominator: int = 10 ** max(-value.exponent, 0)
    if not numerator:
        return sign
    # The quotient has between fraction+1 and fraction+2 bits at this exponent, and fewer only for subnormal numbers.
    exponent = max(numerator.bit_length() - denominator.bit_length() - layout.fraction - 1, layout.lowest)
    significand = _divide(numerator, denominator, exponent)
    if significand >= 2 * layout.hidden:
        exponent += 1
        significand = _divide(numerator, denominator, exponent)
    if significand >= 2 * layout.hidden:  # rounded up to the next power of two
        significand, exponent = significand >> 1, exponent + 1
    # A hidden bit carries into the exponent field, which makes the subnormal numbers no special case.
    word = ((exponent - layout.lowest) << layout.fraction) + significand
    if word >> layout.fraction >= layout.exponent_mask:
        raise OverflowError(f"{value} is beyond binary{layout.bits}")
    return sign | word


def _divide(numerator: int, denominator: int, exponent: int) -> int:
    """``numerator / denominator / 2**exponent``, rounded half to even."""
    numerator <<= max(-exponent, 0)
    denominator <<= max(exponent, 0)
    quotient, rest = divmod(numerator, denominator)
    round_up = 2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1)
    return quotient + int(round_up)


def _fewest_digits(significand: int, exponent: int, *, narrow_below: bool) -> tuple[int, int]:
    """Digits and power of ten of the shortest decimal that rounds to ``significand * 2**exponent``.

    A decimal reads back as this number if it lies within half a unit in the last place (below a power of two: a
    quarter), the ends included when the significand is even. So the bounds are counted in quarters of a unit.
    """
    centre = 4 * significand
    low, high = centre - (1 if narrow_below else 2), centre + 2
    shift, open_ends = exponent - 2, significand & 1
    # One power of ten above the number itself; log10(2) is 0.30103.
    power = (high.bit_length() + shift) * 30103 // 100000 + 1
    while True:
        up: int = (1 << max(shift, 0)) * 10 ** max(-power, 0)
        down: int = (1 << max(-shift, 0)) * 10 ** max(power, 0)
        first, last = -(-low * up // down), high * up // down
        if open_ends:
            first, last = low * up // down + 1, -(-high * up // down) - 1
        if first <= last:
            return min(max(_divide(centre * up, down, 0), first), last), power
        power -= 1
