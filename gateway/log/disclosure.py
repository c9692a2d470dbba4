"""Some fields of a concealed entry, shown without the others.

Deterministic CBOR, an array of four::

    seq     of the entry
    count   number of fields, as in the entry
    shown   [[place, the field's bytes], …], at least one, places ascending from 0
    hashes  [32 bytes, …]: what is needed besides to compute the root, in the order of this walk

    root(start, end):
        no shown place in start <= place < end   the next hash
        end - start = 1                          SHA-256(0x00 || field)
        otherwise                                SHA-256(0x01 || root(start, middle) || root(middle, end))

with *middle* the start plus the largest power of two below the length. At most 256 KiB. The disclosure itself proves
nothing: it must lead to the root in an entry that is proved to be in the log, and each field must have the name that
the definition entry gives its place. A name alone would not do: a record may hold two fields of one name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from gateway.errors import MalformedError, TamperError
from gateway.log.entry import Entry, Kind, points_of
from gateway.log.fields import MAX_FIELD, METER_TIME, decode_field, load_canonical, root_over
from gateway.log.kinds import HIGHEST, MAX_FIELDS
from gateway.log.tree import HASH_SIZE, leaf_hash, node_hash
from gateway.reading import MeterDescription, PointReading

MAX_DISCLOSURE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """The parts of a disclosure; nothing is verified yet."""

    seq: int
    count: int
    #: Bytes of the shown fields by place, ascending.
    shown: Mapping[int, bytes]
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosed:
    """What a disclosure has proved of its entry."""

    points: Mapping[str, PointReading]
    #: The meter's own clock as Unix milliseconds, where it was shown.
    meter_ms: int | None
    #: How many fields stay hidden.
    hidden: int


def disclose(seq: int, fields: Sequence[bytes], places: Collection[int]) -> bytes:
    """The disclosure of the fields at *places* of entry *seq*; of the other fields it holds only hashes."""
    shown = {place: fields[place] for place in sorted(set(places))}
    leaves = [leaf_hash(field) for field in fields]
    hashes = tuple(root_over(leaves[start:end]) for start, end in _hidden_ranges(list(shown), 0, len(fields)))
    return encode_disclosure(Disclosure(seq=seq, count=len(fields), shown=shown, hashes=hashes))


def encode_disclosure(disclosure: Disclosure) -> bytes:
    """The disclosure's bytes. Raises MalformedError for anything that ``decode_disclosure`` would refuse."""
    shown = [[place, field] for place, field in disclosure.shown.items()]
    items = [disclosure.seq, disclosure.count, shown, list(disclosure.hashes)]
    _check_disclosure(items)
    data = cbor2.dumps(items)
    if len(data) > MAX_DISCLOSURE:
        raise MalformedError(
            f"a disclosure of {len(data)} bytes: at most {MAX_DISCLOSURE} are allowed; show fewer fields"
        )
    return data


def decode_disclosure(data: bytes) -> Disclosure:
    """The exact inverse of ``encode_disclosure``. Raises MalformedError for any other bytes."""
    seq, count, shown, hashes = load_canonical(data, MAX_DISCLOSURE, "a disclosure", _check_disclosure)
    return Disclosure(seq=seq, count=count, shown=dict(shown), hashes=tuple(hashes))


def _check_disclosure(items: Any) -> None:
    if type(items) is not list or len(items) != 4:
        raise MalformedError("a disclosure that is not an array of four")
    seq, count, shown, hashes = items
    numbers = type(seq) is type(count) is int and 0 <= seq <= HIGHEST and 1 <= count <= MAX_FIELDS
    if not numbers or type(shown) is not list or type(hashes) is not list:
        raise MalformedError("a disclosure without a seq, a count of fields, fields and hashes where they belong")
    if not shown or not all(map(_is_shown, shown)):
        raise MalformedError("a disclosure whose fields are not pairs of a place and some bytes, or that has none")
    places = [place for place, _ in shown]
    if places != sorted(set(places)) or places[-1] >= count:
        raise MalformedError(f"a disclosure whose fields do not stand at ascending places below {count}")
    if not all(type(item) is bytes and len(item) == HASH_SIZE for item in hashes):
        raise MalformedError(f"a disclosure with a hash that is not {HASH_SIZE} bytes")
    wanted = sum(1 for _ in _hidden_ranges(places, 0, count))
    if len(hashes) != wanted:
        raise MalformedError(f"a disclosure with {len(hashes)} hashes; {wanted} belong to it")


def _is_shown(pair: Any) -> bool:
    return (
        type(pair) is list
        and len(pair) == 2
        and type(pair[0]) is int
        and 0 <= pair[0] < MAX_FIELDS
        and type(pair[1]) is bytes
        and len(pair[1]) <= MAX_FIELD
    )


def _hidden_ranges(places: Sequence[int], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges of the walk that hold no shown place, from left to right."""
    if bisect_left(places, start) == bisect_left(places, end):
        yield start, end
    elif end - start > 1:
        middle = start + _left_size(end - start)
        yield from _hidden_ranges(places, start, middle)
        yield from _hidden_ranges(places, middle, end)


def _left_size(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def disclosed_root(disclosure: Disclosure) -> bytes:
    """The fields root that a disclosure leads to."""
    places, hashes = list(disclosure.shown), iter(disclosure.hashes)

    def root(start: int, end: int) -> bytes:
        if bisect_left(places, start) == bisect_left(places, end):
            return next(hashes)
        if end - start == 1:
            return leaf_hash(disclosure.shown[start])
        middle = start + _left_size(end - start)
        return node_hash(root(start, middle), root(middle, end))

    return root(0, disclosure.count)


def verify_disclosure(entry: Entry, data: bytes, meter: MeterDescription) -> Disclosed:
    """What the disclosure *data* shows of *entry*, a proved concealed entry whose proved definition is *meter*.

    Raises MalformedError for bytes that are no disclosure, TamperError where they are not of this entry.
    """
    disclosure = decode_disclosure(data)
    if entry.kind is not Kind.CONCEALED or entry.seq != disclosure.seq:
        raise TamperError(
            f"the disclosure is of concealed entry {disclosure.seq}, not of the {entry.kind.text} entry {entry.seq}",
            seq=entry.seq,
        )
    if entry.body[1] != disclosure.count or entry.body[2] != disclosed_root(disclosure):
        raise TamperError(
            f"the fields shown are not those of entry {entry.seq}: they lead to another root", seq=entry.seq
        )
    return _named(entry, disclosure, meter)


def _named(entry: Entry, disclosure: Disclosure, meter: MeterDescription) -> Disclosed:
    names = [spec.name for spec in meter.points]
    if len(set(names)) != len(names) or disclosure.count - len(names) not in (0, 1):
        raise TamperError(
            f"entry {entry.seq} has {disclosure.count} fields, which the {len(names)} points of {meter.name[:40]!r} do "
            "not account for",
            seq=entry.seq,
        )
    points: dict[str, PointReading] = {}
    meter_ms = None
    for place, field in ((place, decode_field(data)) for place, data in disclosure.shown.items()):
        clock = place == len(names)
        name = METER_TIME if clock else names[place]
        if field.key != name or (type(field.value) is int) != clock:
            raise TamperError(
                f"entry {entry.seq}: field {place} is {field.key[:40]!r}, where the definition has {name[:40]!r}",
                seq=entry.seq,
            )
        if type(field.value) is int:
            meter_ms = field.value
        else:
            (points[name],) = points_of([0, [], [field.value]])
    return Disclosed(points=points, meter_ms=meter_ms, hidden=disclosure.count - len(disclosure.shown))
