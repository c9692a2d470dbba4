"""Precise proofs against the library that defines them, and against its contract on a chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.chain.notary.precise import (
    Proof,
    Step,
    extended_root,
    schema_hash,
    sorted_keys,
    tree,
    verifier_call,
    verify,
)
from gateway.chain.notary.precise_text import canonical, packed_key, packed_value
from gateway.errors import ConfigError
from gateway.signing.evm import keccak256
from tests.chain_nodes import Anvil, deploy
from tests.parts import node_modules
from tests.precise_oracle import Oracle, filled_salts, running_oracle
from tests.precise_records import is_key, keys, values

READINGS = [{"timestamp": 1625000400 + 900 * number, "value": str(700 * number)} for number in range(11)]
ACCOUNTS = [f"0x{number:02x}f0{'9e' * 18}" for number in range(11)]
#: The first example of the EIP.
EIP55 = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as found:
        yield found


@pytest.fixture(scope="module")
def verifier() -> Iterator[Callable[[bytes], bool]]:
    """What the library's contract says to a call, on a chain with the rules of the Energy Web Chain."""
    artefact = node_modules() / "precise-proofs-js" / "build" / "contracts" / "Verifier.json"
    with Anvil() as node:
        contract = deploy(node, bytes.fromhex(json.loads(artefact.read_text())["bytecode"][2:]))

        def ask(data: bytes) -> bool:
            return bool(int(node.rpc("eth_call", {"to": contract, "data": "0x" + data.hex()}, "latest"), 16))

        yield ask


def is_value(value: Any) -> bool:
    try:
        canonical(value)
    except ConfigError:
        return False
    return True


good_values = values.filter(is_value)
good_keys = keys.filter(is_key)
objects = st.dictionaries(good_keys, good_values, min_size=1, max_size=7).filter(
    lambda record: len({packed_key(key) for key in record}) == len(record)
)
arrays = st.lists(good_values, min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(record=objects | arrays)
@example(record=[{"b": 1, "10": 2, "9": 3, "4294967295": 4, "4294967294": 5, "01": 6, "-1": 7, "__proto__": 8}])
@example(record=[ACCOUNTS[1].upper().replace("0X", "0x"), EIP55, EIP55.replace("5a", "5A"), EIP55.replace("0x", "0X")])
@example(record=["true", "null", "Infinity", "1.5", "0", "0x", "-0x1", {}, [], None, True])
def test_any_record_has_the_librarys_leaves_roots_and_proofs(oracle: Oracle, record: Any) -> None:
    """Byte for byte; each proof is also what the library would have written, and both sides take it."""
    salts = filled_salts(len(record))
    ours, theirs = tree(record, salts), oracle.build(record, salts)
    leaves = [
        {"key": leaf.key, "value": leaf.value, "salt": leaf.salt, "hash": f"0x{leaf.hash.hex()}"}
        for leaf in ours.leaves
    ]
    assert leaves == theirs["leaves"]
    assert f"0x{ours.root.hex()}" == theirs["root"]
    assert f"0x{ours.extended_root.hex()}" == theirs["extended"]
    for key in ours.schema:
        assert json.loads(ours.proof(key).to_json()) == theirs["proofs"][key]
        assert json.loads(ours.proof(key, extended=True).to_json()) == theirs["extendedProofs"][key]
    key = ours.schema[-1]
    assert verify(ours.root, Proof.from_json(json.dumps(theirs["proofs"][key])), ours.schema)
    assert verify(ours.extended_root, Proof.from_json(json.dumps(theirs["extendedProofs"][key])), ours.schema)
    assert oracle.verify(ours.root, theirs["proofs"][key])
    assert oracle.verify(ours.extended_root, theirs["extendedProofs"][key], ours.schema)


@settings(max_examples=300, deadline=None)
@given(text=good_keys | good_values.map(canonical))
def test_any_text_that_is_not_refused_packs_as_the_library_packs_it(oracle: Oracle, text: str) -> None:
    """Alone, so that no byte can hide behind another."""
    packed = {keccak256(packed_value(text))} | ({keccak256(packed_key(text))} if is_key(text) else set())
    assert bytes.fromhex(oracle.ask(hash=[text])["hash"][2:]) in packed


#: Two records each whose first leaf is the same hash to the library: the first is refused here.
DOUBLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"a": ""}, {"a": 0}),
    ({"a": "\u3378"}, {"a": 4424}),
    ({"a": 2**256 - 1}, {"a": -1}),
    ({"a": int.from_bytes(canonical("twenty-three characters").encode())}, {"a": "twenty-three characters"}),
    ({"a": 10**39}, {"a": f"0x1{'0' * 39}"}),
    ({"a": "f0" * 20}, {"a": "0x" + "f0" * 20}),
    ({"a": "0x" + canonical("meter 4711, NE").encode().hex()}, {"a": "meter 4711, NE"}),
    ({"a": "\0" * 30}, {"a": "0x" + "A" * 40}),
    ({"": 1}, {"0": 1}),
    ({"01": 1}, {"1": 1}),
    ({" 1": 1}, {"1": 1}),
    ({"-0": 1}, {"0": 1}),
    ({"0x6d": 1}, {"m": 1}),
    ({"a\0": 1}, {"a": 1}),
    ({"f0" * 20: 1}, {"0x" + "f0" * 20: 1}),
]


@pytest.mark.parametrize(("refused", "other"), DOUBLES)
def test_what_is_refused_has_a_double_in_the_library(
    oracle: Oracle, refused: dict[str, Any], other: dict[str, Any]
) -> None:
    """So the refusals are not made up."""
    salts = filled_salts(1)
    assert oracle.build(refused, salts)["root"] == oracle.build(other, salts)["root"]
    with pytest.raises(ConfigError):
        tree(refused, salts)


def test_a_fraction_has_no_hash_in_the_library(oracle: Oracle) -> None:
    """It throws."""
    assert "invalid number value" in oracle.build({"a": 1.5}, filled_salts(1))["thrown"]


def flipped(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


#: One change of each part that both sides check.
CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "key": lambda proof: proof | {"key": "8"},
    "value": lambda proof: proof | {"value": proof["value"].replace("2100", "2101")},
    "salt": lambda proof: proof | {"salt": filled_salts(12)[11]},
    "hash": lambda proof: proof | {"proofPath": [with_hash(proof["proofPath"][0], flipped), *proof["proofPath"][1:]]},
    "side": lambda proof: proof | {"proofPath": [other_side(proof["proofPath"][0]), *proof["proofPath"][1:]]},
    "order": lambda proof: proof | {"proofPath": proof["proofPath"][::-1]},
    "shorter": lambda proof: proof | {"proofPath": proof["proofPath"][:-1]},
    "longer": lambda proof: proof | {"proofPath": [*proof["proofPath"], {"left": "0x" + "00" * 32}]},
}


def with_hash(step: dict[str, str], change: Callable[[str], str]) -> dict[str, str]:
    return {side: change(found) for side, found in step.items()}


def other_side(step: dict[str, str]) -> dict[str, str]:
    return {"right" if side == "left" else "left": found for side, found in step.items()}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("extended", [False, True])
def test_one_changed_part_is_refused_by_both(
    oracle: Oracle, extended: bool, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The unchanged proof is taken by both."""
    record = tree(READINGS, filled_salts(11))
    root, schema = (record.extended_root, record.schema) if extended else (record.root, None)
    good = json.loads(record.proof("3", extended=extended).to_json())
    bad = change(good)
    assert bad != good
    assert [oracle.verify(root, proof, schema) for proof in (good, bad)] == [True, False]
    assert [verify(root, Proof.from_json(json.dumps(proof)), schema) for proof in (good, bad)] == [True, False]


def test_a_leaf_in_anothers_place_is_refused_though_the_library_takes_it(oracle: Oracle) -> None:
    """In a tree of three, the second and the third place have the same number to the library."""
    salts, schema = filled_salts(3), sorted_keys(["0", "1", "2"])
    honest = tree(READINGS[:3], salts)
    beside = (Step(left=True, hash=honest.levels[0][0]), Step(left=False, hash=honest.levels[0][2]))
    twice = Proof(key=schema[2], value=canonical("more"), salt=salts[1], path=beside, schema_hash=schema_hash(schema))
    root = extended_root(twice.root, schema)
    assert oracle.verify(root, json.loads(twice.to_json()), schema)
    assert not verify(root, twice, schema)
    assert verify(twice.root, replace(twice, schema_hash=None))


def test_the_contract_takes_our_proofs(verifier: Callable[[bytes], bool]) -> None:
    """One number for each of eleven accounts, so that there are nodes that go up unchanged."""
    record = tree({account: 700 * number for number, account in enumerate(ACCOUNTS)}, filled_salts(11))
    for account in ACCOUNTS:
        proof = record.proof(account)
        assert verify(record.root, proof, record.schema)
        assert verifier(verifier_call(record.root, proof))


@pytest.mark.parametrize("part", ["root", "key", "value", "salt", "path"])
def test_the_contract_refuses_what_we_refuse(verifier: Callable[[bytes], bool], part: str) -> None:
    """One part changed."""
    record = tree({account: 700 * number for number, account in enumerate(ACCOUNTS)}, filled_salts(11))
    proof, root = record.proof(ACCOUNTS[4]), record.root
    step = replace(proof.path[1], hash=record.root)
    changed = {
        "root": proof,
        "key": replace(proof, key=ACCOUNTS[5]),
        "value": replace(proof, value="2801"),
        "salt": replace(proof, salt=filled_salts(12)[11]),
        "path": replace(proof, path=(proof.path[0], step, *proof.path[2:])),
    }[part]
    root = record.extended_root if part == "root" else record.root
    assert not verify(root, changed)
    assert not verifier(verifier_call(root, changed))
