"""What a job on a chain sees of the log: what one point of one meter said last, and whether it says nothing now.

Only what is durable is seen, and of that, what a signed checkpoint covers: so whoever is told of a reading on a chain
can ask for its proof. Where no checkpoint covers anything newer than what the job knows (the key store is away), the
newest durable reading counts.

A value counts where its status is ``ok``. One that fell, jumped or does not fit the others is passed over as if it were
not there, since nothing can be taken back from a chain. A reading without a value, and a gap entry, mean that the meter
is down. A chain is public, so a meter whose readings are concealed is refused; so is a point that is no energy where an
energy is wanted. Meters of an upstream, whose readings are in imports, are not seen here.

The search goes back ``LOOK_BACK`` entries. It goes on from where the last one ended, in steps of a few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cbor2

from gateway.bond.units import whole_watt_hours
from gateway.errors import ConfigError, PrunedError, TamperError
from gateway.log.durable_log import DurableEntries
from gateway.log.entry import Entry, Kind, decode, description, points_of
from gateway.log.tree import leaf_hash
from gateway.packing import MESSAGE_BYTES, checkpoint_size
from gateway.reading import MeterDescription, Scaled, Status

#: A day and a half of one meter at two seconds, or of ten at twenty.
LOOK_BACK = 65_536
_FIRST_STEP, _STEP = 256, 4096
#: Looked at before others have their turn.
_ENTRIES = 64
_DEFINITIONS = 256
#: Where an entry's kind stands: behind the array head and the version, one byte below 24.
_KIND_AT = 2
#: What is searched for.
_SIGNED, _DURABLE, _VALUES = "signed", "durable", "values"
_SEEN = frozenset({Kind.READING, Kind.CONCEALED, Kind.GAP})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterPoint:
    """One point of one meter, by their names in the config."""

    meter: str
    point: str

    def __str__(self) -> str:
        return f"{self.meter} {self.point}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What an entry says of a point."""

    seq: int
    #: The entry's own bytes.
    data: bytes
    wall_ms: int
    #: Why there is no value, where there is none; a gap says ``offline``.
    status: Status
    value: Scaled | None
    #: Of the value; empty where there is none.
    unit: str

    @property
    def leaf(self) -> bytes:
        """The entry's leaf hash."""
        return leaf_hash(self.data)

    @property
    def counts(self) -> bool:
        """Whether there is a value, and nothing speaks against it."""
        return self.value is not None and self.status is Status.OK and self.value.mantissa >= 0

    @property
    def watt_hours(self) -> int:
        """The value in Wh, a fraction rounded down. Raises ConfigError where it is no energy."""
        if self.value is None:
            raise ConfigError(f"entry {self.seq}: no value ({self.status.text})")
        return whole_watt_hours(self.value, self.unit, round_down=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Values in a stretch of the log, and the seq behind it; where that has not moved, the end was reached."""

    values: tuple[Observed, ...]
    end: int


#: The meter that the definition entry of a seq spells out; None where there is none.
Describe = Callable[[int], MeterDescription | None]


def observe(data: bytes, point: MeterPoint, describe: Describe) -> Observed | None:
    """What the entry of these bytes says of *point*; None where it says nothing of it.

    Raises ConfigError where the meter has no such point, or its readings are concealed.
    """
    if data[_KIND_AT] not in _SEEN or not _is_of(data, point.meter, describe):
        return None
    entry = decode(data)
    if entry.kind is Kind.GAP:
        return _observed(entry, Status.OFFLINE, None, "")
    meter = describe(entry.body[0])
    if meter is None:
        return None
    if entry.kind is Kind.CONCEALED:
        raise ConfigError(f"meter {meter.name}: its readings are concealed, and a chain is public; name another meter")
    names = [spec.name for spec in meter.points]
    if point.point not in names:
        raise ConfigError(f"meter {meter.name} has no point {point.point}; it has {', '.join(names)}")
    place = names.index(point.point)
    found = points_of(entry.body)[place]
    return _observed(entry, found.status, found.value, meter.points[place].unit if found.value else "")


def _is_of(data: bytes, name: str, describe: Describe) -> bool:
    """Whether the body begins with that meter, for a fifth of what decoding costs. Raises MalformedError."""
    try:
        items = cbor2.loads(data)
        about = items[9][0] if type(items) is list else None
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError, LookupError):
        about = None
    if not isinstance(about, (str, int)):
        about = decode(data).body[0]
    meter = None if isinstance(about, str) else describe(about)
    return (about if meter is None else meter.name) == name


def _observed(entry: Entry, status: Status, value: Scaled | None, unit: str) -> Observed:
    wall_ms = entry.moment.wall_ms
    return Observed(seq=entry.seq, data=entry.data, wall_ms=wall_ms, status=status, value=value, unit=unit)


class Totals(Protocol):
    """The log as jobs see it. All methods raise ConfigError, LogUnavailable, TamperError."""

    @property
    def origin(self) -> str:
        """The log's name; another epoch has another one."""

    async def newest(self, point: MeterPoint, *, after: int = -1) -> Observed | None:
        """The newest that counts or has no value, behind entry *after*; None when there is nothing."""

    async def value_before(self, point: MeterPoint, seq: int) -> Observed | None:
        """The newest that counts before entry *seq*, whatever came behind it."""

    async def stretch(self, point: MeterPoint, seq: int) -> Stretch:
        """What has a value from entry *seq* on, suspect or not, as far as one look goes."""


class LogTotals:
    """``Totals`` over the gateway's own log. All methods belong to the event loop's thread."""

    def __init__(self, log: DurableEntries) -> None:
        self._log = log
        self._meters: dict[int, MeterDescription | None] = {}
        #: Where a search ended and what it found, by point and by what it was asked for.
        self._known: dict[tuple[MeterPoint, str], tuple[int, Observed | None]] = {}

    @property
    def origin(self) -> str:
        """See ``Totals``."""
        return self._log.origin

    async def newest(self, point: MeterPoint, *, after: int = -1) -> Observed | None:
        """See ``Totals``."""
        for what, end in ((_SIGNED, self._signed_size()), (_DURABLE, self._log.durable_size)):
            found = await self._search(point, end, what)
            if found is not None and found.seq > after:
                return found
        return None

    async def value_before(self, point: MeterPoint, seq: int) -> Observed | None:
        """See ``Totals``."""
        return await self._search(point, min(seq, self._log.durable_size), _VALUES)

    async def stretch(self, point: MeterPoint, seq: int) -> Stretch:
        """See ``Totals``."""
        signed = self._signed_size()
        end = signed if signed > seq else self._log.durable_size
        if seq >= end:
            return Stretch(values=(), end=seq)
        entries, seq = self._read(seq, end)
        # The event loop has other work, too.
        await asyncio.sleep(0)
        seen = (observe(data, point, self._describe) for data in entries)
        return Stretch(values=tuple(found for found in seen if found is not None and found.value is not None), end=seq)

    def _signed_size(self) -> int:
        note = self._log.newest_checkpoint
        return 0 if note is None else min(checkpoint_size(note), self._log.durable_size)

    async def _search(self, point: MeterPoint, end: int, what: str) -> Observed | None:
        known_end, known = self._known.get((point, what), (0, None))
        if known_end > end:
            # An earlier place than last time.
            known_end, known = 0, None
        first = max(known_end, end - LOOK_BACK)
        found, stop, step = None, end, _FIRST_STEP
        while found is None and stop > first:
            start = max(first, stop - step)
            found = await self._last_between(point, start, stop, outages=what != _VALUES)
            stop, step = start, _STEP
        found = found or known
        self._known[point, what] = (end, found)
        return found

    async def _last_between(self, point: MeterPoint, start: int, stop: int, *, outages: bool) -> Observed | None:
        """Forwards, since the log is read so; the last one counts."""
        last = None
        while start < stop:
            entries, start = self._read(start, stop)
            for data in entries:
                found = observe(data, point, self._describe)
                if found is not None and (found.counts or (outages and found.value is None)):
                    last = found
            await asyncio.sleep(0)
        return last

    def _read(self, start: int, stop: int) -> tuple[list[bytes], int]:
        """Some entries, and the seq behind them; of what was pruned none."""
        try:
            entries = self._log.read(start, stop, max_entries=_ENTRIES, max_bytes=MESSAGE_BYTES)
        except PrunedError as error:
            return [], error.next_seq
        if not entries:
            raise TamperError(f"entry {start} of the log is not there", seq=start)
        return entries, start + len(entries)

    def _describe(self, seq: int) -> MeterDescription | None:
        if seq not in self._meters:
            while len(self._meters) >= _DEFINITIONS:
                del self._meters[next(iter(self._meters))]
            self._meters[seq] = self._definition(seq)
        return self._meters[seq]

    def _definition(self, seq: int) -> MeterDescription | None:
        try:
            entries = self._log.read(seq, seq + 1)
        except PrunedError:
            return None
        entry = decode(entries[0]) if entries else None
        return description(entry.body) if entry is not None and entry.kind is Kind.DEFINITION else None
