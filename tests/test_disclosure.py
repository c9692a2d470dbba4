"""Disclosures: golden bytes, every choice of fields, and all that is refused."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import combinations
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log.disclosure import (
    decode_disclosure,
    disclose,
    disclosed_root,
    encode_disclosure,
    verify_disclosure,
)
from gateway.log.entry import Kind
from gateway.log.fields import Field, concealed_body, decode_field, encode_field, fields_root, make_fields
from gateway.reading import MeterDescription, PointReading, PointSpec, Scaled, Status
from tests.concealed import BODY, ENTRY, FIELDS, METER, NAMES, SEED, entry_of

#: import_total of the reading in ``tests.concealed``; made when the format was fixed.
GOLDEN = bytes.fromhex(
    "840205818200582c8350a86acbcbc29b8fa83c83582d56a892d06c696d706f72745f746f74616c840044467c43861a00f659f122835820"
    "fd92bd2d14a5caee1fa4d4b9a89910e0f3f66a8c7d872e0dffdb5da2559d2c465820c2ca6f5d70e31715dbaea4ee1f68dfd86912168aa4"
    "0ad2fecc94928d9b6390065820728cc1bc05e0c3eee4ec047dbb4ddc0bc530c35429856d45c1fd88ecd16f893e"
)
TOTAL = PointReading(status=Status.OK, raw=b"F|C\x86", value=Scaled(mantissa=16144881, exponent=-3))


def wide_meter(points: int) -> MeterDescription:
    """A meter of so many points."""
    specs = (PointSpec(name=f"p{place}", obis="", unit="", register="") for place in range(points))
    return replace(METER, points=tuple(specs))


def test_the_bytes_of_a_disclosure_are_these() -> None:
    """Byte for byte, so that no release changes the format unnoticed."""
    assert disclose(2, FIELDS, [0]) == GOLDEN
    shown = verify_disclosure(ENTRY, GOLDEN, METER)
    assert shown.points == {"import_total": TOTAL}
    assert (shown.meter_ms, shown.hidden) == (None, 4)


@pytest.mark.parametrize("count", [*range(1, len(FIELDS) + 1)])
def test_every_choice_of_fields_is_proved_and_no_other_is_in_it(count: int) -> None:
    """What is shown has its value; of what is hidden there is neither a byte of the field nor its salt nor the seed."""
    for places in combinations(range(len(FIELDS)), count):
        data = disclose(2, FIELDS, places)
        shown = verify_disclosure(ENTRY, data, METER)
        assert list(shown.points) == [NAMES[place] for place in places if place < 4]
        assert shown.meter_ms == (BODY[1][0] if 4 in places else None)
        assert shown.hidden == 5 - count
        assert SEED not in data
        for place, field in enumerate(FIELDS):
            salt = decode_field(field).salt
            assert (field in data) == (salt in data) == (place in places)


@pytest.mark.parametrize("points", [1, 2, 3, 7, 8, 9, 64, 1000])
def test_one_field_of_many_needs_few_hashes(points: int) -> None:
    """As many as its place in the tree is deep: three for one of eight."""
    meter = wide_meter(points)
    fields = make_fields(SEED, meter, [1, [], [[0, b"", place, 0] for place in range(points)]])
    entry = entry_of(concealed_body(1, fields))
    for place in {0, points // 2, points - 1}:
        data = disclose(2, fields, [place])
        assert len(decode_disclosure(data).hashes) <= (points - 1).bit_length()
        shown = verify_disclosure(entry, data, meter)
        assert shown.points[f"p{place}"].value == Scaled(mantissa=place, exponent=0)


@given(st.integers(1, 40), st.data())
def test_any_fields_of_any_tree_lead_to_its_root(points: int, data: st.DataObject) -> None:
    """Decode is the inverse of encode, and the walk finds the root."""
    fields = make_fields(SEED, wide_meter(points), [1, [], [[0, b"", place, 0] for place in range(points)]])
    places = data.draw(st.sets(st.integers(0, points - 1), min_size=1))
    disclosure = decode_disclosure(disclose(7, fields, places))
    assert encode_disclosure(disclosure) == disclose(7, fields, places)
    assert list(disclosure.shown) == sorted(places)
    assert disclosed_root(disclosure) == fields_root(fields)


def test_a_disclosure_with_any_byte_changed_or_missing_is_refused() -> None:
    """Each byte in each of its bits; each byte left out; each cut."""
    for position in range(len(GOLDEN)):
        changes = [GOLDEN[:position], GOLDEN[:position] + GOLDEN[position + 1 :]]
        for bit in range(8):
            changed = bytearray(GOLDEN)
            changed[position] ^= 1 << bit
            changes.append(bytes(changed))
        for data in changes:
            with pytest.raises(GatewayError):
                verify_disclosure(ENTRY, data, METER)


def test_a_disclosure_of_another_entry_is_refused() -> None:
    """The same fields under another seq, another root, another count, another kind."""
    others = [
        entry_of(ENTRY.body, seq=3),
        entry_of([1, 5, bytes(32)]),
        entry_of([1, 6, ENTRY.body[2]]),
        entry_of(BODY, kind=Kind.READING),
    ]
    for entry in others:
        with pytest.raises(TamperError):
            verify_disclosure(entry, GOLDEN, METER)


def test_equal_readings_have_different_roots() -> None:
    """A flat load shows nothing in the log, not even that it is flat."""
    roots = {concealed_body(1, make_fields(bytes([seed]) * 32, METER, BODY))[2] for seed in range(50)}
    assert len(roots) == 50


def disclosed_as(meter: MeterDescription, fields: list[bytes], place: int) -> None:
    verify_disclosure(entry_of(concealed_body(1, fields)), disclose(2, fields, [place]), meter)


def test_a_field_counts_only_at_the_place_of_its_name() -> None:
    """A record that holds two import totals, one for each audience: only the one in its place is believed."""
    twice = [*FIELDS[:1], encode_field(Field(salt=bytes(16), key="import_total", value=[0, b"", 1, 0])), *FIELDS[2:]]
    disclosed_as(METER, twice, 0)
    with pytest.raises(TamperError, match="field 1 is 'import_total', where the definition has 'export_total'"):
        disclosed_as(METER, twice, 1)


def test_a_time_is_no_point_and_a_point_no_time() -> None:
    """Each has its type at its place, whatever it is called."""
    clock = [*FIELDS[:4], encode_field(Field(salt=bytes(16), key="meter_time", value=[0, b"", 1, 0]))]
    point = [encode_field(Field(salt=bytes(16), key="import_total", value=5)), *FIELDS[1:]]
    for fields, place in ((clock, 4), (point, 0)):
        with pytest.raises(TamperError):
            disclosed_as(METER, fields, place)


def test_fields_that_the_definition_does_not_account_for_are_refused() -> None:
    """One too many, one too few, or a definition that has a name twice."""
    extra = [*FIELDS, encode_field(Field(salt=bytes(16), key="extra", value=1))]
    double = replace(METER, points=(*METER.points[:3], METER.points[0]))
    for meter, fields in ((METER, extra), (METER, FIELDS[:3]), (double, FIELDS)):
        with pytest.raises(TamperError, match="do not account for"):
            disclosed_as(meter, list(fields), 0)


GOOD: list[Any] = cbor2.loads(GOLDEN)


def changed(place: int, item: Any) -> list[Any]:
    """The items of the golden disclosure with one replaced."""
    return [*GOOD[:place], item, *GOOD[place + 1 :]]


PAIR = GOOD[2][0]
WRONG: dict[str, Any] = {
    "three items": GOOD[:3],
    "five items": [*GOOD, 0],
    "a negative seq": changed(0, -1),
    "seq as a bool": changed(0, True),
    "no fields": changed(1, 0),
    "1,025 fields": changed(1, 1025),
    "count as a float": changed(1, 5.0),
    "nothing shown": changed(2, []),
    "a field that is no pair": changed(2, [PAIR[1]]),
    "a place as a bool": changed(2, [[False, PAIR[1]]]),
    "a place beyond the count": changed(2, [[5, PAIR[1]]]),
    "a place twice": changed(2, [PAIR, PAIR]),
    "places that fall": changed(2, [[1, PAIR[1]], PAIR]),
    "a field as text": changed(2, [[0, "a"]]),
    "a field of 4,097 bytes": changed(2, [[0, bytes(4097)]]),
    "a hash too few": changed(3, GOOD[3][1:]),
    "a hash too many": changed(3, [*GOOD[3], bytes(32)]),
    "a hash of 31 bytes": changed(3, [bytes(31), *GOOD[3][1:]]),
    "a hash as text": changed(3, ["a" * 32, *GOOD[3][1:]]),
    "hashes as a map": changed(3, {}),
    "a map": {0: 1},
}


@pytest.mark.parametrize("items", WRONG.values(), ids=WRONG.keys())
def test_what_is_nearly_a_disclosure_is_refused(items: Any) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        decode_disclosure(cbor2.dumps(items))


def test_the_same_items_in_another_encoding_are_refused() -> None:
    """Indefinite lengths, longer heads, surplus bytes; and what is too long is not even looked at."""
    rest = GOLDEN[1:]
    for data in (b"\x9f" + rest + b"\xff", b"\x98\x04" + rest, GOLDEN + b"\0", GOLDEN[:1] + b"\x18\x02" + rest[1:]):
        with pytest.raises(MalformedError):
            decode_disclosure(data)
    with pytest.raises(MalformedError, match="at most"):
        decode_disclosure(bytes((1 << 18) + 1))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    """Whatever comes, it is a disclosure or a MalformedError."""
    with contextlib.suppress(MalformedError):
        assert encode_disclosure(decode_disclosure(data)) == data


nested: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**70), 2**70)
    | st.binary(max_size=40)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=12,
)


@given(st.lists(nested, min_size=4, max_size=4), st.integers(0, 3), nested)
def test_any_cbor_of_other_types_is_refused(items: list[Any], place: int, wrong: Any) -> None:
    """Four items of any types, and a good disclosure with one item replaced by something else."""
    for candidate in (items, changed(place, wrong)):
        data = cbor2.dumps(candidate)
        with contextlib.suppress(MalformedError):
            assert encode_disclosure(decode_disclosure(data)) == data
