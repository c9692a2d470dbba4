"""``witness``, and ``--policy``, on the command line: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import run
from gateway.log.cosignature import WitnessKey
from gateway.log.proof import write_proof
from gateway.log.scan import load
from gateway.log.tree import HashStore, inclusion_proof, leaf_hash
from gateway.witness.settings import Settings, parse_settings
from tests.log_dir import KEY as LOG_KEY
from tests.log_dir import Station
from tests.log_keys import ORIGIN, log_key
from tests.test_cosignature import KEY, NAME, cosigned
from tests.witness_side import OwnWitness, request_at

VKEY = log_key().text


def _run(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


def _object(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A witness that was made and does not run."""
    assert _run("witness", "init", tmp_path / "w", "--name", NAME) == 0
    capsys.readouterr()
    return tmp_path / "w"


def test_a_witness_is_made_once_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """init prints the verifier key that status prints; a second init is refused, whatever the name."""
    assert _run("witness", "init", tmp_path, "--name", NAME, "--json") == 0
    made = _object(capsys)
    key = WitnessKey.parse(made["vkey"])
    assert (key.name, key.kind) == (NAME, 4)
    assert (tmp_path / "witness-key.pem").stat().st_mode & 0o777 == 0o600
    assert _run("witness", "status", tmp_path, "--json") == 0
    assert _object(capsys)["vkey"] == made["vkey"]
    assert _run("witness", "init", tmp_path, "--name", "another.example") == 2
    assert "for ever" in capsys.readouterr().err


def test_a_key_that_is_there_already_is_not_taken_for_a_witness(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be the key of a log."""
    config = tmp_path / "config.yaml"
    config.write_text(f"origin: {ORIGIN}\nstate_dir: {tmp_path}/state\n")
    assert _run("--config", config, "key", "new", "--json") == 0
    own = _object(capsys)["vkeys"][0]
    device_key = f"file:{tmp_path}/state/device-key.pem"
    assert _run("witness", "init", tmp_path / "w", "--name", NAME, "--key", device_key) == 2
    assert "was made for checkpoint, and is never opened for cosignature" in capsys.readouterr().err
    # Made by an older release, or by openssl, it does not say so, and is refused for being there.
    path = tmp_path / "state/device-key.pem"
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert _run("witness", "init", tmp_path / "w", "--name", NAME, "--key", device_key) == 2
    assert "signs nothing else" in capsys.readouterr().err
    # Smuggled into the file, it is refused as soon as it is to witness its own log.
    (tmp_path / "w").mkdir(exist_ok=True)
    (tmp_path / "w/witness.conf").write_text(f"name {NAME}\nkey {device_key}\n")
    assert _run("witness", "add-log", tmp_path / "w", own) == 2
    assert "cannot be its witness" in capsys.readouterr().err


def test_logs_are_added_and_comments_stay(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second key of a log joins the first; the same again changes nothing."""
    file = directory / "witness.conf"
    file.write_text("# the house\n" + file.read_text())
    for vkeys in ([VKEY], [VKEY], [log_key(9).text], ["--origin", "other.example", VKEY]):
        assert _run("witness", "add-log", directory, *vkeys) == 0
    text = file.read_text()
    assert text.startswith("# the house\n")
    assert parse_settings(text.encode(), "f").logs == {
        ORIGIN: (log_key(), log_key(9)),
        "other.example": (log_key(),),
    }
    assert _run("witness", "status", directory) == 0
    assert f"log       {ORIGIN}: nothing cosigned yet" in capsys.readouterr().out


def test_status_shows_what_was_cosigned_and_evidence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While it serves; exit code 4 once a fork was met; SIGHUP takes new logs."""
    witness = OwnWitness(tmp_path / "w")
    witness.trust(VKEY)
    with witness:
        assert witness.post(request_at(0, 5)).status == 200
        assert _run("witness", "status", witness.directory) == 0
        assert f"log       {ORIGIN}: size 5 at 20" in capsys.readouterr().out
        assert _run("witness", "serve", witness.directory) == 3
        assert "another witness serves" in capsys.readouterr().err
        assert witness.post(request_at(0, 5, origin="more.example")).status == 404
        witness.trust("--origin", "more.example", VKEY)
        witness.reload()
        assert witness.post(request_at(0, 5, origin="more.example")).status == 200
        (witness.directory / "witness.conf").write_text("nonsense\n")
        witness.reload()
        assert witness.post(request_at(5, 9, origin="more.example")).status == 200
        assert witness.stop() == 0


CONF_FAULTS = {
    "no name": ("key file:k.pem\n", "f: no name line"),
    "no key": ("name a\n", "f: no key line"),
    "unknown word": ("name a\nkey file:k\nlogs x\n", "f:3: unknown word 'logs'; known: name, key, listen, tls, log"),
    "twice": ("name a\nname b\n", "f:2: a second name line"),
    "a name with a plus sign": ("name a+b\n", "f:1: name 'a+b'"),
    "an address without a port": ("listen localhost\n", "f:1: found 'localhost'; write HOST:PORT"),
    "a port that does not exist": ("listen a:65536\n", "f:1: found 'a:65536'"),
    "IPv6 without brackets": ("listen ::1:80\n", "f:1: found '::1:80'"),
    "a certificate without a key": ("tls a.pem\n", "f:1: tls takes 2 items, not 1"),
    "a log without a key": (f"log {ORIGIN}\n", "f:1: write log ORIGIN VKEY"),
    "a log with a witness's key": (f"log {ORIGIN} {KEY.text}\n", "f:1: verifier key: signature type 0x04"),
    "a log twice": (f"log {ORIGIN} {VKEY}\nlog {ORIGIN} {VKEY}\n", "f:2: a second line for the log"),
}


@pytest.mark.parametrize("name", CONF_FAULTS)
def test_a_faulty_file_is_told_with_its_line(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit code 2, and no traceback."""
    text, message = CONF_FAULTS[name]
    (tmp_path / "witness.conf").write_text(text)
    assert _run("witness", "status", tmp_path) == 2
    err = capsys.readouterr().err.replace(f"{tmp_path}/witness.conf", "f")
    assert err.startswith(f"meter-gateway: {message}")


def test_the_file_is_read_back_as_it_was_written() -> None:
    """With an IPv6 address, TLS and two logs."""
    settings = Settings(
        name=NAME,
        key_uri="file:k.pem",
        host="::1",
        port=0,
        tls=("a.pem", "a.key"),
        logs={ORIGIN: (log_key(), log_key(9)), "b.example": (log_key(),)},
    )
    assert parse_settings(settings.text.encode(), "f") == settings


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """A log whose newest checkpoint is not cosigned, and the one before is."""
    station = Station(tmp_path / "state")
    station.start()
    station.fill(4)
    station.log.checkpoint(cosigned(station.sign()))
    station.fill(4)
    station.log.close()
    return station


def _policy(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([f"log {LOG_KEY.text}", f"witness w {KEY.text}", *lines, ""]))
    return path


def test_a_whole_log_is_judged_by_a_policy(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How far it was witnessed, and when; a quorum that is not met, or was met too long ago, is exit code 1."""
    command = ["log", "verify", station.state]
    assert _run(*command, "--policy", _policy(tmp_path / "p", "quorum w")) == 0
    out = capsys.readouterr().out
    size = station.log.size
    assert f"witnessed: entries below {size - 20}, last at 2023-11-14T22:13:20.000Z; the last 20 are not" in out
    assert _run(*command, "--policy", _policy(tmp_path / "p", "quorum w", "fresh 3600"), "--json") == 1
    found = _object(capsys)
    assert (found["ok"], found["verdict"]) == (False, "unwitnessed")
    assert found["witnessed"]["witnesses"] == [{"name": "w", "size": size - 20, "time": "2023-11-14T22:13:20.000Z"}]
    other = WitnessKey.of("x.example", 4, bytes(range(32))).text
    both = _policy(tmp_path / "p", f"witness x {other}", "group all-of-them all w x", "quorum all-of-them")
    assert _run(*command, "--policy", both) == 1
    assert "UNWITNESSED: no checkpoint is cosigned by the quorum all-of-them" in capsys.readouterr().out


def test_a_wrong_cosignature_in_a_log_is_tampering(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4, though all of the log's own signatures are good."""
    station = Station(tmp_path / "state")
    station.start()
    station.fill(4)
    first = station.sign()
    station.read_meter(3)
    station.log.commit()
    borrowed = cosigned(first).split(b"\n\n")[1].split(b"\n", 1)[1]
    station.log.checkpoint(station.sign() + borrowed)
    station.log.close()
    assert _run("log", "verify", station.state, "--vkey", LOG_KEY.text) == 0
    assert _run("log", "verify", station.state, "--policy", _policy(tmp_path / "p", "quorum w")) == 4
    assert f"the cosignature of {NAME}" in capsys.readouterr().out


def test_a_proof_is_judged_by_a_policy(station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Proved and witnessed is 0, proved and not witnessed is 1, cosigned wrongly is 4."""
    entries = station.entries()
    size = len(entries) - 20
    (kept,) = [text for path in station.files() for _, text in load(path).notes if NAME.encode() in text]
    hashes = inclusion_proof(HashStore(map(leaf_hash, entries)).node, 3, size)
    files = {"good": kept, "bare": kept[: kept.rindex("—".encode())], "wrong": kept[:-8] + b"AAAAA==\n"}
    for name, text in files.items():
        (tmp_path / name).write_bytes(write_proof(3, entries[3], hashes, text))
    policy = _policy(tmp_path / "p", "quorum w")
    assert _run("verify", tmp_path / "good", "--policy", policy, "--json") == 0
    assert _object(capsys)["witnessed"]["size"] == size
    assert _run("verify", tmp_path / "bare", "--policy", policy) == 1
    assert "not witnessed as the policy demands" in capsys.readouterr().out
    assert _run("verify", tmp_path / "bare", "--policy", policy, "--json") == 1
    assert _object(capsys)["ok"] is False
    assert _run("verify", tmp_path / "wrong", "--policy", policy) == 4
    assert _run("verify", tmp_path / "wrong", "--vkey", LOG_KEY.text) == 0, "to others it is a stranger's line"


def test_a_proof_is_made_under_a_cosigned_checkpoint_where_one_covers_the_entry(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A little older, and worth more; an entry behind it is proved under the newest."""
    config = tmp_path / "config.yaml"
    config.write_text(f"origin: {ORIGIN}\nstate_dir: {station.state}\n")
    for seq, code in ((3, 0), (station.log.size - 3, 1)):
        assert _run("--config", config, "log", "prove", seq, "-o", tmp_path / "proof") == 0
        assert _run("verify", tmp_path / "proof", "--policy", _policy(tmp_path / "p", "quorum w")) == code


def test_a_policy_takes_the_place_of_the_keys(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both at once, none for a proof, a policy of another log, and no policy at all."""
    policy = _policy(tmp_path / "p", "quorum w")
    assert _run("log", "verify", station.state, "--policy", policy, "--vkey", LOG_KEY.text) == 2
    assert "leave out --vkey and --quorum" in capsys.readouterr().err
    assert _run("log", "verify", station.state, "--policy", policy, "--quorum", 1) == 2
    assert _run("verify", tmp_path / "p") == 2
    assert "give --vkey" in capsys.readouterr().err
    assert _run("log", "verify", station.state, "--policy", tmp_path / "nowhere") == 2
    (tmp_path / "other").write_text(f"log {VKEY}\norigin {ORIGIN}/epoch-2\nquorum none\n")
    assert _run("log", "verify", station.state, "--policy", tmp_path / "other") == 4
    assert "the policy is for" in capsys.readouterr().out
