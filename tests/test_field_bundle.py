"""What ``fields disclose`` writes: proofs and disclosures in one file, changed, mixed up, or something else."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.fields.bundle import FORMAT, MAX_BUNDLE, verify_bundle, write_bundle
from gateway.log import entry
from gateway.log.disclosure import disclose
from gateway.log.entry import Kind
from gateway.log.fields import concealed_body, make_fields
from gateway.log.note import checkpoint_text, sign_note
from gateway.log.proof import write_proof
from gateway.log.tree import HashStore, inclusion_proof, leaf_hash
from tests.concealed import BODY, FIELDS, METER, MOMENT, SEED
from tests.log_keys import ORIGIN, Ed25519Signer, log_key

OTHER = make_fields(bytes(32), METER, BODY)
BODIES = [
    (Kind.GENESIS, [ORIGIN, "test", 10_000, 64, [log_key().text], [], "first start"]),
    (Kind.DEFINITION, entry.definition_body(METER)),
    (Kind.CONCEALED, concealed_body(1, FIELDS)),
    (Kind.CONCEALED, concealed_body(1, OTHER)),
    (Kind.READING, BODY),
]


def proofs(origin: str = ORIGIN, seed: int = 7) -> list[bytes]:
    """A tlog-proof of each entry of a small log."""
    entries: list[bytes] = []
    for seq, (kind, body) in enumerate(BODIES):
        prev = leaf_hash(entries[-1]) if entries else entry.NO_PREV
        entries.append(entry.encode(kind=kind, seq=seq, prev=prev, boot=1, moment=MOMENT, body=body))
    store = HashStore(map(leaf_hash, entries))
    note = sign_note(checkpoint_text(origin, len(entries), store.root()), ORIGIN, Ed25519Signer(seed))
    size = len(entries)
    return [write_proof(seq, data, inclusion_proof(store.node, seq, size), note) for seq, data in enumerate(entries)]


PROOFS = proofs()
TOTALS = [(PROOFS[2], disclose(2, FIELDS, [0])), (PROOFS[3], disclose(3, OTHER, [0, 4]))]
GOOD = write_bundle([PROOFS[1]], TOTALS)


def test_a_bundle_proves_the_fields_it_shows() -> None:
    """Of two readings, under one definition."""
    first, second = verify_bundle(GOOD, [log_key()], ORIGIN)
    assert (first.origin, first.entry.seq, first.meter) == (ORIGIN, 2, METER)
    assert str(first.disclosed.points["import_total"].value) == "16144.881"
    assert (second.entry.seq, second.disclosed.meter_ms, second.disclosed.hidden) == (3, BODY[1][0], 3)


def test_a_bundle_with_any_byte_changed_is_refused_or_says_the_same() -> None:
    """Each byte of the file; white space of JSON is all that may differ."""
    before = verify_bundle(GOOD, [log_key()], ORIGIN)
    for position in range(0, len(GOOD), 3):
        changed = bytearray(GOOD)
        changed[position] ^= 1 << position % 7
        with contextlib.suppress(GatewayError):
            assert verify_bundle(bytes(changed), [log_key()], ORIGIN) == before


MIXED: dict[str, bytes] = {
    "the fields of another reading": write_bundle([PROOFS[1]], [(PROOFS[2], TOTALS[1][1])]),
    "a proof by another key": write_bundle([PROOFS[1]], [(proofs(seed=9)[2], TOTALS[0][1])]),
    "a definition by another key": write_bundle([proofs(seed=9)[1]], TOTALS),
    "a reading of another log": write_bundle([PROOFS[1]], [(proofs("other.example/log")[2], TOTALS[0][1])]),
}


@pytest.mark.parametrize("data", MIXED.values(), ids=MIXED.keys())
def test_what_does_not_belong_together_proves_nothing(data: bytes) -> None:
    """Each part is well-formed by itself."""
    with pytest.raises(TamperError):
        verify_bundle(data, [log_key()])


def with_item(name: str, value: Any) -> bytes:
    return json.dumps(json.loads(GOOD) | {name: value}).encode()


PAIR = json.loads(GOOD)["readings"][0]
BAD: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "nested deep": b"[" * 100_000,
    "a list": b"[]",
    "no object of ours": b"{}",
    "another format": with_item("format", "x"),
    "a surplus item": with_item("more", 1),
    "no definition": write_bundle([], TOTALS),
    "a reading as definition": write_bundle([PROOFS[2]], TOTALS),
    "an open reading": write_bundle([PROOFS[1]], [(PROOFS[4], TOTALS[0][1])]),
    "no readings": with_item("readings", []),
    "readings as an object": with_item("readings", {}),
    "a reading that is a text": with_item("readings", ["x"]),
    "a reading without fields": with_item("readings", [{"proof": PAIR["proof"]}]),
    "fields that are a number": with_item("readings", [PAIR | {"fields": 5}]),
    "fields that are no base64": with_item("readings", [PAIR | {"fields": "§"}]),
    "fields that are no disclosure": with_item("readings", [PAIR | {"fields": base64.b64encode(b"\x80").decode()}]),
    "a proof that is null": with_item("definitions", [None]),
    "half a surrogate pair": with_item("definitions", ["\ud800"]),
    "too many readings": with_item("readings", [PAIR] * 10_001),
    "too long": b" " * (MAX_BUNDLE + 1),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        verify_bundle(data, [log_key()])


scraps: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([PAIR, PAIR["fields"]]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["proof", "fields", "format", "definitions", "readings"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"format": st.just(FORMAT), "definitions": scraps, "readings": scraps}) | scraps)
def test_no_file_raises_anything_but_our_errors(value: Any) -> None:
    """Whatever somebody hands over."""
    with contextlib.suppress(GatewayError):
        verify_bundle(json.dumps(value).encode(), [log_key()])
    with contextlib.suppress(GatewayError):
        verify_bundle(SEED + repr(value).encode(), [log_key()])
