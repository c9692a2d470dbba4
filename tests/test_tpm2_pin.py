"""Auth values of ``tpm2:`` keys: a wrong one is tried once, so that nobody is locked out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.keys.checked import CheckedKey
from drivers.keys.tpm2.key import open_tpm2_key
from gateway.durable import create_exclusively
from gateway.errors import SignerError
from gateway.signing import Purpose
from tests.messages import MESSAGES
from tests.swtpm import Swtpm, running_swtpm

TEXT = MESSAGES[Purpose.CHECKPOINT]
SOURCE = "&auth-source=credential:pin"
PLACES = ("0x81010001", "guarded.tss2.pem")


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path) as tpm:
        yield tpm


class Secret:
    """A source whose value can be changed."""

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __call__(self, source: str) -> bytes:
        assert source == "credential:pin"
        return self.value


def key(tpm: Swtpm, place: str, secret: Secret, **wanted: object) -> CheckedKey:
    return open_tpm2_key(tpm.request(place, more=SOURCE, secret=secret, **wanted), create_exclusively)


def counted(tpm: Swtpm) -> int:
    """How many wrong auth values the TPM has counted."""
    found = re.search(r"LOCKOUT_COUNTER: 0x([0-9A-F]+)", tpm.tool("tpm2_getcap", "properties-variable"))
    assert found
    return int(found[1], 16)


@pytest.mark.parametrize("place", PLACES)
def test_the_right_value_signs(tpm: Swtpm, place: str) -> None:
    """A key that is made with an auth value wants it."""
    signer = key(tpm, place, Secret(b"1234"), create=True)
    assert signer.sign(Purpose.CHECKPOINT, TEXT)
    assert signer.attest(b"challenge") is not None
    assert counted(tpm) == 0
    assert b"1234" not in repr(signer.facts()).encode()


@pytest.mark.parametrize("place", PLACES)
def test_a_refused_value_is_not_tried_again(tpm: Swtpm, place: str) -> None:
    """However often a signature is asked for; until the source gives another value and a person asks."""
    key(tpm, place, Secret(b"1234"), create=True)
    secret = Secret(b"9999")
    signer = key(tpm, place, secret, attended=True)
    for _ in range(10):
        with pytest.raises(SignerError, match=r"refuse"):
            signer.sign(Purpose.CHECKPOINT, TEXT)
    assert counted(tpm) == 1
    secret.value = b"1234"
    assert signer.sign(Purpose.CHECKPOINT, TEXT)
    assert counted(tpm) == 1


@pytest.mark.parametrize("place", PLACES)
def test_while_nobody_is_there_no_value_is_tried_after_a_wrong_one(tpm: Swtpm, place: str) -> None:
    """A gateway that is restarted again and again with a wrong value locks nothing."""
    key(tpm, place, Secret(b"1234"), create=True)
    for _ in range(5):
        with pytest.raises(SignerError, match=r"TPM_RC_AUTH_FAIL|has counted 1 wrong"):
            key(tpm, place, Secret(b"9999")).sign(Purpose.CHECKPOINT, TEXT)
    assert counted(tpm) == 1
    with pytest.raises(SignerError, match="has counted 1 wrong"):
        key(tpm, place, Secret(b"1234")).sign(Purpose.CHECKPOINT, TEXT)
    assert key(tpm, place, Secret(b"1234"), attended=True).sign(Purpose.CHECKPOINT, TEXT)


def test_a_value_that_was_accepted_is_used_on(tpm: Swtpm) -> None:
    """What others mistype does not stop a gateway that runs."""
    signer = key(tpm, PLACES[0], Secret(b"1234"), create=True)
    signer.sign(Purpose.CHECKPOINT, TEXT)
    with pytest.raises(SignerError):
        key(tpm, PLACES[0], Secret(b"9999"), attended=True).sign(Purpose.CHECKPOINT, TEXT)
    assert signer.sign(Purpose.CHECKPOINT, TEXT)


def test_a_missing_source_is_a_wrong_value_too(tpm: Swtpm) -> None:
    """The empty value is counted by the TPM like any other."""
    key(tpm, PLACES[0], Secret(b"1234"), create=True)
    signer = open_tpm2_key(tpm.request(PLACES[0]), create_exclusively)
    for _ in range(3):
        with pytest.raises(SignerError, match=r"AUTH_FAIL|auth-source, which is missing"):
            signer.sign(Purpose.CHECKPOINT, TEXT)
    assert counted(tpm) == 1


def test_a_key_without_auth_value_signs_in_a_lock_out(tpm: Swtpm) -> None:
    """Wrong values for other keys, up to the lock-out, do not concern it."""
    free = open_tpm2_key(tpm.request("0x81010002", create=True), create_exclusively)
    key(tpm, PLACES[0], Secret(b"1234"), create=True)
    tpm.tool("tpm2_dictionarylockout", "-s", "-n", "1", "-t", "1000", "-l", "1000")
    with pytest.raises(SignerError, match="AUTH_FAIL"):
        key(tpm, PLACES[0], Secret(b"9999"), attended=True).sign(Purpose.CHECKPOINT, TEXT)
    with pytest.raises(SignerError, match=r"0x921.*locked out"):
        key(tpm, PLACES[0], Secret(b"1234"), attended=True).sign(Purpose.CHECKPOINT, TEXT)
    assert free.sign(Purpose.CHECKPOINT, TEXT)


def test_an_owner_with_an_auth_value_makes_keys_with_it_only(tpm: Swtpm) -> None:
    """owner-auth-source is asked for where the owner is needed: for making keys, and for keys in files."""
    tpm.tool("tpm2_changeauth", "-c", "o", "owner-secret")
    with pytest.raises(SignerError, match="TPM_RC_BAD_AUTH"):
        open_tpm2_key(tpm.request("0x81010001", create=True), create_exclusively)
    more = "&owner-auth-source=credential:pin"
    for place in PLACES:
        wanted = tpm.request(place, more=more, create=True, secret=Secret(b"owner-secret"))
        assert open_tpm2_key(wanted, create_exclusively).sign(Purpose.CHECKPOINT, TEXT)


def test_a_value_that_no_tpm_takes_is_refused_before(tpm: Swtpm) -> None:
    """At most 32 bytes."""
    with pytest.raises(SignerError, match="at most 32"):
        key(tpm, PLACES[0], Secret(bytes(33)), create=True)
