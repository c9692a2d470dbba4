"""Tokens that are slow, lie, die or are swapped: an error, nothing hangs, and it works again when the token does."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from drivers.keys.pkcs11 import held
from gateway.errors import SignerError
from gateway.signing import Algorithm, verify_signature
from tests.softhsm import NOTE, Aside, Served, SoftHsm, client_library, fault_library, served, sign, until

P256 = Algorithm.ECDSA_P256


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token whose faults are ordered."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        hsm.module = fault_library()
        yield hsm


@pytest.fixture
def server(hsm: SoftHsm) -> Iterator[Served]:
    """The same behind p11-kit's server; 0.24 carries no Ed25519, so the keys are P-256."""
    with served(hsm) as server:
        hsm.module = client_library()
        yield server


def test_a_corrupt_signature_does_not_leave(hsm: SoftHsm) -> None:
    """Of both kinds; the key is good again with the token."""
    for name, algorithm in (("ed", Algorithm.ED25519), ("p", P256)):
        key = hsm.open(name, algorithm=algorithm)
        hsm.order("C_Sign corrupt")
        with pytest.raises(SignerError, match="does not verify; the hardware fails"):
            sign(key)
        hsm.order("")
        assert verify_signature(key.public_key, NOTE, sign(key))
        key.close()


@pytest.mark.parametrize("result", [0x5, 0x30, 0x32, 0x60, 0x82, 0x90, 0xB0, 0xB3, 0xE0, 0x101, 0x8000_0001])
def test_a_session_that_failed_is_opened_anew(hsm: SoftHsm, result: int) -> None:
    """The call that failed raises; the next one signs, in a new session, and the old one is closed."""
    key = hsm.open()
    before = hsm.count("C_OpenSession") - hsm.count("C_CloseSession")
    hsm.order(f"C_Sign fail {result}")
    with pytest.raises(SignerError, match="C_Sign gave CKR"):
        sign(key)
    hsm.order("")
    assert verify_signature(key.public_key, NOTE, sign(key))
    assert hsm.count("C_OpenSession") - hsm.count("C_CloseSession") == before == 1
    key.close()


def test_a_slow_token_stalls_nobody_else(hsm: SoftHsm) -> None:
    """The rest of the process runs on while the token works."""
    key = hsm.open()
    hsm.order("C_Sign block")
    slow = Aside(partial(sign, key))
    until(lambda: hsm.count("C_Sign waits") == 1)
    assert slow.is_alive()
    hsm.order("")
    assert slow.outcome() == sign(key)
    key.close()


def test_a_token_that_never_answers_is_told_as_such(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later calls do not pile up behind it; closing does not wait either, and is done when it answers."""
    monkeypatch.setattr(held, "TURN_S_MAX", 0.01)
    key = hsm.open()
    hsm.order("C_Sign block")
    slow = Aside(partial(sign, key))
    until(lambda: hsm.count("C_Sign waits") == 1)
    with pytest.raises(SignerError, match="has not answered the call before"):
        sign(key)
    key.close()
    open_sessions = hsm.count("C_OpenSession") - hsm.count("C_CloseSession")
    hsm.order("")
    slow.outcome()
    assert open_sessions == 1
    assert hsm.count("C_OpenSession") == hsm.count("C_CloseSession")


def test_threads_take_turns(hsm: SoftHsm) -> None:
    """One session does one thing at a time."""
    key = hsm.open()
    gate = threading.Barrier(4)

    def many() -> bool:
        gate.wait()
        return all(verify_signature(key.public_key, NOTE, sign(key)) for _ in range(50))

    assert all(each.outcome() for each in [Aside(many) for _ in range(4)])
    key.close()


def test_a_server_that_dies_in_a_signature_is_an_error_and_comes_back(hsm: SoftHsm, server: Served) -> None:
    """And again: each death costs the call that met it, and those until the server is back."""
    key = hsm.open(algorithm=P256)
    for death in range(1, 4):
        hsm.order("C_Sign block")
        waits = Aside(partial(sign, key))
        until(lambda death=death: hsm.count("C_Sign waits") == death)
        server.kill()
        with pytest.raises(SignerError, match="CKR_DEVICE"):
            waits.outcome()
        for _ in range(3):
            with pytest.raises(SignerError):
                sign(key)
        hsm.order("")
        server.start()
        assert verify_signature(key.public_key, NOTE, sign(key))
    key.close()


def test_a_server_that_dies_between_signatures_is_noticed(hsm: SoftHsm, server: Served) -> None:
    """Restarted before anybody noticed, it costs one signature."""
    key = hsm.open(algorithm=P256)
    server.kill()
    server.start()
    with pytest.raises(SignerError):
        sign(key)
    assert verify_signature(key.public_key, NOTE, sign(key))
    key.close()


def test_a_server_that_dies_in_a_login_is_an_error_and_comes_back(hsm: SoftHsm, server: Served) -> None:
    """When the key is opened."""
    hsm.open(algorithm=P256).close()
    before = hsm.count("C_Login waits")
    hsm.order("C_Login block")
    opening = Aside(partial(hsm.open, create=False))
    until(lambda: hsm.count("C_Login waits") == before + 1)
    server.kill()
    with pytest.raises(SignerError, match=r"no such token|CKR_DEVICE"):
        opening.outcome()
    hsm.order("")
    server.start()
    key = hsm.open(create=False)
    assert verify_signature(key.public_key, NOTE, sign(key))
    key.close()


@pytest.mark.parametrize("form", ["block", "late"])
def test_a_server_that_dies_in_the_making_of_a_key_leaves_one_or_none(hsm: SoftHsm, server: Served, form: str) -> None:
    """Not made, or made without telling: the next try makes it, or finds it, and there is one."""
    hsm.order(f"C_GenerateKeyPair {form}")
    making = Aside(partial(hsm.open, algorithm=P256))
    until(lambda: hsm.count("C_GenerateKeyPair waits") == 1)
    server.kill()
    with pytest.raises(SignerError, match="C_GenerateKeyPair gave CKR_DEVICE"):
        making.outcome()
    hsm.order("")
    server.start()
    key = hsm.open(algorithm=P256)
    assert verify_signature(key.public_key, NOTE, sign(key))
    assert hsm.count("C_GenerateKeyPair") == (2 if form == "block" else 1)
    key.close()


def test_a_swapped_token_is_told_as_such(hsm: SoftHsm, server: Served) -> None:
    """Another token of the same label and PIN, with a key of the same name, signs nothing in its place."""
    key = hsm.open(algorithm=P256)
    server.kill()
    tokens = hsm.folder / "tokens"
    tokens.rename(hsm.folder / "drawer")
    tokens.mkdir()
    hsm.add_token()
    server.start()
    other = hsm.open(algorithm=P256)
    assert other.public_key != key.public_key
    other.close()
    for _ in range(3):
        with pytest.raises(SignerError, match="was swapped for another"):
            sign(key)
    server.kill()
    shutil.rmtree(tokens)
    (hsm.folder / "drawer").rename(tokens)
    server.start()
    assert verify_signature(key.public_key, NOTE, sign(key))
    key.close()


def test_a_key_does_not_take_anothers_session_for_its_own(hsm: SoftHsm, server: Served) -> None:
    """A server that begins anew numbers its sessions anew: the second key's new one has the first one's number."""
    for name in ("first", "second"):
        hsm.open(name, algorithm=P256).close()
    server.kill()
    server.start()
    first, second = (hsm.open(name, create=False) for name in ("first", "second"))
    server.kill()
    server.start()
    with pytest.raises(SignerError, match="CKR_DEVICE"):
        sign(second)
    sign(second)
    for key in (first, second):
        assert verify_signature(key.public_key, NOTE, sign(key))
        key.close()


def test_a_server_without_ed25519_says_so(hsm: SoftHsm, server: Served) -> None:
    """The default is then P-256."""
    with pytest.raises(SignerError, match="makes no ed25519 key; it makes p256, secp256k1"):
        hsm.open(algorithm=Algorithm.ED25519)
    key = hsm.open()
    assert key.public_key.algorithm is P256
    key.close()
