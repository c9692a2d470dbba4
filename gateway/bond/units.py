"""The five energy units of ew-link-bond, converted exactly: integers and powers of ten in, the same out.

=============  ================  =====================
unit           joules            our symbols
=============  ================  =====================
JOULES         1                 J, kJ, MJ, GJ, Ws
WATT_HOUR      3600              mWh, Wh
KILOWATT_HOUR  3600 × 10³        kWh
MEGAWATT_HOUR  3600 × 10⁶        MWh
GIGAWATT_HOUR  3600 × 10⁹        GWh
=============  ================  =====================

The numbers are those of ``energyweb.EnergyUnit``. A watt-hour is 36 × 10² joules, and 36 has the factor 9, which no
power of ten has: joules are a finite decimal of the other units only where their digits are a multiple of 9. Nothing
is rounded unless somebody asks for it, and then downwards, so that no total states energy that was not counted.
"""

from __future__ import annotations

from enum import IntEnum

from gateway.errors import ConfigError
from gateway.reading import Scaled


class EnergyUnit(IntEnum):
    """As ``energyweb.EnergyUnit`` numbers them."""

    JOULES = 0
    WATT_HOUR = 1
    KILOWATT_HOUR = 2
    MEGAWATT_HOUR = 3
    GIGAWATT_HOUR = 4


#: How many powers of ten a unit is above its base, which is the joule or the watt-hour.
_POWERS = {
    EnergyUnit.JOULES: 0,
    EnergyUnit.WATT_HOUR: 0,
    EnergyUnit.KILOWATT_HOUR: 3,
    EnergyUnit.MEGAWATT_HOUR: 6,
    EnergyUnit.GIGAWATT_HOUR: 9,
}
#: Our unit symbol → the unit, and the power of ten of it.
SYMBOLS: dict[str, tuple[EnergyUnit, int]] = {
    "J": (EnergyUnit.JOULES, 0),
    "Ws": (EnergyUnit.JOULES, 0),
    "kJ": (EnergyUnit.JOULES, 3),
    "MJ": (EnergyUnit.JOULES, 6),
    "GJ": (EnergyUnit.JOULES, 9),
    "mWh": (EnergyUnit.WATT_HOUR, -3),
    "Wh": (EnergyUnit.WATT_HOUR, 0),
    "kWh": (EnergyUnit.KILOWATT_HOUR, 0),
    "MWh": (EnergyUnit.MEGAWATT_HOUR, 0),
    "GWh": (EnergyUnit.GIGAWATT_HOUR, 0),
}


def convert(value: Scaled, source: EnergyUnit, target: EnergyUnit) -> Scaled:
    """The same energy in another unit, exactly. Raises ConfigError where it is no finite decimal there."""
    mantissa, exponent = value.mantissa, value.exponent + _POWERS[source] - _POWERS[target]
    if source is EnergyUnit.JOULES and target is not EnergyUnit.JOULES:
        ninths, rest = divmod(mantissa, 9)
        if rest:
            raise ConfigError(f"{value} {source.name} is no finite decimal in {target.name}; keep it in joules")
        # 1/3600 is 1/9 × 25 × 10⁻⁴.
        mantissa, exponent = ninths * 25, exponent - 4
    elif target is EnergyUnit.JOULES and source is not EnergyUnit.JOULES:
        mantissa, exponent = mantissa * 36, exponent + 2
    return Scaled(mantissa=mantissa, exponent=exponent)


def whole_watt_hours(value: Scaled, symbol: str, *, round_down: bool = False) -> int:
    """An energy in whole watt-hours. Raises ConfigError for another unit, and for a fraction unless *round_down*."""
    if symbol not in SYMBOLS:
        raise ConfigError(f"unit {symbol!r} is no energy; known: {', '.join(SYMBOLS)}")
    unit, power = SYMBOLS[symbol]
    power += value.exponent + _POWERS[unit]
    numerator, denominator = value.mantissa, 3600 if unit is EnergyUnit.JOULES else 1
    if power >= 0:
        numerator *= 10**power
    else:
        denominator *= 10**-power
    whole, rest = divmod(numerator, denominator)
    if rest and not round_down:
        raise ConfigError(
            f"{value} {symbol} is no whole number of watt-hours, which is all that bond has room for; "
            "round totals down with --round-down"
        )
    return whole
