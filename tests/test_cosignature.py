"""Cosignatures: golden bytes, foreign checkers, every byte changed, and what is no cosignature."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log import cosignature
from gateway.log.cosignature import (
    ED25519,
    ML_DSA_44,
    WitnessKey,
    carry,
    cosignature_line,
    cosignatures,
    cosigned_message,
    is_cosigned,
    join,
    parse_lines,
    signers_of,
    subtree_message,
)
from gateway.log.note import parse_checkpoint, sign_note, split_note
from gateway.log.vkey import spki
from gateway.signing import Algorithm, PublicKey
from tests.log_keys import ORIGIN, P256Signer, log_key, note_of
from tests.parts import missing, need, need_peer

NAME = "witness.example.org/w1"
TIME_S = 1_700_000_000
SEED = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
KEY = WitnessKey.of(NAME, ED25519, SEED.public_key().public_bytes_raw())


def cosigned(note: bytes, *, key: Ed25519PrivateKey = SEED, name: str = NAME, time_s: int = TIME_S) -> bytes:
    """*note* with the line of a witness."""
    witness = WitnessKey.of(name, ED25519, key.public_key().public_bytes_raw())
    text, _ = split_note(note)
    return join(note, parse_lines(cosignature_line(witness, time_s, key.sign(cosigned_message(text, time_s)))))


NOTE = cosigned(note_of(5))


def test_the_bytes_are_those_of_c2sp() -> None:
    """Key id over name, newline, 0x04 and key; eight bytes of time; two lines before the note's text."""
    line = NOTE.decode().splitlines()[-1]
    assert line.startswith(f"\u2014 {NAME} ")
    blob = base64.b64decode(line.split(" ")[2])
    assert (blob[:4], int.from_bytes(blob[4:12], "big"), len(blob)) == (KEY.key_id, TIME_S, 76)
    message = cosigned_message(split_note(NOTE)[0], TIME_S)
    assert message.startswith(b"cosignature/v1\ntime 1700000000\n" + ORIGIN.encode() + b"\n5\n")
    assert WitnessKey.parse(KEY.text) == KEY


def test_openssl_verifies_the_line_over_the_exact_bytes(tmp_path: Path) -> None:
    """The 64 bytes behind the time, over the two lines and the text; and not over one byte less."""
    blob = base64.b64decode(NOTE.decode().splitlines()[-1].split(" ")[2])
    (tmp_path / "key.der").write_bytes(spki(PublicKey(algorithm=Algorithm.ED25519, data=KEY.data)))
    (tmp_path / "signature").write_bytes(blob[12:])
    command = [need("openssl"), "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der"]
    command += ["-rawin", "-in", "message", "-sigfile", "signature"]
    message = b"cosignature/v1\ntime 1700000000\n" + split_note(NOTE)[0]
    for data, code in ((message, 0), (message[:-1], 1)):
        (tmp_path / "message").write_bytes(data)
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == code


def test_a_third_party_verifier_accepts_the_line_and_refuses_it_changed(tmp_path: Path) -> None:
    """PyPI's aics-tlog with the witness's key, type 0x04, and the log's."""
    command = [need_peer("aics-tlog"), "verify-checkpoint", "--log-key", log_key().text, "--witness-key", KEY.text]
    command += ["--quorum", "1", "--note", str(tmp_path / "note")]
    for note, code in ((NOTE, 0), (note_of(5), 1), (NOTE.replace(b"\n5\n", b"\n6\n"), 1)):
        (tmp_path / "note").write_bytes(note)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done


def test_a_cosigned_checkpoint_tells_who_and_when() -> None:
    """Each witness once; lines of others are ignored, the log's own, too."""
    assert [(found.key, found.time_s) for found in cosignatures(NOTE, [KEY])] == [(KEY, TIME_S)]
    assert cosignatures(NOTE, []) == []
    assert cosignatures(note_of(5), [KEY]) == []
    stranger = WitnessKey.of("stranger.example", ED25519, KEY.data)
    assert cosignatures(NOTE, [stranger]) == []
    assert signers_of(NOTE, [stranger, KEY]) == [KEY]
    assert signers_of(note_of(5), [KEY]) == []


def test_a_cosigned_note_with_any_byte_changed_is_refused_or_cosigned_by_nobody() -> None:
    """Each byte of the file, in each of its bits: no mutant has the witness's word."""
    for position in range(len(NOTE)):
        for bit in range(8):
            changed = bytearray(NOTE)
            changed[position] ^= 1 << bit
            text = split_note(NOTE)[0]
            try:
                found = cosignatures(bytes(changed), [KEY])
            except (MalformedError, TamperError):
                continue
            # Left are changes of the log's line, which the witness did not sign.
            assert not found or split_note(bytes(changed))[0] == text


def test_a_wrong_line_of_a_known_witness_condemns_the_note() -> None:
    """Another text, another time, another key under the same name and id."""
    wrong = join(note_of(6), parse_lines(NOTE.split(b"\n\n")[1])[1:])
    later = cosignature_line(KEY, TIME_S + 1, split_note(NOTE)[1][-1].signature[8:])
    for note in (wrong, join(note_of(5), parse_lines(later))):
        with pytest.raises(TamperError, match=NAME):
            cosignatures(note, [KEY])


def test_a_time_beyond_63_bits_is_no_time() -> None:
    """C2SP allows up to 2^63 - 1."""
    message = cosigned_message(split_note(note_of(5))[0], 1 << 63)
    line = cosignature_line(KEY, 1 << 63, SEED.sign(message))
    with pytest.raises(TamperError):
        cosignatures(join(note_of(5), parse_lines(line)), [KEY])


def test_lines_are_joined_replaced_and_carried() -> None:
    """A new line of the same key takes the place of the old one; a note of another text lends none."""
    again = cosigned(NOTE, time_s=TIME_S + 60)
    assert [found.time_s for found in cosignatures(again, [KEY])] == [TIME_S + 60]
    assert len(split_note(again)[1]) == 2
    other = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32)
    both = carry(NOTE, cosigned(note_of(5), key=other, name="other.example"))
    assert [line.name for line in split_note(both)[1]] == [ORIGIN, NAME, "other.example"]
    assert carry(note_of(5), NOTE) == NOTE
    assert carry(note_of(6), NOTE) == note_of(6)
    assert carry(note_of(5), None) == note_of(5)


def test_a_cosigned_note_is_told_from_one_with_a_hardware_keys_line() -> None:
    """An ECDSA signature may be as long as a time and an Ed25519 signature together."""
    assert is_cosigned(NOTE)
    assert not is_cosigned(note_of(5))
    lengths = set()
    for size in range(1, 300):
        text = split_note(note_of(1))[0].replace(b"\n1\n", b"\n%d\n" % size)
        hardware = sign_note(text, ORIGIN, P256Signer())
        lengths.add(len(split_note(hardware)[1][0].signature))
        assert not is_cosigned(hardware)
    assert 72 in lengths


BAD_KEYS = {
    "empty": "",
    "a log's key": log_key().text,
    "no base64": f"{NAME}+{KEY.key_id.hex()}+?",
    "another key id": KEY.text.replace(KEY.key_id.hex(), "00000000"),
    "upper case": KEY.text.replace(KEY.key_id.hex(), KEY.key_id.hex().upper()),
    "cut": KEY.text[:-4],
    "a space in the name": KEY.text.replace("/w1", "/ w1"),
    "no name": KEY.text.removeprefix(NAME),
    "very long": KEY.text + "A" * 5000,
    "an unknown type": f"{NAME}+00000000+{base64.b64encode(bytes([9]) * 33).decode()}",
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_is_no_witness_key_is_refused(name: str) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        WitnessKey.parse(BAD_KEYS[name])


def test_an_ml_dsa_cosignature_is_verified_where_the_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the witness and the origin; where the library cannot, the line counts as a stranger's."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
    except ImportError:
        missing("a cryptography package with ML-DSA")
    private = MLDSA44PrivateKey.from_seed_bytes(bytes([4]) * 32)
    key = WitnessKey.of(NAME, ML_DSA_44, private.public_key().public_bytes_raw())
    assert WitnessKey.parse(key.text) == key
    checkpoint = parse_checkpoint(note_of(5))
    message = subtree_message(key, checkpoint, TIME_S)
    assert message.startswith(b"subtree/v1\n\0\x16witness.example.org/w1\0\0\0\0\x65\x53\xf1\x00\x19meters.example.org")
    assert message.endswith(bytes(15) + b"\x05" + checkpoint.root)
    note = join(note_of(5), parse_lines(cosignature_line(key, TIME_S, private.sign(message))))
    assert [found.time_s for found in cosignatures(note, [key])] == [TIME_S]
    wrong = join(note_of(5), parse_lines(cosignature_line(key, TIME_S + 1, private.sign(message))))
    with pytest.raises(TamperError):
        cosignatures(wrong, [key])
    monkeypatch.setattr(cosignature, "_ml_dsa", lambda: None)
    assert not key.verifiable
    assert cosignatures(wrong, [key]) == []


@given(st.binary(max_size=300))
def test_any_bytes_end_in_one_of_our_errors(data: bytes) -> None:
    """Lines, keys and notes as a stranger may send them."""
    for read in (parse_lines, lambda d: WitnessKey.parse(d.decode("latin-1")), lambda d: cosignatures(d, [KEY])):
        try:
            read(data)
        except GatewayError:
            continue
