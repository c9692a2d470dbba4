"""What a meter's keys for a pulse contact say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseConfig:
    """What a meter with a pulse contact needs besides its bus."""

    #: ``line``: the line's number in the GPIO chip, as gpioinfo(1) counts.
    line: int
    #: ``impulses``: how many of them are one kWh, as on the meter's plate.
    impulses: int
    #: ``start``: what the meter's display showed in Wh when the count began; default 0.
    start_wh: int
    #: ``active``: low where the closed contact pulls the line down, high where it pulls it up; default low.
    active_low: bool
