"""Two keys sign every checkpoint: the log's own, and one in hardware, which also certifies the other at each boot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.app import App
from gateway.clock import SystemClock
from gateway.errors import TamperError
from gateway.log.entry import Kind
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import Certificate, parse_statement, sign_certificate, statement_in
from gateway.log.log import Declared, open_log
from gateway.log.note import open_note, split_note
from gateway.log.signer_state import GuardedSigner
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from gateway.signing import Algorithm
from tests.log_keys import Ed25519Signer, P256Signer
from tests.whole import RunningGateway, cli, events, of_kind, until

CONFIG = """
key: {{uri: file:log.pem{more}}}
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 0.5}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.2}}
channels:
  - {{name: local, directory: channel}}
"""
HARDWARE = ", hardware: file:hardware.pem"
ORIGIN, STORE = "certified.example/log", "TPM of a test"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "near", CONFIG.format(more=HARDWARE)) as running:
        yield running


def vkeys(gateway: RunningGateway) -> list[str]:
    return list(json.loads(gateway.cli("key", "show", "--json").stdout)["vkeys"])


def wait_for(gateway: RunningGateway, certificates: int) -> None:
    until(lambda: len(list(of_kind(gateway.entries(), Kind.KEY))) >= certificates, "a certificate")


def verify(gateway: RunningGateway, *keys: str) -> tuple[int, dict]:
    pins = [part for key in keys for part in ("--vkey", key)]
    done = gateway.cli("log", "verify", "--json", *pins)
    return done.returncode, json.loads(done.stdout)


def test_every_checkpoint_carries_both_lines_and_verifiers_demand_both(gateway: RunningGateway) -> None:
    """Ed25519 first, which every tool speaks; the genesis entry names both; a log with one line alone is refused."""
    gateway.wait_size(12)
    assert gateway.stop() == 0
    own, hardware = (VerifierKey.parse(key) for key in vkeys(gateway))
    assert (own.public_key.algorithm, hardware.public_key.algorithm) == (Algorithm.ED25519, Algorithm.ECDSA_P256)
    view = LogView(gateway.state_dir / "log")
    for note in view.checkpoints():
        assert [line.key_id for line in split_note(note)[1]] == [own.key_id, hardware.key_id]
        assert open_note(note, [own, hardware]) == [own, hardware]
    for keys in ((), (own.text,), (hardware.text,), (own.text, hardware.text)):
        code, told = verify(gateway, *keys)
        assert (code, told["ok"]) == (0, True), told
    channel = str(gateway.state_dir / "channel")
    both = cli(
        "channel",
        "follow",
        channel,
        "--vkey",
        own.text,
        "--vkey",
        hardware.text,
        "--json",
        "--timeout",
        "10",
        "--until-size",
        "8",
    )
    assert both.returncode == 0, both.stdout


def test_each_boot_is_certified_by_the_key_in_hardware(gateway: RunningGateway) -> None:
    """One certificate a run, signed by both keys; key history tells of the newest, and log verify has checked them."""
    wait_for(gateway, 1)
    assert gateway.stop() == 0
    gateway.start()
    wait_for(gateway, 2)
    assert gateway.stop() == 0
    found = list(of_kind(gateway.entries(), Kind.KEY))
    said = [statement_in(entry.body, entry.seq) for entry in found]
    assert all(isinstance(one, Certificate) for one in said)
    assert [one.boot for one in said if isinstance(one, Certificate)] == [0, 1] == [entry.boot for entry in found]
    own, hardware = vkeys(gateway)
    told = json.loads(gateway.cli("key", "history", "--json").stdout)
    assert [(one["key"], one["hardware"], one["boot"]) for one in told["certificates"]] == [(own, hardware, 1)]
    assert told["statements"] == []
    assert verify(gateway, own, hardware)[0] == 0


def test_without_the_hardware_key_nothing_is_signed_and_nothing_is_lost(gateway: RunningGateway) -> None:
    """Pulled out while the gateway is down: readings go on, status says away, and the first checkpoint covers them."""
    gateway.wait_size(6)
    assert gateway.stop() == 0
    path = gateway.state_dir / "hardware.pem"
    aside = path.rename(path.with_suffix(".away"))
    size = LogView(gateway.state_dir / "log").size
    gateway.start()
    gateway.wait_size(size + 5)
    told = json.loads(gateway.cli("status", "--json").stdout)
    assert (told["key"]["state"], told["checkpoint"]["unsigned"] >= 5) == ("away", True)
    assert "hardware.pem" in told["key"]["error"]
    aside.rename(path)
    until(lambda: "key-back" in events(gateway.entries()), "the key is back")
    assert gateway.stop() == 0
    assert [code for code in events(gateway.entries()) if code.startswith("key-")] == ["key-away", "key-back"]
    assert verify(gateway, *vkeys(gateway))[0] == 0


@pytest.mark.parametrize("more", ["", ", hardware: file:another.pem"], ids=["removed", "replaced"])
def test_another_hardware_key_or_none_begins_an_epoch(gateway: RunningGateway, more: str) -> None:
    """A thief of the log's key alone cannot go on with the log; nor can an operator without everybody seeing it."""
    gateway.wait_size(6)
    before = vkeys(gateway)
    assert gateway.stop() == 0
    gateway.write_config(CONFIG.format(more=more))
    if more:
        assert gateway.cli("key", "new", "file:another.pem", "--algorithm", "p256").returncode == 0
    gateway.start()
    gateway.wait_size(4)
    assert gateway.stop() == 0
    view = LogView(gateway.state_dir / "log")
    assert view.origin.endswith("/epoch-2")
    first = view.entry(0)
    assert first is not None
    assert "key.hardware was lost, replaced, added or removed" in first.body[6]
    code, told = verify(gateway, *before)
    assert code == 4, told


def test_a_stolen_log_key_alone_satisfies_no_policy_of_both(gateway: RunningGateway, tmp_path: Path) -> None:
    """The thief goes on with the log and its key on a board of his own, where no key in hardware signs."""
    gateway.wait_size(6)
    own, hardware = vkeys(gateway)
    assert gateway.stop() == 0
    policy = tmp_path / "policy"
    policy.write_text(f"log {own}\nlog {hardware}\nquorum none\n")
    assert gateway.cli("log", "verify", "--policy", str(policy)).returncode == 0
    with closing(App().open_key("file:log.pem", gateway.state_dir)) as stolen:
        guard = GuardedSigner(stolen, tmp_path / "memory", VerifierKey.parse(own).name)
        declared = Declared(origin=guard_origin(gateway), software="thief", commit_ms=1, commit_entries=1, vkeys=())
        log, _ = open_log(gateway.state_dir / "log", declared, SystemClock(), bytes(16))
        with closing(log):
            tree = log.durable_tree()
            log.checkpoint(guard.sign_checkpoint(log.origin, tree.size, tree.root()))
    assert verify(gateway, own)[0] == 0
    for demanded in (["--policy", str(policy)], ["--vkey", own, "--vkey", hardware], []):
        done = gateway.cli("log", "verify", *demanded)
        assert done.returncode == 4, done.stdout + done.stderr


def guard_origin(gateway: RunningGateway) -> str:
    return LogView(gateway.state_dir / "log").origin


def test_a_certificate_is_written_on_request_too(gateway: RunningGateway) -> None:
    """For a log whose gateway is stopped; while it runs, it holds the lock."""
    wait_for(gateway, 1)
    assert gateway.cli("key", "certify").returncode == 3
    assert gateway.stop() == 0
    done = gateway.cli("key", "certify", "--json")
    seq = json.loads(done.stdout)["seq"]
    assert list(of_kind(gateway.entries(), Kind.KEY))[-1].seq == seq
    assert verify(gateway, *vkeys(gateway))[0] == 0


class TestCertificate:
    """The statement alone."""

    own, hardware, stranger = Ed25519Signer(), P256Signer(7), P256Signer(8)

    def named(self) -> KeyHistory:
        keys = [VerifierKey.of(ORIGIN, key.public_key) for key in (self.own, self.hardware)]
        return KeyHistory(ORIGIN, (), keys)

    def note(self, signer: Ed25519Signer | None = None, hardware: P256Signer | None = None) -> bytes:
        own = signer or self.own
        return sign_certificate(ORIGIN, 7, 3, own, hardware or self.hardware, name=ORIGIN, store=STORE)

    def test_it_says_what_was_signed(self) -> None:
        said = parse_statement(self.note())
        assert isinstance(said, Certificate)
        assert (said.size, said.boot, said.reason) == (7, 3, STORE)
        assert self.named().apply(said)

    def test_it_may_stand_behind_the_size_it_names_and_not_before(self) -> None:
        text = self.note().decode()
        assert statement_in(["certificate", text], 9).seq == 9
        assert statement_in(["certificate", text], 7).seq == 7
        with pytest.raises(Exception, match="holds the certificate of entry 7"):
            statement_in(["certificate", text], 6)

    def test_a_stranger_certifies_nothing(self) -> None:
        """A key that the log does not name has no effect, which a check of the whole log takes for tampering."""
        assert not self.named().apply(parse_statement(self.note(hardware=self.stranger)))

    @pytest.mark.parametrize("line", [0, 1])
    def test_both_signatures_are_needed_and_must_be_good(self, line: int) -> None:
        note = self.note()
        text, _, lines = note.rpartition(b"\n\n")
        signatures = lines.splitlines(keepends=True)
        with pytest.raises(TamperError, match="is not signed by"):
            self.named().apply(parse_statement(text + b"\n\n" + signatures[1 - line]))
        changed = text.replace(b"boot 3", b"boot 4") + b"\n\n" + lines
        with pytest.raises(TamperError, match="does not hold"):
            self.named().apply(parse_statement(changed))
