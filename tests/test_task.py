"""Supervised tasks: restarted when they fail, stopped together, and seen when they stop making progress."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway import task
from gateway.task import Progress, Supervisor


async def test_a_task_that_fails_starts_again_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the system log; the others go on."""
    monkeypatch.setattr(task, "BACKOFF_S_MIN", 0.0)
    runs, done = [], asyncio.Event()

    async def flaky(_progress: Progress) -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise ValueError("a fault of ours")
        done.set()

    supervisor = Supervisor()
    with caplog.at_level(logging.ERROR):
        supervisor.start("flaky", flaky)
        async with asyncio.timeout(10):
            await done.wait()
    await supervisor.stop_all()
    assert runs == [0, 1, 2]
    assert "a fault of ours" in caplog.text
    assert "task flaky failed" in caplog.text


async def test_stop_waits_until_a_task_has_cleaned_up() -> None:
    """What a task does on its way out is done when stop returns."""
    supervisor, began, cleaned = Supervisor(), asyncio.Event(), []

    async def tidy(_progress: Progress) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    supervisor.start("tidy", tidy)
    await began.wait()
    await supervisor.stop("tidy", "never started")
    assert cleaned == [True]
    assert supervisor.alive()


async def test_a_task_without_progress_is_named() -> None:
    """What promised progress and makes none is stuck; what promised nothing is not."""
    supervisor, began = Supervisor(), asyncio.Event()

    async def idle(_progress: Progress) -> None:
        began.set()
        await asyncio.Event().wait()

    supervisor.start("free", idle)
    supervisor.start("stuck", idle, limit_s=1e-9)
    await began.wait()
    assert supervisor.stuck() == ["stuck"]
    assert not supervisor.alive()
    await supervisor.stop_all()


async def test_one_name_is_one_task() -> None:
    """A second task of a name would hide the first."""
    supervisor = Supervisor()

    async def nothing(_progress: Progress) -> None:
        await asyncio.Event().wait()

    supervisor.start("meter main", nothing)
    with pytest.raises(ValueError, match="meter main"):
        supervisor.start("meter main", nothing)
    await supervisor.stop_all()


async def test_stopping_no_names_stops_nothing() -> None:
    """A gateway without a channel stops its channels at a reload: that must not be everything."""
    supervisor = Supervisor()
    supervisor.start("one", lambda _progress: asyncio.Event().wait())
    await supervisor.stop(*())
    await supervisor.stop("unknown")
    with pytest.raises(ValueError, match="runs already"):
        supervisor.start("one", lambda _progress: asyncio.Event().wait())
    await supervisor.stop_all()
