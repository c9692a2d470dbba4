"""What a TPM seals, it opens; another one, and a cleared one, does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.keys.tpm2.vault import Tpm2Vault, open_tpm2_vault
from gateway.errors import ConfigError, SignerError
from tests.swtpm import Swtpm, running_swtpm


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as tpm:
        yield tpm


@pytest.fixture
def vault(tpm: Swtpm) -> Tpm2Vault:
    return open_tpm2_vault(tpm.request(""))


@pytest.mark.parametrize("secret", [b"s", bytes(range(32)), bytes(64)])
def test_what_is_sealed_is_opened(vault: Tpm2Vault, secret: bytes) -> None:
    """As often as wanted; and the blob does not show it."""
    blob = vault.seal(secret)
    assert [vault.unseal(blob) for _ in range(3)] == [secret] * 3
    assert len(secret) < 8 or secret not in blob


def test_it_is_opened_after_a_power_cut(tpm: Swtpm, vault: Tpm2Vault) -> None:
    """The blob is all that is kept."""
    blob = vault.seal(b"secret")
    tpm.kill()
    tpm.start()
    assert vault.unseal(blob) == b"secret"


def test_another_tpm_does_not_open_it(tpm: Swtpm, vault: Tpm2Vault) -> None:
    """A stolen disk without its board keeps the secret."""
    blob = vault.seal(b"secret")
    tpm.kill()
    tpm.start("another")
    with pytest.raises(SignerError, match="another TPM made it"):
        vault.unseal(blob)


def test_a_cleared_tpm_does_not_open_it(tpm: Swtpm, vault: Tpm2Vault) -> None:
    """A clear gives the owner hierarchy a new seed."""
    blob = vault.seal(b"secret")
    tpm.tool("tpm2_clear")
    with pytest.raises(SignerError, match="this one was cleared"):
        vault.unseal(blob)


@pytest.mark.parametrize("secret", [b"", bytes(65)])
def test_nothing_and_too_much_is_not_sealed(vault: Tpm2Vault, secret: bytes) -> None:
    """1 to 64 bytes."""
    with pytest.raises(SignerError, match="seals 1 to 64 bytes"):
        vault.seal(secret)


def test_a_damaged_blob_is_not_opened(vault: Tpm2Vault) -> None:
    """No bit of it can be another, and no byte may be missing."""
    blob = vault.seal(b"secret")
    for at in range(0, len(blob), 3):
        with pytest.raises(SignerError):
            vault.unseal(blob[:at] + bytes([blob[at] ^ 4]) + blob[at + 1 :])
    for damaged in (b"", blob[:-1], blob + b"x"):
        with pytest.raises(SignerError, match="damaged"):
            vault.unseal(damaged)


def test_a_vault_is_a_whole_tpm(tpm: Swtpm) -> None:
    """The URI of a key is not one of a vault."""
    for place in ("0x81010001", "k.pem", "nv=0x01800010"):
        with pytest.raises(ConfigError):
            open_tpm2_vault(tpm.request(place))
