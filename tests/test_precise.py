"""Precise proofs by themselves: known roots, and everything ambiguous refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain.notary.precise import Proof, Step, new_salts, sorted_keys, tree, verify
from gateway.chain.notary.precise_text import TEXT_MAX, canonical, packed_key, packed_value, value_of
from gateway.errors import ConfigError, MalformedError
from tests.precise_oracle import filled_salts
from tests.precise_records import is_key, keys, texts, values

READINGS = [
    {"timestamp": 1625000400, "value": "1000"},
    {"timestamp": 1625004000, "value": "0"},
    {"timestamp": 1625007600, "value": "2500"},
]
FIELDS = {"energy": 1000, "meter": "M1", "down": False, "ts": "2021-06-29T21:00:00Z"}
#: An account of nobody's, in the case of EIP-55 (its own example).
ACCOUNT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


def test_readings_have_the_root_that_the_24_7_notary_was_given() -> None:
    """Leaves, the node above two of them, and the root, as upstream's code made them."""
    found = tree(READINGS, filled_salts(3))
    assert [(leaf.key, leaf.hash.hex()) for leaf in found.leaves] == [
        ("0", "20528a32b67676d7711b20d264456e34cde9739d195090a1b407e2ce59de0a32"),
        ("2", "7ee29f7aae271ea33483641d53e890bf2d509178bbc67d5972961cff26a3767a"),
        ("1", "d94307e178970abfbf06fb27296d8175d7b4a937234f7db50854ec02c91d0797"),
    ]
    assert found.levels[1][0].hex() == "ba10601899f86056b024f6bae1d97b9dca1d0f276b2c76667d6bf526fa571dbc"
    assert found.root.hex() == "b544e48a01367927fec01e38c4a798e831555f32744fc3815636e705c4e47a9a"


def test_an_object_has_the_roots_that_upstream_gave_it() -> None:
    """The plain and the extended one."""
    found = tree(FIELDS, filled_salts(4))
    assert found.schema == ("ts", "meter", "down", "energy")
    assert found.root.hex() == "8ae0f3c24cbf4707c4e1d3dea409c877fb391c0b188e5e899848960396ddee3a"
    assert found.extended_root.hex() == "e206689abac183531ad1b9f7ada82b628d8b9aaa34fff1e25a32ad531cbf8741"


def test_zero_has_a_leaf_and_empty_text_has_none() -> None:
    """Upstream gives both the same one; a reading of zero must survive."""
    zero = "f4c6b2f93c628edfbc2aac0fcf98f1a672b0ec7842ac21f4b0ae814ea676f6dd"
    assert tree({"energy": 0}, filled_salts(1)).root.hex() == zero
    with pytest.raises(ConfigError, match="field energy: empty text is hashed like the number 0"):
        tree({"energy": ""}, filled_salts(1))
    with pytest.raises(MalformedError):
        Proof(key="energy", value="", salt=filled_salts(1)[0], path=())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.5, "fraction"),
        (1.0, "fraction"),
        ({"a": [0.5]}, "fraction"),
        (float("nan"), "fraction"),
        ("", "empty text"),
        ("\u3378", "hashed like 4424"),
        (ACCOUNT[2:], "read as an address"),
        ("XE7338O073KYGTWWZN0F2WZ0R8PX5ZPPZS", "read as an address"),
        ("0x" + "61" * 20, "hashed like the text"),
        (2**248, "2^248"),
        (-(2**248) - 1, "2^248"),
        (10**39, "40 digits"),
        (10**4000, "2^248"),
        ([2**53], "2^53"),
        ({"a": -(10**4000)}, "2^53"),
        ({1: 2}, "type dict"),
        (b"bytes", "type bytes"),
        ({"_isBigNumber": True}, "_isBigNumber"),
        ("\ud800", "UTF-8"),
        (["\ud800"], "UTF-8"),
        ("x" * TEXT_MAX, "at most"),
    ],
)
def test_ambiguous_values_are_refused(value: Any, why: str) -> None:
    """The message says what is wrong with them."""
    with pytest.raises(ConfigError, match=why.replace("^", r"\^")):
        tree({"field": value}, filled_salts(1))


def test_nesting_has_an_end() -> None:
    """Both ways: a value, and the text of one."""
    deep: Any = []
    for _ in range(17):
        deep = [deep]
    with pytest.raises(ConfigError, match="deep"):
        canonical(deep)
    with pytest.raises(MalformedError):
        value_of("[" * 30_000)


NUMBERS = ["", " ", "01", "+1", "-1", "1.0", ".5", "1e3", "0b1", "0o7", " 1", "1\ufeff", "0x", "0x01", "0X01", "-0x1"]
OTHERS = [
    "0xzz",
    "\0a",
    "a\0",
    "\ud800",
    ACCOUNT[2:],
    ACCOUNT.replace("5a", "5A"),
    "0x" + "61" * 20,
    "9" * 40,
    "9" * 78,
]


@pytest.mark.parametrize("key", NUMBERS + OTHERS, ids=lambda part: repr(part)[:24])
def test_ambiguous_keys_are_refused(key: str) -> None:
    """Each is hashed like another one, or cannot be hashed at all."""
    with pytest.raises(ConfigError):
        packed_key(key)
    with pytest.raises(MalformedError):
        Proof(key=key, value="0", salt=filled_salts(1)[0], path=())


def test_indexes_and_accounts_are_keys_of_their_own() -> None:
    """An index is a word of 32 bytes, an account its 20 bytes, and all else its text."""
    assert packed_key("10") == (10).to_bytes(32, "big")
    assert packed_key(ACCOUNT) == packed_key(ACCOUNT.lower()) == bytes.fromhex(ACCOUNT[2:])
    assert packed_key("Größe") == "Größe".encode()


@given(values)
def test_the_text_of_a_value_leads_back_to_it(value: Any) -> None:
    """Whatever is not refused has one text, and the text has one value."""
    try:
        text = canonical(value)
    except ConfigError:
        return
    assert canonical(value_of(text)) == text
    assert value_of(text) == value


@given(
    texts | st.from_regex(r"-?[0-9]{1,45}|[A-Za-z0-9+/]{4,12}={0,2}|0x[0-9a-fA-F]{40}|[{\[]\"?[0-9a, :\"]{0,9}[\]}]")
)
def test_other_texts_are_no_value(text: str) -> None:
    """A text is read only when it is exactly the one that is written."""
    try:
        value = value_of(text)
    except MalformedError:
        return
    assert canonical(value) == text


@given(values, values)
def test_two_values_never_pack_alike(one: Any, other: Any) -> None:
    """But for the case of an address, which is the same account."""
    try:
        first, second = canonical(one), canonical(other)
    except ConfigError:
        return
    assert (packed_value(first) == packed_value(second)) == (first.lower() == second.lower() or first == second)


@given(keys.filter(is_key), keys.filter(is_key))
def test_two_keys_never_pack_alike(one: str, other: str) -> None:
    """But for the case of an address."""
    accounts = one.startswith("0x") and one.lower() == other.lower()
    assert (packed_key(one) == packed_key(other)) == (one == other or accounts)


@pytest.mark.parametrize("names", [("a", "a"), (ACCOUNT, ACCOUNT.lower())])
def test_a_key_may_stand_in_a_schema_once(names: tuple[str, str]) -> None:
    """In any spelling."""
    with pytest.raises(ConfigError, match="hashed alike"):
        sorted_keys(names)


def test_records_without_fields_or_with_other_salts_are_refused() -> None:
    """One salt of 16 bytes for each field."""
    for record, salts in (({}, []), ([], []), ({"a": 1}, []), ({"a": 1}, filled_salts(2)), ("text", filled_salts(4))):
        with pytest.raises(ConfigError):
            tree(record, salts)
    for salt in ("", "c2FsdA==", "A" * 24, "A" * 21 + "B==", filled_salts(1)[0] + "\n"):
        with pytest.raises(MalformedError, match="16 bytes"):
            tree({"a": 1}, [salt])


def test_salts_come_from_the_source_that_is_given() -> None:
    """16 bytes each."""
    taken: list[int] = []

    def random(count: int) -> bytes:
        taken.append(count)
        return bytes([len(taken) - 1]) * count

    assert list(new_salts(3, random)) == filled_salts(3)
    assert taken == [16] * 3


@pytest.mark.parametrize("count", [*range(1, 18), 31, 33])
def test_each_field_of_a_record_of_any_size_is_proved(count: int) -> None:
    """By its keys' places too, and under no other key's place."""
    found = tree([{"value": str(number)} for number in range(count)], filled_salts(count))
    for place, key in enumerate(found.schema):
        plain, extended = found.proof(key), found.proof(key, extended=True)
        assert verify(found.root, plain)
        assert verify(found.root, plain, found.schema)
        assert verify(found.extended_root, extended, reversed_of(found.schema))
        others = [step.left for step in found.proof(found.schema[place - 1]).path]
        assert count == 1 or others != [step.left for step in plain.path]


def reversed_of(schema: tuple[str, ...]) -> tuple[str, ...]:
    return schema[::-1]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


#: One change of each part of a proof.
CHANGES: dict[str, Callable[[Proof], Proof]] = {
    "key": lambda proof: replace(proof, key="1"),
    "value": lambda proof: replace(proof, value=canonical({"timestamp": 1625000400, "value": "1001"})),
    "salt": lambda proof: replace(proof, salt=filled_salts(9)[8]),
    "hash": lambda proof: replace(
        proof, path=(replace(proof.path[0], hash=flipped(proof.path[0].hash)), proof.path[1])
    ),
    "side": lambda proof: replace(proof, path=(replace(proof.path[0], left=not proof.path[0].left), proof.path[1])),
    "shorter": lambda proof: replace(proof, path=proof.path[1:]),
    "longer": lambda proof: replace(proof, path=(*proof.path, Step(left=False, hash=bytes(32)))),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_proof_with_one_part_changed_proves_nothing(change: Callable[[Proof], Proof]) -> None:
    """Neither to the plain root nor to the extended one."""
    found = tree(READINGS, filled_salts(3))
    plain, extended = found.proof("0"), found.proof("0", extended=True)
    assert not verify(found.root, change(plain))
    assert not verify(found.root, change(plain), found.schema)
    assert not verify(found.extended_root, change(extended), found.schema)


def test_a_proof_holds_for_its_root_and_its_keys_only() -> None:
    """Not for another root, other keys, or another hash of the keys than the one it names."""
    found = tree(READINGS, filled_salts(3))
    proof = found.proof("1", extended=True)
    assert not verify(flipped(found.root), found.proof("1"))
    assert not verify(found.root, proof, found.schema)
    assert not verify(found.extended_root, found.proof("1"), found.schema)
    assert not verify(found.extended_root, proof, ["0", "1"])
    assert not verify(found.extended_root, proof, ["0", "1", "3"])
    assert not verify(found.root, found.proof("1"), ["0", "2", "3"])
    assert proof.schema_hash is not None
    assert not verify(found.extended_root, replace(proof, schema_hash=flipped(proof.schema_hash)), found.schema)
    with pytest.raises(ConfigError, match="give them"):
        verify(found.extended_root, proof)
    with pytest.raises(ConfigError, match="no such field"):
        found.proof("3")
