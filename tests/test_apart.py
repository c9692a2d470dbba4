"""Work done in a child process: its result comes back, its memory does not, and whatever fails is done here."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from gateway import apart as module
from gateway.apart import apart, apart_for_long
from gateway.errors import ConfigError, PrunedError, UnavailableError


def test_the_result_comes_back_and_the_imports_do_not() -> None:
    """A module that only the work needs is never loaded here."""
    name = "this"
    assert name not in sys.modules

    def work() -> tuple[int, str]:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (the child ends at once)
        return os.getpid(), __import__(name).s

    pid, text = apart(work)
    assert pid != os.getpid()
    assert text.startswith("Gur Mra")
    assert name not in sys.modules


def test_a_large_result_comes_whole() -> None:
    """More than a pipe holds."""
    assert apart(lambda: bytes(range(256)) * 40_000) == bytes(range(256)) * 40_000


def test_an_error_is_raised_as_if_here() -> None:
    """The child's failure is the caller's, with its own type and text."""

    def work() -> None:
        raise ConfigError("config.yaml:1:1: wrong")

    with pytest.raises(ConfigError, match="1:1: wrong"):
        apart(work)


@pytest.mark.parametrize("how", ["exit", "killed", "unpicklable"])
def test_a_child_that_fails_alone_costs_only_time(how: str) -> None:
    """The work is then done here."""
    parent = os.getpid()

    def work() -> object:
        if os.getpid() != parent:
            if how == "exit":
                os._exit(3)
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            return threading.Lock()
        return "here"

    assert apart(work) == "here"


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a copy may that was made while another thread held a lock."""
    monkeypatch.setattr(module, "_DEADLINE_S", 0.1)
    parent = os.getpid()

    def work() -> str:
        if os.getpid() != parent:
            threading.Event().wait()
        return "here"

    assert apart(work) == "here"
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


async def test_long_work_raises_what_it_raised() -> None:
    """With all that the error says, whatever its type asks for."""

    def work() -> None:
        raise PrunedError("gone", next_seq=7)

    with pytest.raises(PrunedError, match="gone") as caught:
        await apart_for_long(work, 10)
    assert caught.value.next_seq == 7
    with pytest.raises(OSError, match="No space left"):
        await apart_for_long(lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x"), 10)


async def test_long_work_that_is_broken_off_is_not_done_here() -> None:
    """Killed, or too slow: the caller tries again when it likes."""
    parent = os.getpid()

    def dies() -> None:
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UnavailableError, match="broken off"):
        await apart_for_long(dies, 10)
    with pytest.raises(UnavailableError, match="more than 0 s"):
        await apart_for_long(threading.Event().wait, 0.05)


async def test_long_work_ends_when_nobody_waits_for_it(tmp_path: Path) -> None:
    """A stop is not held up by it, and it changes nothing any more."""
    told = tmp_path / "pid"

    def work() -> None:
        told.write_text(str(os.getpid()))
        threading.Event().wait()

    task = asyncio.create_task(apart_for_long(work, 60))
    while not (told.exists() and told.read_text()):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    _wait_for_end(int(told.read_text()))


def test_long_work_keeps_nothing_open_and_ends_with_its_parent(tmp_path: Path) -> None:
    """After kill -9 the next process finds lock and port free, and no one at work on its files."""
    lock, told = tmp_path / "lock", tmp_path / "pid"
    parent = os.fork()
    if not parent:
        held = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(held, fcntl.LOCK_EX)

        def work() -> None:
            told.write_text(str(os.getpid()))
            while True:
                pass

        asyncio.run(apart_for_long(work, 60))
        os._exit(1)
    while not (told.exists() and told.read_text()):
        os.sched_yield()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _wait_for_end(int(told.read_text()))


def _wait_for_end(pid: int) -> None:
    """Returns when there is no such process, or only its entry in the table; otherwise the test hangs."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            os.sched_yield()
