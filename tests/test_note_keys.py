"""Public keys as strangers take them, and signatures as strangers check them: openssl, foreign keys."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest

from gateway.errors import MalformedError
from gateway.log.note import VerifierKey, did_key, pem, sign_note, split_note
from gateway.signing import Algorithm, PublicKey
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, log_key, note_of
from tests.parts import need

_P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


@pytest.mark.parametrize("signer", [Ed25519Signer(), P256Signer()], ids=["ed25519", "ecdsa-p256"])
def test_openssl_verifies_the_signature_of_a_note(signer: Ed25519Signer | P256Signer, tmp_path: Path) -> None:
    """The signature over the note's text, with the PEM that we print, in the openssl command; and no changed text."""
    openssl = need("openssl")
    note = sign_note(f"{ORIGIN}\n1\n{'A' * 43}=\n".encode(), ORIGIN, signer)
    text, (line,) = split_note(note)
    (tmp_path / "key.pem").write_text(pem(signer.public_key))
    (tmp_path / "signature").write_bytes(line.signature)
    for content, code in ((text, 0), (text.replace(b"1", b"2", 1), 1)):
        (tmp_path / "text").write_bytes(content)
        options = ["-rawin"] + ([] if signer.uri.endswith("ed25519") else ["-digest", "sha256"])
        command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in", "text"]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr


def test_a_verifier_key_is_read_back_as_written() -> None:
    """Both types, and a base64 part that holds plus signs."""
    keys = [log_key(seed) for seed in range(20)] + [VerifierKey.of(ORIGIN, P256Signer(n).public_key) for n in (1, 2)]
    assert any("+" in key.text.split("+", 2)[2] for key in keys)
    for key in keys:
        assert VerifierKey.parse(key.text) == key


def test_a_foreign_p256_key_id_is_the_hash_of_the_key_alone() -> None:
    """The published verifier key of a public log (Rekor), whose id has neither name nor type in it."""
    text = (
        "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l"
        "+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
    )
    key = VerifierKey.parse(text)
    assert key.public_key.algorithm is Algorithm.ECDSA_P256
    assert hashlib.sha256(key.public_key.data).digest()[:4] == key.key_id


@pytest.mark.parametrize("position", range(len(log_key().text)))
def test_a_verifier_key_with_any_character_changed_is_refused(position: int) -> None:
    """A mistyped key does not silently become another one."""
    text = log_key().text
    with pytest.raises(MalformedError):
        VerifierKey.parse(text[:position] + ("A" if text[position] != "A" else "B") + text[position + 1 :])


BAD_KEYS = {
    "empty": "",
    "no key id": ORIGIN,
    "no material": log_key().text.rpartition("+")[0],
    "upper-case key id": ORIGIN + "+" + log_key().key_id.hex().upper() + "+" + log_key().text.split("+", 2)[2],
    "no name": "+" + log_key().text.split("+", 1)[1],
    "space in the name": "a b+" + log_key().text.split("+", 1)[1],
    "unknown type": f"{ORIGIN}+00000000+{base64.b64encode(bytes([4]) + bytes(32)).decode()}",
    "no type": f"{ORIGIN}+00000000+",
    "short key": f"{ORIGIN}+00000000+{base64.b64encode(bytes([1]) + bytes(31)).decode()}",
    "other curve": f"{ORIGIN}+00000000+{base64.b64encode(bytes([2]) + bytes(91)).decode()}",
    "newline": log_key().text + "\n",
    "very long": "x" * 100_000,
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_is_no_verifier_key_is_refused(name: str) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        VerifierKey.parse(BAD_KEYS[name])


def test_a_key_that_is_no_point_of_its_curve_verifies_nothing() -> None:
    """It is refused as a signature is, without any other error."""
    key = VerifierKey.of("x", PublicKey(algorithm=Algorithm.ECDSA_P256, data=_P256_SPKI + b"\4" + bytes(64)))
    assert not key.verify(b"message", P256Signer().public_key.data)
    assert not log_key().verify(b"message", b"")


def test_did_keys_are_those_of_the_method_specification() -> None:
    """Two examples of the W3C did:key method, given there as JWK coordinates."""
    ed25519 = base64.urlsafe_b64decode("O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")
    x = base64.urlsafe_b64decode("igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns=")
    y = base64.urlsafe_b64decode("efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM=")
    p256 = PublicKey(algorithm=Algorithm.ECDSA_P256, data=_P256_SPKI + b"\4" + x + y)
    assert did_key(PublicKey(algorithm=Algorithm.ED25519, data=ed25519)) == (
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
    )
    assert did_key(p256) == "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"


def test_the_golden_note_carries_the_key_id_of_its_vkey() -> None:
    """Key id: SHA-256 of name, newline, type and key."""
    material = ORIGIN.encode() + b"\n\x01" + Ed25519Signer().public_key.data
    (line,) = split_note(note_of(3))[1]
    assert line.key_id == hashlib.sha256(material).digest()[:4] == log_key().key_id
