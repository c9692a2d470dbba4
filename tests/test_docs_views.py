"""The commands of docs/views.md, run as written, with the checkers that it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.log_dir import ORIGIN
from tests.parts import ROOT, need_peer
from tests.view_log import some_log, write_keys

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONFIG = f"""
origin: {ORIGIN}
state_dir: state
key: {{uri: "file:device.pem"}}
buses: [{{name: bench, simulator: true}}]
meters: [{{name: main, model: eastron-sdm630, bus: bench, unit: 1, every: 10}}]
channels: []
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: a config, and the state directory of the small log."""
    station = some_log(tmp_path / "state")
    station.log.close()
    write_keys(tmp_path / "state")
    (tmp_path / "state" / "billing.pem").unlink()
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def run(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    checkers = Path(need_peer("ocmf")).parent
    path = f"{Path(sys.executable).parent}:{checkers}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_command_works_as_written(folder: Path) -> None:
    """In order, with the real checkers; and what they accept, they refuse when a digit is changed."""
    blocks = BLOCK.findall((ROOT / "docs" / "views.md").read_text())
    assert len(blocks) == 7
    for script in blocks:
        done = run(script, folder)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    ocmf = next(script for script in blocks if script.startswith("ocmf "))
    (folder / "session.ocmf").write_text((folder / "session.ocmf").read_text().replace("10910.000", "10910.001"))
    assert run(ocmf, folder).returncode == 1
    assert run(blocks[-1].replace("log prove 4", "log prove 5"), folder).returncode == 1
