"""The life of a whole gateway's key: rotated, lost, brought back, and what a verifier with the old key sees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.log.note import open_note, split_note
from gateway.log.scan import load, segment_name
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from tests.parts import ROOT
from tests.whole import Lines, RunningGateway, cli, events, of_kind

CONFIG = """
key: {{{key}}}
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.2}}
channels:
  - {{name: local, directory: channel}}
"""
FIRST, SECOND = "uri: file:first.pem", "uri: file:second.pem, previous: file:first.pem"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "near", CONFIG.format(key=FIRST)) as running:
        yield running


def vkey(gateway: RunningGateway) -> str:
    told = json.loads(gateway.cli("key", "show", "--json").stdout)
    return str(told["vkeys"][0])


def restart(gateway: RunningGateway, key: str) -> None:
    """A clean stop, another key in the config, and a start that reads a few meters."""
    if gateway.runs:
        assert gateway.stop() == 0
    gateway.write_config(CONFIG.format(key=key))
    gateway.start()
    gateway.wait_size(LogView(gateway.state_dir / "log").size + 3)


def newest(gateway: RunningGateway) -> bytes:
    note = LogView(gateway.state_dir / "log").newest_checkpoint
    assert note is not None
    return note


def verdict(gateway: RunningGateway, *arguments: str) -> dict:
    done = gateway.cli("log", "verify", "--json", *arguments)
    return {"code": done.returncode, **json.loads(done.stdout)}


def follow(gateway: RunningGateway, key: str, size: int, *more: str) -> dict:
    """What a follower with that key says last of the directory channel."""
    channel = str(gateway.state_dir / "channel")
    done = cli(
        "channel", "follow", channel, "--vkey", key, "--json", "--until-size", str(size), "--timeout", "30", *more
    )
    last = json.loads(done.stdout.splitlines()[-1])
    return {"code": done.returncode, "said": done.stdout, **last}


def test_a_key_is_rotated_by_a_restart_and_old_verifiers_follow(gateway: RunningGateway, tmp_path: Path) -> None:
    """The rotation is one entry, the next checkpoint carries both keys, and each of the two keys verifies the whole."""
    old, store = vkey(gateway), tmp_path / "far"
    gateway.wait_size(8)
    assert follow(gateway, old, 3, "--store", str(store))["code"] == 0
    restart(gateway, SECOND)
    new = vkey(gateway)
    assert gateway.status()["key"]["vkeys"] == [new] != [old]
    (entry,) = of_kind(gateway.entries(), Kind.KEY)
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > entry.seq, "a checkpoint behind the rotation")
    assert gateway.stop() == 0
    note = newest(gateway)
    assert open_note(note, [VerifierKey.parse(new)])
    size = int(note.split(b"\n")[1])
    for keys in ([], ["--vkey", old], ["--vkey", new], ["--vkey", old, "--vkey", new]):
        found = verdict(gateway, str(gateway.state_dir), *keys)
        assert (found["code"], found["verdict"]) == (0, "intact"), found
    for resumed in (["--store", str(store)], []):
        found = follow(gateway, old, size, *resumed)
        assert (found["code"], found["findings"], found["verified"]) == (0, 0, size), found
    assert cli("log", "verify", str(store), "--vkey", old).returncode == 0


def test_a_follower_lives_through_a_rotation(gateway: RunningGateway) -> None:
    """One process with the old key alone, before, during and after it: it verifies on, and finds nothing wrong."""
    command = ["channel", "follow", str(gateway.state_dir / "channel"), "--vkey", vkey(gateway)]
    command += ["--json", "--until-size", "40", "--timeout", "60"]
    far = subprocess.Popen(
        [sys.executable, "-m", "gateway", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert far.stdout is not None
    said = Lines(far.stdout)
    said.wait(lambda line: json.loads(line)["verified"] > 2)
    restart(gateway, SECOND)
    assert far.wait(60) == 0
    *_, last = map(json.loads, said.end())
    assert (last["findings"], last["verified"] >= 40) == (0, True)
    (entry,) = of_kind(gateway.entries(), Kind.KEY)
    assert entry.seq < 40


def test_the_first_checkpoint_after_a_rotation_carries_both_keys(gateway: RunningGateway) -> None:
    """One line of each; then previous is not needed any more, which check says, nor is its file."""
    first = VerifierKey.parse(vkey(gateway))
    restart(gateway, SECOND)
    assert gateway.stop() == 0
    (entry,) = of_kind(gateway.entries(), Kind.KEY)
    notes = [note for _, note in load(gateway.state_dir / "log" / segment_name(0)).notes]
    behind = [note for note in notes if int(note.split(b"\n")[1]) > entry.seq]
    assert [len(split_note(note)[1]) for note in behind[:2]] == [2, 1]
    assert open_note(behind[0], [first]) == [first]
    checked = gateway.cli("check")
    assert checked.returncode == 0
    assert "key.previous: warning: is not needed any more" in checked.stdout
    assert "not needed" in json.loads(gateway.cli("check", "--json").stdout)["warnings"][0]["message"]
    (gateway.state_dir / "first.pem").unlink()
    restart(gateway, "uri: file:second.pem")
    assert gateway.stop() == 0
    assert verdict(gateway)["ok"]
    assert "not needed" not in gateway.cli("check").stdout


def test_a_verifier_with_the_old_key_takes_a_proof_by_its_successor(gateway: RunningGateway, tmp_path: Path) -> None:
    """With the statements that key history prints; without them, or with others, it is refused."""
    old = vkey(gateway)
    restart(gateway, SECOND)
    new = vkey(gateway)
    assert gateway.stop() == 0
    proof, statements = tmp_path / "entry.proof", tmp_path / "statements"
    assert gateway.cli("log", "prove", "2", "-o", str(proof)).returncode == 0
    statements.write_text(gateway.cli("key", "history", "--statements").stdout)
    assert cli("verify", str(proof), "--vkey", old).returncode == 4
    done = cli("verify", str(proof), "--vkey", old, "--rotation", str(statements), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["signed_by"] == [new]
    statements.write_text(statements.read_text().replace("as configured", "as demanded"))
    assert cli("verify", str(proof), "--vkey", old, "--rotation", str(statements)).returncode == 4
    assert cli("verify", str(proof), "--vkey", old, "--rotation", str(proof)).returncode == 2


def test_a_key_that_was_followed_is_revoked(gateway: RunningGateway, tmp_path: Path) -> None:
    """The log says so in an entry; a proof under that key's last checkpoints is refused by whoever knows of it."""
    old = vkey(gateway)
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > 3, "a checkpoint by the first key")
    assert gateway.cli("key", "revoke", old, "--reason", "stolen").returncode == 3
    assert gateway.stop() == 0
    early = tmp_path / "early.proof"
    assert gateway.cli("log", "prove", "2", "-o", str(early)).returncode == 0
    assert gateway.cli("key", "revoke", old, "--reason", "stolen").returncode == 2
    restart(gateway, SECOND)
    assert gateway.stop() == 0
    assert gateway.cli("key", "revoke", "nonsense", "--reason", "stolen").returncode == 2
    assert gateway.cli("key", "revoke", vkey(gateway), "--reason", "stolen").returncode == 2
    done = gateway.cli("key", "revoke", old, "--reason", "its card was copied", "--after-size", "1", "--json")
    assert done.returncode == 0, done.stderr
    seq = json.loads(done.stdout)["seq"]
    told = json.loads(gateway.cli("key", "history", "--json").stdout)
    first, second = told["keys"]
    assert (first["vkey"], first["from_size"], first["revoked"]["seq"]) == (old, 0, seq)
    assert (second["from_size"], second["to_size"], second["revoked"]) == (first["to_size"] + 1, None, None)
    assert [said["action"] for said in told["statements"]] == ["rotation", "revocation"]
    assert "REVOKED above size 1" in gateway.cli("key", "history").stdout
    statements = tmp_path / "statements"
    statements.write_text(gateway.cli("key", "history", "--statements").stdout)
    assert cli("verify", str(early), "--vkey", old).returncode == 0
    refused = cli("verify", str(early), "--vkey", old, "--rotation", str(statements))
    assert refused.returncode == 4
    assert "its card was copied" in refused.stderr
    assert verdict(gateway)["ok"]
    gateway.start()
    assert gateway.stop() == 0
    for key in (old, vkey(gateway)):
        assert verdict(gateway, str(gateway.state_dir), "--vkey", key)["ok"]
    assert "rotation: " in gateway.cli("log", "show").stdout


def test_a_strangers_key_closes_the_log(gateway: RunningGateway) -> None:
    """Nobody vouches for it: an epoch begins, an alarm says why, and the closed log stands under the old key."""
    old = vkey(gateway)
    gateway.wait_size(5)
    assert gateway.cli("key", "new", "file:other.pem").returncode == 0
    restart(gateway, "uri: file:other.pem")
    assert gateway.status()["origin"] == "example.org/tested/epoch-2"
    assert gateway.stop() == 0
    genesis = gateway.entries()[0]
    assert genesis.body[5][0] == "example.org/tested"
    assert "lost or replaced" in genesis.body[6]
    assert "log-closed" in events(gateway.entries())
    closed = verdict(gateway, str(gateway.state_dir / "closed" / "epoch-1"), "--vkey", old)
    assert (closed["code"], closed["verdict"]) == (0, "intact")


def test_a_wrong_previous_closes_nothing(gateway: RunningGateway) -> None:
    """It is a mistake in the config: readings go on unsigned, an alarm says what to correct, and then all is well."""
    gateway.wait_size(5)
    for name in ("second", "third"):
        assert gateway.cli("key", "new", f"file:{name}.pem").returncode == 0
    restart(gateway, "uri: file:second.pem, previous: file:third.pem")
    told = gateway.status()
    assert told["origin"] == "example.org/tested"
    assert "neither key.uri nor key.previous" in told["key"]["error"]
    assert "key-barred" in events(gateway.entries())
    restart(gateway, SECOND)
    gateway.wait_status(lambda told: not told["key"]["error"], "the rotation")
    assert gateway.stop() == 0
    assert len(list(of_kind(gateway.entries(), Kind.KEY))) == 1
    assert verdict(gateway)["ok"]


def test_the_key_before_cannot_be_taken_up_again(gateway: RunningGateway) -> None:
    """A config that went back to it by mistake is an alarm; nothing is signed by a key whose time is over."""
    old = vkey(gateway)
    restart(gateway, SECOND)
    restart(gateway, FIRST)
    assert "followed by another key" in gateway.status()["key"]["error"]
    assert gateway.status()["origin"] == "example.org/tested"
    restart(gateway, SECOND)
    assert gateway.stop() == 0
    assert verdict(gateway, str(gateway.state_dir), "--vkey", old)["ok"]


def test_a_reload_does_not_change_the_key(gateway: RunningGateway) -> None:
    """SIGHUP with another key is refused, and says that a restart is needed."""
    before = vkey(gateway)
    gateway.write_config(CONFIG.format(key=SECOND))
    gateway.reload()
    gateway.wait_status(lambda told: told["log"]["durable_size"] > 0, "it runs on")
    assert gateway.status()["key"]["vkeys"] == [before]
    assert gateway.stop() == 0
    (refused,) = [entry.body for entry in of_kind(gateway.entries(), Kind.EVENT) if entry.body[0] == "config-refused"]
    assert "restart" in refused[3]


def test_a_lost_key_is_an_alarm_until_the_operator_makes_a_new_one(gateway: RunningGateway) -> None:
    """Readings go on without it; key new and a restart begin an epoch, whose name and first entry say so."""
    old = vkey(gateway)
    gateway.wait_size(5)
    assert gateway.stop() == 0
    (gateway.state_dir / "first.pem").unlink()
    restart(gateway, FIRST)
    told = gateway.wait_status(lambda told: told["key"]["error"], "the key is missing")
    assert "does not exist" in told["key"]["error"]
    assert told["origin"] == "example.org/tested"
    assert gateway.stop() == 0
    made = gateway.cli("key", "new")
    assert made.returncode == 0
    assert "epoch" in made.stderr
    restart(gateway, FIRST)
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > 0, "a checkpoint by the new key")
    told = gateway.status()
    assert told["origin"] == "example.org/tested/epoch-2"
    assert gateway.stop() == 0
    assert "log-closed" in events(gateway.entries())
    assert "lost or replaced" in gateway.entries()[0].body[6]
    closed = verdict(gateway, str(gateway.state_dir / "closed" / "epoch-1"), "--vkey", old)
    assert (closed["code"], closed["verdict"]) == (0, "intact")
    assert verdict(gateway)["ok"]
    found = verdict(gateway, str(gateway.state_dir), "--vkey", old)
    assert (found["code"], found["verdict"]) == (4, "tampered")
    assert "pin the new key" in found["reason"]
