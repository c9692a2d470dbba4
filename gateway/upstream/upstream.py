"""An upstream: the meters of another gateway, whose verified entries become a part of our log, each once and in order.

It is no ``gateway.reading.Bus``. A bus is polled: each poll gives the reading of now, under our clock, and one that
does not come is a gap that we vouch for. A channel brings what another gateway has read, in its order and under its
clock, sometimes weeks of it at once. So an upstream is a task of its own beside the pollers, and appends through the
``Writer``: one entry for each import (``gateway.log.imported``).

While our log takes nothing, or the disk has no room for the next segment, imports wait: what is in the channel is kept
there, what our meters say now is not. An import takes the event loop for less than a millisecond; the rest is done in a
thread (``gateway/upstream/worker.py``).

Every finding is an event ``upstream-KIND`` and, but for warnings, an alarm, and turns the meters offline until
more is verified than before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, LogUnavailable, TamperError
from gateway.log.entry import INFORMATION, Kind
from gateway.log.imported import imported_body
from gateway.log.log import Appended
from gateway.poller import OFFLINE, ONLINE, MeterHealth
from gateway.receiver.run import Finding
from gateway.show import printable
from gateway.task import Progress
from gateway.upstream.alarms import Alarms
from gateway.upstream.batches import Batch
from gateway.upstream.choice import News
from gateway.upstream.settings import UpstreamSettings
from gateway.upstream.worker import Worker
from gateway.writer import Writer

_log = logging.getLogger(__name__)
#: How soon an import is tried again.
RETRY_S = 2.0
_LOOK_S = 1.0
#: Bytes of imports that may wait for a commit; half of it asks for one.
UNCOMMITTED_MAX = 2 << 20
#: Meters whose state is told; of others there is what the log says.
METERS_MAX = 256
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")


class Upstream:
    """One upstream. *directory* is its own, *log* that of our log; *changed* is told of meters on- and offline."""

    def __init__(
        self,
        settings: UpstreamSettings,
        directory: Path,
        log: Path,
        writer: Writer,
        changed: Callable[[MeterHealth], None],
    ) -> None:
        self.name = settings.name
        #: By their name there.
        self.meters: dict[str, MeterHealth] = {}
        self._settings, self._directory, self._log_directory = settings, directory, log
        self._writer, self._changed = writer, changed
        self._alarms = Alarms(settings.name, writer.event, time.monotonic)
        #: Why nothing is believed any more, what our log waits for, what is wrong with the connection.
        self._ended = self._waiting = self._connection = ""
        self._silent = False
        #: What was verified when something was wrong last: only what is verified behind it speaks for the meters.
        self._doubted, self._doubt = 0, ""
        self._uncommitted, self._last_seq = 0, -1
        self._worker: Worker | None = None
        for name in settings.meters or ():
            self._health(name)

    @property
    def trouble(self) -> str:
        """What is wrong now, in words; empty while all is well."""
        return self._ended or self._waiting or self._connection

    async def run(self, progress: Progress) -> None:
        """Imports until it is cancelled. Raises UnavailableError, OSError where its own disk fails."""
        loop = asyncio.get_running_loop()
        near = _Near(self, loop)
        worker = self._worker = Worker(self._settings, self._directory, self._log_directory, near)
        thread = ThreadPoolExecutor(1, f"upstream {self.name}")
        work = loop.run_in_executor(thread, worker.run)
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=_LOOK_S)
                self._alarms.flush()
                progress.mark()
            self._end(work)
            # Nothing more can be believed before somebody acts: our other meters go on.
            await asyncio.Event().wait()
        finally:
            worker.stop()
            # Shielded: the thread must have ended before another one may use the directory.
            await asyncio.shield(asyncio.wait({work}))
            thread.shutdown(wait=False)
            if not work.cancelled():
                # What it ended with was told, or does not matter at a stop.
                work.exception()
            self._alarms.flush(all_of_it=True)

    def _end(self, work: asyncio.Future[None]) -> None:
        try:
            work.result()
        except TamperError as error:
            self._stop_believing("tampered", str(error))
        except ConfigError as error:
            self._stop_believing("refused", str(error))
        except CancelledError:
            return

    def _stop_believing(self, kind: str, text: str) -> None:
        self._ended = text
        self._alarms.say(kind, text)
        self._turn_all(text)

    async def take(self, batch: Batch) -> Appended | None:
        """Appends an import as soon as our log takes it; None when that is not wanted any more."""
        assert self._worker is not None
        while not self._worker.stopping.is_set():
            appended = self._append(batch)
            if appended is not None:
                self._take_in(batch, appended)
                return appended
            await asyncio.sleep(RETRY_S if self._waiting else 0.01)
        return None

    def _append(self, batch: Batch) -> Appended | None:
        writer = self._writer
        if writer.log.durable_size > self._last_seq:
            self._uncommitted = 0
        if self._uncommitted > UNCOMMITTED_MAX:
            return None
        if "disk" in writer.troubles:
            # What room is left is for our own meters and for alarms.
            self._wait("the disk has no room for what comes from it")
            return None
        try:
            urgent = self._uncommitted > UNCOMMITTED_MAX // 2
            appended = writer.append(Kind.IMPORTED, imported_body(batch.imported), urgent=urgent)
        except LogUnavailable as error:
            self._wait(str(error))
            return None
        self._uncommitted += len(appended.data)
        self._last_seq = appended.seq
        return appended

    def _wait(self, trouble: str) -> None:
        if not self._waiting:
            _log.warning("upstream %s waits: %s", self.name, trouble)
        self._waiting = trouble

    def _take_in(self, batch: Batch, appended: Appended) -> None:
        """What an import, which is in our log now, says of the meters."""
        self._waiting = ""
        if self._silent:
            self._silent = False
            size = batch.imported.end_seq
            self._writer.event(
                "upstream-heard", INFORMATION, self.name, f"it is verified again, up to entry {size - 1}"
            )
        for seq in batch.too_large:
            text = f"entry {seq} of {batch.imported.origin} does not fit into one of ours; only its hash is kept"
            self._alarms.say("too-large", text)
        for news in batch.news:
            self._note(news, appended.seq, believed=batch.imported.end_seq > self._doubted)

    def _note(self, news: News, seq: int, *, believed: bool) -> None:
        health = self._health(news.meter)
        if health is None:
            return
        health.model = news.model or health.model
        health.missed += news.missed
        if not news.missed:
            health.polls, health.last_seq, health.last_wall_ms = health.polls + 1, seq, news.wall_ms
        error = news.error if believed else self._doubt
        self._turn(health, OFFLINE if error else ONLINE, error)

    def _health(self, name: str) -> MeterHealth | None:
        if name not in self.meters and len(self.meters) < METERS_MAX:
            # Another gateway's word becomes a part of topics and file names of ours.
            self.meters[name] = MeterHealth(name=f"{self.name}.{_UNFIT.sub('_', name)[:64]}", model="")
        return self.meters.get(name)

    def _turn(self, health: MeterHealth, state: str, error: str) -> None:
        health.error = printable(error)[:300]
        if health.state != state:
            health.state = state
            self._changed(health)

    def _turn_all(self, error: str) -> None:
        for health in self.meters.values():
            self._turn(health, OFFLINE, error)

    def durable_size(self) -> int:
        """Entries of our log that survive a power cut."""
        return self._writer.log.durable_size

    def found(self, finding: Finding, verified: int) -> None:
        """The worker found something wrong when that many entries were verified."""
        self._silent |= finding.kind == "silent"
        if self._alarms.finding(finding):
            self._doubted, self._doubt = verified, f"{finding.kind}: {finding.text}"
            self._turn_all(self._doubt)

    def notice(self, text: str) -> None:
        """News of the connection."""
        if text != self._connection:
            self._connection = text
            _log.log(logging.WARNING if text else logging.INFO, "upstream %s: %s", self.name, text or "connected")

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        worker = self._worker
        return {
            "name": self.name,
            "origin": self._settings.log,
            "held_size": worker.held if worker else 0,
            "verified_size": worker.verified if worker else 0,
            "imported_size": worker.imported if worker else 0,
            "findings": self._alarms.count,
            "trouble": self.trouble,
        }


class _Near:
    """A ``gateway.upstream.worker.Near``: brings the worker's calls into the event loop."""

    def __init__(self, upstream: Upstream, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream, self._loop = upstream, loop

    def take(self, batch: Batch) -> Appended | None:
        """Waits until our log has taken it."""
        taking = asyncio.run_coroutine_threadsafe(self._upstream.take(batch), self._loop)
        # Cancelled when the loop ends; whether our log has it the next start finds out.
        with contextlib.suppress(CancelledError):
            return taking.result()
        return None

    def durable_size(self) -> int:
        """A plain read, which is safe from any thread."""
        return self._upstream.durable_size()

    def found(self, finding: Finding, verified: int) -> None:
        """In the loop."""
        self._loop.call_soon_threadsafe(self._upstream.found, finding, verified)

    def notice(self, text: str) -> None:
        """In the loop."""
        self._loop.call_soon_threadsafe(self._upstream.notice, text)
