"""docs/security.md: every attack has a test that is there, or the plain words that nobody can see it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.parts import ROOT

PAGE = ROOT / "docs" / "security.md"
HEAD = ["attack", "what happens", "who sees it, when", "shown by"]
UNSEEN = "not detectable"
NAMED = re.compile(r"\[(test_\w+)\]\(([^)#]+)\)")
LINK = re.compile(r"\]\(([^)#:]+)\)")
#: What would never be a test that pytest collects under its own name.
HIDDEN = ("skip", "skipif", "xfail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack."""

    attack: str
    happens: str
    seen: str
    shown: str

    def tests(self) -> list[tuple[str, str]]:
        """(file relative to the page, function) of each test named."""
        return [(path, name) for name, path in NAMED.findall(self.shown)]


def rows(text: str) -> Iterator[Row]:
    """The rows of all tables of attacks. Raises AssertionError for a table of another form."""
    in_table = False
    for line in text.splitlines():
        if not line.startswith("|"):
            in_table = False
            continue
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        assert len(cells) == len(HEAD), line
        if not in_table:
            assert cells == HEAD, line
            in_table = True
        elif set("".join(cells)) - {"-"}:
            yield Row(attack=cells[0], happens=cells[1], seen=cells[2], shown=cells[3])


@cache
def collected(path: Path) -> frozenset[str]:
    """The test functions that pytest finds in a file: those at its top level that nothing switches off."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [ast.unparse(mark).split("(")[0].rpartition(".")[2] for mark in node.decorator_list]
            if not set(marks) & set(HIDDEN):
                found.add(node.name)
    return frozenset(found)


def faults(text: str, page: Path = PAGE) -> list[str]:
    """What is wrong with the page, in words."""
    found = []
    for row in rows(text):
        if not (row.attack and row.happens and row.seen):
            found.append(f"{row.attack}: a cell is empty")
        if not row.tests() and UNSEEN not in row.seen:
            found.append(f"{row.attack}: neither a test nor the words {UNSEEN!r}")
        if NAMED.sub("", row.shown).strip(" ,"):
            found.append(f"{row.attack}: {NAMED.sub('', row.shown).strip(' ,')!r} is no link to a test")
        for name, function in row.tests():
            path = (page.parent / name).resolve()
            if path.parent != ROOT / "tests" or not path.name.startswith("test_") or not path.is_file():
                found.append(f"{row.attack}: there is no file {name}")
            elif function not in collected(path):
                found.append(f"{row.attack}: {name} has no {function}")
        if len(set(row.tests())) != len(row.tests()):
            found.append(f"{row.attack}: a test is named twice")
    return found


def test_every_attack_is_shown_by_a_test_or_called_not_detectable() -> None:
    """And no attack is listed twice."""
    text = PAGE.read_text()
    attacks = [row.attack for row in rows(text)]
    assert faults(text) == []
    assert len(attacks) > 50
    assert len(set(attacks)) == len(attacks)


#: A page of one row, and what must be said of it.
WRONG = {
    "| a | b | the verifier | |": "neither a test nor",
    "| a | b | | [test_every_link_of_the_page_leads_somewhere](../tests/test_security_doc.py) |": "a cell is empty",
    "| a | b | c | [test_that_nobody_wrote](../tests/test_security_doc.py) |": "has no test_that_nobody_wrote",
    "| a | b | c | [test_rows](../tests/test_nowhere.py) |": "no file ../tests/test_nowhere.py",
    "| a | b | c | [test_rows](../gateway/app.py) |": "no file ../gateway/app.py",
    "| a | b | not detectable | test_rows |": "is no link to a test",
}


@pytest.mark.parametrize("row", WRONG)
def test_a_row_that_promises_more_than_is_there_is_refused(row: str) -> None:
    """The check that the page passes is one that it could fail."""
    head = f"| {' | '.join(HEAD)} |\n| --- | --- | --- | --- |\n"
    (fault, *_) = faults(head + row)
    assert WRONG[row] in fault
    assert faults(f"{head}| a | b | not detectable | |") == []


def test_tests_that_are_switched_off_do_not_count(tmp_path: Path) -> None:
    """A skipped test shows nothing."""
    path = tmp_path / "test_sample.py"
    path.write_text(
        "import pytest\n@pytest.mark.skip(reason='x')\ndef test_a(): ...\n@pytest.mark.parametrize('x', [1])\n"
        "def test_b(x): ...\nasync def test_c(): ...\ndef helper():\n    def test_d(): ...\n"
    )
    assert collected(path) == {"test_b", "test_c"}


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Files that it names exist."""
    links = LINK.findall(PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
