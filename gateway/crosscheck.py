"""Compares what one meter says twice: phases against their sum, and counters against the power. Flags, never corrects.

=============================  =====================================================================================
compared                       flagged INCONSISTENT
=============================  =====================================================================================
``power_l1`` + ``power_l2`` +  ``power_total``, where they differ by more than 2 % of the sum of the magnitudes and
``power_l3``                   20 W: the phases of one poll are read one after the other, and a load may come between
``import_total`` −             both counters, where over a quarter of an hour they differ from the power, integrated
``export_total``               by trapezoids, by more than 10 % of its magnitude and two steps of the counters' last
                               digits; polls more than a minute apart say nothing about what was between
=============================  =====================================================================================

Energy and power may be in units of their own (Wh, kWh, MWh; W, kW). Whatever has another unit, or no good value, is not
compared.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gateway.reading import PointReading, PointSpec, Reading, Status

#: Unit → the power of ten that leads to mW or mWh.
_POWER = {"mW": 0, "W": 3, "kW": 6, "MW": 9}
_ENERGY = {"mWh": 0, "Wh": 3, "kWh": 6, "MWh": 9}
_PHASES = ("power_l1", "power_l2", "power_l3")
_TOTAL, _IMPORT, _EXPORT = "power_total", "import_total", "export_total"
_WINDOW_NS = 900_000_000_000
_GAP_NS_MAX = 60_000_000_000
_NS_PER_HOUR = 3_600_000_000_000


@dataclass(slots=True)
class _Window:
    """A stretch of time in which both kinds of value came all along; mW·ns doubled, mWh."""

    began_ns: int
    last_ns: int
    last_mw: int
    energy_mwh: int
    #: Twice the integral of the power, and of its magnitude.
    twice: int = 0
    twice_magnitude: int = 0


class CrossCheck:
    """Of one meter."""

    def __init__(self) -> None:
        self._window: _Window | None = None

    def check(self, specs: tuple[PointSpec, ...], reading: Reading) -> Reading:
        """The reading, with the statuses of points changed that do not fit each other."""
        points = dict(zip((spec.name for spec in specs), zip(specs, reading.points, strict=True), strict=True))
        suspects = _unlike_phases(points) | self._unlike_energy(points, reading.moment.boottime_ns)
        if not suspects:
            return reading
        changed = tuple(
            dataclasses.replace(point, status=Status.INCONSISTENT)
            if spec.name in suspects and point.status is Status.OK
            else point
            for spec, point in zip(specs, reading.points, strict=True)
        )
        return dataclasses.replace(reading, points=changed)

    def _unlike_energy(self, points: dict[str, tuple[PointSpec, PointReading]], now_ns: int) -> set[str]:
        power = _value(points, _TOTAL, _POWER)
        taken, given = _value(points, _IMPORT, _ENERGY), _value(points, _EXPORT, _ENERGY)
        if power is None or taken is None or (given is None and _EXPORT in points):
            self._window = None
            return set()
        energy = taken - (given or 0)
        window = self._window
        if window is None or not 0 < now_ns - window.last_ns <= _GAP_NS_MAX:
            self._window = _Window(now_ns, now_ns, power, energy)
            return set()
        step_ns = now_ns - window.last_ns
        window.twice += (window.last_mw + power) * step_ns
        window.twice_magnitude += (abs(window.last_mw) + abs(power)) * step_ns
        window.last_ns, window.last_mw = now_ns, power
        if now_ns - window.began_ns < _WINDOW_NS:
            return set()
        self._window = _Window(now_ns, now_ns, power, energy)
        off = abs(2 * _NS_PER_HOUR * (energy - window.energy_mwh) - window.twice)
        allowed = window.twice_magnitude // 10 + 4 * _NS_PER_HOUR * _last_digits(points)
        return {name for name in (_IMPORT, _EXPORT) if name in points} if off > allowed else set()


def _unlike_phases(points: dict[str, tuple[PointSpec, PointReading]]) -> set[str]:
    total = _value(points, _TOTAL, _POWER)
    phases = [_value(points, name, _POWER) for name in _PHASES]
    known = [phase for phase in phases if phase is not None]
    if total is None or len(known) < len(_PHASES):
        return set()
    allowed = sum(map(abs, known)) // 50 + 20_000
    return {_TOTAL} if abs(sum(known) - total) > allowed else set()


def _value(points: dict[str, tuple[PointSpec, PointReading]], name: str, units: dict[str, int]) -> int | None:
    """In thousandths of W or Wh, rounded down; None without a good value in one of *units*."""
    spec, point = points.get(name, (None, None))
    if spec is None or point is None or point.value is None or point.status is not Status.OK:
        return None
    power = units.get(spec.unit)
    if power is None:
        return None
    exponent = power + point.value.exponent
    return int(point.value.mantissa * 10**exponent if exponent >= 0 else point.value.mantissa // 10**-exponent)


def _last_digits(points: dict[str, tuple[PointSpec, PointReading]]) -> int:
    """One step of each counter's last digit, in mWh."""
    steps = 0
    for name in (_IMPORT, _EXPORT):
        spec, point = points.get(name, (None, None))
        if spec is not None and point is not None and point.value is not None:
            steps += 10 ** max(_ENERGY[spec.unit] + point.value.exponent, 0)
    return steps
