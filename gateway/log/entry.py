"""One log entry: deterministic CBOR (RFC 8949 section 4.2.1), an array of ten fixed positions.

========  ==================  =====================================================================================
position  type                meaning
========  ==================  =====================================================================================
0         integer             format version, 1
1         integer             kind, see ``Kind``
2         integer ≥ 0         seq: place in the log, counted from 0; equal to the leaf index in the tree
3         32 bytes            prev: leaf hash of the entry before; 32 zero bytes in entry 0
4         integer ≥ 0         boot: how many times the gateway had started when it wrote the entry
5         integer ≥ 0         CLOCK_BOOTTIME in nanoseconds: intervals within one run of the operating system
6         integer             wall clock, Unix milliseconds (a claim)
7         text                quality of the wall clock: U unsynchronised, I informative, S synchronised, R relative
8         integer ≥ -1        claimed bound of the wall clock's error, milliseconds; -1: no bound is claimed
9         array               body, by kind; see below
========  ==================  =====================================================================================

Only integers from -2^63 to 2^63-1, byte strings, UTF-8 text and arrays occur. Each is encoded in its shortest form
with definite length, so an entry has one encoding only, and at most 65,535 bytes. The leaf hash of an entry is
SHA-256(0x00 ‖ entry bytes), see ``gateway.log.tree``. Bodies, by kind:

=============  ====================================================================================================
0 genesis      [origin, software, commit interval ms, commit entries, [vkey, …], previous, reason]; *previous* is []
               or [origin, checkpoint note] of the epoch that this log continues
1 definition   [meter, model, SHA-256 of the definition, location, [[name, OBIS code, unit, register, flags,
               largest plausible change per hour or -1], …]]; flags: 1 monotonic, 2 resettable
2 reading      [seq of the definition entry, meter's own clock: [] or [Unix ms], [point, …]]; a point is
               [status, raw register words] without a value, [status, raw, mantissa, exponent] with the value
               mantissa × 10^exponent, exponent from -64 to 64; statuses are those of ``gateway.reading.Status``
3 event        [code, severity (0 information, 1 warning, 2 alarm), subject, text]
4 boot         [kernel boot id (16 bytes), software, how the last run ended (first, clean, unclean)]
5 clock-step   [wall ms expected, wall ms found, source]
6 config       [SHA-256 of the config file, SHA-256 of the one before or empty]
7 key          [rotation or revocation, statement: a signed note, see ``gateway.log.key_statement``]
8 gap          [meter or sink, from wall ms, to wall ms, count of missing readings, reason]
9 recovery     [segment file, offset, length, SHA-256 of what is void from there on (32 zero bytes where the disk
               never confirmed it), file that keeps it, reason]
10 beacon      [source, bytes]
11 manifest    [first seq, seq behind the last, why they are removed, bytes of their pack, its SHA-256, [[bytes of the
               C2SP entry bundle, its SHA-256], …]]: what is removed from this disk, bundle by bundle; a bundle of 0
               bytes (and 32 zero bytes) stays
12 concealed   [seq of the definition entry, number of fields (1 to 1,024), fields root]: a reading whose fields are
               kept beside the log and can be shown one by one; see ``gateway.log.fields``
13 attestation [step, counter, value, [[kind, data, signature, public key], …]]: what a key store says, see
               ``gateway.log.counting``
14 imported    [origin, first seq, [item, …], [hash, …], checkpoint note]: entries of another log, as they are there,
               and what proves them; see ``gateway.log.imported``
=============  ====================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.log.kinds import BODIES, HIGHEST, LOWEST, Kind
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status

__all__ = [
    "ALARM",
    "INFORMATION",
    "MAX_ENTRY",
    "NO_PREV",
    "WARNING",
    "Entry",
    "Kind",
    "decode",
    "definition_body",
    "description",
    "encode",
    "follows",
    "parse",
    "points_of",
    "prev_place",
    "reading_body",
]

VERSION = 1
MAX_ENTRY = 65_535
NO_PREV = bytes(32)
MONOTONIC, RESETTABLE = 1, 2
INFORMATION, WARNING, ALARM = 0, 1, 2
#: An array of ten that begins with the version; the kind is one more byte.
_HEAD = bytes([0x8A, VERSION])
_HASH_HEAD = bytes([0x58, 32])
#: Offset of seq, and bytes of a CBOR integer by its first one (RFC 8949 section 3).
_SEQ_AT = 3
_SEQ_WIDTHS = {0x18: 2, 0x19: 3, 0x1A: 5, 0x1B: 9}
_QUALITIES = frozenset("UISR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A decoded entry; *data* are its own bytes, *body* is as in the module's table."""

    kind: Kind
    seq: int
    prev: bytes
    boot: int
    moment: Moment
    body: list[Any]
    data: bytes


def encode(*, kind: Kind, seq: int, prev: bytes, boot: int, moment: Moment, body: list[Any]) -> bytes:
    """The entry's bytes. Raises MalformedError for anything that ``decode`` would refuse."""
    items = [
        VERSION,
        int(kind),
        seq,
        prev,
        boot,
        moment.boottime_ns,
        moment.wall_ms,
        moment.quality,
        moment.error_ms,
        body,
    ]
    _check(items)
    try:
        data = cbor2.dumps(items)
    except UnicodeEncodeError as error:
        raise MalformedError(f"entry {seq} has text that UTF-8 cannot hold: {error.reason}") from error
    if len(data) > MAX_ENTRY:
        raise MalformedError(f"entry {seq} would have {len(data)} bytes; at most {MAX_ENTRY} fit")
    return data


def parse(data: bytes) -> list[Any]:
    """The ten checked items of an entry's bytes; what ``decode`` does without making an object of them.

    Raises MalformedError for everything that ``encode`` does not produce.
    """
    if len(data) > MAX_ENTRY:
        raise MalformedError(f"an entry of {len(data)} bytes; at most {MAX_ENTRY} are allowed")
    try:
        items = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise MalformedError(f"an entry that is not CBOR: {error}") from error
    _check(items)
    # Types are checked first: what is left has one encoding, and this comparison finds all others.
    if cbor2.dumps(items) != data:
        raise MalformedError("an entry that is not in the deterministic encoding of RFC 8949 section 4.2.1")
    return items  # type: ignore[no-any-return]


def prev_place(data: bytes) -> int:
    """Offset of the 32 bytes of prev in an entry's bytes; the rest is not looked at, but for the head of seq.

    Raises MalformedError where no entry has its prev.
    """
    # Array, version and kind are a byte each; seq is followed by the head of 32 bytes, which is two more.
    head = data[3] if len(data) > _SEQ_AT else 0xFF
    width = 1 if head < 0x18 else _SEQ_WIDTHS.get(head, 0)
    place = _SEQ_AT + width + len(_HASH_HEAD)
    if not width or data[place - len(_HASH_HEAD) : place] != _HASH_HEAD:
        raise MalformedError("an entry without a prev where it belongs")
    return place


def follows(data: bytes, seq: int, prev: bytes) -> bool:
    """Whether the head of these bytes says entry *seq* behind that of leaf hash *prev*; the rest is not looked at."""
    return data.startswith(_HEAD) and data.startswith(cbor2.dumps(seq) + _HASH_HEAD + prev, len(_HEAD) + 1)


def decode(data: bytes) -> Entry:
    """The entry of these bytes; the exact inverse of ``encode``. Raises MalformedError for anything else."""
    _, kind, seq, prev, boot, boottime_ns, wall_ms, quality, error_ms, body = parse(data)
    moment = Moment(boottime_ns=boottime_ns, wall_ms=wall_ms, quality=quality, error_ms=error_ms)
    return Entry(kind=Kind(kind), seq=seq, prev=prev, boot=boot, moment=moment, body=body, data=data)


def _check(items: Any) -> None:
    """Refuses items that are no entry; one long condition, since a verifier runs it for every entry there is."""
    if type(items) is not list or len(items) != 10:
        raise MalformedError("an entry that is not an array of ten")
    version, kind, seq, prev, boot, boottime_ns, wall_ms, quality, error_ms, body = items
    sound = (
        type(version) is type(kind) is type(seq) is type(boot) is type(boottime_ns) is type(wall_ms) is int
        and type(error_ms) is int
        and version == VERSION
        and type(prev) is bytes
        and len(prev) == 32
        and 0 <= seq <= HIGHEST
        and 0 <= boot <= HIGHEST
        and 0 <= boottime_ns <= HIGHEST
        and LOWEST <= wall_ms <= HIGHEST
        and type(quality) is str
        and quality in _QUALITIES
        and -1 <= error_ms <= HIGHEST
        and type(body) is list
    )
    if not sound:
        raise MalformedError(f"an entry whose head is out of its format: {_shown(items[:9])}")
    fits = BODIES.get(kind)
    if fits is None:
        raise MalformedError(f"entry {seq} has kind {_shown([kind])}; known: 0 to {max(Kind)}")
    if not fits(body):
        raise MalformedError(f"entry {seq}: a body that is not that of a {Kind(kind).text}")


def _shown(items: list[Any]) -> str:
    # Python refuses to print integers of thousands of digits.
    big = [type(item) is int and not LOWEST <= item <= HIGHEST for item in items]
    return ", ".join("above 64 bits" if huge else repr(item)[:40] for huge, item in zip(big, items, strict=True))


def definition_body(meter: MeterDescription) -> list[Any]:
    """Body of the definition entry that spells out *meter*."""
    rows = [
        [
            point.name,
            point.obis,
            point.unit,
            point.register,
            MONOTONIC * point.monotonic + RESETTABLE * point.resettable,
            -1 if point.max_per_hour is None else point.max_per_hour,
        ]
        for point in meter.points
    ]
    return [meter.name, meter.model, meter.digest, meter.location, rows]


def description(body: list[Any]) -> MeterDescription:
    """The meter that a definition entry's *body* spells out; inverse of ``definition_body``."""
    name, model, digest, location, rows = body
    points = tuple(
        PointSpec(
            name=row[0],
            obis=row[1],
            unit=row[2],
            register=row[3],
            monotonic=bool(row[4] & MONOTONIC),
            resettable=bool(row[4] & RESETTABLE),
            max_per_hour=None if row[5] < 0 else row[5],
        )
        for row in rows
    )
    return MeterDescription(name=name, model=model, digest=digest, location=location, points=points)


def reading_body(definition_seq: int, reading: Reading) -> list[Any]:
    """Body of a reading entry whose meter is spelled out in entry *definition_seq*."""
    points = [
        [int(point.status), point.raw]
        if point.value is None
        else [int(point.status), point.raw, point.value.mantissa, point.value.exponent]
        for point in reading.points
    ]
    return [definition_seq, [] if reading.meter_ms is None else [reading.meter_ms], points]


def points_of(body: list[Any]) -> tuple[PointReading, ...]:
    """The points of a reading entry's *body*."""
    return tuple(
        PointReading(
            status=Status(point[0]),
            raw=point[1],
            value=Scaled(mantissa=point[2], exponent=point[3]) if len(point) == 4 else None,
        )
        for point in body[2]
    )
