"""Supervised tasks: each runs for ever, restarts with a growing pause when it fails, and shows that it is alive.

The only place where every exception is caught: a fault in one task is logged with its traceback and costs the others
nothing. ``Supervisor.alive`` is what feeds the watchdog: it is true only while every task that promised progress has
made some within its limit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)

BACKOFF_S_MIN = 0.5
BACKOFF_S_MAX = 30.0


class Progress:
    """Tells that a task is alive. *limit_s* is how long it may go without a mark; 0 for no promise."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._marked_s = time.monotonic()

    def mark(self) -> None:
        """Progress was made."""
        self._marked_s = time.monotonic()

    def alive(self) -> bool:
        """Whether the last mark is recent enough."""
        return not self.limit_s or time.monotonic() - self._marked_s <= self.limit_s


class Supervisor:
    """Runs tasks, restarts those that fail, and stops them together."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._progress: dict[str, Progress] = {}

    def start(self, name: str, run: Callable[[Progress], Awaitable[None]], *, limit_s: float = 0) -> None:
        """Runs *run* under this *name* until it is stopped. Raises ValueError when the name is taken."""
        if name in self._tasks:
            raise ValueError(f"task {name!r} runs already")
        self._progress[name] = Progress(limit_s)
        self._tasks[name] = asyncio.create_task(self._keep_running(name, run), name=name)

    async def _keep_running(self, name: str, run: Callable[[Progress], Awaitable[None]]) -> None:
        backoff_s = BACKOFF_S_MIN
        while True:
            began_s = time.monotonic()
            try:
                await run(self._progress[name])
            except Exception:  # noqa: BLE001  (the supervisor: the one place where any fault may end)
                _log.exception("task %s failed; it starts again in %.1f s", name, backoff_s)
            else:
                return
            if time.monotonic() - began_s > BACKOFF_S_MAX:
                backoff_s = BACKOFF_S_MIN
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)

    def alive(self) -> bool:
        """Whether every task has made the progress it promised."""
        return not self.stuck()

    def stuck(self) -> list[str]:
        """Names of the tasks that have not."""
        return [name for name, progress in self._progress.items() if not progress.alive()]

    async def stop(self, *names: str) -> None:
        """Cancels these tasks and waits for their end; a name without a task is passed over."""
        chosen = [name for name in names if name in self._tasks]
        tasks = [self._tasks.pop(name) for name in chosen]
        for name, task in zip(chosen, tasks, strict=True):
            del self._progress[name]
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop_all(self) -> None:
        """The same for every task."""
        await self.stop(*self._tasks)
