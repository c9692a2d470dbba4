"""One record of the sidecar: what a concealed entry stands for, and the seed of its salts.

Deterministic CBOR, an array of five::

    seq       of the entry
    meter     its name, so that the records of one meter can be erased without the log
    wall ms   as in the entry
    seed      32 random bytes (``gateway.log.fields``)
    body      that of the reading entry which the concealed one stands for (``gateway.log.entry``)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.log.entry import Entry, Kind
from gateway.log.fields import SEED_BYTES, concealed_body, load_canonical, make_fields
from gateway.log.frame import MAX_PAYLOAD
from gateway.log.kinds import BODIES, HIGHEST, LOWEST
from gateway.reading import MeterDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A decoded record."""

    seq: int
    meter: str
    wall_ms: int
    seed: bytes
    body: list[Any]

    def fields(self, meter: MeterDescription) -> list[bytes]:
        """Bytes of each field. Raises MalformedError where *meter* is not the one that was read."""
        return make_fields(self.seed, meter, self.body)

    def belongs_to(self, entry: Entry, meter: MeterDescription) -> bool:
        """Whether *entry* is the concealed entry that this record was made for."""
        try:
            return entry.seq == self.seq and entry.body == concealed_body(self.body[0], self.fields(meter))
        except MalformedError:
            return False


def encode_record(record: Record) -> bytes:
    """The record's bytes. Raises MalformedError for anything that ``decode_record`` would refuse."""
    items = [record.seq, record.meter, record.wall_ms, record.seed, record.body]
    _check(items)
    data = cbor2.dumps(items)
    if len(data) > MAX_PAYLOAD:
        raise MalformedError(f"the fields of entry {record.seq} have {len(data)} bytes; at most {MAX_PAYLOAD} fit")
    return data


def decode_record(data: bytes) -> Record:
    """The exact inverse of ``encode_record``. Raises MalformedError for any other bytes."""
    seq, meter, wall_ms, seed, body = load_canonical(data, MAX_PAYLOAD, "a record of fields", _check)
    return Record(seq=seq, meter=meter, wall_ms=wall_ms, seed=seed, body=body)


def seq_of(data: bytes) -> int:
    """The seq of a record's bytes, without reading the rest of them. Raises MalformedError where there is none."""
    code = data[1] if len(data) > 1 else 0xFF
    size = 0 if code < 24 else 1 << (code - 24) if code < 28 else -1
    if size < 0 or len(data) < 2 + size:
        raise MalformedError("a record of fields without a seq")
    return int.from_bytes(data[2 : 2 + size], "big") if size else code


def _check(items: Any) -> None:
    if type(items) is not list or len(items) != 5:
        raise MalformedError("a record of fields that is not an array of five")
    seq, meter, wall_ms, seed, body = items
    sound = (
        type(seq) is type(wall_ms) is int
        and 0 <= seq <= HIGHEST
        and LOWEST <= wall_ms <= HIGHEST
        and type(meter) is str
        and type(seed) is bytes
        and len(seed) == SEED_BYTES
        and type(body) is list
        and BODIES[Kind.READING](body)
    )
    if not sound:
        raise MalformedError("a record of fields that is not a seq, a meter, a time, a seed and a reading's body")
