"""Saved CO2 as bond's producers state it: a total that only rises, in whole grams or kilograms.

Each watt-hour counts once, with the carbon intensity that was known when it was read. Upstream multiplies today's
factor with all the energy there ever was, so that its total falls when the grid gets cleaner. The sum is kept exactly
and rounded down when it is told, so that nothing is lost from one reading to the next. Where no intensity is known,
the energy saves nothing that anybody could state: the total stays, and the flag says why.

Upstream's own unit is grams in release 0.4.5 (``smart_contract/interfaces.py``) and in the first application, and
kilograms in the applications after it: a registry's users have to agree on one.
"""

from __future__ import annotations

from fractions import Fraction

from gateway.reading import Scaled

#: What an intensity must be in.
UNIT = "g/kWh"
#: An intensity older than this is not known any more. WattTime tells one every five minutes.
MAX_AGE_MS = 2 * 3_600_000
_WH_PER_KWH = 1000


class CarbonCount:
    """The total of one producer."""

    def __init__(self, *, kilograms: bool = False) -> None:
        self._unit_g = 1000 if kilograms else 1
        self._saved_g = Fraction(0)

    def add(self, watt_hours: int, intensity: Scaled | None) -> tuple[int, bool]:
        """The total after so many more watt-hours at *intensity* in g/kWh, and whether that was not known."""
        known = intensity is not None and intensity.mantissa >= 0
        if intensity is not None and known:
            self._saved_g += watt_hours * intensity.mantissa * Fraction(10) ** intensity.exponent / _WH_PER_KWH
        return self._saved_g // self._unit_g, not known
