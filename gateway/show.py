"""Entries as people and programs read them: JSON objects, and one line of text each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.log.attestation import BOOT, COUNTED, INTENT
from gateway.log.cid import MAX_BLOCK, cid_v1_of
from gateway.log.entry import Entry, Kind, decode, description, points_of
from gateway.log.key_statement import CERTIFICATE
from gateway.log.tree import HASH_SIZE, leaf_hash
from gateway.log.vkey import pem_of
from gateway.reading import MeterDescription, PointReading, PointSpec

#: Finds the meter that a definition entry spells out; None where that entry is not at hand.
Lookup = Callable[[int], MeterDescription | None]
#: Finds the body of the reading that a concealed entry stands for, or says why it is not known.
Reveal = Callable[[Entry, MeterDescription | None], list[Any] | str]
_SEVERITIES = ("information", "warning", "alarm")
#: Names of the items of a body, by kind.
_ITEMS: dict[Kind, tuple[str, ...]] = {
    Kind.GENESIS: ("origin", "software", "commit_ms", "commit_entries", "vkeys", "previous", "reason"),
    Kind.DEFINITION: ("meter", "model", "digest", "location", "points"),
    Kind.EVENT: ("code", "severity", "subject", "text"),
    Kind.BOOT: ("boot_id", "software", "last_run"),
    Kind.CLOCK_STEP: ("expected_ms", "found_ms", "source"),
    Kind.CONFIG: ("sha256", "sha256_before"),
    Kind.KEY: ("action", "statement"),
    Kind.GAP: ("subject", "from_ms", "to_ms", "count", "reason"),
    Kind.RECOVERY: ("segment", "offset", "length", "sha256", "kept_in", "reason"),
    Kind.BEACON: ("source", "data"),
    Kind.MANIFEST: ("first_seq", "end_seq", "reason", "pack_bytes", "sha256", "bundles"),
    Kind.CONCEALED: ("definition", "fields", "fields_root"),
    Kind.ATTESTATION: ("step", "counter", "value", "attestations"),
    Kind.IMPORTED: ("origin", "first_seq", "items", "hashes", "note"),
}
#: What a TPM signed, by the type of its statement (``gateway.signing.tpm_attest``).
_TPM_SAID = {"8014": "counter value", "8017": "key", "8018": "PCRs", "8019": "clock"}


def nothing_revealed(_entry: Entry, _meter: MeterDescription | None) -> str:
    """For who has the log only."""
    return "fields not here"


def rfc3339(wall_ms: int) -> str:
    """RFC 3339 text, UTC with milliseconds; the bare number of milliseconds for a year beyond 9999."""
    seconds, ms = divmod(wall_ms, 1000)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
    except (ValueError, OverflowError, OSError):
        return f"{wall_ms} ms"


def point_object(spec: PointSpec, point: PointReading) -> dict[str, Any]:
    """One point: exact decimal text or null, unit, OBIS code, raw words in hex, status; whether it is resettable."""
    found: dict[str, Any] = {
        "value": None if point.value is None else str(point.value),
        "unit": spec.unit,
        "obis": spec.obis,
        "raw": point.raw.hex(),
        "status": point.status.text,
    }
    return found | {"resettable": True} if spec.resettable else found


def entry_object(entry: Entry, lookup: Lookup, reveal: Reveal = nothing_revealed) -> dict[str, Any]:
    """The JSON object of an entry; a reading's points have the names of its definition entry.

    A concealed one has ``concealed`` true, and the points that *reveal* finds; or null and why in ``hidden``.
    """
    found: dict[str, Any] = {
        "seq": entry.seq,
        "kind": entry.kind.text,
        "hash": leaf_hash(entry.data).hex(),
        "prev": entry.prev.hex(),
        "time": rfc3339(entry.moment.wall_ms),
        "quality": entry.moment.quality,
        "error_ms": entry.moment.error_ms,
        "boot": entry.boot,
        "boottime_ns": entry.moment.boottime_ns,
        "bytes": len(entry.data),
    }
    if entry.kind not in (Kind.READING, Kind.CONCEALED):
        items = zip(_ITEMS[entry.kind], entry.body, strict=True)
        found |= {name: _plain(item) for name, item in items}
        if entry.kind is Kind.IMPORTED:
            return found | {"note": entry.body[4].decode(errors="replace"), "entries": _imported(entry.body)}
        if entry.kind is Kind.ATTESTATION:
            found["attestations"] = [_attestation(row) for row in entry.body[3]]
        return found | ({"bundles": _bundles(entry.body[5])} if entry.kind is Kind.MANIFEST else {})
    meter = lookup(entry.body[0])
    found |= {"meter": meter.name if meter is not None else None, "definition": entry.body[0]}
    body: list[Any] | str = entry.body
    if entry.kind is Kind.CONCEALED:
        found |= {"concealed": True, "fields": entry.body[1], "fields_root": entry.body[2].hex()}
        body = reveal(entry, meter)
    return found | ({"points": None, "hidden": body} if isinstance(body, str) else _points(meter, body))


def _points(meter: MeterDescription | None, body: list[Any]) -> dict[str, Any]:
    points = points_of(body)
    specs = meter.points if meter is not None else _unnamed(len(points))
    shown = {spec.name: point_object(spec, point) for spec, point in zip(specs, points, strict=False)}
    return ({"meter_time": rfc3339(body[1][0])} if body[1] else {}) | {"points": shown}


def entry_line(entry: Entry, lookup: Lookup, reveal: Reveal = nothing_revealed) -> str:
    """The line that people read."""
    head = f"{entry.seq:>8}  {rfc3339(entry.moment.wall_ms)} {entry.moment.quality}  {entry.kind.text:<11}"
    return f"{head}  {printable(_summary(entry, lookup, reveal))}"


def printable(text: str) -> str:
    """*text* in one line that cannot command a terminal: whatever is not printable is escaped as in Python."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _summary(entry: Entry, lookup: Lookup, reveal: Reveal) -> str:
    body = entry.body
    if entry.kind is Kind.READING:
        return reading_text(entry, lookup)
    if entry.kind is Kind.CONCEALED:
        return _concealed_text(entry, lookup(body[0]), reveal)
    if entry.kind is Kind.DEFINITION:
        meter = description(body)
        return f"{meter.name}: {meter.model} at {meter.location}, {len(meter.points)} points"
    if entry.kind is Kind.EVENT:
        return f"{_severity(body[1])} {body[0]}: {body[2]}: {body[3]}"
    if entry.kind is Kind.KEY:
        return _statement_text(body)
    if entry.kind is Kind.ATTESTATION:
        return _attestation_text(body)
    if entry.kind is Kind.IMPORTED:
        return _imported_text(body)
    if entry.kind is Kind.GAP:
        return f"{body[0]}: {body[3]} missing from {rfc3339(body[1])} to {rfc3339(body[2])}: {body[4]}"
    if entry.kind is Kind.MANIFEST:
        return f"entries {body[0]} to {body[1] - 1} go: {body[2]}; pack of {body[3]} bytes, SHA-256 {body[4].hex()}"
    items = zip(_ITEMS[entry.kind], body, strict=True)
    return ", ".join(f"{name} {_plain(item)}" for name, item in items if item not in ([], b""))


def _statement_text(body: list[Any]) -> str:
    """A key statement in one line, without its signatures: they are in the JSON."""
    lines = body[1].partition("\n\n")[0].split("\n")[1:]
    said = dict(line.partition(" ")[::2] for line in lines)
    if body[0] == CERTIFICATE and {"boot", "key", "hardware", "reason"} <= said.keys():
        key, hardware = ("+".join(said[label].split("+", 2)[:2]) for label in ("key", "hardware"))
        return f"{body[0]}: key {key} in boot {said['boot']}, by the key in hardware {hardware}: {said['reason']}"
    return f"{body[0]}: {', '.join(lines)}"


def _imported_text(body: list[Any]) -> str:
    origin, first, items, _, note = body
    kept = sum(len(item) != HASH_SIZE for item in items)
    size = note.split(b"\n", 2)[1].decode("ascii", "replace") if note.count(b"\n") > 1 else "?"
    return f"{origin}: {kept} of its entries {first} to {first + len(items) - 1}, under its checkpoint of size {size}"


def _imported(body: list[Any]) -> list[dict[str, Any]]:
    """The entries that an import keeps; a meter is named where the same import spells it out."""
    entries = [decode(item) for item in body[2] if len(item) != HASH_SIZE]
    meters = {entry.seq: description(entry.body) for entry in entries if entry.kind is Kind.DEFINITION}
    return [entry_object(entry, meters.get) for entry in entries]


def _attestation_text(body: list[Any]) -> str:
    step, name, value, rows = body
    words = {INTENT: f"{name} will be {value}", COUNTED: f"{name} is {value}", BOOT: f"{value}, key {name}"}
    text = f"{step} {words.get(step, f'{name} {value}')}"
    if not rows:
        return text
    who = "the TPM" if all(row[0] == "tpm2" for row in rows) else "its store"
    return f"{text}, said by {who}: {', '.join(_said(kind, data) for kind, data, *_ in rows)}"


def _said(kind: str, data: bytes) -> str:
    return _TPM_SAID.get(data[4:6].hex(), kind) if kind == "tpm2" else kind


def _attestation(row: list[Any]) -> dict[str, str]:
    """What a key store said: *signature* over *data* by *public_key*, which openssl checks as it is."""
    kind, data, signature, key = row
    return {"kind": kind, "data": data.hex(), "signature": signature.hex(), "public_key": pem_of(key)}


def reading_text(entry: Entry, lookup: Lookup) -> str:
    """A reading in words: meter, and each point with value and unit or the reason why there is none."""
    return _reading_text(entry.body, lookup(entry.body[0]))


def _concealed_text(entry: Entry, meter: MeterDescription | None, reveal: Reveal) -> str:
    body = reveal(entry, meter)
    if not isinstance(body, str):
        return _reading_text(body, meter)
    name = meter.name if meter else f"definition {entry.body[0]}"
    return f"{name}: {entry.body[1]} fields concealed under {entry.body[2].hex()}, {body}"


def _reading_text(body: list[Any], meter: MeterDescription | None) -> str:
    points = points_of(body)
    specs = meter.points if meter is not None else _unnamed(len(points))
    words = []
    for spec, point in zip(specs, points, strict=False):
        value = f"{point.value} {spec.unit}".rstrip() if point.value is not None else ""
        status = "" if point.status == 0 else f"({point.status.text})"
        words.append(" ".join(filter(None, (spec.name, value, status))))
    return f"{meter.name if meter else f'definition {body[0]}'}: {', '.join(words)}"


def _severity(number: int) -> str:
    return _SEVERITIES[number] if 0 <= number < len(_SEVERITIES) else f"severity {number}"


def _bundles(rows: list[Any]) -> list[dict[str, Any]]:
    """Size, SHA-256 and raw CIDv1 of each C2SP entry bundle that goes; a larger one has no CID of one block."""
    return [
        {"bytes": size, "sha256": digest.hex(), "cid": cid_v1_of(digest) if 0 < size <= MAX_BLOCK else None}
        if size
        else {"stays": True}
        for size, digest in rows
    ]


def _unnamed(count: int) -> tuple[PointSpec, ...]:
    return tuple(PointSpec(name=f"point_{index}", obis="", unit="", register="") for index in range(count))


def _plain(item: Any) -> Any:
    if isinstance(item, bytes):
        return item.hex()
    return [_plain(inner) for inner in item] if isinstance(item, list) else item
