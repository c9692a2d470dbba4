"""Concealed readings: fields with salts of their own under one root, so that one can be shown without the others.

A concealed entry holds only its definition's seq, the number of fields and the *fields root*. The fields are those of
a reading: one for each point in the definition's order, then one for the meter's own clock where it has one. A field is
deterministic CBOR (RFC 8949 section 4.2.1, types as in ``gateway.log.entry``), an array of three::

    salt    16 bytes: the first half of HMAC-SHA-256(record seed, place of the field as 4 bytes, big-endian)
    key     text: the point's name, or ``meter_time``
    value   [status, raw] or [status, raw, mantissa, exponent] as in a reading's body; Unix ms for the clock

The fields root is the root of the RFC 9162 tree (``gateway.log.tree``) whose entries are the fields' bytes: a leaf is
SHA-256(0x00 || field), a node SHA-256(0x01 || left || right). The record seed is 32 random bytes. Whoever holds it can
compute every salt; so it never leaves the device, and with it go the fields: without their salts, of which each is as
hard to guess as a key, nobody can find out by trial what a leaf or the root stands for.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.log.entry import Kind
from gateway.log.kinds import BODIES, HIGHEST, LOWEST
from gateway.log.tree import Frontier, leaf_hash
from gateway.reading import MeterDescription

SEED_BYTES = 32
SALT_BYTES = 16
MAX_FIELD = 4096
#: Key of the meter's own clock. A point of this name has another type of value, and another place.
METER_TIME = "meter_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One decoded field; *value* is a point as in a reading's body, or Unix milliseconds."""

    salt: bytes
    key: str
    value: list[Any] | int


def make_fields(seed: bytes, meter: MeterDescription, body: Sequence[Any]) -> list[bytes]:
    """Bytes of each field of a reading's *body*, in order. Raises MalformedError where it is not of that *meter*."""
    _, meter_ms, points = body
    if len(points) != len(meter.points):
        raise MalformedError(f"a reading of {len(points)} points of {meter.name}, which has {len(meter.points)}")
    pairs = [(spec.name, point) for spec, point in zip(meter.points, points, strict=True)]
    pairs += [(METER_TIME, ms) for ms in meter_ms]
    return [
        encode_field(Field(salt=_salt(seed, place), key=key, value=value)) for place, (key, value) in enumerate(pairs)
    ]


def _salt(seed: bytes, place: int) -> bytes:
    return hmac.digest(seed, place.to_bytes(4, "big"), "sha256")[:SALT_BYTES]


def root_over(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def fields_root(fields: Iterable[bytes]) -> bytes:
    """The root over the bytes of all fields."""
    return root_over(map(leaf_hash, fields))


def concealed_body(definition_seq: int, fields: Sequence[bytes]) -> list[Any]:
    """Body of the concealed entry of these fields."""
    return [definition_seq, len(fields), fields_root(fields)]


def encode_field(field: Field) -> bytes:
    """The field's bytes. Raises MalformedError for anything that ``decode_field`` would refuse."""
    items = [field.salt, field.key, field.value]
    _check_field(items)
    try:
        data = cbor2.dumps(items)
    except UnicodeEncodeError as error:
        raise MalformedError(f"a field has a name that UTF-8 cannot hold: {error.reason}") from error
    if len(data) > MAX_FIELD:
        raise MalformedError(f"field {field.key[:40]!r} would have {len(data)} bytes; at most {MAX_FIELD} fit")
    return data


def decode_field(data: bytes) -> Field:
    """The exact inverse of ``encode_field``. Raises MalformedError for any other bytes."""
    items = load_canonical(data, MAX_FIELD, "a field", _check_field)
    return Field(salt=items[0], key=items[1], value=items[2])


def _check_field(items: Any) -> None:
    sound = type(items) is list and len(items) == 3 and type(items[0]) is bytes and len(items[0]) == SALT_BYTES
    if not sound or type(items[1]) is not str or not _is_value(items[2]):
        raise MalformedError("a field that is not an array of a salt of 16 bytes, a name, and a point or a time")


def _is_value(value: Any) -> bool:
    if type(value) is int:
        return LOWEST <= value <= HIGHEST
    # A point is what a reading's body takes for one.
    return type(value) is list and BODIES[Kind.READING]([0, [], [value]])


def load_canonical(data: bytes, most: int, what: str, check: Callable[[Any], None]) -> list[Any]:
    """The checked items of deterministic CBOR of at most *most* bytes. Raises MalformedError for anything else."""
    if len(data) > most:
        raise MalformedError(f"{what} of {len(data)} bytes; at most {most} are allowed")
    try:
        items: list[Any] = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise MalformedError(f"{what} that is not CBOR: {error}") from error
    check(items)
    # Types are checked first: what is left has one encoding, and this comparison finds all others.
    if cbor2.dumps(items) != data:
        raise MalformedError(f"{what} that is not in the deterministic encoding of RFC 8949 section 4.2.1")
    return items
