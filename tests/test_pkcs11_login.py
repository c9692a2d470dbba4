"""The PIN of a token: a wrong one is tried once, and nothing here ever locks a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.keys.pkcs11.store import list_pkcs11_keys, open_pkcs11_key
from gateway.errors import SignerError
from tests.softhsm import PIN, SoftHsm, fault_library, sign

COUNT_LOW, FINAL_TRY, LOCKED = 0x1_0000, 0x2_0000, 0x4_0000


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token whose calls are counted, with a key."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        hsm.module = fault_library()
        hsm.open().close()
        hsm.calls.unlink()
        yield hsm


def test_a_wrong_pin_is_tried_once(hsm: SoftHsm) -> None:
    """The next start does not try it again, nor any other, until a person asks."""
    with pytest.raises(SignerError, match=r"refused the PIN .*CKR_PIN_INCORRECT.*file:/pin.*meter-gateway key show"):
        hsm.open(create=False, pin="9999")
    for pin in ("9999", PIN):
        for _ in range(3):
            with pytest.raises(SignerError, match="was given a wrong PIN; none is tried unattended"):
                hsm.open(create=False, pin=pin)
    assert hsm.count("C_Login") == 1
    hsm.open(create=False, attended=True).close()
    hsm.open(create=False).close()
    assert hsm.count("C_Login") == 3


def test_a_signer_does_not_try_the_refused_pin_again(hsm: SoftHsm) -> None:
    """Even attended, and even at a token that does not tell of wrong PINs: until the source gives another."""
    pins = [PIN]
    key = open_pkcs11_key(hsm.request(secret=lambda _source: pins[-1].encode(), attended=True))
    pins.append("9999")
    hsm.order("C_Sign fail 0xB3")
    with pytest.raises(SignerError, match="C_Sign gave CKR_SESSION_HANDLE_INVALID"):
        sign(key)
    hsm.order("")
    logins = hsm.count("C_Login")
    with pytest.raises(SignerError, match="refused the PIN"):
        sign(key)
    for _ in range(5):
        with pytest.raises(SignerError, match="refused this PIN before"):
            sign(key)
    assert hsm.count("C_Login") == logins + 1
    pins.append(PIN)
    sign(key)
    assert hsm.count("C_Login") == logins + 2
    key.close()


@pytest.mark.parametrize(
    ("flag", "attended", "says"),
    [
        (COUNT_LOW, False, "was given a wrong PIN"),
        (FINAL_TRY, False, "one try left"),
        (FINAL_TRY, True, "one try left"),
        (LOCKED, False, "is locked"),
        (LOCKED, True, "is locked"),
    ],
)
def test_a_token_near_its_lock_is_left_alone(hsm: SoftHsm, flag: int, attended: bool, says: str) -> None:
    """No PIN is tried, not even the right one."""
    hsm.order(f"C_GetTokenInfo flags {flag}")
    with pytest.raises(SignerError, match=says):
        hsm.open(create=False, attended=attended)
    assert hsm.count("C_Login") == 0


@pytest.mark.parametrize(
    ("result", "says"), [(0xA4, "is locked"), (0xA2, "CKR_PIN_LEN_RANGE"), (0x102, "CKR_USER_PIN_NOT_INITIALIZED")]
)
def test_a_refused_login_is_told_as_what_it_is(hsm: SoftHsm, result: int, says: str) -> None:
    """By the name of the result, or in words."""
    hsm.order(f"C_Login fail {result}")
    with pytest.raises(SignerError, match=says):
        hsm.open(create=False)


def test_a_token_that_wants_a_pin_says_where_to_put_it(hsm: SoftHsm) -> None:
    """A URI without pin-source, and an empty secret."""
    with pytest.raises(SignerError, match="add pin-source="):
        hsm.open(create=False, uri=hsm.uri().partition("&")[0])
    with pytest.raises(SignerError, match="file:/pin holds no PIN"):
        hsm.open(create=False, pin="")
    assert hsm.count("C_Login") == 0


def test_no_message_shows_the_pin(hsm: SoftHsm) -> None:
    """Neither the refused one nor any of its causes."""
    with pytest.raises(SignerError) as caught:
        hsm.open(create=False, pin="987654")
    error: BaseException | None = caught.value
    while error is not None:
        assert "987654" not in f"{error!r} {error}"
        error = error.__cause__


def test_a_list_is_asked_for_by_a_person(hsm: SoftHsm) -> None:
    """So it may try the PIN after a wrong one."""
    with pytest.raises(SignerError, match="refused the PIN"):
        hsm.open(create=False, pin="9999")
    with pytest.raises(SignerError, match="none is tried unattended"):
        list_pkcs11_keys(hsm.uri(None), lambda _source: PIN.encode(), attended=False)
    assert len(list_pkcs11_keys(hsm.uri(None), lambda _source: PIN.encode())) == 1
