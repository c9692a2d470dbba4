"""Work done in a child process: its result comes back, its memory does not, and whatever fails is done here."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from gateway import apart as module
from gateway.apart import apart
from gateway.errors import ConfigError


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
