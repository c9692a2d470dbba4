"""``tpm2:`` keys in a real swtpm: made inside, restricted, used by us and by software that we did not write."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from drivers.keys.checked import CheckedKey
from drivers.keys.tpm2.facts import list_tpm2_keys
from drivers.keys.tpm2.key import Tpm2Key, open_tpm2_key
from gateway.durable import create_exclusively
from gateway.errors import SignerError
from gateway.log.vkey import pem
from gateway.signing import Algorithm, Purpose, Signer, der_signature, verify_signature
from tests.contract_signer import SignerContract
from tests.messages import MESSAGES
from tests.swtpm import Swtpm, running_swtpm

HANDLE, FILE = "0x81010001", "device-key.tss2.pem"
TEXT = MESSAGES[Purpose.CHECKPOINT]


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path_factory.mktemp("tpm")) as tpm:
        yield tpm


def made(tpm: Swtpm, place: str, purpose: Purpose = Purpose.CHECKPOINT, **wanted: object) -> CheckedKey:
    return open_tpm2_key(tpm.request(place, create=True, purpose=purpose, **wanted), create_exclusively)


def opened(tpm: Swtpm, place: str, **wanted: object) -> CheckedKey:
    return open_tpm2_key(tpm.request(place, **wanted), create_exclusively)


def foreign_key(tpm: Swtpm, handle: str, *arguments: str) -> None:
    """A key as tpm2-tools make it, at a persistent handle."""
    tpm.tool("tpm2_createprimary", "-Q", "-C", "o", "-c", "primary.ctx")
    tpm.tool("tpm2_flushcontext", "-t")
    tpm.tool("tpm2_create", "-Q", "-C", "primary.ctx", "-u", "f.pub", "-r", "f.priv", "-c", "f.ctx", *arguments)
    tpm.tool("tpm2_flushcontext", "-t")
    tpm.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "f.ctx", handle)
    tpm.tool("tpm2_flushcontext", "-t")


@pytest.mark.parametrize("place", [HANDLE, FILE])
class TestTpm2Key(SignerContract):
    """A key in the TPM, and one in a file that this TPM can load."""

    @pytest.fixture
    def signer(self, tpm: Swtpm, place: str) -> Iterator[Signer]:
        signer = made(tpm, place)
        yield signer
        signer.close()


class TestForeignKey(SignerContract):
    """A key that tpm2-tools made, which is not restricted."""

    @pytest.fixture
    def signer(self, tpm: Swtpm) -> Iterator[Signer]:
        if "0x81000100" not in tpm.tool("tpm2_getcap", "handles-persistent").lower():
            foreign_key(
                tpm,
                "0x81000100",
                "-G",
                "ecc256:ecdsa",
                "-a",
                "fixedtpm|fixedparent|sensitivedataorigin|sign|userwithauth|noda",
            )
        signer = opened(tpm, "0x81000100")
        assert any("prove nothing" in sentence for sentence in signer.facts().evidence)
        assert signer.facts().made_for is None
        yield signer
        signer.close()


def test_tpm2_tools_read_the_same_public_key(tpm: Swtpm) -> None:
    """tpm2_readpublic and we agree, and it sees the attributes that are claimed."""
    key = made(tpm, HANDLE)
    said = tpm.tool("tpm2_readpublic", "-c", HANDLE, "-f", "pem", "-o", "read.pem")
    assert (tpm.folder / "read.pem").read_text().split() == pem(key.public_key).split()
    assert "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign" in said
    assert sha256(b"meter-gateway/purpose/checkpoint").hexdigest() in said.lower()


@pytest.mark.parametrize("place", [HANDLE, FILE])
def test_openssl_and_tpm2_tools_verify_its_signature(tpm: Swtpm, place: str) -> None:
    """With the public key alone, and the TPM's own TPM2_VerifySignature."""
    key = made(tpm, place)
    (tpm.folder / "text").write_bytes(TEXT)
    (tpm.folder / "text.sig").write_bytes(key.sign(Purpose.CHECKPOINT, TEXT))
    (tpm.folder / "key.pem").write_text(pem(key.public_key))
    assert "OK" in tpm.tool("openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "text.sig", "text")
    tpm.tool("tpm2_loadexternal", "-Q", "-G", "ecc", "-u", "key.pem", "-c", "key.ctx")
    tpm.tool("tpm2_flushcontext", "-t")
    tpm.tool("tpm2_verifysignature", "-c", "key.ctx", "-g", "sha256", "-m", "text", "-f", "ecdsa", "-s", "text.sig")
    tpm.tool("tpm2_flushcontext", "-t")


def test_openssl_loads_the_file_with_its_tpm2_provider(tpm: Swtpm) -> None:
    """The file is one that Debian's tpm2-openssl reads and signs with."""
    key = made(tpm, FILE)
    provider = ("-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2")
    shown = tpm.tool("openssl", "pkey", *provider, "-in", FILE, "-pubout")
    assert shown.split() == pem(key.public_key).split()
    (tpm.folder / "theirs").write_bytes(TEXT)
    tpm.tool("openssl", "dgst", *provider, "-sha256", "-sign", FILE, "-out", "theirs.sig", "theirs")
    assert verify_signature(key.public_key, TEXT, (tpm.folder / "theirs.sig").read_bytes())


def test_a_file_of_openssls_tpm2_provider_is_opened(tpm: Swtpm) -> None:
    """The other way round: it need not have been made here."""
    provider = ("-provider", "tpm2", "-provider", "default", "-propquery", "?provider=tpm2")
    curve = ("-algorithm", "EC", "-pkeyopt", "group:P-256")
    tpm.tool("openssl", "genpkey", *provider, *curve, "-out", "theirs.tss2.pem")
    key = opened(tpm, "theirs.tss2.pem")
    assert verify_signature(key.public_key, TEXT, key.sign(Purpose.CHECKPOINT, TEXT))
    assert key.facts().made_for is None


@pytest.mark.parametrize("size", [4, 1023, 1024, 1025, 2048, 2049, 100_000])
def test_messages_beyond_the_tpms_buffer_are_signed(tpm: Swtpm, size: int) -> None:
    """The TPM hashes in pieces what it cannot take at once."""
    made(tpm, HANDLE)
    key = Tpm2Key(tpm.request(HANDLE), 20.0)
    key.open(tpm.request(HANDLE))
    message = bytes(size)
    raw = key.sign(message, sha256(message).digest())
    assert verify_signature(key.public_key, message, der_signature(raw))


@pytest.mark.parametrize("size", [4, 145, 5000])
@pytest.mark.parametrize("place", [HANDLE, FILE])
def test_nobody_gets_a_false_statement_of_the_tpm_signed(tpm: Swtpm, place: str, size: int) -> None:
    """The TPM itself refuses what begins like its statements, however the question is put."""
    made(tpm, place)
    key = Tpm2Key(tpm.request(place), 20.0)
    key.open(tpm.request(place))
    forged = bytes.fromhex("ff544347").ljust(size, b"\x80")
    with pytest.raises(SignerError, match="TPM_RC_TICKET"):
        key.sign(forged, sha256(forged).digest())


def test_tpm2_sign_cannot_forge_a_statement_either(tpm: Swtpm) -> None:
    """Root with all the tools and the key is refused: over the file, and over its digest."""
    made(tpm, HANDLE)
    forged = bytes.fromhex("ff5443478014") + bytes(90)
    (tpm.folder / "forged").write_bytes(forged)
    (tpm.folder / "forged.digest").write_bytes(sha256(forged).digest())
    sign = ("-c", HANDLE, "-g", "sha256", "-s", "ecdsa", "-o", "forged.sig")
    (tpm.folder / "true").write_bytes(TEXT)
    tpm.tool("tpm2_sign", *sign, "true")
    (tpm.folder / "forged.sig").unlink()
    tpm.tool("tpm2_sign", *sign, "forged", check=False)
    tpm.tool("tpm2_sign", *sign, "-d", "forged.digest", check=False)
    assert not (tpm.folder / "forged.sig").exists()


def test_a_message_that_is_too_short_for_a_ticket_is_refused_with_the_reason(tpm: Swtpm) -> None:
    """Four bytes are what the TPM wants to see of it."""
    key = Tpm2Key(tpm.request(HANDLE), 20.0)
    key.open(tpm.request(HANDLE, create=True), create_exclusively)
    with pytest.raises(SignerError, match="less than 4 bytes"):
        key.sign(b"{}", sha256(b"{}").digest())


def test_it_is_opened_only_for_what_it_was_made_for(tpm: Swtpm) -> None:
    """The purpose is read back from the TPM, whoever asks."""
    assert made(tpm, "0x81000201", Purpose.COSIGNATURE).facts().made_for is Purpose.COSIGNATURE
    assert opened(tpm, "0x81000201", purpose=Purpose.COSIGNATURE).public_key.algorithm is Algorithm.ECDSA_P256
    for purpose in (Purpose.CHECKPOINT, Purpose.BILLING, Purpose.VOTE):
        with pytest.raises(SignerError, match="was made for cosignature"):
            opened(tpm, "0x81000201", purpose=purpose)
    made(tpm, HANDLE)
    receipt = MESSAGES[Purpose.RECEIPT]
    signer = opened(tpm, HANDLE, purpose=Purpose.RECEIPT)
    assert verify_signature(signer.public_key, receipt, signer.sign(Purpose.RECEIPT, receipt))


@pytest.mark.parametrize("place", ["0x81000202", "none.tss2.pem"])
def test_no_key_is_made_that_could_not_be_opened(tpm: Swtpm, place: str) -> None:
    """Nor one of an algorithm that no TPM has; and none at all unless it is asked for."""
    for purpose in (Purpose.RECEIPT, Purpose.TRANSACTION):
        with pytest.raises(SignerError):
            made(tpm, place, purpose)
    for algorithm in (Algorithm.ED25519, Algorithm.ECDSA_SECP256K1):
        with pytest.raises(SignerError, match="neither Ed25519 nor secp256k1"):
            made(tpm, place, algorithm=algorithm)
    with pytest.raises(SignerError, match="does not exist"):
        opened(tpm, place)
    assert not (tpm.folder / place).exists()


def test_what_is_there_is_never_replaced(tpm: Swtpm) -> None:
    """A key that is there is opened; something else at the handle, or a file that came in between, is an error."""
    assert made(tpm, HANDLE).public_key == made(tpm, HANDLE).public_key
    foreign_key(tpm, "0x81000203", "-G", "rsa2048")
    with pytest.raises(SignerError, match="is rsa, signing and decryption"):
        made(tpm, "0x81000203")

    def too_late(path: Path, _data: bytes, _mode: int) -> None:
        raise FileExistsError(path)

    with pytest.raises(SignerError, match="never overwritten"):
        open_tpm2_key(tpm.request("late.tss2.pem", create=True), too_late)
    with pytest.raises(SignerError, match="cannot be made"):
        made(tpm, "no-such-folder/key.tss2.pem")


def test_a_new_file_is_for_its_owner_only(tpm: Swtpm) -> None:
    """Though only this TPM can use it."""
    made(tpm, FILE)
    assert (tpm.folder / FILE).stat().st_mode & 0o777 == 0o600


def test_the_tpms_keys_are_listed(tpm: Swtpm) -> None:
    """Ours with what it was made for and the URI that opens it; others by their kind."""
    made(tpm, HANDLE)
    foreign_key(tpm, "0x81000204", "-G", "rsa2048")
    listed = {listing.uri: listing for listing in list_tpm2_keys(tpm.uri(""))}
    ours, other = listed[tpm.uri(HANDLE)], listed[tpm.uri("0x81000204")]
    assert (ours.algorithm, ours.made_for) == (Algorithm.ECDSA_P256, Purpose.CHECKPOINT)
    assert (other.algorithm, other.made_for, other.kind) == (None, None, "rsa, signing and decryption")


def test_the_tpm_and_the_key_are_described(tpm: Swtpm) -> None:
    """Who made the TPM, and why the key is believed not to leave it."""
    facts = made(tpm, HANDLE).facts()
    assert "manufacturer IBM" in facts.store
    assert facts.exportable is False
    assert any(sentence.startswith("restricted") for sentence in facts.evidence)
