"""Runs a command in a process of its own on one core, and tells what it cost."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts import ROOT

#: How often memory is looked at.
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command printed and took."""

    output: str
    code: int
    #: From its start to its end, by the clock on the wall.
    wall_s: float
    #: Processor time, of itself and the kernel for it.
    cpu_s: float
    #: The most memory that was resident at any moment, in millions of bytes.
    rss_mb: float


def gateway(*arguments: str) -> Cost:
    """``meter-gateway`` with *arguments*, as a user runs it."""
    return alone([sys.executable, "-m", "gateway", *arguments])


def bench(module: str, *arguments: str) -> tuple[Any, Cost]:
    """``python -m bench.MODULE`` with *arguments*, which prints JSON; the value and the cost."""
    cost = alone([sys.executable, "-m", f"bench.{module}", *arguments])
    return json.loads(cost.output), cost


def alone(command: Sequence[str]) -> Cost:
    """Raises SystemExit with what it said when the command finds something wrong."""
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        # One core: set on the child before it runs anything else, so before it starts a thread.
        process = subprocess.Popen(
            ["taskset", "--cpu-list", str(core), *command], cwd=ROOT, stdout=output, stderr=errors, text=True
        )
        rss_mb = _watched(process.pid)
        wall_s = time.perf_counter() - began
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if code != 0:
            raise SystemExit(f"{' '.join(command)} ended with {code}: {errors.read()}")
        return Cost(
            output=output.read(),
            code=code,
            wall_s=wall_s,
            cpu_s=used.ru_utime + used.ru_stime,
            rss_mb=rss_mb,
        )


def _watched(pid: int) -> float:
    """Waits until the process ends; its memory's high-water mark (proc(5), VmHWM).

    Not what wait4(2) tells: that begins with the memory of the process that forked it.
    """
    marks, ended = [0], os.pidfd_open(pid)
    while not select.select([ended], [], [], _LOOK_S)[0]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        marks += [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    os.close(ended)
    return max(marks) * 1024 / 1e6


def forget(directory: Path) -> None:
    """Takes the files below *directory* out of the page cache, as a power cut does; they must be on a disk."""
    for path in directory.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
