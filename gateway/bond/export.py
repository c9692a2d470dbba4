"""Writes readings of the log as a folder of ew-link-bond's ``OnDiskChain``: chained files, and their index.

====================  ==============================================================================================
name of a file        the second of the reading's wall clock, in UTC: what bond writes where TZ is UTC. A name that is
                      taken, or is not after the one before (readings faster than one a second, a clock set back), is
                      the second after the one before: bond would overwrite the older file. No hash covers a name.
time in the index     the reading's wall clock, to the millisecond, in UTC
value                 the total in whole watt-hours; a fraction is refused, or rounded down on request
is_meter_down         there was no value: then the total is the last one again. Bond leaves such a reading out, and
                      its applications tell the contract 0. Before the first total there is nothing to repeat: such
                      readings are left out. So are values that the gateway did not believe (fell, jumped …): bond
                      has no word for them.
co2_saved             see ``gateway.bond.carbon``; counts from the first file on
is_co2_down           no carbon intensity was known that was younger than two hours
previous_hash         the hash of the file before in this folder; ``0x0`` in the first
====================  ==============================================================================================

A total that falls ends the export: a registry's totals only rise, so what comes after it is another chain. The same
readings give the same bytes, and a longer export begins with the files of a shorter one; one that begins elsewhere has
other hashes throughout.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway import durable
from gateway.bond.carbon import MAX_AGE_MS, UNIT, CarbonCount
from gateway.bond.index import Link, write_index
from gateway.bond.record import NOTHING_BEFORE, consumed_file, file_hash, produced_file
from gateway.bond.units import SYMBOLS, whole_watt_hours
from gateway.errors import ConfigError, GatewayError, MalformedError
from gateway.reading import PointReading, PointSpec, Scaled, Status
from gateway.views.source import MeterReading

INDEX = "origin.pkl"
NAME = "%Y-%m-%d-%H:%M:%S.json"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is exported."""

    meter: str
    #: The counter.
    point: str
    #: Or a consumer, whose files say nothing of CO2.
    producer: bool = True
    #: Meter and point that tell the carbon intensity, in g/kWh; None where nobody does.
    carbon: tuple[str, str] | None = None
    kilograms: bool = False
    round_down: bool = False
    #: Only the first reading in each so many seconds of Unix time; 0 takes all.
    every_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the chain."""

    name: str
    data: bytes
    hash: str
    #: Unix time that the name says.
    named_s: int
    #: Unix time of the reading.
    wall_ms: int
    #: What is in the data.
    value: int
    is_meter_down: bool
    reading: MeterReading


class Chain:
    """Makes one file after the other."""

    def __init__(self, *, producer: bool) -> None:
        self._producer = producer
        self._last_s: int | None = None
        self.last_hash = NOTHING_BEFORE
        #: How many names are not the second of their reading.
        self.moved = 0

    def add(self, reading: MeterReading, value: int, *, is_meter_down: bool, co2: tuple[int, bool]) -> File:
        """The next file. Raises MalformedError for a clock that no name can be made of."""
        wall_ms = reading.entry.moment.wall_ms
        named_s = wall_ms // 1000
        if self._last_s is not None and named_s <= self._last_s:
            named_s = self._last_s + 1
            self.moved += 1
        if self._producer:
            data = produced_file(
                value=value,
                is_meter_down=is_meter_down,
                previous_hash=self.last_hash,
                co2_saved=co2[0],
                is_co2_down=co2[1],
            )
        else:
            data = consumed_file(value=value, is_meter_down=is_meter_down, previous_hash=self.last_hash)
        self._last_s, self.last_hash = named_s, file_hash(data)
        return File(
            name=_name(named_s),
            data=data,
            hash=self.last_hash,
            named_s=named_s,
            wall_ms=wall_ms,
            value=value,
            is_meter_down=is_meter_down,
            reading=reading,
        )


def local(unix_ms: int) -> datetime:
    """A Unix time as bond's local time where TZ is UTC. Raises MalformedError beyond what a name can say."""
    try:
        time = _EPOCH + timedelta(milliseconds=unix_ms)
    except OverflowError as error:
        raise MalformedError(f"a wall clock of {unix_ms} ms is in no year that bond can write") from error
    if time.year < 1000:
        raise MalformedError(f"a wall clock of {unix_ms} ms is in no year that bond can write")
    return time.replace(tzinfo=None)


class Export:
    """One export under way."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chain = Chain(producer=plan.producer)
        #: What was left out, and how often.
        self.skipped: Counter[str] = Counter()
        self.outages = 0
        self._total: int | None = None
        self._co2 = CarbonCount(kilograms=plan.kilograms)
        self._intensity: tuple[MeterReading, Scaled] | None = None
        self._period: int | None = None

    def files(self, readings: Iterable[MeterReading]) -> Iterator[File]:
        """The files for the readings of a log, in order. Raises ConfigError, MalformedError."""
        for reading in readings:
            if self.plan.carbon is not None and reading.meter_name == self.plan.carbon[0]:
                self._hear(reading, self.plan.carbon[1])
            if reading.meter_name == self.plan.meter:
                spec, point = self._found(reading)
                if point.status is not Status.OK and point.value is not None:
                    self.skipped["readings with a value that was not believed"] += 1
                elif self._is_due(reading):
                    yield from self._file(reading, spec, point)

    def _is_due(self, reading: MeterReading) -> bool:
        if not self.plan.every_s:
            return True
        before, self._period = self._period, reading.entry.moment.wall_ms // (self.plan.every_s * 1000)
        return before != self._period

    def _file(self, reading: MeterReading, spec: PointSpec, point: PointReading) -> Iterator[File]:
        counted = None if point.value is None else self._counted(reading, spec, point.value)
        total = self._total if counted is None else counted
        if total is None:
            self.skipped["readings without a total before the first one"] += 1
            return
        grown = 0 if self._total is None else total - self._total
        if grown < 0:
            raise ConfigError(
                f"entry {reading.entry.seq}: {self.plan.meter} {self.plan.point} fell from {self._total} to {total} "
                f"Wh, and bond's totals only rise; export up to entry {reading.entry.seq - 1} with --to, and into "
                f"another folder from entry {reading.entry.seq} with --from"
            )
        co2 = self._co2.add(grown, self._known_intensity(reading))
        self._total = total
        self.outages += counted is None
        yield self.chain.add(reading, total, is_meter_down=counted is None, co2=co2)

    def _found(self, reading: MeterReading) -> tuple[PointSpec, PointReading]:
        spec, point = _find(reading, self.plan.point)
        if spec.unit not in SYMBOLS or spec.resettable:
            why = "can be set back" if spec.resettable else f"is in {spec.unit or 'no unit'}"
            raise ConfigError(f"{self.plan.meter} {spec.name} {why}, so it is no energy total; {_totals(reading)}")
        return spec, point

    def _counted(self, reading: MeterReading, spec: PointSpec, value: Scaled) -> int:
        try:
            found = whole_watt_hours(value, spec.unit, round_down=self.plan.round_down)
        except ConfigError as error:
            raise ConfigError(f"entry {reading.entry.seq}: {self.plan.meter} {spec.name}: {error}") from error
        if found < 0:
            raise ConfigError(f"entry {reading.entry.seq}: {self.plan.meter} {spec.name} is {found} Wh, below zero")
        return found

    def _hear(self, reading: MeterReading, name: str) -> None:
        spec, point = _find(reading, name)
        if spec.unit != UNIT:
            raise ConfigError(
                f"{reading.meter_name} {name} is in {spec.unit or 'no unit'}; a point in {UNIT} is needed"
            )
        value = point.value if point.status is Status.OK else None
        self._intensity = None if value is None else (reading, value)

    def _known_intensity(self, reading: MeterReading) -> Scaled | None:
        if self._intensity is None:
            return None
        then, intensity = self._intensity
        return intensity if _age_ms(then, reading) <= MAX_AGE_MS else None


def _age_ms(then: MeterReading, now: MeterReading) -> int:
    """Between two entries: by the clock that never steps, or, across a boot, by the wall clock's claim."""
    if then.entry.boot == now.entry.boot:
        return (now.entry.moment.boottime_ns - then.entry.moment.boottime_ns) // 1_000_000
    return abs(now.entry.moment.wall_ms - then.entry.moment.wall_ms)


def _find(reading: MeterReading, name: str) -> tuple[PointSpec, PointReading]:
    for spec, point in reading.points:
        if spec.name == name:
            return spec, point
    raise ConfigError(f"entry {reading.entry.seq}: {reading.meter_name} has no point {name}; {_totals(reading)}")


def _totals(reading: MeterReading) -> str:
    names = [spec.name for spec, _ in reading.points if spec.unit in SYMBOLS and not spec.resettable]
    return f"its energy totals: {', '.join(names) or 'none'}"


def write_folder(directory: Path, files: Iterable[File], tell: Callable[[File], None]) -> None:
    """Writes the files into a new or empty folder, and then their index; each file is told when it is written.

    On return the folder survives a power cut; a crash before leaves one without its index. Raises ConfigError where
    the folder is no place for it, and what *files* raises; the folder is then as it was. Without files there is none.
    """
    if "%" in str(directory):
        raise ConfigError(f"{directory}: bond takes a % in the name of its folder for a part of the time; name another")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is there already, and not empty; a chain is never mixed with another one")
    named, walls, new = array("q"), array("q"), not directory.exists()
    try:
        for file in files:
            if not named:
                durable.make_directory(directory)
            named.append(file.named_s)
            walls.append(file.wall_ms)
            (directory / file.name).write_bytes(file.data)
            tell(file)
    except GatewayError:
        durable.remove(directory / _name(named_s) for named_s in named)
        if named and new:
            directory.rmdir()
        raise
    if named:
        # Behind all the files: a folder with an index is whole.
        durable.sync_everything()
        with durable.writing_atomically(directory / INDEX) as index:
            for piece in write_index(_links(str(directory), named, walls)):
                index.write(piece)


def _links(store: str, named: array[int], walls: array[int]) -> Iterator[Link]:
    for named_s, wall_ms in zip(reversed(named), reversed(walls), strict=True):
        yield Link(file=f"{store}/{_name(named_s)}", time=local(wall_ms))


def _name(named_s: int) -> str:
    return local(named_s * 1000).strftime(NAME)
