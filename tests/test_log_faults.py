"""The log on disks that fail for real: full, read-only, refusing fdatasync, and under a process that is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.log.tree import leaf_hash
from gateway.log.verify import Demands, verify_segments
from tests.log_damage import kinds, restart, signs_intact
from tests.log_dir import KEY, Station
from tests.parts import ROOT, need

KILLS = int(os.environ.get("LOG_KILLS", "30"))


class Told:
    """What a writer said."""

    def __init__(self) -> None:
        self.appended: dict[int, str] = {}
        self.durable = self.signed = 0
        self.refused: list[str] = []
        self.done = False

    def hear(self, line: str) -> None:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "appended":
            seq, digest = rest.split(" ")
            self.appended[int(seq)] = digest
        elif word == "durable":
            assert int(rest) >= self.durable
            self.durable = int(rest)
        elif word == "signed":
            self.signed = int(rest)
        elif word == "refused":
            self.refused.append(rest)
        else:
            assert word == "done", line
            self.done = True


@contextmanager
def writer(state: Path, *work: int, under: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A running tests/log_writer.py."""
    command = [*under, sys.executable, "-m", "tests.log_writer", str(state), *map(str, work)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def written(state: Path, *work: int, under: tuple[str, ...] = ()) -> Told:
    """What a writer said that ran to its end."""
    told = Told()
    with writer(state, *work, under=under) as process:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for line in output.splitlines():
        told.hear(line)
    assert told.done
    return told


def holds(station: Station, appended: dict[int, str]) -> None:
    """All entries that were said to be appended are there, byte for byte."""
    hashes = [leaf_hash(data).hex() for data in station.entries()]
    for seq, digest in appended.items():
        assert hashes[seq] == digest, f"entry {seq}"


def test_a_killed_writer_loses_nothing_that_it_said(tmp_path: Path) -> None:
    """Killed at random moments, again and again: what was appended is there, what was signed is signed, all verifies.

    30 kills; ``LOG_KILLS`` sets another number.
    """
    rng = random.Random(8)
    appended: dict[int, str] = {}
    for number in range(KILLS):
        told = Told()
        with writer(tmp_path, 40, rng.choice([1, 5, 20]), 3) as process:
            assert process.stdout is not None
            for _ in range(rng.randrange(1, 200)):
                told.hear(process.stdout.readline())
                if told.done:
                    break
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read()
        for line in rest.splitlines(keepends=True):
            if line.endswith("\n"):
                told.hear(line)
        appended |= told.appended
        report = verify_segments(tmp_path / "log", Demands(keys=[KEY]), signed_size=told.signed)
        assert report.verdict in ("intact", "torn", "unsigned"), f"kill {number}: {report}"
        assert report.size > max(appended, default=-1)
    station = restart(tmp_path)
    holds(station, appended)
    assert station.log.origin == KEY.name
    signs_intact(station)


@pytest.mark.parametrize("failing", ["3", "1", "5+4"])
def test_a_failed_fdatasync_gives_up_the_segment(tmp_path: Path, failing: str) -> None:
    """The disk refuses one sync, or each fourth: its entries go to a new segment, with an alarm; nothing is lost."""
    strace = need("strace")
    inject = (strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", f"inject=fdatasync:error=EIO:when={failing}")
    told = written(tmp_path, 12, 10, 0, under=inject)
    assert not told.refused
    assert "(INJECTED)" in (tmp_path / "trace").read_text()
    station = restart(tmp_path)
    assert station.found.closed is None
    holds(station, told.appended)
    assert told.durable <= station.log.size
    assert len(station.files()) >= 2 or failing == "1"
    found = kinds(station)
    assert "disk-failure" in found
    assert found.count("recovery") >= (0 if failing == "1" else 1)
    signs_intact(station)


def test_a_disk_that_confirms_nothing_refuses_until_it_is_back(tmp_path: Path) -> None:
    """Two syncs in a row fail: the commit is refused, nothing is said to be durable, and the next one makes it good."""
    strace = need("strace")
    trace = tmp_path / "trace"
    inject = (strace, "-f", "-qq", "-o", str(trace), "-e", "inject=fdatasync:error=EIO:when=3..8")
    told = written(tmp_path, 12, 10, 0, 1, under=inject)
    assert any("confirms nothing" in text for text in told.refused)
    assert any("takes no entry" in text for text in told.refused)
    station = restart(tmp_path)
    holds(station, told.appended)
    # Behind the last entry that was told stand only what the log itself had to say, and this start's own entry.
    assert told.durable > max(told.appended)
    assert told.durable == station.log.size - 1
    assert "disk-failure" in kinds(station)
    signs_intact(station)


def test_a_failed_write_gives_up_the_segment(tmp_path: Path) -> None:
    """The disk refuses a write: that entry is refused, the others are there, nothing stands behind the broken place."""
    strace = need("strace")
    inject = (strace, "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "inject=pwrite64:error=EIO:when=40")
    told = written(tmp_path, 12, 10, 0, under=inject)
    assert any("cannot be written" in text for text in told.refused)
    station = restart(tmp_path)
    holds(station, told.appended)
    assert "disk-failure" in kinds(station)
    signs_intact(station)
