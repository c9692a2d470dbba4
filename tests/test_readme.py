"""The README's commands, run as written by somebody who has just cloned the repository."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import ROOT, need

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
ENDS_BY_ITSELF_S = 60
COVERED_S = 60


def blocks() -> list[str]:
    return BLOCK.findall((ROOT / "README.md").read_text())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, with the environment that ``make setup`` made."""
    need("git")
    need("make")
    target = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    venv = ROOT / ".venv"
    if not venv.is_dir():
        pytest.skip("no .venv: run make setup")
    # Older than what it was made from, make would set it up again: through the link, which is ours.
    os.utime(target / "pyproject.toml", (0, 0))
    (target / ".venv").symlink_to(venv)
    return target


def run(script: str, clone: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=ENDS_BY_ITSELF_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_the_readme_works_as_written(clone: Path) -> None:
    """`make run` shows verified readings; every other command ends well beside it; Ctrl-C stops everything."""
    first, *others = blocks()
    assert first.strip() == "make run"
    with subprocess.Popen(
        ["make", "run"], cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as gateway:
        assert gateway.stdout is not None
        try:
            shown = wait_for_verified(gateway.stdout)
            for script in others:
                done = run(script, clone)
                assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        finally:
            os.killpg(gateway.pid, signal.SIGINT)
            shown += gateway.stdout.read()
    # make itself ends by the signal it was sent; what counts is that the gateway delivered its last entry.
    assert gateway.returncode in (0, -signal.SIGINT), shown
    assert "Traceback" not in shown
    assert re.search(r"done: (\d+) entries, verified to \1, no findings", shown), shown


def wait_for_verified(lines: Iterator[str]) -> str:
    """Output up to the first reading that the far side has verified under a signed checkpoint."""
    shown = ""
    for line in lines:
        shown += line
        if re.search(r"verified to [1-9][0-9]", line):
            return shown
    raise AssertionError(f"make run ended without verifying anything:\n{shown}")


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """Files that the README names exist."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
