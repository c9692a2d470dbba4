"""Fields of a concealed reading: golden bytes, salts, the root, and the ambiguities that are not there."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.fields.record import Record, decode_record, encode_record, seq_of
from gateway.log.fields import Field, concealed_body, decode_field, encode_field, fields_root, make_fields
from gateway.log.tree import leaf_hash, node_hash
from tests.concealed import BODY, FIELDS, METER, NAMES, SEED
from tests.test_entry import numbers, point, texts

#: The five fields of ``tests.concealed``, and their root; made when the format was fixed.
GOLDEN = (
    "8350a86acbcbc29b8fa83c83582d56a892d06c696d706f72745f746f74616c840044467c43861a00f659f122",
    "835099411f24bfa9ee8e144e132c46b3b7d16c6578706f72745f746f74616c821140",
    "8350f96d53c4967667e4efbc5caf46406af36b706f7765725f746f74616c8400414319014900",
    "835088a514926e60dbe566dc0027aba5fe8e6a766f6c746167655f6c318401402000",
    "8350cc079cf18c874d064ddc6598cfe4b8b96a6d657465725f74696d651b00000199c82cbc18",
)
GOLDEN_ROOT = "207bf28600b034df4b5d4cccb38b0fd7d23a199ad030d822851eafa018a6b52d"

salts = st.binary(min_size=16, max_size=16)
fields = st.builds(Field, salt=salts, key=texts, value=point | numbers)


def test_the_bytes_of_the_fields_and_their_root_are_these() -> None:
    """Byte for byte, so that no release changes the format unnoticed."""
    assert tuple(field.hex() for field in FIELDS) == GOLDEN
    assert fields_root(FIELDS).hex() == GOLDEN_ROOT
    assert concealed_body(1, FIELDS) == [1, 5, bytes.fromhex(GOLDEN_ROOT)]


def test_the_root_is_what_the_docstring_says() -> None:
    """Worked out again with nothing but a hash, an HMAC and CBOR."""
    keys = [*NAMES, "meter_time"]
    values = [*BODY[2], *BODY[1]]
    leaves = []
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        salt = hmac.new(SEED, place.to_bytes(4, "big"), hashlib.sha256).digest()[:16]
        leaves.append(hashlib.sha256(b"\0" + cbor2.dumps([salt, key, value])).digest())

    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\1" + left + right).digest()

    four = node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3]))
    assert fields_root(FIELDS) == node(four, leaves[4])


@given(fields)
def test_decode_is_the_inverse_of_encode(field: Field) -> None:
    """Every field comes back as it was."""
    assert decode_field(encode_field(field)) == field


@given(fields, st.data())
def test_other_bytes_are_another_field_or_none(field: Field, data: st.DataObject) -> None:
    """A changed byte is refused, or says something else in its one encoding."""
    changed = bytearray(encode_field(field))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = decode_field(bytes(changed))
    except MalformedError:
        return
    assert found != field
    assert encode_field(found) == bytes(changed)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    """Whatever comes, it is a field, a record, or a MalformedError."""
    for decode in (decode_field, decode_record, seq_of):
        with contextlib.suppress(MalformedError):
            decode(data)


SALT = bytes(16)
WRONG: dict[str, Any] = {
    "a salt of 15 bytes": [bytes(15), "a", [0, b"", 1, 0]],
    "a salt of 17 bytes": [bytes(17), "a", [0, b"", 1, 0]],
    "a salt that is text": ["0" * 16, "a", [0, b"", 1, 0]],
    "a name that is bytes": [SALT, b"a", [0, b"", 1, 0]],
    "no name": [SALT, [0, b"", 1, 0]],
    "a surplus item": [SALT, "a", [0, b"", 1, 0], 0],
    "a value of three items": [SALT, "a", [0, b"", 1]],
    "a value that is a float": [SALT, "a", [0, b"", 1.0, 0]],
    "a value that is a bool": [SALT, "a", True],
    "a time above 64 bits": [SALT, "a", 2**63],
    "a value that is text": [SALT, "a", "1"],
    "an array instead of three items": [[SALT, "a", 1]],
}


@pytest.mark.parametrize("items", WRONG.values(), ids=WRONG.keys())
def test_what_is_nearly_a_field_is_refused(items: list[Any]) -> None:
    """Each rule of the format, broken once; and not written either."""
    with pytest.raises(MalformedError):
        decode_field(cbor2.dumps(items))


def test_the_same_field_in_another_encoding_is_refused() -> None:
    """A longer head, an indefinite length, a byte behind the end, a tag."""
    good = encode_field(Field(salt=SALT, key="a", value=[0, b"", 1, 0]))
    assert decode_field(good).key == "a"
    longer = good[:1] + b"\x58\x10" + good[2:]
    for data in (longer, b"\x9f" + good[1:] + b"\xff", good + b"\0", b"\xc1" + good, good[:-1]):
        with pytest.raises(MalformedError):
            decode_field(data)


def test_a_name_cannot_lend_a_letter_to_its_value() -> None:
    """Without lengths "ab" and "c" would hash as "a" and "bc" do; here each item says where it ends."""
    one, other = ([0, raw, 1, 0] for raw in (b"c", b"bc"))
    short = encode_field(Field(salt=SALT, key="ab", value=one))
    long = encode_field(Field(salt=SALT, key="a", value=other))
    assert leaf_hash(short) != leaf_hash(long)
    assert b"".join((b"ab", b"c")) == b"".join((b"a", b"bc"))


def test_nothing_and_zero_and_the_empty_text_are_different_fields() -> None:
    """A missing value, the value 0, a time of 0 and raw words of one zero byte are never taken for each other."""
    values: list[Any] = [[17, b""], [0, b"", 0, 0], [0, b"\0", 0, 0], [16, b"\0"], [0, b"", 0, 1], 0]
    hashes = {leaf_hash(encode_field(Field(salt=SALT, key="", value=value))) for value in values}
    assert len(hashes) == len(values)


def test_a_node_cannot_pose_as_a_field_and_a_field_not_as_a_node() -> None:
    """Leaves and nodes are hashed behind different bytes, and 64 bytes of hashes are no field anyway."""
    left, right = leaf_hash(FIELDS[0]), leaf_hash(FIELDS[1])
    assert leaf_hash(left + right) != node_hash(left, right)
    with pytest.raises(MalformedError):
        decode_field(left + right)
    # A root over two fields is not the root over one field made of their hashes.
    assert fields_root(FIELDS[:2]) == node_hash(left, right) != fields_root([left + right])


@pytest.mark.parametrize("place", range(16))
def test_the_leaf_depends_on_every_byte_of_the_salt(place: int) -> None:
    """Whoever would try out values must try out 2^128 salts with each."""
    field = decode_field(FIELDS[2])
    for bit in range(8):
        salt = bytearray(field.salt)
        salt[place] ^= 1 << bit
        changed = encode_field(Field(salt=bytes(salt), key=field.key, value=field.value))
        assert leaf_hash(changed) != leaf_hash(FIELDS[2])


def test_salts_depend_on_the_whole_seed_and_on_the_place() -> None:
    """No two fields of a record share a salt, nor do two records."""
    salts = {decode_field(field).salt for field in FIELDS}
    for place in range(32):
        seed = bytearray(SEED)
        seed[place] ^= 1
        salts |= {decode_field(field).salt for field in make_fields(bytes(seed), METER, BODY)}
    assert len(salts) == 33 * len(FIELDS)


def test_a_reading_of_another_meter_makes_no_fields() -> None:
    """Points without a name, or names without a point."""
    with pytest.raises(MalformedError, match="3 points of flat-3, which has 4"):
        make_fields(SEED, METER, [1, [], BODY[2][:3]])


records = st.builds(
    Record,
    seq=st.integers(0, 2**63 - 1),
    meter=texts,
    wall_ms=numbers,
    seed=st.binary(min_size=32, max_size=32),
    body=st.tuples(st.integers(0, 9), st.lists(numbers, max_size=1), st.lists(point, max_size=5)).map(list),
)


@given(records)
def test_a_record_comes_back_from_its_bytes(record: Record) -> None:
    """And its seq can be told without the rest."""
    data = encode_record(record)
    assert decode_record(data) == record
    assert seq_of(data) == record.seq
