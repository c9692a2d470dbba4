"""``pkcs11:`` keys in a TPM, through tpm2-pkcs11: the same contract, P-256 only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.keys.pkcs11.modules import load_module
from drivers.keys.pkcs11.store import list_pkcs11_keys, open_pkcs11_key
from drivers.keys.pkcs11.uri import parse_uri
from gateway.errors import SignerError
from gateway.signing import Algorithm, KeyRequest, Signer, verify_signature
from tests.contract_signer import SignerContract
from tests.parts import missing, need
from tests.softhsm import NOTE, PIN, SO_PIN, forget, sign
from tests.swtpm import Swtpm

URI = "pkcs11:token=meter;object=device?module-name=tpm2-pkcs11&pin-source=file:/pin"


@pytest.fixture
def tpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swtpm]:
    """A TPM with a token named meter."""
    tpm = Swtpm(tmp_path / "tpm")
    tpm.start()
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setenv("TPM2_PKCS11_STORE", str(store))
    monkeypatch.setenv("TPM2_PKCS11_TCTI", tpm.tcti)
    monkeypatch.setenv("TSS2_LOG", "all+NONE")
    path = _library()
    tool = [need("pkcs11-tool"), "--module", path]
    as_officer = ["--login", "--login-type", "so", "--so-pin", SO_PIN]
    for steps in (
        ["--init-token", "--slot-index", "0", "--label", "meter", "--so-pin", SO_PIN],
        ["--token-label", "meter", *as_officer, "--init-pin", "--pin", PIN],
    ):
        subprocess.run([*tool, *steps], capture_output=True, check=True)
    forget(path)
    yield tpm
    forget(path)
    tpm.kill()


def _library() -> str:
    try:
        load_module(parse_uri(URI))
    except SignerError as error:
        missing(str(error))
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if "libtpm2_pkcs11.so" in line)


def _request(*, create: bool = False, algorithm: Algorithm | None = None) -> KeyRequest:
    return KeyRequest(uri=URI, base=Path("/"), create=create, algorithm=algorithm, secret=lambda _source: PIN.encode())


class TestTpmKey(SignerContract):
    """A key made in the TPM, of the only algorithm that it has."""

    @pytest.fixture
    def signer(self, tpm: Swtpm) -> Iterator[Signer]:
        signer = open_pkcs11_key(_request(create=True))
        assert signer.public_key.algorithm is Algorithm.ECDSA_P256
        yield signer
        signer.close()


def test_the_private_key_never_leaves(tpm: Swtpm) -> None:
    """As the token says; and it is listed with what it was made for."""
    key = open_pkcs11_key(_request(create=True))
    facts = key.facts()
    assert facts.exportable is False
    assert facts.algorithms == (Algorithm.ECDSA_P256,)
    key.close()
    (listed,) = list_pkcs11_keys(URI.replace(";object=device", ""), lambda _source: PIN.encode())
    assert listed.made_for is facts.made_for
    assert listed.uri == parse_uri(URI).text()


def test_ed25519_is_refused_in_words(tpm: Swtpm) -> None:
    """A TPM has none."""
    with pytest.raises(SignerError, match="makes no ed25519 key; it makes p256"):
        open_pkcs11_key(_request(create=True, algorithm=Algorithm.ED25519))


def test_a_tpm_that_was_away_signs_again(tpm: Swtpm) -> None:
    """Its death costs the calls until it is back, and no other."""
    key = open_pkcs11_key(_request(create=True))
    tpm.kill()
    for _ in range(2):
        with pytest.raises(SignerError):
            sign(key)
    tpm.start()
    assert verify_signature(key.public_key, NOTE, sign(key))
    key.close()
