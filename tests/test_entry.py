"""Entry bytes: one encoding per entry, and nothing else is an entry."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import (
    NO_PREV,
    Kind,
    decode,
    definition_body,
    description,
    encode,
    follows,
    points_of,
    reading_body,
)
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status

HIGH = 2**63 - 1
GOLDEN = (
    "8a01021903e85820"
    "1111111111111111111111111111111111111111111111111111111111111111"
    "021b0000000ba43b74001b00000199c82cc0006153058301811b00000199c82cbc1883"
    "84004443663333190901208212420001821140"
)
MOMENT = Moment(boottime_ns=50_000_000_000, wall_ms=1_760_000_000_000, quality="S", error_ms=5)

numbers = st.integers(-(2**63), HIGH)
naturals = st.integers(0, HIGH)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
hashes = st.binary(min_size=32, max_size=32)
moments = st.builds(
    Moment,
    boottime_ns=naturals,
    wall_ms=numbers,
    quality=st.sampled_from("UISR"),
    error_ms=st.integers(-1, HIGH),
)
good = st.sampled_from([int(status) for status in Status if status.has_value])
bad = st.sampled_from([int(status) for status in Status if not status.has_value])
point = st.tuples(bad, st.binary(max_size=9)).map(list) | st.tuples(
    good, st.binary(max_size=9), numbers, st.integers(-64, 64)
).map(list)
row = st.tuples(texts, texts, texts, texts, numbers, numbers).map(list)
BODIES: dict[Kind, Any] = {
    Kind.GENESIS: st.tuples(
        texts,
        texts,
        numbers,
        numbers,
        st.lists(texts, max_size=2),
        st.just([]) | st.lists(texts, min_size=2, max_size=2),
        texts,
    ),
    Kind.DEFINITION: st.tuples(texts, texts, hashes, texts, st.lists(row, max_size=3)),
    Kind.READING: st.tuples(naturals, st.lists(numbers, max_size=1), st.lists(point, max_size=13)),
    Kind.EVENT: st.tuples(texts, numbers, texts, texts),
    Kind.BOOT: st.tuples(st.binary(max_size=16), texts, texts),
    Kind.CLOCK_STEP: st.tuples(numbers, numbers, texts),
    Kind.CONFIG: st.tuples(hashes, st.binary(max_size=32)),
    Kind.KEY: st.tuples(texts, texts),
    Kind.GAP: st.tuples(texts, numbers, numbers, numbers, texts),
    Kind.RECOVERY: st.tuples(texts, numbers, numbers, hashes, texts, texts),
    Kind.BEACON: st.tuples(texts, st.binary(max_size=40)),
    Kind.MANIFEST: st.tuples(
        numbers, numbers, texts, numbers, hashes, st.lists(st.tuples(numbers, hashes).map(list), max_size=3)
    ),
    Kind.CONCEALED: st.tuples(naturals, st.integers(1, 1024), hashes),
    Kind.IMPORTED: st.tuples(
        texts,
        numbers,
        st.lists(st.binary(max_size=40), max_size=3),
        st.lists(hashes, max_size=3),
        st.binary(max_size=40),
    ),
    Kind.ATTESTATION: st.tuples(
        texts, texts, numbers, st.lists(st.tuples(texts, *[st.binary(max_size=40)] * 3).map(list), max_size=2)
    ),
}


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """What encode() takes, of any kind."""
    kind = draw(st.sampled_from(Kind))
    return {
        "kind": kind,
        "seq": draw(naturals),
        "prev": draw(hashes),
        "boot": draw(naturals),
        "moment": draw(moments),
        "body": list(draw(BODIES[kind])),
    }


@given(fields())
def test_decode_is_the_inverse_of_encode(given_fields: dict[str, Any]) -> None:
    """Every entry of every kind comes back as it was, and its bytes with it."""
    data = encode(**given_fields)
    entry = decode(data)
    found = {name: getattr(entry, name) for name in given_fields}
    assert found == given_fields
    assert entry.data is data
    assert follows(data, given_fields["seq"], given_fields["prev"])


def test_the_bytes_of_an_entry_are_these() -> None:
    """A reading of two points, byte for byte, so that no release changes the format unnoticed."""
    body = [1, [1_759_999_999_000], [[0, b"Cf33", 2305, -1], [0x12, b"\x00\x01"], [17, b""]]]
    data = encode(kind=Kind.READING, seq=1000, prev=b"\x11" * 32, boot=2, moment=MOMENT, body=body)
    assert data.hex() == GOLDEN
    assert decode(data).body == body


@given(fields(), st.data())
def test_other_bytes_are_another_entry_or_none(given_fields: dict[str, Any], data: st.DataObject) -> None:
    """Changed bytes never give the same entry: they are refused, or they are the encoding of something else."""
    good_bytes = bytearray(encode(**given_fields))
    place = data.draw(st.integers(0, len(good_bytes) - 1))
    good_bytes[place] ^= data.draw(st.integers(1, 255))
    try:
        entry = decode(bytes(good_bytes))
    except MalformedError:
        return
    again = encode(
        kind=entry.kind, seq=entry.seq, prev=entry.prev, boot=entry.boot, moment=entry.moment, body=entry.body
    )
    assert again == bytes(good_bytes)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    """Whatever comes, it is an entry or a MalformedError."""
    with contextlib.suppress(MalformedError):
        assert decode(data).data == data


def test_follows_looks_at_seq_and_prev() -> None:
    """An entry follows only what it names."""
    data = encode(kind=Kind.READING, seq=300, prev=b"\x22" * 32, boot=0, moment=MOMENT, body=[1, [], []])
    assert follows(data, 300, b"\x22" * 32)
    assert not follows(data, 299, b"\x22" * 32)
    assert not follows(data, 300, b"\x23" + b"\x22" * 31)
    assert not follows(b"", 0, NO_PREV)


def test_a_meter_comes_back_from_its_definition_entry() -> None:
    """Nothing of a description is lost in the log."""
    spec = PointSpec(
        name="import_total", obis="1-0:1.8.0", unit="kWh", register="fc4 0x48 f32", monotonic=True, max_per_hour=50
    )
    resettable = PointSpec(name="trip", obis="1-0:1.8.1", unit="", register="fc3 1 u16", resettable=True)
    meter = MeterDescription(name="main", model="x", digest=bytes(32), location="lan unit 1", points=(spec, resettable))
    assert description(definition_body(meter)) == meter


def test_a_reading_comes_back_from_its_entry() -> None:
    """Values, raw words and statuses survive, with the meter's own clock."""
    points = (
        PointReading(status=Status.OK, raw=b"\x00\x01", value=Scaled(mantissa=-5, exponent=-3)),
        PointReading(status=Status.TIMEOUT, raw=b"", value=None),
    )
    reading = Reading(moment=MOMENT, points=points, meter_ms=77)
    body = reading_body(4, reading)
    assert points_of(body) == points
    assert body[:2] == [4, [77]]
