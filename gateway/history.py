"""What is remembered from before: read at the start, so that a restart forgets no counter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import TamperError
from gateway.log.entry import Entry, Kind, decode, description, points_of
from gateway.log.log import Log
from gateway.reading import MeterDescription, Scaled

if TYPE_CHECKING:
    from gateway.fields.reader import FieldReader

#: Newest entries that are looked at.
LOOK_BACK = 512
SHA256_BYTES = 32


def last_values(log: Log, fields: FieldReader | None = None) -> dict[str, dict[str, Scaled]]:
    """Newest values by meter and point, as far as the newest entries, and *fields* for concealed ones, hold them.

    Raises TamperError, LogUnavailable.
    """
    known: dict[str, dict[str, Scaled]] = {}
    described: dict[int, MeterDescription | None] = {}
    for entry in reversed(log.last_entries(LOOK_BACK)):
        if entry.kind not in (Kind.READING, Kind.CONCEALED):
            continue
        seq = entry.body[0]
        if seq not in described:
            described[seq] = describe(log, seq)
        meter = described[seq]
        if meter is None:
            continue
        newer = known.setdefault(meter.name, {})
        # To look up what an entry stands for costs more than to read it.
        if any(point.name not in newer for point in meter.points):
            known[meter.name] = values(meter, _reading(entry, meter, fields)) | newer
    return known


def _reading(entry: Entry, meter: MeterDescription, fields: FieldReader | None) -> list[Any]:
    """The body of the reading that *entry* is or stands for; one without points where that is not at hand."""
    if entry.kind is Kind.READING:
        return entry.body
    found = fields.body(entry, meter) if fields is not None else ""
    return [entry.body[0], [], []] if isinstance(found, str) else found


def describe(log: Log, seq: int) -> MeterDescription | None:
    """The meter that the definition entry *seq* spells out; None where that entry is none."""
    try:
        found = log.read(seq, seq + 1)
    except TamperError:
        return None
    entry = decode(found[0]) if found else None
    return description(entry.body) if entry is not None and entry.kind is Kind.DEFINITION else None


def values(meter: MeterDescription, body: list[Any]) -> dict[str, Scaled]:
    """Values by point name of a reading's *body*."""
    points = zip(meter.points, points_of(body), strict=False)
    return {spec.name: point.value for spec, point in points if point.value is not None}


def digest_of(remembered: object) -> bytes:
    """The SHA-256 that the state file remembers in hex; empty for anything else that may stand there."""
    try:
        digest = bytes.fromhex(remembered) if isinstance(remembered, str) else b""
    except ValueError:
        return b""
    return digest if len(digest) == SHA256_BYTES else b""
