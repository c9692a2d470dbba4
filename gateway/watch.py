"""What the gateway keeps an eye on beside its meters: the wall clock, the room on the disk, its own tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway import describe, notify
from gateway.clock import Step, StepDetector
from gateway.errors import LogUnavailable
from gateway.log.entry import ALARM, Kind
from gateway.reading import Clock
from gateway.task import Supervisor
from gateway.writer import Writer

_log = logging.getLogger(__name__)
CLOCK_S = 1.0
DISK_S = 60.0
STEPS_MAX = 16


async def watch_clock(clock: Clock, writer: Writer) -> None:
    """Appends a clock-step entry when the wall clock was set."""
    detector = StepDetector(clock)
    #: Steps that the log has not taken yet; the newest few, should it take none for long.
    steps: deque[Step] = deque(maxlen=STEPS_MAX)
    while True:
        await asyncio.sleep(CLOCK_S)
        step = detector.look()
        if step is not None:
            steps.append(step)
        with contextlib.suppress(LogUnavailable):
            while steps:
                writer.append(Kind.CLOCK_STEP, [steps[0].expected_ms, steps[0].found_ms, "system clock"], urgent=True)
                steps.popleft()


async def watch_disk(directory: Path, free_mb: Callable[[], int], writer: Writer) -> None:
    """Raises an alarm when less than *free_mb* megabytes are free under *directory*."""
    low = False
    while True:
        limit = free_mb() << 20
        free = describe.disk(directory)["free_bytes"]
        if not low and free < limit:
            low, text = True, f"{free >> 20} MB are free, less than the {limit >> 20} MB that retain.free_mb asks for"
            writer.event("disk-low", ALARM, str(directory), text)
        # Over only when there is a tenth more, so that a value at the limit does not alarm again and again.
        low = low and free < limit + limit // 10
        await asyncio.sleep(DISK_S)


async def feed_watchdog(supervisor: Supervisor) -> None:
    """Tells systemd that all is well, while every task makes the progress it promised."""
    interval_s = notify.watchdog_interval_s()
    while interval_s:
        if stuck := supervisor.stuck():
            _log.error("no progress: %s", ", ".join(stuck))
        else:
            notify.watchdog()
        await asyncio.sleep(interval_s)
