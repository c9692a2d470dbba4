"""Replays what an Origin registry was told (``LogNewMeterRead``) against the log, and says the first difference.

============  =========================================================================================================
finding       meaning
============  =========================================================================================================
missing       the registry held another total than the event before left there: an event is left out
fell          a total was told that is lower than the one before it
not-in-log    no reading behind the one told before has that total; or, in A, no entry has the hash by which the next
              transaction names this one
flag          the entry has a value and the outage flag was set, or the other way round
time          (C) another time was told than the reading has
hash          (A, bond) the next transaction does not carry the hash of the file that this one stands for
co2           (A) the CO2 told is not what the energy and the carbon intensity in the log give
held          the registry holds another total now than its newest event told
============  =========================================================================================================

Events and readings are in one order, so both are read once, and neither is held in memory. Where a transaction of A
carries no hash, the one before it is found by its total; so it is in B and C. An event whose reading was pruned is
counted, and no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.bond.record import NOTHING_BEFORE, as_bytes32, file_hash
from gateway.chain.events import EventClient
from gateway.chain.origin.calls import MeterRead, Release, Role, read_event, topics_of
from gateway.chain.origin.co2 import AGE_MS_MAX
from gateway.chain.origin.memory import Saying
from gateway.chain.origin.registry import BOND, NATIVE, bond_file
from gateway.chain.replay import replay
from gateway.chain.totals import MeterPoint, Observed, observe
from gateway.chain.values import LogRecord
from gateway.errors import PrunedError
from gateway.log.proving import present
from gateway.log.view import LogView
from gateway.reading import MeterDescription, Scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The first difference."""

    kind: str
    block: int
    transaction: bytes
    text: str


@dataclass(slots=True, kw_only=True)
class OriginAudit:
    """What came of it."""

    events: int = 0
    #: Of them, how many are entries of the log, and how many cannot be compared since that was pruned.
    agreeing: int = 0
    pruned: int = 0
    #: The newest total told, and the entry that it was found in.
    total_wh: int | None = None
    seq: int | None = None
    first_difference: Finding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is audited."""

    release: Release
    role: Role
    #: The registry's address.
    contract: str
    asset: int
    point: MeterPoint
    hashes: str = NATIVE
    co2: MeterPoint | None = None
    #: What was added to totals, now or earlier: of meters before an exchange.
    offsets_wh: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """An event, and the hash by which the next one names what it tells of; None where none does."""

    event: MeterRead
    record: LogRecord
    named: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A reading that may have been told. *pruned* says that entries before it are gone, *grams* is its intensity."""

    observed: Observed
    pruned: bool
    grams: Scaled | None


async def audit_origin(
    client: EventClient,
    subject: Subject,
    views: Sequence[LogView],
    blocks: tuple[int, int],
    *,
    held_wh: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> OriginAudit:
    """Replays the events of *blocks* (first and last) against *views*: the log, epochs before it first.

    *held_wh* is the total that the registry holds after the last block. Raises ChainUnavailable, TamperError where the
    log's files are broken, ConfigError where it has no such point.
    """
    audit, comparing = OriginAudit(), _Comparing(subject, views)
    topics = topics_of(subject.release, subject.role, subject.asset)
    waiting: _Told | None = None
    async for record in replay(client, subject.contract, topics, *blocks, progress):
        audit.events += 1
        told = _Told(event=read_event(subject.release, subject.role, record), record=record)
        if waiting is not None and not comparing.compare(audit, waiting, told.event):
            return audit
        waiting = told
    if waiting is not None and comparing.compare(audit, waiting, None) and held_wh not in (None, audit.total_wh):
        text = f"the registry holds {held_wh} Wh, and its newest event tells {audit.total_wh} Wh"
        _find(audit, "held", waiting, text)
    return audit


def _find(audit: OriginAudit, kind: str, told: _Told, text: str) -> bool:
    record = told.record
    audit.first_difference = Finding(
        kind=kind,
        block=record.block_number,
        transaction=record.transaction,
        text=f"block {record.block_number}: {text}",
    )
    return False


class _Comparing:
    """Goes through the log as the events go on."""

    def __init__(self, subject: Subject, views: Sequence[LogView]) -> None:
        self._subject = subject
        self._readings = _readings(subject, views)
        #: The reading that was looked at last, where nothing was told of it yet.
        self._next: _Seen | None = None
        self._behind = "the beginning"

    def compare(self, audit: OriginAudit, told: _Told, following: MeterRead | None) -> bool:
        """Compares one event, of which the *following* one knows more; False at the first difference."""
        event = told.event
        if audit.total_wh not in (None, event.old_wh):
            text = f"the registry held {event.old_wh} Wh, and the event before told {audit.total_wh} Wh"
            return _find(audit, "missing", told, text)
        if event.new_wh < event.old_wh:
            return _find(audit, "fell", told, f"{event.new_wh} Wh were told, after {event.old_wh} Wh")
        audit.total_wh = event.new_wh
        named = None if following is None else following.file_hash
        if self._subject.hashes == BOND and self._subject.release is Release.A:
            expected = as_bytes32(file_hash(bond_file(self._subject.role, _as_said(event))))
            if named not in (None, expected, as_bytes32(NOTHING_BEFORE)):
                text = f"the next transaction carries {named!r}, and the file of this one has {expected!r}"
                return _find(audit, "hash", told, text)
            named = None
        if named is not None and not any(named):
            named = None
        return self._look_up(audit, told, named)

    def _look_up(self, audit: OriginAudit, told: _Told, named: bytes | None) -> bool:
        event = told.event
        while (seen := self._next or next(self._readings, None)) is not None:
            self._next = None
            if self._fits(event, seen.observed, named):
                audit.seq, self._behind = seen.observed.seq, f"entry {seen.observed.seq}"
                good = self._look_closer(audit, told, seen)
                audit.agreeing += good
                return good
            if seen.pruned and seen.observed.counts and max(self._totals(seen.observed)) >= event.new_wh:
                # Its reading was before what is left.
                audit.pruned, self._next = audit.pruned + 1, seen
                return True
        what = f"{event.new_wh} Wh were told" + (f" of the entry {named.hex()}" if named else "")
        text = f"{what}, and no entry of {self._subject.point} behind {self._behind} is that"
        return _find(audit, "not-in-log", told, text)

    def _totals(self, observed: Observed) -> list[int]:
        return [observed.watt_hours + offset for offset in self._subject.offsets_wh]

    def _fits(self, event: MeterRead, observed: Observed, named: bytes | None) -> bool:
        if named is not None:
            return observed.leaf == named
        if event.down:
            return observed.value is None
        return observed.value is not None and event.new_wh in self._totals(observed)

    def _look_closer(self, audit: OriginAudit, told: _Told, seen: _Seen) -> bool:
        event, observed = told.event, seen.observed
        if event.down is not None and event.down == (observed.value is not None):
            text = f"the outage flag is {event.down}, and entry {observed.seq} says {observed.status.text}"
            return _find(audit, "flag", told, text)
        totals = [event.old_wh] if observed.value is None else self._totals(observed)
        if event.new_wh not in totals:
            text = f"{event.new_wh} Wh were told of entry {observed.seq}, which says {totals[0]} Wh"
            return _find(audit, "not-in-log", told, text)
        if event.timestamp_s not in (None, observed.wall_ms // 1000):
            text = f"the time {event.timestamp_s} was told of entry {observed.seq}: {observed.wall_ms // 1000}"
            return _find(audit, "time", told, text)
        return self._count_co2(audit, told, seen)

    def _count_co2(self, audit: OriginAudit, told: _Told, seen: _Seen) -> bool:
        event = told.event
        if event.co2 is None or event.old_co2 is None:
            return True
        more, least = event.co2.total - event.old_co2, 0
        energy_wh = event.new_wh - event.old_wh
        if self._subject.co2 is None:
            good = more >= 0
        elif seen.grams is None or event.co2.down:
            good = more == 0 and event.co2.down
        else:
            least = _whole_grams(energy_wh, seen.grams)
            # What was left of a gram before may have made it a whole one.
            good = least <= more <= least + 1
        if good:
            return True
        text = (
            f"{more} g of CO2 were told for {energy_wh} Wh up to entry {seen.observed.seq}, and the log gives {least}"
        )
        return _find(audit, "co2", told, text)


def _whole_grams(energy_wh: int, per_kwh: Scaled) -> int:
    exponent = per_kwh.exponent - 3
    grams = energy_wh * per_kwh.mantissa
    return int(grams * 10**exponent if exponent >= 0 else grams // 10**-exponent)


def _as_said(event: MeterRead) -> Saying:
    """What the event says, as the job had it."""
    co2 = event.co2
    return Saying(
        key="",
        origin="",
        seq=-1,
        wall_ms=0,
        total_wh=event.new_wh,
        down=bool(event.down),
        hash=(event.file_hash or b"").hex(),
        co2=Scaled(mantissa=co2.total if co2 else 0, exponent=0),
        co2_down=co2.down if co2 else True,
    )


def _readings(subject: Subject, views: Sequence[LogView]) -> Iterator[_Seen]:
    """What may have been told, in order: good values and outages."""
    for view in views:
        grams: Observed | None = None
        due, pruned = 0, False
        for seq, data in present(view, 0, view.size):
            pruned, due = pruned or seq != due, seq + 1
            if subject.co2 is not None:
                found = observe(data, subject.co2, _describer(view))
                grams = found if found is not None and found.counts else grams
            observed = observe(data, subject.point, _describer(view))
            if observed is not None and (observed.counts or observed.value is None):
                yield _Seen(observed=observed, pruned=pruned, grams=_fresh(grams, observed))
                pruned = pruned and observed.value is None


def _fresh(grams: Observed | None, observed: Observed) -> Scaled | None:
    fresh = grams is not None and 0 <= observed.wall_ms - grams.wall_ms <= AGE_MS_MAX
    return grams.value if grams is not None and fresh else None


def _describer(view: LogView) -> Callable[[int], MeterDescription | None]:
    def describe(seq: int) -> MeterDescription | None:
        try:
            return view.meter(seq)
        except PrunedError:
            return None

    return describe
