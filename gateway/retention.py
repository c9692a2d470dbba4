"""What stays of the log on this disk: packs old segments, archives them, and prunes what may go.

An entry may go when all of this is true: it is packed and signed, every channel has confirmed it, it is in the
archive (where one is configured), and it is older than ``days``; or older than ``days_min`` and the disk has less
room than ``free_mb``. A manifest entry says so first, and goes only with the next checkpoint: what is gone was signed
away. A clock that is not synchronised makes nothing old.

The heavy part (``gateway.chores``) is done in a child process: it takes some megabytes, and seconds of a small
processor, that polling shall not feel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway import chores, describe, durable
from gateway.apart import apart_for_long
from gateway.config.model import RetainConfig
from gateway.errors import GatewayError, TamperError
from gateway.log.entry import ALARM, WARNING, Kind
from gateway.log.log import Log
from gateway.log.pack import PACK_ENTRIES
from gateway.log.reader import note_size
from gateway.reading import Clock, Moment
from gateway.task import Progress
from gateway.writer import Writer

_Result = TypeVar("_Result")
ROUND_S = 60.0
#: Packs that one round may make, and prune: the rest has time until the next.
_PACKS_A_ROUND = 8
_DAY_MS = 86_400_000
#: On a small board a pack takes some ten seconds, an archive that is begun late some minutes.
_DEADLINE_S = 3600.0
_SYNCHRONISED = "S"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The oldest pack that was not pruned."""

    first_seq: int
    end_seq: int
    #: No entry of it was written later than this, Unix milliseconds.
    newest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that decides whether it may go."""

    now: Moment
    free_bytes: int
    #: Entries below were confirmed by every channel, signed, and are in the archive if there is one.
    settled_seq: int


def reason_to_prune(oldest: Candidate, there: Situation, rule: RetainConfig) -> str | None:
    """Why *oldest* may go now; None when it stays."""
    if oldest.end_seq > there.settled_seq or there.now.quality != _SYNCHRONISED:
        return None
    age_ms = there.now.wall_ms - oldest.newest_ms
    if age_ms > rule.days * _DAY_MS:
        return f"older than {rule.days} days"
    if age_ms > rule.days_min * _DAY_MS and there.free_bytes < rule.free_mb << 20:
        return f"older than {rule.days_min} days, and less than {rule.free_mb} MB are free"
    return None


class Retention:
    """Looks after one log; *confirmed* tells up to which seq every channel has confirmed."""

    def __init__(
        self,
        writer: Writer,
        directory: Path,
        rule: Callable[[], RetainConfig],
        confirmed: Callable[[], int],
        clock: Clock,
        pack_entries: int = PACK_ENTRIES,
    ) -> None:
        self._writer = writer
        self._log: Log = writer.log
        self._directory = directory
        self._rule = rule
        self._confirmed = confirmed
        self._clock = clock
        self._pack_entries = pack_entries
        #: Pack whose manifest entry is written, and the seq of that entry.
        self._promised: tuple[int, int, int] | None = None
        #: Entries below are pruned as far as they ever will be; None before the first round.
        self._pruned: int | None = None
        self._oldest: Candidate | None = None
        self._archived = 0

    async def run(self, progress: Progress) -> None:
        """A round a minute, until it is cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            await self.round()
            progress.mark()

    async def round(self) -> None:
        """Packs, archives and prunes what is due; what goes wrong is said, and tried again next time."""
        faults = list[str]()
        # Each for itself: a disk without room for the next pack is one that must be pruned.
        for step in (self._survey, self._pack, self._archive, self._prune_some):
            try:
                await step()
            except TamperError as error:
                if self._new_trouble(str(error)):
                    self._writer.event("log-changed", ALARM, self._log.origin, f"{error}; nothing is packed or pruned")
                return
            except OSError as error:
                faults.append(f"{error.strerror or error}")
            except GatewayError as error:
                faults.append(str(error))
        if not faults:
            self._writer.troubles.pop("retention", None)
        elif self._new_trouble(faults[0]):
            self._writer.event("retention-failed", WARNING, str(self._directory), faults[0])

    async def _prune_some(self) -> None:
        for _ in range(_PACKS_A_ROUND):
            if not await self._prune():
                break

    def _new_trouble(self, text: str) -> bool:
        new = self._writer.troubles.get("retention") != text
        self._writer.troubles["retention"] = text
        return new

    def _signed_size(self) -> int:
        note = self._log.newest_checkpoint
        return note_size(note) if note else 0

    async def _survey(self) -> None:
        if self._pruned is None:
            self._pruned = await self._apart(chores.survey)
            # A start may have come between a pack and the removal of what is in it.
            await self._take_packs()

    async def _pack(self) -> None:
        for _ in range(_PACKS_A_ROUND):
            end = self._log.packs.end_seq + self._pack_entries
            if end >= min(self._signed_size(), self._log.durable_size):
                return
            await self._apart(chores.seal, end)
            # A crash before this line: the next start finds what was packed.
            await self._take_packs()

    async def _take_packs(self) -> None:
        # In a thread: a slow card takes its time for each file.
        await asyncio.to_thread(durable.remove, self._log.use_packs())

    async def _apart(self, work: Callable[..., _Result], *args: int | Path | bytes | str) -> _Result:
        return await apart_for_long(partial(work, self._directory, *args), _DEADLINE_S)

    async def _archive(self) -> None:
        target = self._rule().archive
        note = self._log.newest_checkpoint
        if target is None or note is None or self._archived >= self._log.packs.end_seq:
            return
        await self._apart(chores.archive, target, note)
        self._archived = note_size(note)

    async def _prune(self) -> bool:
        """Takes one step towards less; False when there is none to take now."""
        if self._promised is not None:
            first, end, seq = self._promised
            # A channel that came meanwhile begins at the start, and is waited for.
            if self._signed_size() <= seq or self._situation().settled_seq < end:
                return False
            # The manifest is signed: a crash from here on leaves the pack whole or pruned, and either is accounted for.
            await self._apart(chores.prune, first, end)
            await self._take_packs()
            self._promised, self._pruned = None, end
            return True
        there = self._situation()
        oldest = await self._find_oldest(there)
        reason = reason_to_prune(oldest, there, self._rule()) if oldest else None
        if oldest is None or reason is None:
            return False
        body = await self._apart(chores.doomed, oldest.first_seq, oldest.end_seq, reason)
        entry = self._writer.append(Kind.MANIFEST, body, urgent=True)
        self._promised = (oldest.first_seq, oldest.end_seq, entry.seq)
        return False

    def _situation(self) -> Situation:
        settled = min(self._confirmed(), self._signed_size())
        if self._rule().archive is not None:
            settled = min(settled, self._archived)
        return Situation(
            now=self._clock(), free_bytes=describe.disk(self._directory)["free_bytes"], settled_seq=settled
        )

    async def _find_oldest(self, there: Situation) -> Candidate | None:
        """The oldest pack of which nothing was pruned; None as well while it could not go in any case."""
        if self._pruned is None or there.now.quality != _SYNCHRONISED:
            return None
        found = next(((first, end) for first, end in self._log.packs.ranges if first >= self._pruned), None)
        if found is None or found[1] > there.settled_seq:
            return None
        if self._oldest is None or (self._oldest.first_seq, self._oldest.end_seq) != found:
            newest_ms = await self._apart(chores.newest_ms, found[1])
            if newest_ms is None:
                return None
            self._oldest = Candidate(first_seq=found[0], end_seq=found[1], newest_ms=newest_ms)
        return self._oldest
