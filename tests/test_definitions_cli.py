"""``meters`` on the command line (gateway/cli/meters.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.modbus.definition import list_definitions
from gateway.cli.main import run

EXTENDING = "id: mine\nextends: eastron-sdm120\npoints:\n  voltage_l1: {doc: tried here}\n"


def test_the_list_has_a_line_for_each_definition(capsys: pytest.CaptureFixture[str]) -> None:
    """Id, maker, number of points, trust and models, under a heading."""
    assert run(["meters"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["MODEL", "MANUFACTURER", "POINTS", "TRUST", "METERS"]
    assert [line.split()[0] for line in lines] == list(list_definitions())


def test_one_definition_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Sources with their trust, limits, and each point with its register and flags."""
    assert run(["meters", "carlo-gavazzi-em340"]) == 0
    out = capsys.readouterr().out
    assert "source    EM300 Series and ET300 Series Communication Protocol, Version 2 Revision 9" in out
    assert "serial    9600 baud, parity none, 1 stop bit(s)" in out
    assert "requests  max_registers 20" in out
    line = next(line for line in out.splitlines() if line.startswith("import_partial"))
    assert "fc4 0x003c i32 cdab scale10 -1" in line
    assert "resettable" in line


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The list as well as a single definition, with the same keys."""
    assert run(["meters", "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [model["id"] for model in listed] == list(list_definitions())
    assert run(["meters", "sunspec-203", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one in listed
    assert one["points"]["import_total"]["register"].startswith("fc3 sunspec 203 + 0x002e acc32")


def test_a_file_of_ones_own_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path shows the definition in it, or its faults with exit code 2."""
    path = tmp_path / "mine.yaml"
    path.write_text(EXTENDING)
    assert run(["meters", str(path)]) == 0
    assert "tried here" in capsys.readouterr().out
    path.write_text(EXTENDING + "modls: [x]\n")
    assert run(["meters", str(path)]) == 2
    assert f"{path}:5:1: modls: unknown key; did you mean models?" in capsys.readouterr().err


def test_an_unknown_model_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The message suggests a name."""
    assert run(["meters", "janitza-umg96"]) == 2
    assert "did you mean janitza-umg96rm?" in capsys.readouterr().err
