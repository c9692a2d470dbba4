"""The command ``check``: its lines, its JSON, and its exit codes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from gateway.cli import check
from gateway.errors import ConfigError
from tests.config_text import EXAMPLE, SmallCatalogue


def run(*words: str | Path) -> int:
    """The exit code of ``check`` with these words on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    check.add_parser(parser.add_subparsers())
    return check.run(parser.parse_args(list(map(str, words))), SmallCatalogue())


def test_the_example_is_good(capsys):
    """One line says how much is configured."""
    assert run("--config", EXAMPLE, "check") == 0
    assert capsys.readouterr().out == f"{EXAMPLE}: good: 3 meters on 1 bus, 1 channel\n"


def test_problems_are_lines_and_the_exit_code_is_2(tmp_path, capsys):
    """Editors can jump to FILE:LINE:COL; files are looked at, too; warnings are marked as such."""
    file = tmp_path / "c.yaml"
    file.write_text("origin: a+\nchannels: [{name: c, mqtt: mqtts://b, topic: t, tls: {ca: /none}}]\n")
    assert run("--config", file, "check") == 2
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{file}:1:9: origin: found a+; wanted ")
    assert second == f"{file}:2:59: channels[0].tls.ca: /none does not exist; put the file there or correct the path"
    assert third.startswith(f"{file}:1:1: meters: warning: no meter is configured")


def test_warnings_do_not_make_a_config_bad(tmp_path, capsys):
    """The exit code is 0, and the warning is on the screen before the verdict."""
    file = tmp_path / "c.yaml"
    file.write_text("origin: a\n")
    assert run("--config", file, "check") == 0
    warning, good = capsys.readouterr().out.splitlines()
    assert ": warning: " in warning
    assert good == f"{file}: good: 0 meters on 0 buses, 0 channels"


def test_json_is_one_object(tmp_path, capsys):
    """For programs: ok, problems and warnings, each with line, column, path and message."""
    file = tmp_path / "c.yaml"
    file.write_text("origin: a\nzzz: 1\nmeters: []\n")
    assert run("--config", file, "check", "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["file"]) == (False, str(file))
    (problem,) = answer["problems"]
    assert problem == {"line": 2, "column": 1, "path": "zzz", "message": problem["message"]}
    assert [warning["path"] for warning in answer["warnings"]] == ["meters"]
    assert run("--config", EXAMPLE, "check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "file": str(EXAMPLE), "problems": [], "warnings": []}


def test_a_missing_config_is_an_error_in_words_and_in_json(tmp_path, capsys):
    """Without --json the error goes the way of all errors; with it, it is still one object."""
    with pytest.raises(ConfigError, match="no such file"):
        run("--config", tmp_path / "none", "check")
    assert run("--config", tmp_path / "none", "check", "--json") == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (None, None, "")
