"""A vault in a token: what it sealed only this token opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.keys.pkcs11.vault import Pkcs11Vault, open_pkcs11_vault
from gateway.errors import ConfigError, SignerError
from gateway.signing import Vault
from tests.softhsm import SoftHsm


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """Two tokens, meter and other."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        hsm.add_token("other")
        yield hsm


@pytest.fixture
def vault(hsm: SoftHsm) -> Iterator[Pkcs11Vault]:
    """A new vault in the token meter."""
    vault = open_pkcs11_vault(hsm.request("vault", create=True))
    yield vault
    vault.close()


def test_what_was_sealed_is_opened_again(vault: Vault) -> None:
    """Secrets of up to 64 bytes; the same one never twice to the same blob."""

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=64))
    def back(secret: bytes) -> None:
        blob = vault.seal(secret)
        assert vault.unseal(blob) == secret
        assert vault.seal(secret) != blob
        assert len(secret) < 8 or secret not in blob[8:]

    back()


def test_a_vault_opens_what_it_sealed_before_it_was_closed(hsm: SoftHsm, vault: Pkcs11Vault) -> None:
    """The key stays in the token, and is made once."""
    blob = vault.seal(b"seed")
    vault.close()
    vault.close()
    with pytest.raises(SignerError, match="is closed"):
        vault.unseal(blob)
    again = open_pkcs11_vault(hsm.request("vault", create=True))
    assert again.unseal(blob) == b"seed"
    again.close()


def test_another_token_opens_nothing(hsm: SoftHsm, vault: Vault) -> None:
    """Though its key has the same name."""
    other = open_pkcs11_vault(hsm.request(uri=hsm.uri("vault", token="other"), create=True))
    with pytest.raises(SignerError, match="this key did not seal it"):
        other.unseal(vault.seal(b"seed"))
    assert other.unseal(other.seal(b"seed")) == b"seed"
    other.close()


def test_a_changed_blob_is_refused(vault: Vault) -> None:
    """Every bit of it counts, and so does its length; the vault works on afterwards."""
    blob = vault.seal(b"seed")
    for at in range(len(blob)):
        with pytest.raises(SignerError):
            vault.unseal(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :])
    for wrong in (b"", blob[:-1], blob + b"x", bytes(200)):
        with pytest.raises(SignerError):
            vault.unseal(wrong)
    assert vault.unseal(blob) == b"seed"


def test_a_long_secret_is_refused(vault: Vault) -> None:
    """At most 64 bytes."""
    with pytest.raises(SignerError, match="at most 64"):
        vault.seal(bytes(65))


def test_the_vaults_key_never_leaves(hsm: SoftHsm, vault: Vault) -> None:
    """pkcs11-tool is refused its value."""
    listed = hsm.tool("--list-objects", "--type", "secrkey").stdout
    assert "never extractable" in listed
    read = hsm.tool("--read-object", "--type", "secrkey", "--label", "vault", "--output-file", "out", check=False)
    assert "CKR_ATTRIBUTE_SENSITIVE" in read.stdout + read.stderr
    assert not (hsm.folder / "out").exists() or not (hsm.folder / "out").read_bytes()


def test_a_missing_vault_is_not_made_unasked(hsm: SoftHsm) -> None:
    """Nor opened under the name of a key that signs."""
    with pytest.raises(SignerError, match="names 0 AES keys"):
        open_pkcs11_vault(hsm.request("vault"))
    with pytest.raises(ConfigError, match="is no secret key"):
        open_pkcs11_vault(hsm.request(uri=hsm.uri("vault").replace("?", ";type=private?")))
