"""The witness's systemd unit: clean and tight, as the gateway's is; and what docs/witness.md says can be typed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.parts import ROOT
from tests.test_unit import EXPOSURE_MAX, analyze
from tests.whole import cli

UNIT = ROOT / "systemd" / "meter-witness.service"


def test_the_unit_verifies_without_a_word(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing; the program, which is not installed here, is replaced by one that is."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    result = analyze("verify", "--man=no", unit)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_exposure_is_low() -> None:
    """It needs a port and a directory, and nothing else of the machine."""
    result = analyze("security", "--offline=true", UNIT)
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert match, result.stdout + result.stderr
    assert float(match[1]) <= EXPOSURE_MAX


def test_the_actions_of_the_manual_exist() -> None:
    """Each `witness ACTION` in docs/witness.md is one that the command has."""
    known = cli("witness", "--help").stdout
    actions = set(re.findall(r"`?witness (init|add-log|serve|status|[a-z-]+) ", (ROOT / "docs/witness.md").read_text()))
    named = {action for action in actions if f"    {action} " in known}
    assert named >= {"init", "add-log", "status"}
