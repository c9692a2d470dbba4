"""``verify`` and ``key`` on the command line: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.main import run
from gateway.log import entry
from gateway.log.entry import Kind
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.proof import write_proof
from gateway.log.tiles import write_tiles
from gateway.log.tree import HashStore, inclusion_proof, leaf_hash
from gateway.reading import Moment, PointReading, Reading, Scaled, Status
from tests.log_keys import ORIGIN, Ed25519Signer, log_key, note_of
from tests.metered_log import MAIN

MOMENT = Moment(boottime_ns=5, wall_ms=1_700_000_000_123, quality="S", error_ms=20)
READING = Reading(
    moment=MOMENT,
    points=(
        PointReading(status=Status.OK, raw=bytes.fromhex("43663333"), value=Scaled(mantissa=2302, exponent=-1)),
        PointReading(status=Status.TIMEOUT, raw=b"", value=None),
    ),
)
BODIES = [
    (Kind.GENESIS, [ORIGIN, "test", 10_000, 64, [log_key().text], [], "first start"]),
    (Kind.DEFINITION, entry.definition_body(MAIN)),
    (Kind.READING, entry.reading_body(1, READING)),
]


def _log() -> list[bytes]:
    entries: list[bytes] = []
    for seq, (kind, body) in enumerate(BODIES):
        prev = leaf_hash(entries[-1]) if entries else entry.NO_PREV
        entries.append(entry.encode(kind=kind, seq=seq, prev=prev, boot=1, moment=MOMENT, body=body))
    return entries


@pytest.fixture
def proofs(tmp_path: Path) -> list[Path]:
    """Proof files of a genesis, a definition and a reading."""
    entries = _log()
    store = HashStore(map(leaf_hash, entries))
    note = sign_note(checkpoint_text(ORIGIN, 3, store.root()), ORIGIN, Ed25519Signer())
    paths = [tmp_path / f"{seq}.tlog-proof" for seq in range(3)]
    for seq, path in enumerate(paths):
        path.write_bytes(write_proof(seq, entries[seq], inclusion_proof(store.node, seq, 3), note))
    return paths


def _verify(*arguments: object) -> int:
    return run(["verify", *map(str, arguments)])


def _object(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_a_good_proof_shows_its_entry(proofs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With the definition's proof beside it the points have names and units."""
    assert _verify(proofs[2], "--vkey", log_key().text, "--definition", proofs[1]) == 0
    out = capsys.readouterr().out
    assert f"entry 2 of {ORIGIN}, under its checkpoint of size 3" in out
    assert "voltage 230.2 V" in out
    assert "import_total (timeout: no value: the meter did not answer in time)" in out
    assert "voltage of phase L1, at that moment; OBIS 1-0:32.7.0; raw words 43663333" in out
    assert "Not that it is true" in out


def test_without_the_definition_the_values_are_shown_and_what_is_missing_is_said(
    proofs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The proof alone names no points."""
    assert _verify(proofs[2], "--vkey", log_key().text) == 0
    out = capsys.readouterr().out
    assert "230.2" in out
    assert "log prove 1" in out


def test_the_json_object_has_the_entry_as_log_show_prints_it(
    proofs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """And names the keys that signed."""
    assert _verify(proofs[2], "--vkey", log_key().text, "--definition", proofs[1], "--json") == 0
    found = _object(capsys)
    assert found["ok"] is True
    assert (found["origin"], found["index"], found["size"]) == (ORIGIN, 2, 3)
    assert found["signed_by"] == [log_key().text]
    assert found["format"] == "tlog-proof"
    assert found["entries"] == [found["entry"]]
    assert found["does_not_prove"][0].startswith("Not that it is true")
    assert found["entry"]["time"] == "2023-11-14T22:13:20.123Z"
    assert found["entry"]["points"]["voltage"]["value"] == "230.2"
    assert found["entry"]["points"]["import_total"] == {
        "value": None,
        "unit": "kWh",
        "obis": "1-0:1.8.0",
        "raw": "",
        "status": "timeout",
    }


@pytest.mark.parametrize("json_wanted", [False, True])
def test_a_changed_entry_exits_with_4(
    proofs: list[Path], capsys: pytest.CaptureFixture[str], *, json_wanted: bool
) -> None:
    """Evidence of tampering, and no traceback."""
    lines = proofs[2].read_bytes().split(b"\n")
    lines[1] = proofs[1].read_bytes().split(b"\n")[1]
    proofs[2].write_bytes(b"\n".join(lines))
    assert _verify(proofs[2], "--vkey", log_key().text, *(["--json"] if json_wanted else [])) == 4
    if json_wanted:
        assert _object(capsys) == {
            "ok": False,
            "reason": "entry 2 is not the one in the tree of 3: its proof leads to another root",
            "seq": 2,
        }
    else:
        assert "entry 2" in capsys.readouterr().err


def test_a_proof_by_another_key_exits_with_4(proofs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Under the same name; or with too few of the keys that were asked for."""
    assert _verify(proofs[0], "--vkey", log_key(9).text) == 4
    assert "not signed by" in capsys.readouterr().err
    assert _verify(proofs[0], "--vkey", log_key().text, "--vkey", log_key(9).text) == 4
    assert _verify(proofs[0], "--vkey", log_key().text, "--vkey", log_key(9).text, "--quorum", 1) == 0
    assert _verify(proofs[0], "--vkey", log_key().text, "--origin", "other.example") == 4


def test_an_entry_that_is_not_where_it_says_exits_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A signed tree whose entry 0 calls itself entry 2."""
    wrong = _log()[2]
    note = sign_note(checkpoint_text(ORIGIN, 1, leaf_hash(wrong)), ORIGIN, Ed25519Signer())
    (tmp_path / "p").write_bytes(write_proof(0, wrong, [], note))
    assert _verify(tmp_path / "p", "--vkey", log_key().text) == 4
    assert "says that it is entry 2" in capsys.readouterr().err


def test_what_is_no_proof_exits_with_2(proofs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, a directory, garbage, a proof of bytes that are no entry, a mistyped key, a useless quorum."""
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    (tmp_path / "no entry").write_bytes(write_proof(0, b"entry 0 ", [], note_of(1)))
    key = log_key().text
    for name in ("missing", "", "garbage", "no entry"):
        assert _verify(tmp_path / name, "--vkey", key) == 2
        assert str(capsys.readouterr().err).startswith("meter-gateway: ")
    assert _verify(proofs[0], "--vkey", key[:-1]) == 2
    assert _verify(proofs[0], "--vkey", key, "--quorum", 2) == 2
    assert _verify(proofs[0], "--vkey", key, "--quorum", 0) == 2
    capsys.readouterr()
    assert _verify(tmp_path / "garbage", "--vkey", key, "--json") == 2
    assert _object(capsys)["ok"] is False


def test_a_definition_that_is_another_entry_is_refused(proofs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """The names would be those of something else."""
    key = log_key().text
    assert _verify(proofs[2], "--vkey", key, "--definition", proofs[0]) == 2
    assert "needs entry 1" in capsys.readouterr().err
    assert _verify(proofs[1], "--vkey", key, "--definition", proofs[1]) == 2


def test_an_export_with_any_byte_changed_exits_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every byte of every file: the checkpoint, the tile and the bundle; the whole one is intact."""
    entries = _log()
    note = sign_note(checkpoint_text(ORIGIN, 3, HashStore(map(leaf_hash, entries)).root()), ORIGIN, Ed25519Signer())
    write_tiles(tmp_path, ORIGIN, lambda start: entries[start:], note)
    command = ["log", "verify", str(tmp_path), "--vkey", log_key().text, "--json"]
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        before = path.read_bytes()
        for position in range(len(before)):
            changed = bytearray(before)
            changed[position] ^= 1 << position % 8
            path.write_bytes(changed)
            assert run(command) == 4, (path, position)
            assert _object(capsys)["ok"] is False
        path.write_bytes(before)
    assert run(command) == 0
    assert _object(capsys)["ok"] is True


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose key is not made yet."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"origin: {ORIGIN}\nstate_dir: state\nkey: {{uri: 'file:device-key.pem'}}\n"
        "buses: [{name: bench, simulator: true}]\n"
        "meters: [{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 10}]\n"
        "channels: [{name: local, directory: channel}]\n"
    )
    return path


def test_a_key_is_made_once_and_shown_in_all_forms(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """new, then show prints the same; new again is refused."""
    assert run(["--config", str(config), "key", "new", "--json"]) == 0
    made = _object(capsys)
    assert run(["--config", str(config), "key", "show", "--json"]) == 0
    assert _object(capsys) == made
    assert list(made) == ["uri", "origin", "vkeys", "pem", "did", "accounts", "stores", "attestations", "chain"]
    assert [(one["algorithm"], one["exportable"], one["made_for"]) for one in made["stores"]] == [
        ("ed25519", True, "checkpoint")
    ]
    assert made["origin"] == ORIGIN
    assert VerifierKey.parse(made["vkeys"][0]).name == ORIGIN
    assert made["pem"][0].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert made["did"][0].startswith("did:key:z6Mk")
    assert (config.parent / "state/device-key.pem").stat().st_mode & 0o777 == 0o600
    assert run(["--config", str(config), "key", "new"]) == 2
    assert "never replaced" in capsys.readouterr().err
    assert run(["--config", str(config), "key", "show"]) == 0
    assert made["vkeys"][0] in capsys.readouterr().out


def test_a_missing_key_is_said_so_with_the_remedy(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3: the key store does not have it."""
    assert run(["--config", str(config), "key", "show"]) == 3
    assert "make it with key new" in capsys.readouterr().err


def test_a_key_can_be_made_elsewhere_and_in_no_unknown_store(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A URI on the command line; an unknown store lists the known ones; a file that is no key is not replaced."""
    assert run(["--config", str(config), "key", "new", f"file:{config.parent}/other.pem"]) == 0
    assert (config.parent / "other.pem").is_file()
    assert run(["--config", str(config), "key", "new", "cloud:key"]) == 2
    (config.parent / "garbage.pem").write_bytes(b"garbage")
    capsys.readouterr()
    assert run(["--config", str(config), "key", "new", f"file:{config.parent}/garbage.pem"]) == 3
    assert "garbage.pem" in capsys.readouterr().err
    assert (config.parent / "garbage.pem").read_bytes() == b"garbage"
