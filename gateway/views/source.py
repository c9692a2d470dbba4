"""What a view is made from: the entries of a log that were asked for, and what had to be left out.

A view shows readings to software that knows nothing of logs. It is made anew whenever it is asked for, entry by entry,
so that its memory does not grow with the log, and it proves nothing by itself: the log's own bytes stay the truth.
Each view names the origin, the seq and the leaf hash of what it shows, so that a reader can go back there.

What a view cannot show is left out and counted, never guessed: entries of a kind that this version does not know, and
concealed readings (kind 12), whose values are not in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import MalformedError, PrunedError
from gateway.log.entry import Entry, Kind, decode, points_of
from gateway.log.tree import leaf_hash
from gateway.log.view import LogView
from gateway.reading import MeterDescription, PointReading, PointSpec

CONCEALED = 12
_KNOWN = frozenset(int(kind) for kind in Kind)
#: Where an entry's kind stands: behind the array head and the version, one byte below 24.
_KIND_AT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries are wanted."""

    start: int = 0
    #: The first seq that is not wanted any more; None: up to the end.
    stop: int | None = None
    #: By the entry's wall clock, Unix microseconds: from the first on, and before the second.
    since_us: int | None = None
    until_us: int | None = None
    #: Readings of this meter only.
    meter: str | None = None

    def holds(self, entry: Entry) -> bool:
        """Whether the entry's wall clock is in the wanted time."""
        wall_us = entry.moment.wall_ms * 1000
        return (self.since_us is None or self.since_us <= wall_us) and (
            self.until_us is None or wall_us < self.until_us
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterReading:
    """A reading entry with the meaning of its points; *meter* is None where its definition is not at hand."""

    entry: Entry
    meter: MeterDescription | None
    points: tuple[tuple[PointSpec, PointReading], ...]

    @property
    def hash(self) -> str:
        """The entry's leaf hash, hex."""
        return leaf_hash(self.entry.data).hex()

    @property
    def meter_name(self) -> str:
        """The meter's name; where that is unknown, the place of the definition that would tell it."""
        return self.meter.name if self.meter else f"definition-{self.entry.body[0]}"


class Source:
    """The wanted entries of one log, in order. Each look at them reads the log anew."""

    def __init__(self, view: LogView, selection: Selection) -> None:
        self.view = view
        self.origin = view.origin
        self.selection = selection
        #: How many entries or readings were given out, without those that the view then left out.
        self.shown = 0
        #: What was left out and how often.
        self.skipped: Counter[str] = Counter()

    def leave_out(self, what: str) -> None:
        """Counts a reading that was given out and for which the view has no room."""
        self.shown -= 1
        self.skipped[what] += 1

    def entries(self) -> Iterator[Entry]:
        """The wanted entries of every kind; with a meter, only its readings. Raises MalformedError, TamperError."""
        for entry in self._decoded(_KNOWN):
            if self.selection.meter is None or self._is_of_meter(entry):
                self.shown += 1
                yield entry

    def readings(self) -> Iterator[MeterReading]:
        """The wanted readings. Raises MalformedError for one that does not fit its definition, TamperError."""
        for entry in self._decoded(_KNOWN - {CONCEALED}):
            if entry.kind is Kind.READING and (self.selection.meter is None or self._is_of_meter(entry)):
                self.shown += 1
                yield self._reading(entry)

    def _decoded(self, kinds: frozenset[int]) -> Iterator[Entry]:
        for data in self._stored():
            kind = data[_KIND_AT] if len(data) > _KIND_AT else -1
            if kind not in kinds:
                what = "concealed" if kind == CONCEALED else "unknown to this version"
                self.skipped[f"entries of kind {kind} ({what})"] += 1
                continue
            entry = decode(data)
            if self.selection.holds(entry):
                yield entry

    def _stored(self) -> Iterator[bytes]:
        start, stop = self.selection.start, self.selection.stop
        while True:
            try:
                for data in self.view.entries(start, stop):
                    yield data
                    start += 1
            except PrunedError as error:
                end = error.next_seq if stop is None else min(error.next_seq, stop)
                self.skipped["entries that were pruned"] += end - start
                start = error.next_seq
            else:
                return

    def _is_of_meter(self, entry: Entry) -> bool:
        if entry.kind is not Kind.READING:
            return False
        meter = self.view.meter(entry.body[0])
        return meter is not None and meter.name == self.selection.meter

    def _reading(self, entry: Entry) -> MeterReading:
        meter, points = self.view.meter(entry.body[0]), points_of(entry.body)
        specs = meter.points if meter is not None else tuple(map(_unnamed, range(len(points))))
        if len(specs) != len(points):
            raise MalformedError(
                f"entry {entry.seq}: a reading of {len(points)} points, where its definition {entry.body[0]} names "
                f"{len(specs)}; log verify says whether the log is intact"
            )
        return MeterReading(entry=entry, meter=meter, points=tuple(zip(specs, points, strict=True)))


def _unnamed(place: int) -> PointSpec:
    """A point whose definition is not at hand, as ``log show`` names it."""
    return PointSpec(name=f"point_{place}", obis="", unit="", register="")
