"""The running gateway's part in erasing fields: what was asked for, and what has become too old.

Nothing is erased by a clock that nobody vouches for: fields that are too old wait until the wall clock is known to be
right, since an erasure by a wrong date could not be taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from gateway import durable
from gateway.errors import LogUnavailable, MalformedError, TamperError, UnavailableError
from gateway.fields import requests
from gateway.fields.erase import Erased, erase
from gateway.fields.files import epoch_directories, files_of
from gateway.fields.reader import FieldReader
from gateway.fields.store import FieldStore
from gateway.history import LOOK_BACK, describe
from gateway.log.entry import ALARM, INFORMATION, WARNING, Entry, Kind
from gateway.reading import Clock
from gateway.show import rfc3339
from gateway.task import Progress
from gateway.writer import Writer

_log = logging.getLogger(__name__)
#: How often requests are looked for, and old fields.
LOOK_S = 2.0
AGE_S = 3600.0
DAY_MS = 86_400_000
#: Entries that a start writes.
BESIDE = 16
#: Code of the event that names an erasure.
ERASED = "fields-erased"
#: What an event says behind the figures.
HONESTLY = "zeroes were written over them; flash may keep old blocks until it needs them"


class FieldKeeper:
    """Erases fields under *state_dir*; *days* tells how old they may get."""

    def __init__(
        self, state_dir: Path, store: FieldStore, writer: Writer, clock: Clock, days: Callable[[], int]
    ) -> None:
        self._state_dir = state_dir
        self._store = store
        self._writer = writer
        self._clock = clock
        self._days = days
        self._erased_until_ms = 0
        #: Requests that failed in this run.
        self._failed: set[Path] = set()

    async def run(self, progress: Progress) -> None:
        """Looks for requests and for old fields until it is cancelled."""
        loop = asyncio.get_running_loop()
        due_s = 0.0
        self._tidy()
        while True:
            for path in self._requests():
                await self.fulfil(path)
            if loop.time() >= due_s:
                await self.erase_old()
                due_s = loop.time() + AGE_S
            progress.mark()
            await asyncio.sleep(LOOK_S)

    def _tidy(self) -> None:
        """Removes requests that are settled and that nobody waits for any more."""
        try:
            # Made by the gateway, so that it may write there whoever asks.
            durable.make_directory(requests.directory_of(self._state_dir))
        except OSError as error:
            _log.error("nobody can ask for an erasure: %s: %s", error.filename, error.strerror)
        for path in self._requests():
            with contextlib.suppress(MalformedError, OSError):
                if requests.read(path).state == requests.LOGGED:
                    path.unlink(missing_ok=True)

    def _requests(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [path for path in requests.pending(self._state_dir) if path not in self._failed]
        return []

    async def fulfil(self, path: Path) -> None:
        """Takes a request as far as it goes; what cannot be done now is tried again at the next look."""
        try:
            request = requests.read(path)
            if request.state == requests.LOGGED:
                return
            if request.state != requests.DONE:
                # A crash from here on leaves a request that is begun, and erases again.
                request = request.begun()
                requests.write(path, request)
                request = request.done(await self._erase(request.meter, request.until_ms, patient=True))
                requests.write(path, request)
            # A crash from here on leaves one that is done, and says so again.
            if await self._say(request):
                requests.write(path, request.logged())
        except FileNotFoundError:
            _log.info("%s was withdrawn", path)
        except (OSError, MalformedError) as error:
            self._failed.add(path)
            self._writer.event("fields-not-erased", ALARM, str(path), f"{error}; it is tried again at the next start")

    async def _erase(self, meter: str | None, until_ms: int, *, patient: bool) -> Erased:
        def work() -> Erased:
            past = [path for path in epoch_directories(self._state_dir) if path != self._store.directory]
            # Nobody writes files anew at the same time: what is erased would come back.
            with self._store.rewriting:
                return erase([*map(files_of, past), self._store.roll()], meter, until_ms, patient=patient)

        return await asyncio.to_thread(work)

    async def _say(self, request: requests.Request) -> bool:
        """Whether an event that says what was erased is durable."""
        body = [ERASED, INFORMATION, request.meter or "all meters", said(request)[:1000]]
        try:
            self._writer.append(Kind.EVENT, body, urgent=True)
        except LogUnavailable as error:
            _log.error("that fields were erased could not be logged yet: %s", error)
            return False
        return await self._writer.commit()

    async def erase_old(self) -> None:
        """Erases what is older than it may get, counted in whole days so that there is one event a day."""
        now = self._clock()
        if now.quality == "U":
            return
        until_ms = (now.wall_ms // DAY_MS - self._days()) * DAY_MS
        if until_ms == self._erased_until_ms:
            return
        try:
            erased = await self._erase(None, until_ms, patient=False)
        except OSError as error:
            self._writer.event("fields-not-erased", ALARM, str(self._state_dir), str(error))
            return
        self._erased_until_ms = until_ms
        if erased.count:
            await self._say(requests.Request(meter=None, until_ms=until_ms).done(erased))


def begin(state_dir: Path, writer: Writer, clock: Clock, days: Callable[[], int]) -> FieldKeeper:
    """Opens the fields of the writer's log, and lets it conceal readings."""
    store = FieldStore(state_dir, writer.log.origin)
    store.resume(writer.log.size)
    faults, lost = store.prepare(), []
    # A log that cannot be read is an alarm of its own, see ``gateway.service``.
    with contextlib.suppress(TamperError, UnavailableError):
        lost = _lost(state_dir, writer)
    if lost:
        which = f"{len(lost)} entries from {lost[0]} to {lost[-1]}"
        faults.append(f"{which} were not confirmed when the power went: they have survived it, their fields have not")
    for fault in faults:
        writer.event("fields-broken", WARNING, "fields", fault)
    writer.use_fields(store)
    return FieldKeeper(state_dir, store, writer, clock, days)


def _lost(state_dir: Path, writer: Writer) -> list[int]:
    """Concealed entries of the last run without their fields: not confirmed by the disk, and kept by it all the same.

    None after a clean stop, and none of before an erasure, of which nobody can tell what it has taken.
    """
    log = writer.log
    #: No more than two commits can have been under way.
    window = min(2 * writer.policy.commit_entries + BESIDE, LOOK_BACK)
    newest: list[Entry] = []
    boots = 0
    for entry in reversed(log.last_entries(window)):
        # The first one met is this start's own, and says how the run before it has ended.
        boots += entry.kind is Kind.BOOT
        ended = boots > 1 or (boots == 1 and entry.kind is Kind.BOOT and entry.body[2] != "unclean")
        if ended or (entry.kind is Kind.EVENT and entry.body[0] == ERASED):
            break
        newest.insert(0, entry)
    reader = FieldReader.of_log(state_dir / "log", log.origin)
    return reader.missing(newest, cache(partial(describe, log)))


def said(request: requests.Request) -> str:
    """What an event says of a request that is done."""
    where = f", from entry {request.from_seq} to {request.to_seq}," if request.count else ""
    before = " (after an erasure that was interrupted)" if request.again else ""
    what = f"the fields of {request.count} readings{where} before {rfc3339(request.until_ms)} were erased{before}"
    return f"{what}; {HONESTLY}"
