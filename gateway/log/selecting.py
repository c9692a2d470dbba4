"""Chooses entries of a log to be proved: a meter's readings in a window, and their definitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.errors import ConfigError, TamperError
from gateway.log.entry import Kind, parse
from gateway.log.proving import present
from gateway.log.times import wall_ms_of
from gateway.log.view import LogView

_KIND_AT = 2
#: An entry that refers to a definition is a reading, concealed or not.
_READINGS = (int(Kind.READING), int(Kind.CONCEALED))


@dataclass(slots=True, kw_only=True)
class Found:
    """What a search came upon."""

    #: The readings that were asked for, ascending.
    seqs: list[int] = field(default_factory=list)
    #: Names of all meters with readings in the window.
    meters: set[str] = field(default_factory=set)


def find_readings(
    view: LogView,
    stretches: Iterable[tuple[int, int]],
    since_ms: int,
    until_ms: int,
    meter: str | None,
    limit: int,
) -> Found:
    """The readings in *stretches* whose wall time is from *since_ms* on and before *until_ms*; of *meter*, if given.

    Raises ConfigError when there are more than *limit*.
    """
    found = Found()
    for start, stop in stretches:
        for seq, data in present(view, start, stop):
            # The kind is the third byte of every entry: most others need not be looked at.
            if data[_KIND_AT] not in _READINGS or not since_ms <= wall_ms_of(data) < until_ms:
                continue
            name = _meter_name(view, data)
            found.meters.add(name)
            if meter in (None, name):
                found.seqs.append(seq)
            if len(found.seqs) > limit:
                raise ConfigError(f"more than {limit} readings are in the window; a file takes no more, narrow it")
    return found


def _meter_name(view: LogView, data: bytes) -> str:
    definition = parse(data)[9][0]
    meter = view.meter(definition)
    if meter is None:
        raise TamperError(f"a reading refers to entry {definition}, which is no definition", seq=definition)
    return meter.name


def with_definitions(view: LogView, seqs: Sequence[int]) -> dict[int, bytes]:
    """The entries *seqs* (ascending) and the definitions that the readings among them need, by seq, ascending."""
    entries: dict[int, bytes] = {}
    for start, stop in _runs(seqs):
        entries |= dict(enumerate(view.entries(start, stop), start))
    for data in [data for data in entries.values() if data[_KIND_AT] in _READINGS]:
        _meter_name(view, data)
        seq = parse(data)[9][0]
        if seq not in entries:
            entries |= dict(enumerate(view.entries(seq, seq + 1), seq))
    return dict(sorted(entries.items()))


def _runs(seqs: Sequence[int]) -> Iterable[tuple[int, int]]:
    """(first, behind the last) of each run of numbers without a gap."""
    start = previous = seqs[0]
    for seq in seqs[1:]:
        if seq != previous + 1:
            yield start, previous + 1
            start = seq
        previous = seq
    yield start, previous + 1
