"""Release A's CO2 of a producer: what each new Wh saved, counted when it is told, and never taken back.

For each reading the energy since the one told before is multiplied with the carbon intensity of that time: the newest
good value of a carbon source in the log, in g/kWh, that stands before the reading and is at most two hours older. The
sum is kept exactly, in grams; the contract is told whole grams, rounded down. Without such a value nothing is added for
that energy, and the flag says so. Without a carbon source the flag is always set.

Upstream multiplied the whole total with today's intensity, so that its sums jumped and fell.
"""

from __future__ import annotations

from gateway.chain.totals import MeterPoint, Observed, Totals
from gateway.errors import ConfigError
from gateway.reading import Scaled

AGE_MS_MAX = 7_200_000
UNIT = "g/kWh"
_WH_PER_KWH = 3


async def intensity(totals: Totals, source: MeterPoint | None, of: Observed) -> Scaled | None:
    """g/kWh when the reading *of* was made; None where it is not known. Raises ConfigError for another unit."""
    found = await totals.value_before(source, of.seq) if source is not None else None
    if found is None or not 0 <= of.wall_ms - found.wall_ms <= AGE_MS_MAX:
        return None
    if found.unit != UNIT:
        raise ConfigError(f"co2 {source}: its unit is {found.unit!r}, and {UNIT} is wanted")
    return found.value


def more(grams: Scaled, energy_wh: int, per_kwh: Scaled) -> Scaled:
    """*grams* and what *energy_wh* saved, exactly."""
    mantissa, exponent = energy_wh * per_kwh.mantissa, per_kwh.exponent - _WH_PER_KWH
    lowest = min(exponent, grams.exponent)
    total = Scaled(mantissa=mantissa, exponent=exponent).at(lowest) + grams.at(lowest)
    while total and total % 10 == 0:
        total, lowest = total // 10, lowest + 1
    return Scaled(mantissa=total, exponent=lowest if total else 0)
