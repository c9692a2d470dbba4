"""``file:`` keys: made once, durably and for their owner only; refused with a reason when anything is wrong."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drivers.keys.checked import CheckedKey
from drivers.keys.file import create_file_key, file_path, open_file_key
from gateway.durable import create_exclusively
from gateway.errors import ConfigError, SignerError
from gateway.log.vkey import pem
from gateway.secrets import read_secret
from gateway.signing import ON_CHAIN, Algorithm, KeyRequest, Purpose, Signer, may_sign, verify_signature
from tests.contract_signer import SignerContract
from tests.messages import MESSAGES, checkpoint
from tests.parts import need

URI = "file:device-key.pem"


def wanted(base: Path, uri: str = URI, purpose: Purpose = Purpose.CHECKPOINT, **more: Any) -> KeyRequest:
    return KeyRequest(uri=uri, base=base, purpose=purpose, secret=partial(read_secret, base=base), **more)


def _openssl(folder: Path, *arguments: str) -> str:
    done = subprocess.run([need("openssl"), *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A directory with a new key."""
    create_file_key(wanted(tmp_path), create_exclusively).close()
    return tmp_path


class TestNewKey(SignerContract):
    """A key as the first start makes it."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Iterator[Signer]:
        signer = create_file_key(wanted(tmp_path), create_exclusively)
        yield signer
        signer.close()


class TestP256Key(SignerContract):
    """An ECDSA P-256 key made by openssl."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Iterator[Signer]:
        _openssl(tmp_path, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "k.pem")
        (tmp_path / "k.pem").chmod(0o600)
        signer = open_file_key(wanted(tmp_path, "file:k.pem"))
        assert signer.public_key.algorithm is Algorithm.ECDSA_P256
        yield signer
        signer.close()


class TestNewP256Key(SignerContract):
    """An ECDSA P-256 key that we made."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Iterator[Signer]:
        signer = create_file_key(wanted(tmp_path, algorithm=Algorithm.ECDSA_P256), create_exclusively)
        assert signer.public_key.algorithm is Algorithm.ECDSA_P256
        yield signer
        signer.close()


class TestOpensslKey(SignerContract):
    """An Ed25519 key made by openssl."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Iterator[Signer]:
        _openssl(tmp_path, "genpkey", "-algorithm", "ED25519", "-out", "k.pem")
        (tmp_path / "k.pem").chmod(0o600)
        signer = open_file_key(wanted(Path("/nowhere"), f"file:{tmp_path}/k.pem"))
        yield signer
        signer.close()


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_new_key_is_for_its_owner_only_and_read_by_openssl(tmp_path: Path, algorithm: Algorithm) -> None:
    """Mode 0600, plain PKCS#8, and openssl derives the public key that we print."""
    purpose = Purpose.TRANSACTION if algorithm is Algorithm.ECDSA_SECP256K1 else Purpose.CHECKPOINT
    signer = create_file_key(wanted(tmp_path, purpose=purpose, algorithm=algorithm), create_exclusively)
    path = tmp_path / "device-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith(f"Purpose: {purpose.value}\n-----BEGIN PRIVATE KEY-----\n")
    assert max(map(len, path.read_text().splitlines())) <= 64
    assert _openssl(tmp_path, "pkey", "-in", str(path), "-pubout") == pem(signer.public_key)
    assert [item.name for item in tmp_path.iterdir()] == ["device-key.pem"]


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_key_signs_for_the_purpose_it_was_opened_for_and_no_other(made: Path, purpose: Purpose) -> None:
    """A billing key makes no checkpoint, and the other way round; nor does it sign what has another form."""
    for path in made.iterdir():
        # As an installation before this one made it: nobody noted what for.
        path.write_bytes(path.read_bytes().partition(b"\n")[2])
    if purpose in ON_CHAIN:
        with pytest.raises(SignerError, match="what is for chains needs secp256k1"):
            open_file_key(wanted(made, purpose=purpose))
        return
    signer = open_file_key(wanted(made, purpose=purpose))
    assert verify_signature(signer.public_key, MESSAGES[purpose], signer.sign(purpose, MESSAGES[purpose]))
    for other in (other for other in Purpose if not may_sign(purpose, other)):
        with pytest.raises(SignerError, match=f"is opened to sign a {purpose.value} only"):
            signer.sign(other, MESSAGES[other])
        with pytest.raises(SignerError, match="by its form"):
            signer.sign(purpose, MESSAGES[other])


def test_a_key_is_the_same_after_every_start(made: Path) -> None:
    """Opening it again gives the same public key, and the same deterministic signature."""
    first, second = open_file_key(wanted(made)), open_file_key(wanted(made))
    assert first.public_key == second.public_key
    assert first.sign(Purpose.CHECKPOINT, checkpoint(0)) == second.sign(Purpose.CHECKPOINT, checkpoint(0))


def test_a_key_is_never_overwritten(made: Path) -> None:
    """Making a key where one is says so and leaves it."""
    before = (made / "device-key.pem").read_bytes()
    with pytest.raises(SignerError, match="never overwritten"):
        create_file_key(wanted(made), create_exclusively)
    assert (made / "device-key.pem").read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o777])
def test_a_key_that_others_may_use_is_refused_with_the_remedy(made: Path, mode: int) -> None:
    """The message names chmod and the file."""
    path = made / "device-key.pem"
    path.chmod(mode)
    with pytest.raises(SignerError, match=f"chmod 600 {path}"):
        open_file_key(wanted(made))


def _missing(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


WRONG = {
    "missing": (_missing, "does not exist; make it with key new"),
    "a symbolic link": (_link, "symbolic link"),
    "a directory": (_directory, "regular file"),
    "a pipe": (_pipe, "regular file"),
    "empty": (lambda path: _put(path, b""), "PRIVATE KEY"),
    "garbage": (lambda path: _put(path, bytes(range(256)) * 4), "PRIVATE KEY"),
    "very long": (lambda path: _put(path, b"x" * 1_000_000), "at most"),
    "cut": (lambda path: _put(path, path.read_bytes()[:-40]), "PRIVATE KEY"),
    "damaged base64": (lambda path: _put(path, path.read_bytes().replace(b"MC4C", b"M!4C")), "base64 is damaged"),
    "damaged DER": (lambda path: _put(path, path.read_bytes().replace(b"MC4C", b"MC5C")), "no private key"),
    "two keys": (lambda path: _put(path, path.read_bytes() * 2), "PRIVATE KEY"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_no_usable_key_is_refused_with_the_reason(made: Path, name: str) -> None:
    """Each error names the file."""
    spoil, reason = WRONG[name]
    spoil(made / "device-key.pem")
    with pytest.raises(SignerError, match=reason) as caught:
        open_file_key(wanted(made))
    assert str(made / "device-key.pem") in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "neither Ed25519 nor ECDSA P-256"),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "neither Ed25519 nor ECDSA P-256"),
        (["-algorithm", "ED448"], "neither Ed25519 nor ECDSA P-256"),
        (["-algorithm", "ED25519", "-aes256", "-pass", "pass:secret"], "is encrypted; say where"),
    ],
    ids=["rsa", "p384", "ed448", "encrypted"],
)
def test_a_key_of_another_kind_is_refused_with_the_reason(tmp_path: Path, arguments: list[str], reason: str) -> None:
    """Other algorithms and curves, and encrypted files."""
    _openssl(tmp_path, "genpkey", *arguments, "-out", "k.pem")
    (tmp_path / "k.pem").chmod(0o600)
    with pytest.raises(SignerError, match=reason):
        open_file_key(wanted(tmp_path, "file:k.pem"))


def test_a_key_cannot_be_made_where_there_is_no_directory(tmp_path: Path) -> None:
    """The operator is told what to check."""
    with pytest.raises(SignerError, match="check the directory"):
        create_file_key(wanted(tmp_path, "file:missing/k.pem"), create_exclusively)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:k.pem", "/base/k.pem"),
        ("file:keys/k.pem", "/base/keys/k.pem"),
        ("file:/etc/k.pem", "/etc/k.pem"),
        ("file:///etc/k.pem", "/etc/k.pem"),
        ("file:my key%20#1?.pem", "/base/my key%20#1?.pem"),
    ],
)
def test_a_uri_names_one_path(uri: str, path: str) -> None:
    """Relative to the base directory or absolute, and literally."""
    assert file_path(uri, Path("/base")) == Path(path)


NO_FILES = ["", "file", "file:", "file:/", "file:.", "file:..", "file:a/..", "file://host/k.pem", "file:\0"]
NO_FILES += ["FILE:k.pem", "pkcs11:token=x", "k.pem", "file:a\0b"]


@pytest.mark.parametrize("uri", NO_FILES)
def test_a_uri_that_names_no_file_is_the_operators_mistake(uri: str) -> None:
    """It is said before anything is touched."""
    with pytest.raises(ConfigError):
        file_path(uri, Path("/base"))


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_a_signature_that_does_not_verify_is_not_given_away(made: Path, algorithm: Algorithm) -> None:
    """A fault in the computation, of a failing board or by a laser, ends in an error: it could tell the key."""
    purpose = Purpose.TRANSACTION if algorithm is Algorithm.ECDSA_SECP256K1 else Purpose.CHECKPOINT
    good = create_file_key(wanted(made, "file:k.pem", purpose, algorithm=algorithm), create_exclusively)

    def flipped(message: bytes, digest: bytes) -> bytes:
        assert good._sign is not None
        signature = bytearray(good._sign(message, digest))
        signature[5] ^= 1
        return bytes(signature)

    faulty = CheckedKey("file:k.pem", purpose, good.public_key, flipped, facts=good.facts)
    with pytest.raises(SignerError, match="does not verify"):
        faulty.sign(purpose, MESSAGES[purpose])
