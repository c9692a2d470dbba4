"""``file:`` keys: what they were made for, transactions, and passphrases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import coincurve
import pytest

from drivers.keys.file import create_file_key, open_file_key
from gateway.durable import create_exclusively
from gateway.errors import SignerError
from gateway.log.vkey import pem
from gateway.signing import MADE_FOR, ON_CHAIN, Algorithm, DeviceKey, Purpose
from gateway.signing.evm import ORDER, keccak256
from tests.contract_signer import ChainSignerContract
from tests.messages import MESSAGES, transaction
from tests.test_file_key import URI, _openssl, wanted


class TestChainKeys(ChainSignerContract):
    """secp256k1 keys in files, each made for one of the things that chains want signed."""

    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[Purpose, Purpose], DeviceKey]:
        def made(made_for: Purpose, opened: Purpose) -> DeviceKey:
            if not (tmp_path / "device-key.pem").exists():
                create_file_key(wanted(tmp_path, purpose=made_for), create_exclusively).close()
            return open_file_key(wanted(tmp_path, purpose=opened))

        return made


@pytest.mark.parametrize("made_for", list(MADE_FOR))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_key_is_opened_only_for_what_it_was_made_for(tmp_path: Path, made_for: Purpose, purpose: Purpose) -> None:
    """What it was made for stands in its file, and outlives every config."""
    on_chain = made_for in ON_CHAIN or (purpose in ON_CHAIN and made_for in (Purpose.VOTE, Purpose.CHALLENGE))
    algorithm = Algorithm.ECDSA_SECP256K1 if on_chain else Algorithm.ED25519
    create_file_key(wanted(tmp_path, purpose=made_for, algorithm=algorithm), create_exclusively).close()
    if purpose in MADE_FOR[made_for]:
        signer = open_file_key(wanted(tmp_path, purpose=purpose))
        assert signer.sign(purpose, MESSAGES[purpose])
        assert signer.facts().made_for is made_for
    else:
        with pytest.raises(
            SignerError, match=f"was made for {made_for.value}, and is never opened for {purpose.value}"
        ):
            open_file_key(wanted(tmp_path, purpose=purpose))


def test_a_transaction_is_signed_as_chains_want_it(tmp_path: Path) -> None:
    """65 bytes over Keccak-256: the lower s, and the recovery id; another library finds the key again."""
    signer = create_file_key(wanted(tmp_path, purpose=Purpose.TRANSACTION), create_exclusively)
    assert signer.public_key.algorithm is Algorithm.ECDSA_SECP256K1
    for nonce in range(1, 31):
        message = transaction(nonce)
        signature = signer.sign(Purpose.TRANSACTION, message)
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
        point = coincurve.PublicKey.from_signature_and_message(signature, keccak256(message), hasher=None)
        assert point.format(compressed=False) == signer.public_key.data[-65:]


def test_a_passphrase_opens_the_key_and_nothing_else_does(tmp_path: Path) -> None:
    """The file is encrypted PKCS#8, which openssl opens with the same passphrase."""
    uri = f"{URI}?passphrase-source=file:passphrase"
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    signer = create_file_key(wanted(tmp_path, uri), create_exclusively)
    path = tmp_path / "device-key.pem"
    assert "BEGIN ENCRYPTED PRIVATE KEY" in path.read_text()
    assert _openssl(tmp_path, "pkey", "-in", str(path), "-pubout", "-passin", "pass:correct horse") == pem(
        signer.public_key
    )
    assert open_file_key(wanted(tmp_path, uri)).public_key == signer.public_key
    with pytest.raises(SignerError, match="is encrypted; say where its passphrase is"):
        open_file_key(wanted(tmp_path))
    secret.write_text("wrong\n")
    with pytest.raises(SignerError, match="the passphrase does not open it") as caught:
        open_file_key(wanted(tmp_path, uri))
    assert "wrong" not in str(caught.value)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A directory with a new key."""
    create_file_key(wanted(tmp_path), create_exclusively).close()
    return tmp_path


def test_a_passphrase_for_a_plain_key_is_refused(plain: Path) -> None:
    """Who thinks that the file is encrypted is told that it is not."""
    (plain / "passphrase").write_text("x\n")
    (plain / "passphrase").chmod(0o600)
    with pytest.raises(SignerError, match="is not encrypted"):
        open_file_key(wanted(plain, f"{URI}?passphrase-source=file:passphrase"))


def test_a_purpose_that_nobody_knows_is_refused(plain: Path) -> None:
    """A newer release made it, or somebody edited it."""
    path = plain / "device-key.pem"
    path.write_bytes(path.read_bytes().replace(b"Purpose: checkpoint", b"Purpose: everything"))
    with pytest.raises(SignerError, match="was made for 'everything', which is none of checkpoint"):
        open_file_key(wanted(plain))
