"""``pkcs11:`` keys: made in the token, never outside it, and checked with tools that nobody here wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from drivers.keys.pkcs11.store import list_pkcs11_keys, open_pkcs11_key
from gateway.errors import ConfigError, SignerError
from gateway.signing import Algorithm, DeviceKey, Purpose, Signer, verify_signature
from gateway.signing.evm import keccak256
from tests.contract_signer import ChainSignerContract, SignerContract
from tests.parts import ROOT
from tests.softhsm import NOTE, PIN, SoftHsm, fault_library, sign

#: The example of EIP-155: nonce, gas price, gas, recipient, value, data, chain id, nothing, nothing.
TRANSACTION = bytes.fromhex(f"ec098504a817c80082520894{'35' * 20}880de0b6b3a764000080018080")
#: Signs with the key of the URI, and prints each signature: a process of its own on the same token.
_SIGNING = """
import sys
from pathlib import Path
from drivers.keys.pkcs11.store import open_pkcs11_key
from gateway.signing import KeyRequest, Purpose
request = KeyRequest(uri=sys.argv[1], base=Path("/"), secret=lambda _source: sys.argv[2].encode())
key = open_pkcs11_key(request)
print("open", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    print(key.sign(Purpose.CHECKPOINT, bytes.fromhex(sys.argv[4])).hex())
"""


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token named meter."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        yield hsm


class TestEd25519Key(SignerContract):
    """An Ed25519 key made in the token."""

    @pytest.fixture
    def signer(self, hsm: SoftHsm) -> Iterator[Signer]:
        signer = hsm.open()
        assert signer.public_key.algorithm is Algorithm.ED25519
        yield signer
        signer.close()


class TestP256Key(SignerContract):
    """An ECDSA P-256 key made in the token."""

    @pytest.fixture
    def signer(self, hsm: SoftHsm) -> Iterator[Signer]:
        signer = hsm.open(algorithm=Algorithm.ECDSA_P256)
        assert signer.public_key.algorithm is Algorithm.ECDSA_P256
        yield signer
        signer.close()


class TestForeignKey(SignerContract):
    """A P-256 key that pkcs11-tool made, without a note of its purpose."""

    @pytest.fixture
    def signer(self, hsm: SoftHsm) -> Iterator[Signer]:
        hsm.tool("--keypairgen", "--key-type", "EC:prime256v1", "--label", "device", "--id", "0102")
        signer = hsm.open(create=False)
        assert signer.facts().made_for is None
        yield signer
        signer.close()


class TestChainKeys(ChainSignerContract):
    """secp256k1 keys made in the token, each for one of the things that chains want signed."""

    @pytest.fixture
    def make(self, hsm: SoftHsm) -> Callable[[Purpose, Purpose], DeviceKey]:
        def made(made_for: Purpose, opened: Purpose) -> DeviceKey:
            hsm.open(purpose=made_for).close()
            return hsm.open(purpose=opened, create=False)

        return made


def test_a_transaction_is_signed_with_secp256k1(hsm: SoftHsm) -> None:
    """The default for this purpose; the 65 bytes hold a signature that cryptography takes."""
    key = hsm.open(purpose=Purpose.TRANSACTION)
    signature = key.sign(Purpose.TRANSACTION, TRANSACTION)
    public = load_der_public_key(key.public_key.data)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256k1"
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    public.verify(encode_dss_signature(r, s), keccak256(TRANSACTION), ec.ECDSA(Prehashed(SHA256())))
    assert len(signature) == 65
    assert signature[64] in (0, 1)
    key.close()


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ECDSA_P256])
def test_the_private_key_never_leaves(hsm: SoftHsm, algorithm: Algorithm) -> None:
    """The token says so, to us and to pkcs11-tool, and gives its value to nobody."""
    key = hsm.open(algorithm=algorithm)
    facts = key.facts()
    key.close()
    assert facts.exportable is False
    assert facts.made_for is Purpose.CHECKPOINT
    assert any("CKA_NEVER_EXTRACTABLE true" in sentence for sentence in facts.evidence)
    assert any("CKR_ATTRIBUTE_SENSITIVE" in sentence for sentence in facts.evidence)
    assert "SoftHSM project" in facts.store
    listed = hsm.tool("--list-objects", "--type", "privkey").stdout
    assert "Access:     sensitive, always sensitive, never extractable, local" in listed
    hsm.tool("--read-object", "--type", "privkey", "--label", "device", "--output-file", "out", check=False)
    assert not (hsm.folder / "out").exists() or not (hsm.folder / "out").read_bytes()


def test_the_public_key_is_what_other_tools_read(hsm: SoftHsm) -> None:
    """pkcs11-tool reads it from the token, and openssl understands it."""
    key = hsm.open(algorithm=Algorithm.ECDSA_P256)
    hsm.tool("--read-object", "--type", "pubkey", "--label", "device", "--output-file", "public.der")
    assert (hsm.folder / "public.der").read_bytes() == key.public_key.data
    (hsm.folder / "signature").write_bytes(sign(key))
    (hsm.folder / "note").write_bytes(NOTE)
    hsm.run("openssl", "pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem")
    done = hsm.run("openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "note")
    assert "Verified OK" in done.stdout
    key.close()


def test_an_ed25519_public_key_is_what_other_tools_read(hsm: SoftHsm) -> None:
    """The last 32 bytes of the point that pkcs11-tool shows."""
    key = hsm.open()
    listed = hsm.tool("--list-objects", "--type", "pubkey").stdout
    assert key.public_key.data.hex() in listed.lower()
    key.close()


def test_a_key_is_made_once(hsm: SoftHsm) -> None:
    """Asked to make a key that is there, the store opens it, whatever else was wanted of a new one."""
    made = hsm.open()
    again = hsm.open(algorithm=Algorithm.ECDSA_P256)
    assert again.public_key == made.public_key
    assert hsm.tool("--list-objects", "--type", "privkey").stdout.count("Private Key Object") == 1
    made.close()
    assert verify_signature(again.public_key, NOTE, sign(again))
    again.close()


def test_a_missing_key_is_not_made_unasked(hsm: SoftHsm) -> None:
    """It says how to make it."""
    with pytest.raises(SignerError, match=r"no such private key in meter .*key new"):
        hsm.open(create=False)


def test_a_key_is_opened_only_for_what_it_was_made_for(hsm: SoftHsm) -> None:
    """The token keeps that in the key's id."""
    hsm.open().close()
    hsm.open(purpose=Purpose.RECEIPT, create=False).close()
    with pytest.raises(SignerError, match="was made for checkpoint"):
        hsm.open(purpose=Purpose.COSIGNATURE, create=False)


def test_no_key_is_made_that_could_not_be_opened(hsm: SoftHsm) -> None:
    """For a purpose that has no keys of its own, or of an algorithm that does not sign for the purpose."""
    for purpose, algorithm in ((Purpose.RECEIPT, None), (Purpose.CHECKPOINT, Algorithm.ECDSA_SECP256K1)):
        with pytest.raises(SignerError):
            hsm.open(purpose=purpose, algorithm=algorithm)
    assert not list_pkcs11_keys(hsm.uri(None), lambda _source: PIN.encode())


def test_an_id_of_the_uri_is_the_keys_id(hsm: SoftHsm) -> None:
    """Then the purpose is not noted, and two keys of one label are told apart."""
    first, second = (
        hsm.open(uri=hsm.uri().replace("?", f";id={key_id}?"), algorithm=Algorithm.ECDSA_P256)
        for key_id in ("%01", "%02")
    )
    assert first.public_key != second.public_key
    assert first.facts().made_for is None
    first.close()
    second.close()
    with pytest.raises(SignerError, match="names 2 private keys; add ;id="):
        hsm.open(create=False)


def test_the_list_names_every_key_so_that_it_opens(hsm: SoftHsm) -> None:
    """Keys that are of no use here are listed, and say what they are."""
    hsm.open("device").close()
    hsm.open("evm", purpose=Purpose.TRANSACTION).close()
    hsm.tool("--keypairgen", "--key-type", "rsa:2048", "--label", "old key", "--id", "aa")
    listed = list_pkcs11_keys(hsm.uri(None), lambda _source: PIN.encode())
    told = {(each.kind, each.algorithm, each.made_for) for each in listed}
    assert told == {
        ("ed25519", Algorithm.ED25519, Purpose.CHECKPOINT),
        ("secp256k1", Algorithm.ECDSA_SECP256K1, Purpose.TRANSACTION),
        ("RSA", None, None),
    }
    for each in listed:
        if each.algorithm:
            assert each.made_for
            open_pkcs11_key(hsm.request(uri=each.uri, purpose=each.made_for)).close()
        else:
            assert "object=old%20key" in each.uri
            with pytest.raises(SignerError, match="is no Ed25519"):
                open_pkcs11_key(hsm.request(uri=each.uri))


def test_a_token_is_named_by_exactly_one_label(hsm: SoftHsm) -> None:
    """None and two are errors that list what is there."""
    with pytest.raises(SignerError, match=r"no such token in libsofthsm2.so, which has meter"):
        hsm.open(uri=hsm.uri(token="other"))
    hsm.add_token()
    with pytest.raises(SignerError, match=r"names 2 tokens: meter .*; add ;serial="):
        hsm.open()


def test_a_key_of_another_type_is_refused(hsm: SoftHsm) -> None:
    """A secret key signs nothing."""
    with pytest.raises(ConfigError, match="signs nothing"):
        hsm.open(uri=hsm.uri().replace("?", ";type=secret-key?"))


def test_ten_thousand_signatures_take_one_session_and_one_login(hsm: SoftHsm) -> None:
    """And leave no file open; SoftHSM does not count sessions, so the calls are counted."""
    key = hsm.open(algorithm=Algorithm.ECDSA_P256, module=fault_library())
    sign(key)
    sessions, logins = hsm.count("C_OpenSession"), hsm.count("C_Login")
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(10_000):
        sign(key)
    assert (hsm.count("C_OpenSession"), hsm.count("C_Login")) == (sessions, logins)
    assert len(os.listdir("/proc/self/fd")) == files
    key.close()
    assert hsm.count("C_CloseSession") == sessions


def test_two_processes_sign_on_one_token_at_once(hsm: SoftHsm) -> None:
    """Neither disturbs the other."""
    key = hsm.open()
    command = [sys.executable, "-c", _SIGNING, hsm.uri(), PIN, "300", NOTE.hex()]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        for _ in range(300):
            sign(key)
        theirs = other.stdout.read().split()
    assert other.returncode == 0
    assert len(theirs) == 300
    assert all(verify_signature(key.public_key, NOTE, bytes.fromhex(each)) for each in theirs)
    key.close()


def test_a_key_that_could_leave_is_removed_again(hsm: SoftHsm) -> None:
    """A token that makes another key than it was asked for is caught at once."""
    hsm.order("C_GetAttributeValue corrupt")
    with pytest.raises(SignerError, match="reports CKA_EXTRACTABLE as True"):
        hsm.open(module=fault_library())
    hsm.order("")
    assert "Key Object" not in hsm.tool("--list-objects").stdout


def test_two_keys_of_one_token_share_its_login(hsm: SoftHsm) -> None:
    """Closing one leaves the other at work."""
    device: DeviceKey = hsm.open("device", module=fault_library())
    logins = hsm.count("C_Login")
    other = hsm.open("evm", purpose=Purpose.TRANSACTION, module=fault_library())
    assert hsm.count("C_Login") == logins
    other.close()
    sign(device)
    device.close()
