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
7 key          [vkey, what happened to it]
8 gap          [meter or sink, from wall ms, to wall ms, count of missing readings, reason]
9 recovery     [segment file, offset, length, SHA-256 of what is void from there on (32 zero bytes where the disk
               never confirmed it), file that keeps it, reason]
10 beacon      [source, bytes]
=============  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status

VERSION = 1
MAX_ENTRY = 65_535
NO_PREV = bytes(32)
MONOTONIC, RESETTABLE = 1, 2
INFORMATION, WARNING, ALARM = 0, 1, 2
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_QUALITIES = frozenset("UISR")
_WITH_VALUE = frozenset(int(status) for status in Status if status.has_value)
_WITHOUT_VALUE = frozenset(int(status) for status in Status if not status.has_value)
#: A power of ten beyond this is no quantity, and would take long to print.
_MAX_EXPONENT = 64


class Kind(IntEnum):
    """What an entry records. The numbers never change their meaning."""

    GENESIS = 0
    DEFINITION = 1
    READING = 2
    EVENT = 3
    BOOT = 4
    CLOCK_STEP = 5
    CONFIG = 6
    KEY = 7
    GAP = 8
    RECOVERY = 9
    BEACON = 10

    @property
    def text(self) -> str:
        """The word shown to people and programs, such as ``clock-step``."""
        return self.name.lower().replace("_", "-")


_READING = int(Kind.READING)


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
    data = cbor2.dumps(items)
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
    except (cbor2.CBORError, ValueError, OverflowError, TypeError, RecursionError) as error:
        raise MalformedError(f"an entry that is not CBOR: {error}") from error
    _check(items)
    # Types are checked first: what is left has one encoding, and this comparison finds all others.
    if cbor2.dumps(items) != data:
        raise MalformedError("an entry that is not in the deterministic encoding of RFC 8949 section 4.2.1")
    return items  # type: ignore[no-any-return]


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
        and 0 <= seq <= _HIGHEST
        and type(prev) is bytes
        and len(prev) == 32
        and 0 <= boot <= _HIGHEST
        and 0 <= boottime_ns <= _HIGHEST
        and _LOWEST <= wall_ms <= _HIGHEST
        and type(quality) is str
        and quality in _QUALITIES
        and -1 <= error_ms <= _HIGHEST
        and type(body) is list
    )
    if not sound:
        raise MalformedError(f"an entry whose head is out of its format: {items[:9]!r}"[:300])
    if kind == _READING:
        if len(body) != 3 or not _is_reading(body[0], body[1], body[2]):
            raise MalformedError(f"entry {seq}: a body that is not that of a reading")
    elif kind not in _BODIES:
        raise MalformedError(f"entry {seq} has kind {kind}; known: 0 to {len(Kind) - 1}")
    elif not _matches(body, _BODIES[kind]):
        raise MalformedError(f"entry {seq}: a body that is not that of a {Kind(kind).text}")


def _is_reading(definition: Any, meter_ms: Any, points: Any) -> bool:
    if type(definition) is not int or not 0 <= definition <= _HIGHEST or type(points) is not list:
        return False
    if meter_ms != [] and not _matches(meter_ms, "i"):
        return False
    for point in points:
        if type(point) is not list or type(point[0] if point else None) is not int:
            return False
        if len(point) == 4:
            status, raw, mantissa, exponent = point
            if status not in _WITH_VALUE or type(mantissa) is not int or type(exponent) is not int:
                return False
            if not (_LOWEST <= mantissa <= _HIGHEST and -_MAX_EXPONENT <= exponent <= _MAX_EXPONENT):
                return False
        elif len(point) == 2:
            status, raw = point
            if status not in _WITHOUT_VALUE:
                return False
        else:
            return False
        if type(raw) is not bytes:
            return False
    return True


#: Item types by letter: i integer, t text, b bytes, h 32 bytes, T array of texts.
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "i": lambda item: type(item) is int and _LOWEST <= item <= _HIGHEST,
    "t": lambda item: type(item) is str,
    "b": lambda item: type(item) is bytes,
    "h": lambda item: type(item) is bytes and len(item) == 32,
    "T": lambda item: type(item) is list and all(type(text) is str for text in item),
    "P": lambda item: type(item) is list and len(item) in (0, 2) and all(type(text) is str for text in item),
    "S": lambda item: type(item) is list and all(_matches(row, "ttttii") for row in item),
}


def _matches(items: Any, shape: str) -> bool:
    return (
        type(items) is list
        and len(items) == len(shape)
        and all(_CHECKS[letter](item) for letter, item in zip(shape, items, strict=True))
    )


#: Shapes of the bodies; a reading's has a function of its own.
_BODIES: dict[int, str] = {
    Kind.GENESIS: "ttiiTPt",
    Kind.DEFINITION: "tthtS",
    Kind.EVENT: "titt",
    Kind.BOOT: "btt",
    Kind.CLOCK_STEP: "iit",
    Kind.CONFIG: "hb",
    Kind.KEY: "tt",
    Kind.GAP: "tiiit",
    Kind.RECOVERY: "tiihtt",
    Kind.BEACON: "tb",
}


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
