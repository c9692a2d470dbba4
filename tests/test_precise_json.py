"""Precise proofs as they travel: read strictly, whoever wrote them; and what the contract can be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain.notary.precise import PATH_MAX, PROOF_MAX, Proof, Step, tree, verifier_call, verify
from gateway.errors import ConfigError, MalformedError
from tests.precise_oracle import filled_salts

RECORD = tree({"energy": 1000, "meter": "M1", "down": False, "ts": "2021-06-29T21:00:00Z"}, filled_salts(4))
PROOF = RECORD.proof("meter", extended=True)
HASH = "0x" + "ab" * 32


def test_a_proof_leads_through_json_to_itself() -> None:
    """In the library's layout, and in any other."""
    for proof in (PROOF, RECORD.proof("energy")):
        assert Proof.from_json(proof.to_json()) == proof
        assert Proof.from_json(json.dumps(dict(reversed(json.loads(proof.to_json()).items())), indent=2)) == proof
    assert list(json.loads(PROOF.to_json())) == ["key", "value", "salt", "proofPath", "schemaHash"]


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"key": 1},
        {"key": "01"},
        {"value": 1000},
        {"value": None},
        {"value": "1.5"},
        {"value": "1e3"},
        {"value": "-0"},
        {"value": "0x0"},
        {"value": "TTE"},
        {"value": "TTF="},
        {"value": "TTE=\n"},
        {"value": '{"a": 1}'},
        {"value": '{"a":1,"a":2}'},
        {"value": '{"a":1.0}'},
        {"value": "[NaN]"},
        {"value": "{"},
        {"value": "True"},
        {"value": "gIA="},
        {"salt": "c2FsdA=="},
        {"salt": 0},
        {"proofPath": {}},
        {"proofPath": [HASH]},
        {"proofPath": [{"left": HASH, "right": HASH}]},
        {"proofPath": [{}]},
        {"proofPath": [{"up": HASH}]},
        {"proofPath": [{"left": HASH[2:]}]},
        {"proofPath": [{"left": HASH.upper()}]},
        {"proofPath": [{"left": HASH + "\n"}]},
        {"proofPath": [{"left": None}]},
        {"proofPath": [{"left": HASH}] * (PATH_MAX + 1)},
        {"schemaHash": ""},
        {"schemaHash": None},
    ],
    ids=repr,
)
def test_another_proof_is_no_proof(change: dict[str, Any]) -> None:
    """Wrong types, surplus and missing members, and every other way to write a value."""
    with pytest.raises(MalformedError):
        Proof.from_json(json.dumps(json.loads(PROOF.to_json()) | change))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", '{"key":"a"}', "[" * 30_000, " " * PROOF_MAX + "{}", '{"key":1,"key":1}']
)
def test_other_json_is_no_proof(text: str) -> None:
    """Nor is what is no JSON."""
    with pytest.raises(MalformedError):
        Proof.from_json(text)


@settings(deadline=None)
@given(st.text(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_nothing_that_is_read_raises_anything_else(text: str) -> None:
    """Whatever a stranger sends."""
    with pytest.raises(MalformedError):
        Proof.from_json(text)


def test_a_step_has_32_bytes() -> None:
    """Also where the proof comes from no JSON."""
    with pytest.raises(MalformedError, match="32 bytes"):
        Proof(key="a", value="1", salt=filled_salts(1)[0], path=(Step(left=True, hash=bytes(31)),))
    with pytest.raises(MalformedError, match="32 bytes"):
        Proof(key="a", value="1", salt=filled_salts(1)[0], path=(), schema_hash=b"")


def test_the_contract_is_asked_about_numbers_of_accounts_only() -> None:
    """It knows no other leaf."""
    account = "0x" + "f0" * 20
    for record in ({"energy": 1}, {account: -1}, {account: "text"}, {account: True}, {account: {"value": 1}}):
        found = tree(record, filled_salts(1))
        proof = found.proof(found.schema[0])
        assert verify(found.root, proof)
        with pytest.raises(ConfigError, match="key is an address"):
            verifier_call(found.root, proof)
