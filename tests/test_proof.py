"""Proof files: golden, mutated, cut, and for each place in trees of many sizes."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from gateway.errors import ConfigError, GatewayError, MalformedError, TamperError
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.proof import HEADER, MAX_PROOF, parse_proof, verify_proof, write_proof
from gateway.log.tree import Frontier, leaf_hash
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, entry_bytes, hashes_of, log_key, note_of

#: Entry 2 of the first five entries of tests.log_keys; made when the format was fixed.
GOLDEN = (Path(__file__).parent / "data" / "golden.tlog-proof").read_bytes()


def _proof(index: int, size: int) -> bytes:
    return write_proof(index, entry_bytes(index), hashes_of(index, size), note_of(size))


def test_our_golden_proof_is_reproduced_byte_for_byte() -> None:
    """And it says what it did when the format was fixed."""
    assert _proof(2, 5) == GOLDEN
    result = verify_proof(GOLDEN, [log_key()])
    assert (result.entry, result.index, result.checkpoint.size) == (entry_bytes(2), 2, 5)
    assert result.signed_by == (log_key(),)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 21])
def test_every_entry_of_a_log_can_be_proved(size: int) -> None:
    """From the only entry of a log, which needs no hash, to the last of an odd tree."""
    for index in range(size):
        result = verify_proof(_proof(index, size), [log_key()], ORIGIN)
        assert (result.entry, result.index, result.checkpoint.origin) == (entry_bytes(index), index, ORIGIN)
    assert parse_proof(_proof(0, 1)).hashes == ()


def test_a_proof_with_any_byte_changed_is_refused() -> None:
    """Each byte of the file, in each of its bits."""
    for position in range(len(GOLDEN)):
        for bit in range(8):
            changed = bytearray(GOLDEN)
            changed[position] ^= 1 << bit
            with pytest.raises(GatewayError):
                verify_proof(bytes(changed), [log_key()], ORIGIN)


def test_a_proof_cut_extended_or_with_any_byte_left_out_is_refused() -> None:
    """Nothing can be left out of the file, or added to it but lines of other keys."""
    for position in range(len(GOLDEN)):
        for changed in (GOLDEN[:position], GOLDEN[:position] + GOLDEN[position + 1 :]):
            with pytest.raises(GatewayError):
                verify_proof(changed, [log_key()], ORIGIN)
    for tail in (b"\n", b"x", b"\r\n", b"\0"):
        with pytest.raises(GatewayError):
            verify_proof(GOLDEN + tail, [log_key()], ORIGIN)


def test_the_extra_line_proves_nothing_by_itself() -> None:
    """Another entry in the extra line, however well-formed, does not pass: it is hashed."""
    forged = write_proof(2, entry_bytes(3), hashes_of(2, 5), note_of(5))
    with pytest.raises(TamperError) as caught:
        verify_proof(forged, [log_key()])
    assert caught.value.seq == 2


def test_a_node_of_the_tree_cannot_pose_as_an_entry() -> None:
    """64 bytes of two leaf hashes hash to something else as an entry than as a node."""
    leaves = [leaf_hash(entry_bytes(seq)) for seq in range(4)]
    forged = write_proof(0, leaves[0] + leaves[1], hashes_of(0, 4)[1:], note_of(4))
    with pytest.raises(GatewayError):
        verify_proof(forged, [log_key()])


@pytest.mark.parametrize(("index", "size"), [(1, 5), (3, 5), (5, 5), (2, 4), (2, 6)])
def test_a_proof_moved_to_another_place_or_checkpoint_is_refused(index: int, size: int) -> None:
    """The hashes of entry 2 under size 5 fit nowhere else."""
    forged = write_proof(index, entry_bytes(2), hashes_of(2, 5), note_of(size))
    with pytest.raises(GatewayError):
        verify_proof(forged, [log_key()])


def test_a_checkpoint_of_somebody_else_is_refused() -> None:
    """Signed by another key, under the same name or another one."""
    other = write_proof(2, entry_bytes(2), hashes_of(2, 5), note_of(5, seed=9))
    with pytest.raises(TamperError, match="not signed by"):
        verify_proof(other, [log_key()])
    stranger = VerifierKey.of("elsewhere.example", Ed25519Signer().public_key)
    with pytest.raises(TamperError):
        verify_proof(GOLDEN, [stranger])


def test_a_genuine_proof_from_another_log_is_refused_when_the_origin_is_pinned() -> None:
    """One key may sign several logs, and its name alone does not say which one was meant."""
    tree = Frontier()
    tree.append(leaf_hash(b"entry"))
    note = sign_note(checkpoint_text("other.example/log", 1, tree.root()), ORIGIN, Ed25519Signer())
    proof = write_proof(0, b"entry", [], note)
    with pytest.raises(TamperError, match=r"other\.example"):
        verify_proof(proof, [log_key()], ORIGIN)
    with pytest.raises(TamperError, match="named for"):
        verify_proof(proof, [log_key()])
    assert verify_proof(proof, [log_key()], "other.example/log").entry == b"entry"


def test_all_keys_are_demanded_unless_a_quorum_says_less() -> None:
    """The hardware key's line as well as the software key's."""
    keys = [log_key(), VerifierKey.of(ORIGIN, P256Signer().public_key)]
    with pytest.raises(TamperError):
        verify_proof(GOLDEN, keys)
    assert verify_proof(GOLDEN, keys, quorum=1).signed_by == (log_key(),)
    with pytest.raises(ConfigError):
        verify_proof(GOLDEN, [])


def test_a_proof_without_an_extra_line_is_read_but_has_no_entry_to_show() -> None:
    """C2SP makes the line optional."""
    without = b"\n".join(line for line in GOLDEN.split(b"\n") if not line.startswith(b"extra"))
    assert parse_proof(without).extra is None
    assert parse_proof(without).hashes == parse_proof(GOLDEN).hashes
    with pytest.raises(MalformedError, match="no extra line"):
        verify_proof(without, [log_key()])


HASH = base64.b64encode(bytes(32)).decode()
BAD_PROOFS = {
    "empty": "",
    "header only": f"{HEADER}\n",
    "other version": "c2sp.org/tlog-proof@v2\nindex 0\n\nnote",
    "no index": f"{HEADER}\n\nnote",
    "extra after index": f"{HEADER}\nindex 0\nextra YWJj\n\nnote",
    "two extra lines": f"{HEADER}\nextra YWJj\nextra YWJj\nindex 0\n\nnote",
    "extra without a space": f"{HEADER}\nextraYWJj\nindex 0\n\nnote",
    "index with a leading zero": f"{HEADER}\nindex 01\n\nnote",
    "index with a sign": f"{HEADER}\nindex -1\n\nnote",
    "index with two spaces": f"{HEADER}\nindex  1\n\nnote",
    "huge index": f"{HEADER}\nindex {'9' * 5000}\n\nnote",
    "short hash": f"{HEADER}\nindex 0\nYWJj\n\nnote",
    "hash with unused bits": f"{HEADER}\nindex 0\n{HASH[:-2]}B=\n\nnote",
    "hash and a space": f"{HEADER}\nindex 0\n{HASH} \n\nnote",
    "carriage returns": f"{HEADER}\r\nindex 0\r\n\r\nnote",
    "too many hashes": f"{HEADER}\nindex 0\n" + f"{HASH}\n" * 65 + "\nnote",
    "no empty line": f"{HEADER}\nindex 0\n{HASH}\nnote",
    "not ASCII": f"{HEADER}\nindex ٣\n\nnote",
    "very long": f"{HEADER}\nextra {'A' * MAX_PROOF}\nindex 0\n\nnote",
}


@pytest.mark.parametrize("name", BAD_PROOFS)
def test_what_is_no_proof_is_refused(name: str) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        parse_proof(BAD_PROOFS[name].encode())


def test_the_largest_entry_fits_into_a_proof() -> None:
    """65,535 bytes of entry and sixty hashes stay below the limit."""
    data = write_proof(1 << 59, bytes(65_535), [bytes(32)] * 60, note_of(1))
    assert len(parse_proof(data).extra or b"") == 65_535


def test_random_bytes_are_refused_without_any_other_error() -> None:
    """Whatever file somebody hands over ends in one of our errors."""
    rng = random.Random(73894)
    pieces = [GOLDEN, HEADER.encode() + b"\n", b"extra ", b"index 1\n", b"\n\n", HASH.encode() + b"\n", b"\xff"]
    for _ in range(3000):
        data = b"".join(rng.choice(pieces)[: rng.randrange(200)] for _ in range(rng.randrange(9)))
        with pytest.raises(GatewayError):
            verify_proof(data, [log_key()])
