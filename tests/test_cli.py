"""The command line as a user meets it: help, exit codes, clear errors and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import COMMANDS
from tests.log_dir import KEY, Station
from tests.parts import ROOT, free_port
from tests.whole import cli

ACTIONS = [[name] for name in COMMANDS] + [
    ["log", "show"],
    ["log", "verify"],
    ["log", "prove"],
    ["log", "export"],
    ["key", "new"],
    ["key", "show"],
    ["channel", "follow"],
]
CONFIG = """
origin: example.org/cli
state_dir: state
buses:
  - {{name: lan, tcp: "127.0.0.1:{port}"}}
meters:
  - {{name: main, model: eastron-sdm120, bus: lan, unit: 1}}
channels:
  - {{name: local, directory: channel}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(port=free_port()))
    return path


def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, input=stdin, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("action", ACTIONS, ids=" ".join)
def test_every_command_explains_itself(action: list[str]) -> None:
    """--help says what it does and ends with 0."""
    done = run(*action, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: meter-gateway {' '.join(action)}")


def test_the_help_names_every_command() -> None:
    """In the order of use, with the exit codes."""
    text = run("--help").stdout
    assert all(name in text for name in COMMANDS)
    assert "130" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["chek"],
        [],
        ["log"],
        ["log", "prove", "-3"],
        ["log", "verify", "/nonexistent"],
        ["log", "verify", "--vkey", "nonsense", "."],
        ["meters", "eastron-sdm999"],
        ["scan", "--tcp", "127.0.0.1:5020", "--units", "0-300"],
        ["simulate", "eastron-sdm120", "--tcp", "nowhere"],
        ["verify", "/nonexistent", "--vkey", "nonsense"],
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_2_and_said(arguments: list[str]) -> None:
    """The message names what was wrong."""
    done = run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.strip()


def test_a_config_that_is_missing_or_wrong_is_2(tmp_path: Path, config: Path) -> None:
    """For every command that needs one, with the place of the fault."""
    missing = run("--config", tmp_path / "none.yaml", "status")
    assert missing.returncode == 2
    assert "none.yaml" in missing.stderr
    config.write_text(config.read_text().replace("unit:", "unti:"))
    for command in (["run"], ["read"], ["log", "show"], ["check"]):
        wrong = run("--config", config, *command)
        assert wrong.returncode == 2
        assert "did you mean unit?" in wrong.stdout + wrong.stderr


def test_nothing_that_runs_is_3(config: Path) -> None:
    """status without a gateway, read without a meter: unavailable, not wrong."""
    assert run("--config", config, "status").returncode == 3
    done = run("--config", config, "read", "--json")
    assert done.returncode == 3
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["meter"] == "main"
    assert "cannot connect" in found["error"]
    assert run("scan", "--tcp", f"127.0.0.1:{free_port()}", "--units", "1").returncode == 3


def test_read_leaves_nothing_behind(config: Path) -> None:
    """No log, no key, no state directory."""
    run("--config", config, "read")
    assert [path.name for path in config.parent.iterdir()] == ["config.yaml"]


def test_read_names_the_meter_that_was_meant(config: Path) -> None:
    """A name that the config does not have is 2, with a suggestion."""
    done = run("--config", config, "read", "mian")
    assert done.returncode == 2
    assert "did you mean main?" in done.stderr


def test_a_log_that_is_not_there_is_said(config: Path) -> None:
    """The message says what would do."""
    done = run("--config", config, "log", "verify")
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_a_reader_that_goes_away_is_no_fault() -> None:
    """`meters | head -1` ends without a word."""
    script = f"{sys.executable} -m gateway meters | head -n 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("MODEL")


def test_a_second_gateway_on_one_state_directory_is_refused(config: Path) -> None:
    """Two writers on one log would fork it; the second says so and ends with 3."""
    command = [sys.executable, "-m", "gateway", "--config", str(config), "run"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as first:
        try:
            assert first.stderr is not None
            # The first says that its meter is away as soon as it runs.
            assert "meter-offline" in first.stderr.readline()
            second = run("--config", config, "run")
            assert second.returncode == 3
            assert "another gateway runs" in second.stderr
        finally:
            first.terminate()
            first.communicate(timeout=30)
    assert first.returncode == 0


@pytest.mark.parametrize("what", ["missing", "endless"])
def test_a_known_checkpoint_that_cannot_be_read_is_the_callers_mistake(tmp_path: Path, what: str) -> None:
    """It is 2 and accuses nobody; a file without end is read up to what a checkpoint may have."""
    station = Station(tmp_path / "state")
    station.start()
    station.stop()
    known = {"missing": tmp_path / "missing", "endless": Path("/dev/zero")}[what]
    done = cli("log", "verify", str(station.state), "--vkey", KEY.text, "--known", str(known))
    assert done.returncode == 2, done.stdout
    assert "checkpoint" in done.stderr
