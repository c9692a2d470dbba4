"""Checks counters for direction and rate: a suspect value is kept as read, and flagged.

A counter that fell (a reset, an exchange, a spurious zero) is FELL, one that rose faster than its meter can measure
is JUMPED. The next value is compared with this one, whatever it was: nothing is ever re-based or dropped.
"""

from __future__ import annotations

import dataclasses

from gateway.reading import PointReading, PointSpec, Reading, Scaled, Status

_NS_PER_HOUR = 3_600_000_000_000


class CounterCheck:
    """Remembers the last value of each monotonic point of one meter."""

    def __init__(self, known: dict[str, Scaled] | None = None) -> None:
        #: Point name → (value, boottime ns or None where it is from an earlier run).
        self._last: dict[str, tuple[Scaled, int | None]] = {
            name: (value, None) for name, value in (known or {}).items()
        }

    def check(self, specs: tuple[PointSpec, ...], reading: Reading) -> Reading:
        """The reading of points as *specs* has them, with the statuses of suspect counters changed."""
        now_ns = reading.moment.boottime_ns
        points = tuple(self._judge(spec, point, now_ns) for spec, point in zip(specs, reading.points, strict=True))
        return dataclasses.replace(reading, points=points)

    def _judge(self, spec: PointSpec, point: PointReading, now_ns: int) -> PointReading:
        if not spec.monotonic or point.value is None:
            return point
        last = self._last.get(spec.name)
        self._last[spec.name] = (point.value, now_ns)
        if last is None:
            return point
        change, exponent = _difference(point.value, last[0])
        if change < 0:
            return dataclasses.replace(point, status=Status.FELL)
        if last[1] is not None and spec.max_per_hour is not None:
            allowed = spec.max_per_hour * max(now_ns - last[1], 0)
            # One step of the counter's last digit may always have been due.
            if (change - 1) * _NS_PER_HOUR > allowed * 10**-exponent:
                return dataclasses.replace(point, status=Status.JUMPED)
        return point


def _difference(new: Scaled, old: Scaled) -> tuple[int, int]:
    """*new* − *old* as mantissa and exponent (at most 0)."""
    exponent = min(new.exponent, old.exponent, 0)
    return new.at(exponent) - old.at(exponent), exponent
