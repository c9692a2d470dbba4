"""Bad values in configs: each fault has its own sentence at its own place (``tests/data/config_faults.txt``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.config_text import MINIMAL, problems_of
from tests.parts import ROOT


def cases() -> Iterator[tuple[str, str]]:
    """The table's configs with the sign ¦ at the expected place, and their problems."""
    frame = ""
    lines = iter((ROOT / "tests/data/config_faults.txt").read_text().split("\n\n", 1)[1].splitlines())
    for line in lines:
        if line.startswith("frame: "):
            frame = line.removeprefix("frame: ")
        elif line:
            item = frame if "¦" in line else "¦{".join(frame.rsplit("{", 1))
            whole = item.replace("§", line)
            yield whole.replace("⏎", "\n").replace("99999…", "9" * 5000), next(lines).strip()


CASES = list(cases())


@pytest.mark.parametrize(("marked", "message"), CASES, ids=[message[:60] for _, message in CASES])
def test_each_fault_has_its_own_message_at_its_own_place(tmp_path, marked, message):
    """One fault, one problem: the place, the value found, and what is wanted; no message repeats a password."""
    before = marked[: marked.index("¦")]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert problems_of(tmp_path, marked.replace("¦", "")) == [f"{line}:{column}: {message}"]


def test_a_minimal_config_has_no_problems(tmp_path):
    """The frames of the table are good by themselves."""
    assert problems_of(tmp_path, MINIMAL) == []


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path):
    """References and duplicates are checked across sections, and one fault does not hide another."""
    data = ROOT / "tests/data"
    problems = problems_of(tmp_path, (data / "config_many.yaml").read_text())
    assert problems == (data / "config_many.txt").read_text().splitlines()


def test_a_bus_with_another_fault_is_still_known_to_its_meters(tmp_path):
    """A wrong baud rate gives one problem, not one more for each meter on the bus."""
    text = """\
origin: a
buses: [{name: b, serial: /dev/x, baud: 5}]
meters: [{name: m, model: eastron-sdm630, bus: b, unit: 1}]
"""
    assert [problem[:18] for problem in problems_of(tmp_path, text)] == ["2:41: buses[0].bau"]


def test_a_meter_without_any_bus_says_where_to_configure_one(tmp_path):
    """There is nothing to suggest."""
    text = "origin: a\nmeters: [{name: m, model: eastron-sdm630, bus: b, unit: 1}]\n"
    assert problems_of(tmp_path, text) == ["2:48: meters[0].bus: unknown bus 'b'; none is configured under buses"]


def test_hundreds_of_problems_are_cut_off(tmp_path):
    """A hostile file costs no more than a hundred problems, and the last says that there are more."""
    problems = problems_of(tmp_path, "origin: a\nbuses:\n" + "- x\n" * 5000)
    assert len(problems) == 100
    assert problems[-1].endswith("(and more: only the first 100 are shown)")
