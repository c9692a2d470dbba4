"""``bond`` on the command line, and the commands of docs/bond.md as written."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gateway.bond.bundle import readings, write_bundle
from gateway.bond.check import check
from gateway.bond.record import MAX_FILE, as_bytes32
from gateway.bond.store import read_store
from gateway.cli.main import run
from gateway.errors import UnavailableError
from gateway.log.cid import cid_v1_raw
from gateway.log.entry import Kind
from gateway.log.signer_state import GuardedSigner
from gateway.log.view import LogView
from tests.bond_folders import contents, names, produced, written
from tests.bond_log import FIRST, TIMEOUT, BondLog
from tests.log_dir import ORIGIN
from tests.log_keys import Ed25519Signer
from tests.parts import ROOT
from tests.view_log import write_keys

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONFIG = f"""
origin: {ORIGIN}
state_dir: state
key: {{uri: "file:device.pem"}}
buses: [{{name: bench, simulator: true}}]
meters: [{{name: roof, model: eastron-sdm630, bus: bench, unit: 1, every: 10}}]
channels: []
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user stands: a config, a stopped gateway's log, and a folder ``old`` that upstream wrote."""
    log = BondLog(tmp_path / "state")
    for hour in range(6):
        log.grid(hour * 60, (400 + hour, 0))
        log.roof(hour * 60 + 1, (TIMEOUT if hour == 3 else (1_000_000 + hour, -3)))
    # Where the gateway keeps it.
    log.station.signer = GuardedSigner(Ed25519Signer(), tmp_path / "state" / "signer.state", ORIGIN)
    log.station.stop()
    write_keys(tmp_path / "state")
    (tmp_path / "config.yaml").write_text(CONFIG)
    written("old", produced(9), cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bond(*arguments: object) -> int:
    return run(["--config", "config.yaml", "bond", *map(str, arguments)])


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_export_says_where_each_file_comes_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The entry in the log and its leaf hash; and the folder holds."""
    export = ("export", "--meter", "roof", "--point", "export_total", "--carbon", "grid:carbon_intensity")
    assert bond(*export, "new", "--json") == 0
    told = objects(capsys)
    assert [one["file"] for one in told] == names(folder / "new")
    assert [one["seq"] for one in told] == [FIRST + 1 + 2 * hour for hour in range(6)]
    assert [one["is_meter_down"] for one in told] == [hour == 3 for hour in range(6)]
    assert bond("verify", "new", "--anchored", told[4]["hash"], "--json") == 0
    (found,) = objects(capsys)
    assert (found["ok"], found["files"], found["anchored"]["file"]) == (True, 6, told[4]["file"])
    assert found["chains"][0]["hash"] == told[-1]["hash"]
    assert bond(*export, "noon", "--since", told[1]["time"], "--until", told[2]["time"], "--json") == 0
    assert [one["seq"] for one in objects(capsys)] == [told[1]["seq"]]
    assert bond(*export, "other", "--log", "state", "--from", FIRST + 6, "--to", FIRST + 7) == 1
    output = capsys.readouterr()
    assert "left out: 1 readings without a total before the first one" in output.err
    assert "nothing to export" in output.err
    assert not (folder / "other").exists()


def test_the_exit_code_tells_bond_s_faults_from_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 all holds, 1 what bond broke by itself, 4 what it did not; the first broken link is named first."""
    assert bond("verify", "old") == 0
    assert "origin.pkl: 9 links, 0 of them do not hold" in capsys.readouterr().out
    (folder / "old" / "origin.pkl").write_bytes(b"")
    assert bond("verify", "old") == 1
    assert "all links hold, but origin.pkl: cut off" in capsys.readouterr().out
    listed = names(folder / "old")
    path = folder / "old" / listed[3]
    path.write_bytes(path.read_bytes().replace(b"1450", b"1451"))
    assert bond("verify", "old") == 4
    assert f"first broken link: {listed[4]} (link 4): changed" in capsys.readouterr().out
    assert bond("verify", "state") == 2
    assert "no folder of ew-link-bond" in capsys.readouterr().err


def test_a_registry_s_hash_shows_what_the_folder_alone_does_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest file was changed: its chain holds, the hash that was told before does not."""
    newest = folder / "old" / names(folder / "old")[-1]
    told = written("old", [], cwd=folder)["last"]
    assert bond("verify", "old", "--anchored", "0x" + as_bytes32(told).hex()) == 0
    assert f"anchored: {told} is {newest.name} as it was" in capsys.readouterr().out
    newest.write_bytes(newest.read_bytes().replace(b"2200", b"2201"))
    assert bond("verify", "old") == 0
    assert bond("verify", "old", "--anchored", told) == 4
    assert "is no file here" in capsys.readouterr().out
    assert bond("verify", "old", "--anchored", "Qm0") == 2


def test_a_bundle_holds_the_folder_as_it_was(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any tar reads it; the same folder gives the same bytes; its listing names each reading and each fault."""
    assert bond("import", "old", "-o", "old.tar", "--json") == 0
    (found,) = objects(capsys)
    data = (folder / "old.tar").read_bytes()
    assert found["bundle"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert (found["bundle"]["size"], found["bundle"]["cid"]) == (len(data), cid_v1_raw(data))
    shutil.copytree("old", "moved", copy_function=shutil.copy)
    assert bond("import", "moved", "-o", "moved.tar") == 0
    assert (folder / "moved.tar").read_bytes() == data
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall("out", filter="data")
    assert contents(folder / "out" / "bond") == contents(folder / "old")
    lines = [json.loads(line) for line in (folder / "out" / "readings.jsonl").read_text().splitlines()]
    assert [(one["value"], one["unit"], one["fault"]) for one in lines] == [
        (str(1000 + 150 * number), "Wh", None) for number in range(9)
    ]
    assert lines[2]["previous_hash"] == lines[1]["hash"]
    assert lines[0]["local_time"] == "2019-04-11 12:00:00"
    assert hashlib.sha256((folder / "old" / lines[5]["file"]).read_bytes()).hexdigest() == lines[5]["sha256"]


def test_a_broken_folder_is_bundled_with_what_is_wrong(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is left out or repaired; the exit code says so where bond did not do it by itself."""
    listed = names(folder / "old")
    (folder / "old" / listed[3]).unlink()
    (folder / "old" / listed[6]).write_bytes(b"{}")
    assert bond("import", "old", "-o", "old.tar", "--json") == 4
    assert [one["fault"] for one in objects(capsys)[0]["breaks"]] == ["missing", "unreadable", "changed"]
    with tarfile.open("old.tar") as tar:
        lines = [json.loads(line) for line in tar.extractfile("readings.jsonl") or ()]
    assert [(one["position"], one["fault"]) for one in lines if one["fault"]] == [
        (3, "missing"),
        (6, "unreadable"),
        (7, "changed"),
    ]
    assert (lines[3]["hash"], lines[3]["value"], lines[6]["value"]) == (None, None, None)


def test_an_overwritten_record_is_in_no_listing(folder: Path) -> None:
    """Its name is there, and the later record's content is the later record's only."""
    written("double", produced(3, step_ms=400), cwd=folder)
    report = check(read_store(folder / "double"))
    listed = [(one["position"], one["value"], one["hash"] is None, one["fault"]) for one in readings(report)]
    assert listed == [(0, None, True, "overwritten"), (1, None, True, "overwritten"), (2, "1300", False, None)]


def test_a_bundle_is_of_what_was_checked_or_there_is_none(folder: Path) -> None:
    """Bond may still run; and what is too large to be checked is not taken over unseen."""
    report, output = check(read_store(folder / "old")), io.BytesIO()
    path = folder / "old" / names(folder / "old")[4]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UnavailableError, match=f"{path.name} changed while it was read"):
        write_bundle(folder / "old", report, output)
    with path.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    assert bond("import", "old", "-o", "old.tar") == 2
    assert not (folder / "old.tar").exists()


def test_a_bundle_is_noted_in_the_log_by_its_hash(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An event under the log's own signature: from then on the old history cannot be written anew."""
    assert bond("import", "old", "-o", "old.tar", "--note", "--json") == 0
    (found,) = objects(capsys)
    view = LogView(folder / "state" / "log")
    entry = view.entry(found["bundle"]["seq"])
    assert entry is not None
    assert entry.kind is Kind.EVENT
    code, _, subject, text = entry.body
    assert (code, subject) == ("bond_imported", "old.tar")
    assert f"sha256 {found['bundle']['sha256']}, {found['bundle']['size']} bytes, 9 files" in text
    assert text.endswith("all links hold")
    assert run(["--config", "config.yaml", "log", "verify"]) == 0


def test_every_command_of_the_page_works_as_written(folder: Path) -> None:
    """In order, with upstream's folder as the old one."""
    blocks = BLOCK.findall((ROOT / "docs" / "bond.md").read_text())
    assert len(blocks) == 4
    for script in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
