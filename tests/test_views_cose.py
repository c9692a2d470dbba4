"""COSE receipts: a golden one, every entry of trees of many sizes, and two libraries that nobody here wrote."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.log.note import Checkpoint
from gateway.log.tree import HashStore, inclusion_proof, leaf_hash
from gateway.log.vkey import VerifierKey, pem
from gateway.signing import verify_signature
from gateway.views.cose import MAX_PROOFS, Proved, receipt
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, entry_bytes
from tests.parts import ROOT, need_peer

#: Entries 2 and 4 of the first five of tests.log_keys, signed by Ed25519Signer().
GOLDEN = (Path(__file__).parent / "data" / "golden-receipt.cose").read_bytes()
ED25519 = VerifierKey.of(ORIGIN, Ed25519Signer().public_key)
P256 = VerifierKey.of(ORIGIN, P256Signer().public_key)
_ED25519, _P256 = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32), derive_private_key(7, SECP256R1())
SIGN: dict[VerifierKey, Callable[[bytes], bytes]] = {
    ED25519: _ED25519.sign,
    P256: lambda message: _P256.sign(message, ECDSA(SHA256())),
}


def checkpoint_of(size: int) -> Checkpoint:
    return Checkpoint(origin=ORIGIN, size=size, root=store(size).root(), note=b"")


def store(size: int) -> HashStore:
    return HashStore(leaf_hash(entry_bytes(seq)) for seq in range(size))


def receipt_of(*seqs: int, size: int, key: VerifierKey = ED25519) -> bytes:
    node = store(size).node
    proved = [Proved(seq=seq, hashes=inclusion_proof(node, seq, size)) for seq in seqs]
    return receipt(checkpoint=checkpoint_of(size), proved=proved, key=key, sign=SIGN[key])


def case(data: bytes, seq: int, size: int, key: VerifierKey = ED25519) -> dict[str, str]:
    """A question to the two libraries."""
    return {
        "receipt": data.hex(),
        "leaf": entry_bytes(seq).hex(),
        "root": store(size).root().hex(),
        "pem": pem(key.public_key),
        "kid": key.key_id.hex(),
    }


def ask(cases: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What scitt-cose and cwt say."""
    text = "".join(json.dumps(one) + "\n" for one in cases)
    command = [need_peer("python"), ROOT / "tests/peers/receipt_check.py"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_our_golden_receipt_is_reproduced_byte_for_byte() -> None:
    """And says what it did when the format was fixed."""
    assert receipt_of(2, 4, size=5) == GOLDEN
    tag = cbor2.loads(GOLDEN)
    protected, unprotected, payload, signature = tag.value
    assert tag.tag == 18
    assert cbor2.loads(protected) == {
        1: -8,
        4: ED25519.key_id,
        15: {1: ORIGIN, 2: "entries 2,4 of 5"},
        395: 1,
    }
    assert payload is None
    assert [cbor2.loads(proof)[:2] for proof in unprotected[396][-1]] == [[5, 2], [5, 4]]
    signed = cbor2.dumps(["Signature1", protected, b"", store(5).root()])
    assert verify_signature(ED25519.public_key, signed, signature)


@pytest.mark.parametrize("key", [ED25519, P256], ids=["EdDSA", "ES256"])
def test_two_libraries_accept_a_receipt_of_every_entry(key: VerifierKey) -> None:
    """From the only entry of a log to the last of an odd tree."""
    places = [(seq, size) for size in (1, 2, 3, 8, 9, 21) for seq in range(size)]
    answers = ask([case(receipt_of(seq, size=size, key=key), seq, size, key) for seq, size in places])
    assert answers == [{"scitt": [size, seq, ORIGIN, f"entries {seq} of {size}"], "cwt": True} for seq, size in places]


def test_a_receipt_of_several_entries_is_one_for_each_of_them() -> None:
    """And for no other entry."""
    data = receipt_of(3, 7, 20, size=21)
    answers = ask([case(data, seq, 21) for seq in (3, 7, 20, 4)])
    assert [answer["scitt"][:2] for answer in answers[:3]] == [[21, 3], [21, 7], [21, 20]]
    assert "did not verify" in answers[3]["scitt"]


@pytest.mark.parametrize("key", [ED25519, P256], ids=["EdDSA", "ES256"])
def test_a_receipt_with_any_byte_changed_is_refused(key: VerifierKey) -> None:
    """But for the tree size where it leads along the same path: the signed subject is there to contradict it."""
    whole = receipt_of(2, size=5, key=key)
    changed = [
        (at, whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        for at in range(len(whole))
        for bit in range(8)
    ]
    answers = ask([case(data, 2, 5, key) for _, data in changed])
    accepted = [
        (at, answer["scitt"]) for (at, _), answer in zip(changed, answers, strict=True) if type(answer["scitt"]) is list
    ]
    size_at = whole.index(bytes([0x83, 5, 2])) + 1
    assert {at for at, _ in accepted} == {size_at}
    for _, (size, seq, _, subject) in accepted:
        assert size != 5
        assert (seq, subject) == (2, "entries 2 of 5")


def test_a_receipt_for_another_root_key_or_leaf_is_refused() -> None:
    """Each by both libraries, where it can see it."""
    data = receipt_of(2, size=5)
    other = VerifierKey.of(ORIGIN, Ed25519Signer(9).public_key)
    stale = case(data, 2, 6)
    answers = ask([stale, {**case(data, 2, 5), "pem": pem(other.public_key)}, case(data, 3, 5)])
    assert answers[0]["cwt"] is not True
    assert answers[1]["cwt"] is not True
    assert all(type(answer["scitt"]) is str for answer in answers[1:])


def test_scitt_coses_own_command_agrees(tmp_path: Path) -> None:
    """``scitt-cose --receipt`` ends with 0 for our entry and with 1 for another one."""
    (tmp_path / "receipt").write_bytes(GOLDEN)
    (tmp_path / "key.pem").write_text(pem(ED25519.public_key))
    command = [need_peer("scitt-cose"), "--receipt", "receipt", "--receipt-log-pubkey", "key.pem", "--leaf-entry-hex"]
    ends = [
        subprocess.run([*command, entry_bytes(seq).hex()], cwd=tmp_path, capture_output=True, check=False).returncode
        for seq in (2, 4, 3)
    ]
    assert ends == [0, 0, 1]


def test_a_receipt_of_one_entry_in_three_million_is_below_1200_bytes() -> None:
    """Twenty-two hashes, the longest origin that is likely, either algorithm."""
    origin = "meters.grid-operator.example.org/substation-4711/transformer-2"
    checkpoint = Checkpoint(origin=origin, size=3_000_000, root=bytes(32), note=b"")
    proved = [Proved(seq=2_000_000, hashes=[bytes(32)] * 22)]
    for key in (ED25519, P256):
        assert len(receipt(checkpoint=checkpoint, proved=proved, key=key, sign=SIGN[key])) <= 1000


def test_no_entries_and_too_many_are_refused() -> None:
    """Others read sixteen proofs and no more."""
    for count in (0, MAX_PROOFS + 1):
        with pytest.raises(ValueError, match=f"for {count} entries"):
            receipt_of(*range(count), size=21)
