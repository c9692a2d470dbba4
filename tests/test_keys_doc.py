"""docs/keys.md: its settings are ones that the gateway and systemd take, and it leaves no key store out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from drivers.keys.pkcs11.modules import MODULES
from gateway.app import App
from gateway.signing import MADE_FOR
from tests.parts import ROOT, need

PAGE = (ROOT / "docs" / "keys.md").read_text()
UNIT = ROOT / "systemd" / "meter-gateway.service"
LINES_MAX = 250
HOUSE = """
origin: meters.example.org/roof-7
state_dir: state
buses: [{name: bench, simulator: true}]
meters: [{name: main, model: eastron-sdm630, bus: bench, unit: 1, every: 10}]
channels: []
"""


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_config_of_the_page_is_one(block: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(HOUSE + block)
    config = App().load(tmp_path / "config.yaml")
    assert Path(config.key.uri).name in block


@pytest.mark.parametrize("block", blocks("ini"))
def test_every_unit_and_drop_in_of_the_page_is_one(block: str, tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say; programs, which are not installed here, are replaced."""
    path = Path(block.splitlines()[0].removeprefix("# "))
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE)
    unit = tmp_path / UNIT.name
    unit.write_text(text)
    if path.suffix == ".conf":
        target = tmp_path / path.parent.name / path.name
        assert target.parent.name == f"{UNIT.name}.d"
        target.parent.mkdir()
    else:
        unit = target = tmp_path / path.name
    target.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", block, flags=re.MULTILINE))
    command = [need("systemd-analyze"), "verify", "--man=no", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_library_and_every_purpose_is_told() -> None:
    """With the variables that a library needs."""
    for name, module in MODULES.items():
        row = next((line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")), None)
        assert row, name
        for variable in re.findall(r"\b[A-Z][A-Z0-9]+_[A-Z0-9_]+\b", module.note):
            assert variable in row
    for purpose in MADE_FOR:
        assert f"`{purpose.value}`" in PAGE


def test_handles_and_indices_are_those_of_the_owner() -> None:
    """0x81008001 and 0x01800010 throughout; 0x81010000 ff. hold endorsement keys."""
    assert set(re.findall(r"tpm2:(0x\w+)", PAGE)) == {"0x81008001"}
    assert set(re.findall(r"nv=(0x\w+)", PAGE)) == {"0x01800010"}


def test_the_page_is_short_and_its_links_lead_somewhere() -> None:
    assert PAGE.count("\n") <= LINES_MAX
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
