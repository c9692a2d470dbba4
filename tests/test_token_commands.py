"""The commands about keys in a token: what they print, with which exit code, and that no fault ends in a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.keys.pkcs11.uri import parse_uri
from tests.softhsm import SoftHsm, fault_library
from tests.whole import RunningGateway, objects

CONFIG = """
key: {{uri: "{uri}"}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1}}
"""
SECRET = "314159"


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoftHsm]:
    """A token named meter."""
    with SoftHsm(tmp_path, monkeypatch) as hsm:
        hsm.add_token()
        yield hsm


@pytest.fixture
def gateway(hsm: SoftHsm, tmp_path: Path) -> Iterator[RunningGateway]:
    """Not started: a config whose key is in the token, where it was made."""
    gateway = RunningGateway(tmp_path / "near", CONFIG.format(uri=hsm.pinned_uri()))
    made = gateway.cli("key", "new")
    assert made.returncode == 0, made.stderr
    yield gateway
    gateway.notify.close()


def test_a_new_key_is_shown_with_what_the_token_says_of_it(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """It cannot leave, and the evidence is what the token answered; the PIN's source is shown, the PIN is not."""
    done = gateway.cli("key", "show", "--json")
    (told,) = objects(done)
    (store,) = told["stores"]
    assert (store["exportable"], store["made_for"], store["algorithm"]) == (False, "checkpoint", "ed25519")
    assert any("CKA_NEVER_EXTRACTABLE true" in sentence for sentence in store["evidence"])
    assert any("CKR_ATTRIBUTE_SENSITIVE" in sentence for sentence in store["evidence"])
    assert told["uri"] == parse_uri(hsm.pinned_uri()).text()
    shown = gateway.cli("key", "show").stdout
    assert "the ed25519 key cannot leave the store" in shown
    assert told["vkeys"][0] in shown


def test_a_key_that_exists_is_never_replaced(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Neither for the same purpose nor for another one; nothing in the token changes."""
    before = hsm.tool("--list-objects").stdout
    again = gateway.cli("key", "new")
    assert (again.returncode, "exists already and is never replaced" in again.stderr) == (2, True)
    other = gateway.cli("key", "new", "--purpose", "transaction")
    assert other.returncode == 2
    assert "exists already, for another purpose, and is never replaced" in other.stderr
    assert "was made for checkpoint" in other.stderr
    assert hsm.tool("--list-objects").stdout == before


def test_a_key_of_another_purpose_is_made_listed_and_shown(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """A transaction key has an account's name, and no verifier key, since it signs no log."""
    uri = hsm.pinned_uri("evm")
    (made,) = objects(gateway.cli("key", "new", uri, "--purpose", "transaction", "--json"))
    assert made["vkeys"] == []
    assert made["did"][1].startswith("did:ethr:ewc:0x")
    (shown,) = objects(gateway.cli("key", "show", uri, "--json"))
    assert (shown["pem"], shown["stores"][0]["made_for"]) == (made["pem"], "transaction")
    listed = objects(gateway.cli("key", "list", hsm.pinned_uri(None), "--json"))
    assert {(one["algorithm"], one["made_for"]) for one in listed} == {
        ("ed25519", "checkpoint"),
        ("secp256k1", "transaction"),
    }
    assert {parse_uri(one["uri"]).object for one in listed} == {"device", "evm"}
    text = gateway.cli("key", "list")
    assert (text.returncode, text.stdout.count("made for")) == (0, 2)


def test_a_key_of_another_purpose_signs_no_log(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Such a config is the operator's mistake, and the gateway does not start with it."""
    uri = hsm.pinned_uri("evm")
    assert gateway.cli("key", "new", uri, "--purpose", "transaction").returncode == 0
    gateway.write_config(CONFIG.format(uri=uri))
    done = gateway.cli("run")
    assert (done.returncode, "was made for transaction" in done.stderr) == (2, True)
    assert not (gateway.state_dir / "log").exists()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            "pkcs11:token=meter;object=device?module-name=yubihsm",
            "yubihsm_pkcs11.so: not found; install yubihsm-pkcs11",
        ),
        ("pkcs11:token=other;object=device?{query}", "no such token in libsofthsm2.so, which has meter"),
        ("pkcs11:token=meter;object=other?{query}", "no such private key in meter"),
        ("pkcs11:token=meter;object=device?module-name=softhsm2", "wants a PIN; add pin-source="),
        (
            "pkcs11:token=meter;object=device?module-name=softhsm2&pin-source=credential:token-pin",
            "secret credential:token-pin: comes from systemd, and $CREDENTIALS_DIRECTORY is not set",
        ),
        (
            "pkcs11:token=meter;object=device?module-name=softhsm2&pin-source=file:absent",
            "No such file or directory; put it there, or correct the source",
        ),
    ],
    ids=["library", "token", "object", "PIN", "credential", "file"],
)
def test_what_is_absent_is_named_with_the_remedy(
    hsm: SoftHsm, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, wrong: str, says: str
) -> None:
    """By key show, and by a first start, which makes no log without a key that it can open or make."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    uri = wrong.format(query=hsm.pinned_uri().partition("?")[2])
    done = gateway.cli("key", "show", uri)
    assert (done.returncode, done.stdout) == (3, "")
    assert says in done.stderr
    if "object=other" not in wrong:
        gateway.write_config(CONFIG.format(uri=uri))
        first = gateway.cli("run")
        assert (first.returncode, says in first.stderr) == (3, True)
        assert not (gateway.state_dir / "log").exists()


def test_a_pin_in_a_uri_is_refused_and_not_shown(gateway: RunningGateway) -> None:
    """On the command line, and in the config, whatever the command."""
    uri = f"pkcs11:token=meter;object=device?pin-value={SECRET}"
    done = [gateway.cli("key", action, uri) for action in ("show", "new", "list")]
    gateway.write_config(CONFIG.format(uri=uri))
    done += [gateway.cli(*arguments) for arguments in (["check"], ["run"], ["key", "show"], ["key", "list"])]
    for one in done:
        assert one.returncode == 2, one
        assert "has a pin-value, but secrets never stand in a URI" in one.stdout + one.stderr
        assert SECRET not in one.stdout + one.stderr
    assert not (gateway.state_dir / "log").exists()


def test_a_wrong_pin_costs_one_try(hsm: SoftHsm, gateway: RunningGateway) -> None:
    """Of key new as well, which looks first whether the key is there; three of them would lock the token."""
    hsm.module = fault_library()
    for action in ("new", "show"):
        logins = hsm.count("C_Login")
        uri = hsm.pinned_uri("other", pin="9999")
        done = gateway.cli("key", action, uri)
        assert (done.returncode, "refused the PIN (CKR_PIN_INCORRECT)" in done.stderr) == (3, True), done.stderr
        assert hsm.count("C_Login") == logins + 1
        hsm.pinned_uri()
        assert gateway.cli("key", "show").returncode == 0
