"""What is remembered from before: read at the start, so that a restart forgets no counter."""

from __future__ import annotations

from gateway.errors import TamperError
from gateway.log.entry import Entry, Kind, decode, description, points_of
from gateway.log.log import Log
from gateway.reading import MeterDescription, Scaled

#: Newest entries that are looked at.
LOOK_BACK = 512
SHA256_BYTES = 32


def last_values(log: Log) -> dict[str, dict[str, Scaled]]:
    """Newest values by meter and point, as far as the newest entries hold them. Raises TamperError, LogUnavailable."""
    known: dict[str, dict[str, Scaled]] = {}
    described: dict[int, MeterDescription | None] = {}
    for entry in log.last_entries(LOOK_BACK):
        if entry.kind is not Kind.READING:
            continue
        seq = entry.body[0]
        if seq not in described:
            described[seq] = describe(log, seq)
        meter = described[seq]
        if meter is not None:
            known.setdefault(meter.name, {}).update(values(meter, entry))
    return known


def describe(log: Log, seq: int) -> MeterDescription | None:
    """The meter that the definition entry *seq* spells out; None where that entry is none."""
    try:
        found = log.read(seq, seq + 1)
    except TamperError:
        return None
    entry = decode(found[0]) if found else None
    return description(entry.body) if entry is not None and entry.kind is Kind.DEFINITION else None


def values(meter: MeterDescription, entry: Entry) -> dict[str, Scaled]:
    """Values by point name of a reading entry."""
    points = zip(meter.points, points_of(entry.body), strict=False)
    return {spec.name: point.value for spec, point in points if point.value is not None}


def digest_of(remembered: object) -> bytes:
    """The SHA-256 that the state file remembers in hex; empty for anything else that may stand there."""
    try:
        digest = bytes.fromhex(remembered) if isinstance(remembered, str) else b""
    except ValueError:
        return b""
    return digest if len(digest) == SHA256_BYTES else b""
