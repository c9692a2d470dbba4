"""The device key at hand: made once, opened again when it was away, never replaced in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import App
from gateway.errors import SignerError
from gateway.keeper import KeyKeeper
from gateway.log.note import verify_checkpoint
from gateway.log.vkey import VerifierKey
from gateway.signing import Signer

ORIGIN = "example.org/keeper"
ROOT_A, ROOT_B = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def keeper(folder: Path) -> KeyKeeper:
    app = App()

    def open_signer(create: bool) -> Signer:
        return app.open_key("file:device-key.pem", folder, create=create)

    return KeyKeeper("file:device-key.pem", ORIGIN, folder / "signer.state", open_signer)


def first_start(folder: Path) -> KeyKeeper:
    found = keeper(folder)
    found.open(first_start=True)
    return found


def test_the_key_is_made_at_the_first_start_only(folder: Path) -> None:
    """Mode 0600, and the same key at the next start."""
    first = first_start(folder)
    assert (folder / "device-key.pem").stat().st_mode & 0o777 == 0o600
    second = keeper(folder)
    second.open(first_start=False)
    assert second.vkeys() == first.vkeys() != ()


def test_a_missing_key_is_an_alarm_and_not_a_new_key(folder: Path) -> None:
    """Readings go on; when the key is back, it signs without a restart."""
    vkeys = first_start(folder).vkeys()
    hidden = folder / "device-key.pem"
    hidden.rename(folder / "elsewhere")
    away = keeper(folder)
    away.open(first_start=False)
    assert away.vkeys() == ()
    with pytest.raises(SignerError, match="does not exist"):
        away.sign_checkpoint(ORIGIN, 1, ROOT_A)
    assert "does not exist" in away.error
    assert not hidden.exists()
    (folder / "elsewhere").rename(hidden)
    note = away.sign_checkpoint(ORIGIN, 1, ROOT_A)
    assert away.vkeys() == vkeys
    assert away.error == ""
    assert verify_checkpoint(note, origin=ORIGIN, keys=[VerifierKey.parse(vkeys[0])]).size == 1


def test_a_first_start_without_a_usable_key_is_refused(folder: Path) -> None:
    """There is no log yet that readings could go to."""
    (folder / "device-key.pem").write_text("not a key")
    (folder / "device-key.pem").chmod(0o600)
    with pytest.raises(SignerError, match="PEM block"):
        keeper(folder).open(first_start=True)


def test_a_lost_memory_is_learned_from_the_log(folder: Path) -> None:
    """Without its memory the signer still refuses what the log's newest checkpoint contradicts."""
    note = first_start(folder).sign_checkpoint(ORIGIN, 7, ROOT_A)
    (folder / "signer.state").unlink()
    again = keeper(folder)
    again.open(first_start=False)
    assert again.signed_size(ORIGIN) == 0
    again.learn(note)
    assert again.signed_size(ORIGIN) == 7
    for size, root in ((6, ROOT_A), (7, ROOT_B)):
        with pytest.raises(SignerError, match="will not sign"):
            again.sign_checkpoint(ORIGIN, size, root)


def test_all_epochs_are_signed_under_one_name(folder: Path) -> None:
    """One verifier key checks a log and the epochs after it."""
    found = first_start(folder)
    key = VerifierKey.parse(found.vkeys()[0])
    note = found.sign_checkpoint(f"{ORIGIN}/epoch-2", 3, ROOT_B)
    assert key.name == ORIGIN
    assert verify_checkpoint(note, origin=f"{ORIGIN}/epoch-2", keys=[key]).size == 3
