"""What a meter that speaks in telegrams has, and its readings: points are what the first telegram holds.

A telegram has what it has: a point that is missing in a later one has no value then, and one that is new, or has
another unit, makes another description. Points are known by their codes; those that have a name here get it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

from drivers.obis import quantity
from drivers.telegram import Telegram, TelegramPoint
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Status

MAX_POINTS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramMeterSettings:
    """One meter on a bus of telegrams."""

    name: str
    model: str
    #: Who sends, as the telegrams name it, or how it is asked; empty for whoever is there.
    id: str = ""
    #: Names or codes of the points to read; empty: every number of the first telegram.
    points: tuple[str, ...] = ()


class TelegramPoints:
    """The points of one meter, as far as its telegrams have told."""

    def __init__(self, settings: TelegramMeterSettings, location: str) -> None:
        self._wanted = settings.points
        digest = hashlib.sha256(f"{settings.model}\n{settings.id}\n{' '.join(settings.points)}\n".encode()).digest()
        self.description = MeterDescription(
            name=settings.name, model=settings.model, digest=digest, location=location, points=()
        )
        self._codes: tuple[str, ...] = ()

    def reading(self, telegram: Telegram, moment: Moment) -> Reading:
        """What *telegram*, which came at *moment*, says of the points."""
        by_code = {point.code: point for point in telegram.points}
        self._describe(telegram)
        units = [spec.unit for spec in self.description.points]
        points = [_point(by_code.get(code), unit) for code, unit in zip(self._codes, units, strict=True)]
        return Reading(
            moment=moment,
            points=tuple(points),
            meter_ms=telegram.time_ms,
            meter_id=telegram.meter,
            remarks=telegram.remarks,
        )

    def _describe(self, telegram: Telegram) -> None:
        known = dict(zip(self._codes, self.description.points, strict=True))
        coded = any(":" in point.code for point in telegram.points)
        found = {point.code: _spec(point) for point in telegram.points if self._is_wanted(point, coded=coded)}
        specs = known | {code: spec for code, spec in found.items() if known.get(code) != spec}
        if specs != known:
            self._codes = tuple(specs)[:MAX_POINTS]
            points = tuple(specs[code] for code in self._codes)
            self.description = dataclasses.replace(self.description, points=points)

    def _is_wanted(self, point: TelegramPoint, *, coded: bool) -> bool:
        """Without a choice every number is; in a telegram with OBIS codes those that have one."""
        if not self._wanted:
            return point.value is not None and (":" in point.code or not coded)
        return point.code in self._wanted or quantity(point.code).name in self._wanted


def _spec(point: TelegramPoint) -> PointSpec:
    known = quantity(point.code)
    return PointSpec(
        name=known.name,
        obis=point.code if ":" in point.code else "",
        unit=point.unit,
        register=f"telegram {point.code}",
        monotonic=known.monotonic,
    )


def _point(point: TelegramPoint | None, unit: str) -> PointReading:
    if point is None:
        return PointReading(status=Status.UNSUPPORTED, raw=b"", value=None)
    if point.value is None or point.unit != unit:
        return PointReading(status=Status.INVALID, raw=point.raw, value=None)
    return PointReading(status=Status.OK, raw=point.raw, value=point.value)
