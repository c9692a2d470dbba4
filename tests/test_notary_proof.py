"""The file that proves one reading under a root of a Notary: by our check, by upstream's library, and each change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.chain.notary.batch_fields import Stated
from gateway.chain.notary.batches import Batch
from gateway.chain.notary.proof_file import FILE_MAX, NotaryProof
from gateway.errors import MalformedError, TamperError
from tests.precise_oracle import Oracle, running_oracle
from tests.reading_batches import chain, golden

BATCHES = chain([5, 7])


def proof_in(batch: Batch, index: int) -> NotaryProof:
    reading = batch.readings[index]
    return NotaryProof(
        device=batch.device,
        sequence=batch.sequence,
        readings=len(batch.readings),
        root=batch.root,
        chain_id=246,
        contract="0x" + "12" * 20,
        operator="0x" + "34" * 20,
        transaction=b"\x56" * 32,
        block=4711,
        reading=Stated(timestamp=reading.timestamp, value=reading.value),
        proof=batch.proof(index),
        link=batch.link_proof() if batch.previous is not None else None,
    )


PROOF = proof_in(BATCHES[1], 3)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.mark.parametrize("batch", [*BATCHES, golden()], ids=["first", "linked", "golden"])
def test_upstreams_library_takes_what_the_file_holds(batch: Batch, oracle: Oracle) -> None:
    """Every reading and the link, as they stand in the JSON; under another root, none."""
    for index in range(len(batch.readings)):
        proof = proof_in(batch, index)
        proof.check()
        text = proof.to_text()
        assert NotaryProof.from_text(text) == proof
        found = json.loads(text)
        root = bytes.fromhex(found["root"][2:])
        for part in filter(None, (found["proof"], found["link"])):
            assert oracle.verify(root, part)
            assert not oracle.verify(bytes(32), part)
        assert json.loads(found["proof"]["value"]) == found["reading"]


def _changes() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Of each field that a change of which is found without a chain."""

    def in_proof(part: str, name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
        return lambda found: found[part].update({name: value})

    return {
        "device": lambda found: found.update(device="other export_total"),
        "sequence": in_proof("batch", "sequence", 2),
        "sequence of a first one": in_proof("batch", "sequence", 0),
        "readings": in_proof("batch", "readings", 8),
        "root": lambda found: found.update(root="0x" + "ab" * 32),
        "timestamp": in_proof("reading", "timestamp", 1_700_000_000),
        "value": in_proof("reading", "value", "1"),
        "value everywhere": lambda found: (
            found["reading"].update(value="1"),
            found["proof"].update(value=json.dumps(found["reading"], separators=(",", ":"))),
        ),
        "no link": lambda found: found.update(link=None),
        "link for proof": lambda found: found.update(proof=found["link"]),
        "proof for link": lambda found: found.update(link=found["proof"]),
        **{
            f"{part}.{name}": in_proof(part, name, value)
            for part in ("proof", "link")
            for name, value in (
                ("key", "2"),
                ("value", PROOF.proof.value.replace("17", "18", 1)),
                ("salt", "A" * 22 + "=="),
                ("proofPath", [{"left": "0x" + "cd" * 32}] * 3),
                ("schemaHash", "0x" + "ef" * 32),
            )
        },
    }


@pytest.mark.parametrize("name", _changes())
def test_a_change_of_any_field_is_found(name: str) -> None:
    """By the file alone: nothing but the root has to be believed."""
    found = json.loads(PROOF.to_text())
    before = json.dumps(found)
    _changes()[name](found)
    assert json.dumps(found) != before
    with pytest.raises(TamperError):
        NotaryProof.from_text(json.dumps(found, separators=(",", ":")) + "\n").check()


def test_every_step_of_the_paths_counts() -> None:
    """Each hash and each side."""
    for part in ("proof", "link"):
        proof = getattr(PROOF, part)
        for at, step in enumerate(proof.path):
            for other in (replace(step, left=not step.left), replace(step, hash=b"\1" * 32)):
                path = (*proof.path[:at], other, *proof.path[at + 1 :])
                with pytest.raises(TamperError):
                    replace(PROOF, **{part: replace(proof, path=path)}).check()


def test_a_first_batch_has_no_link() -> None:
    """Its device and its number are only said; with another number it would need one."""
    first = proof_in(BATCHES[0], 0)
    replace(first, device="anything").check()
    with pytest.raises(TamperError, match="batch 1 has no link"):
        replace(first, sequence=1).check()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version":1', '"version":2', "of version 2; 1 is known"),
        ('"version":1', '"version":true', "member version is no int"),
        ('"version":1', '"version": 1', "not written the way"),
        ('"version":1,', "", "no object with the members version, device"),
        ('"block":4711', '"block":-1', "block -1: wanted 0 to"),
        ('"block":4711', '"block":4711.0', "member block is no int"),
        ('"chain_id":246', '"chain_id":0', "chain_id 0: wanted 1 to"),
        ('"sequence":1', f'"sequence":{2**32}', f"sequence {2**32}: wanted 0 to {2**32 - 1}"),
        ('"readings":7', '"readings":1025', "readings 1025: wanted 1 to 1024"),
        ("0x1212", "0x121", "is no address"),
        ("0x1212", "0xAB12", "is no address"),
        ("0x5656", "0x565", "is not 0x and 64 hex digits"),
        ('"device":"main"', '"device":""', "a name has 1 to 200 printable characters"),
        ('"device":"main"', '"device":"a\\n"', "a name has 1 to 200 printable characters"),
        ('"value":"', '"value":"+', "no integer of 64 bits"),
        ('"link":{', '"link":[', "no JSON"),
        ('"link":{', '"link":7,"more":{', "no object with the members"),
        ("}\n", "}", "not written the way"),
        ('"key":"3"', '"key":"3","key":"3"', "no JSON"),
        ("{", "[" * 5000, "no JSON"),
        ("{", "{" + " " * FILE_MAX, "at most 16384 are read"),
    ],
)
def test_another_text_is_no_proof(old: str, new: str, message: str) -> None:
    """One text for one proof; each number has its bounds."""
    text = PROOF.to_text()
    assert old in text
    with pytest.raises(MalformedError) as caught:
        NotaryProof.from_text(text.replace(old, new, 1))
    assert message in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(PROOF.to_text()) - 1), code=st.integers(1, 255))
def test_one_byte_changed_is_never_taken_for_another_reading(at: int, code: int) -> None:
    """What no chain is asked for may differ; what is proved stays."""
    data = bytearray(PROOF.to_text(), "latin-1")
    data[at] ^= code
    try:
        found = NotaryProof.from_text(data.decode("latin-1"))
        found.check()
    except (MalformedError, TamperError):
        return
    said = ("chain_id", "contract", "operator", "transaction", "block")
    assert replace(found, **{name: getattr(PROOF, name) for name in said}) == PROOF
