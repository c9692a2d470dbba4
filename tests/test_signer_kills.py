"""The signer is killed at each system call of its way to a signature; its memory is always new enough.

strace(1) kills it, as it enters the call: what a call before did is done, this one is not.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.signer_state import GuardedSigner, Signed, SignerRefused
from tests.log_keys import ORIGIN, Ed25519Signer
from tests.parts import ROOT, missing, need
from tests.signer_steps import SIZES, root_of

#: A system call, and the how manieth of its name it is.
Step = tuple[str, int]


class Signers:
    """The process of ``tests.signer_steps``."""

    def __init__(self, *bug: str) -> None:
        command = [sys.executable, "-m", "tests.signer_steps", *bug]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, bufsize=0)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    def _hear(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline().split()[1])

    def sign(self, state: Path, *options: str) -> tuple[int, str]:
        """Signs under strace with *options*; wait status and what strace wrote."""
        self._say(str(state))
        pid = self._hear()
        command = [need("strace"), "-p", str(pid), "-o", str(state.with_suffix(".trace")), *options]
        watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert watcher.stderr is not None
        first = watcher.stderr.readline()
        if "attached" not in first:
            missing(f"the right to trace a process: {first.strip()}")
        os.kill(pid, signal.SIGUSR1)
        status = self._hear()
        watcher.communicate()
        return status, state.with_suffix(".trace").read_text()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def signers(request: pytest.FixtureRequest) -> Iterator[Signers]:
    found = Signers(*getattr(request, "param", ()))
    yield found
    found.close()


def steps_of(trace: str) -> list[Step]:
    """Each system call of a trace, in order, without the one that waited for the word to go."""
    counts: Counter[str] = Counter()
    found = []
    for name in re.findall(r"^(\w+)\(", trace, re.MULTILINE):
        counts[name] += 1
        found.append((name, counts[name]))
    return [step for step in found if step[0] not in ("rt_sigtimedwait", "restart_syscall")]


def left_of(state: Path) -> list[int]:
    """The sizes whose signatures had left."""
    left = Path(f"{state}.left")
    return [int(line) for line in left.read_text().split()] if left.exists() else []


def faults(state: Path) -> Iterator[str]:
    """What is wrong with the memory that a killed signer left, and with the signer that starts on it."""
    left = left_of(state)
    assert left == list(SIZES[: len(left)])
    guard = GuardedSigner(Ed25519Signer(), state)
    last = guard.last(ORIGIN)
    if (last.size if last else 0) < max(left, default=0):
        yield f"remembers {last}, and the signatures of {left} had left"
    if last not in [None, *(Signed(size=size, root=root_of(size)) for size in SIZES)]:
        yield f"remembers {last}"
    for size in left:
        for asked in ((size, bytes(32)), (size - 1, root_of(size))):
            if signs(guard, *asked):
                yield f"signs {asked} after size {size} had left"
    if not signs(guard, SIZES[-1], root_of(SIZES[-1])):
        yield "does not sign on"


def signs(guard: GuardedSigner, size: int, root: bytes) -> bool:
    try:
        guard.sign_checkpoint(ORIGIN, size, root)
    except SignerRefused:
        return False
    return True


def kill_at_each_step(signers: Signers, folder: Path) -> Iterator[tuple[Step, Path]]:
    """Each step, and the memory that a signer left that was killed there."""
    status, trace = signers.sign(folder / "whole")
    assert status == 0
    assert left_of(folder / "whole") == list(SIZES)
    for number, (name, count) in enumerate(steps_of(trace)):
        state = folder / f"at-{number}"
        status, _ = signers.sign(state, "-e", f"inject={name}:signal=SIGKILL:when={count}")
        assert status == signal.SIGKILL, (name, count)
        yield (name, count), state


def test_a_signer_killed_at_any_step_never_goes_back(tmp_path: Path, signers: Signers) -> None:
    """Killed as it enters each of its system calls, from the first look at its memory to the end."""
    names, reached = set(), set()
    for (name, count), state in kill_at_each_step(signers, tmp_path):
        names.add(name)
        reached.add(len(left_of(state)))
        assert not list(faults(state)), (name, count)
    # All that makes the memory durable was interrupted, before the first signature, between any two, after the last.
    assert {"openat", "pwrite64", "fsync", "fdatasync", "rename", "write", "exit_group"} <= names
    assert reached == set(range(len(SIZES) + 1))


@pytest.mark.parametrize("signers", [("signature-before-memory",)], indirect=True, ids=["signature-before-memory"])
def test_a_signer_that_remembers_too_late_is_found(tmp_path: Path, signers: Signers) -> None:
    """The same kills show it, so they would show any other way to get the order wrong."""
    assert any(list(faults(state)) for _, state in kill_at_each_step(signers, tmp_path))
