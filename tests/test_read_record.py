"""``read --record`` and ``read --replay`` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.libmodbus import LibmodbusServer
from tests.parts import ROOT
from tests.test_scan_walk import f32

CONFIG = """
origin: example.org/record
state_dir: state
buses:
  - {{name: lan, tcp: "127.0.0.1:{port}"}}
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: lan, unit: 1}}
  - {{name: other, model: eastron-sdm120, bus: lan, unit: 2}}
  - {{name: shown, model: eastron-sdm630, bus: bench, unit: 1}}
"""


def run(config: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "--config", config, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, Path, str]:
    """A config, a recording of its two meters on the LAN, and what was printed; the server is gone."""
    config, tape = tmp_path / "config.yaml", tmp_path / "lan.mbcap"
    contents = [each for address, value in [(0, 230.2), (70, 50.0)] for each in f32(4, address, value)]
    with LibmodbusServer(contents=contents) as server:
        config.write_text(CONFIG.format(port=server.port))
        done = run(config, "read", "main", "other", "--record", tape, "--json")
    assert done.returncode == 0, done.stderr
    return config, tape, done.stdout


def test_a_replay_prints_what_the_meters_said(recorded: tuple[Path, Path, str]) -> None:
    """The meters are gone; and the recording tests a definition."""
    config, tape, said = recorded
    assert run(config, "read", "main", "other").returncode == 3
    done = run(config, "read", "main", "other", "--replay", tape, "--json")
    assert (done.returncode, done.stdout) == (0, said)
    assert json.loads(said.splitlines()[0])["points"]["voltage_l1"]["value"] == "230.2"
    tested = run(config, "meters", "test", "eastron-sdm120", "--capture", tape, "--unit", 1)
    assert tested.returncode == 0, tested.stdout


def test_a_recording_that_is_cut_edited_or_of_another_config_is_2(recorded: tuple[Path, Path, str]) -> None:
    """Each with what is wrong."""
    config, tape, _ = recorded
    text = tape.read_text()
    lines = text.splitlines(keepends=True)
    for wrong, fault in [
        ("".join(lines[: len(lines) // 2]), "is cut after line"),
        (text.replace("< 00 01", "< 00 02", 1), "was changed since it was made"),
        ("".join(lines[2:-1]), "must be 'mbcap 1"),
    ]:
        tape.write_text(wrong)
        done = run(config, "read", "main", "other", "--replay", tape)
        assert (done.returncode, fault in done.stderr) == (2, True), done.stderr
        tested = run(config, "meters", "test", "eastron-sdm120", "--capture", tape, "--unit", 1)
        assert (tested.returncode, fault in tested.stderr) == (2, True), tested.stderr
    tape.write_text(text)
    done = run(config, "read", "main", "--replay", tape)
    assert done.returncode == 2
    assert "the driver never sent" in done.stderr
    assert run(config, "read", "other", "--replay", tape).returncode == 2


def test_what_cannot_be_recorded_is_2(recorded: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Two buses at once, a file that is there."""
    config, tape, _ = recorded
    done = run(config, "read", "--record", tmp_path / "new.mbcap")
    assert done.returncode == 2
    assert "these meters are on lan, bench; name meters of one" in done.stderr
    assert not (tmp_path / "new.mbcap").exists()
    assert "exists already" in run(config, "read", "main", "--record", tape).stderr


def test_simulated_meters_can_be_recorded_and_replayed(recorded: tuple[Path, Path, str], tmp_path: Path) -> None:
    """To try it out; and a meter that does not answer is recorded as such."""
    config, _, _ = recorded
    tape = tmp_path / "bench.mbcap"
    said = run(config, "read", "shown", "--record", tape, "--json")
    assert said.returncode == 0
    assert run(config, "read", "shown", "--replay", tape, "--json").stdout == said.stdout
    away = tmp_path / "away.mbcap"
    said = run(config, "read", "main", "--record", away, "--json")
    assert said.returncode == 3
    assert away.read_text().splitlines()[-1].startswith("# end 0 ")
    replayed = run(config, "read", "main", "--replay", away, "--json")
    assert replayed.returncode == 3
    assert "the port was lost here" in replayed.stdout
