"""The log inside the event loop: takes entries, commits them in groups, signs checkpoints, tells who waits.

The order is the promise of the whole gateway, and each step waits for the one before::

    append      written at once: a killed process loses nothing
    commit      durable: a power cut loses nothing; from here on the entry may leave
    sign        only durable entries are signed
    checkpoint  the signed note is durable before it leaves; it goes with the next commit, so that it costs no block

When the log takes nothing (disk full, read-only, failing), readings are counted, not queued: a gap entry names them
when it takes entries again. When the key store is away, entries go on and are covered by the first checkpoint after.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.errors import KeyReplaced, LogUnavailable, SignerError
from gateway.log.cosignature import carry
from gateway.log.entry import ALARM, INFORMATION, WARNING, Kind
from gateway.log.log import Appended, Log
from gateway.log.reader import note_size
from gateway.pace import Policy
from gateway.reading import Clock, MeterDescription, Moment
from gateway.task import Progress

_log = logging.getLogger(__name__)
T = TypeVar("T")
#: How long a signature may take before the key store counts as away.
SIGN_DEADLINE_S = 30.0
#: How soon a failed commit or signature is tried again.
RETRY_S = 5.0


class CheckpointSigner(Protocol):
    """What signs checkpoints; ``gateway.log.signer_state.GuardedSigner`` is one."""

    def sign_checkpoint(self, origin: str, size: int, root: bytes) -> bytes:
        """The signed note. Blocks. Raises SignerError."""


class Fields(Protocol):
    """Keeps what concealed entries stand for; ``gateway.fields.store.FieldStore`` is one, and says in which order."""

    def keep(self, seq: int, meter: MeterDescription, moment: Moment, body: list[Any]) -> list[Any]:
        """Writes the fields of the reading *body*; returns the concealed entry's body. Raises LogUnavailable."""

    def sync(self) -> None:
        """On return the fields kept before are durable, or a fault says that they may not be. Blocks."""

    def prepare(self) -> list[str]:
        """Makes room for what comes; returns what went wrong since it was called last, in words. Blocks."""

    def close(self) -> None:
        """Closes the files; nothing is kept any more."""


@dataclass(slots=True, kw_only=True)
class _Lost:
    """Readings of one meter that the log did not take."""

    first: Moment
    last: Moment
    count: int
    reason: str


class Writer:
    """The only one who appends, commits and signs. *durable* is called after each commit and each checkpoint."""

    def __init__(
        self, log: Log, signer: CheckpointSigner, policy: Policy, clock: Clock, durable: Callable[[], None]
    ) -> None:
        self.log = log
        self.policy = policy
        #: What keeps the log or the key store from working, for status; empty when all is well.
        self.troubles: dict[str, str] = {}
        #: None while no meter is concealed.
        self.fields: Fields | None = None
        self._signer = signer
        self._clock = clock
        self._durable = durable
        self._lost: dict[str, _Lost] = {}
        self._work = asyncio.Event()
        self._urgent = False
        self._committed_size = log.durable_size
        self._disk = ThreadPoolExecutor(1, "disk")
        self._key_store = ThreadPoolExecutor(1, "key-store")
        self._signing: asyncio.Future[bytes] | None = None
        self._ending = False

    def append(self, kind: Kind, body: list[Any], moment: Moment | None = None, *, urgent: bool = False) -> Appended:
        """Appends one entry; *urgent* commits at once. Raises LogUnavailable."""
        return self._append(lambda: self.log.append(kind, body, moment), urgent=urgent)

    def use_fields(self, fields: Fields) -> None:
        """From here on readings can be concealed."""
        self.fields = fields
        self.log.before_sync(fields.sync)

    def conceal(self, meter: MeterDescription, body: list[Any], moment: Moment) -> Appended:
        """Appends the concealed entry of the reading *body*, whose fields are kept aside. Raises LogUnavailable."""
        fields = self.fields
        if fields is None:
            raise LogUnavailable(f"nothing keeps the fields of {meter.name}")

        def fields_first(seq: int) -> list[Any]:
            return fields.keep(seq, meter, moment, body)

        # A crash behind it leaves a record without an entry; the commit syncs the record ahead of the entry.
        return self._append(lambda: self.log.append_at(Kind.CONCEALED, fields_first, moment))

    def _append(self, append: Callable[[], Appended], *, urgent: bool = False) -> Appended:
        try:
            self.settle()
            appended = append()
        except LogUnavailable as error:
            self._trouble("log", str(error))
            self._work.set()
            raise
        self._clear("log")
        self._urgent = self._urgent or urgent or not self.policy.commit_ms
        if self._urgent or self.log.size - self._committed_size >= self.policy.commit_entries:
            self._work.set()
        return appended

    def lost(self, meter: str, moment: Moment, reason: str) -> None:
        """Counts a reading that the log did not take; a gap entry names it as soon as the log takes entries."""
        lost = self._lost.setdefault(meter, _Lost(first=moment, last=moment, count=0, reason=reason))
        lost.count += 1
        lost.last = moment

    def event(self, code: str, severity: int, subject: str, text: str, *, quiet: bool = False) -> None:
        """Appends an event, at once durable when it is an alarm; the system log has it in any case, unless *quiet*."""
        if not quiet:
            _log.log((logging.INFO, logging.WARNING, logging.ERROR)[severity], "%s %s: %s", code, subject, text)
        if self._ending:
            # Behind the entry of a clean stop stands nothing, or the next start would take it for a crash.
            return
        try:
            self.append(Kind.EVENT, [code, severity, subject, text[:1000]], urgent=severity == ALARM)
        except LogUnavailable as error:
            _log.error("event %s could not be written: %s", code, error)

    def settle(self) -> None:
        """Writes the gap entries that are due. Raises LogUnavailable."""
        for meter in list(self._lost):
            lost = self._lost[meter]
            body = [meter, lost.first.wall_ms, lost.last.wall_ms, lost.count, f"not stored: {lost.reason}"]
            self.log.append(Kind.GAP, body)
            del self._lost[meter]
            self._urgent = True

    async def run_commits(self, progress: Progress) -> None:
        """Commits in groups until it is cancelled."""
        loop = asyncio.get_running_loop()
        commit_s = self.policy.commit_ms / 1000
        due_s = loop.time() + commit_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(due_s - loop.time(), 0.0) or RETRY_S, RETRY_S)):
                    await self._work.wait()
            progress.mark()
            if self._work.is_set() or loop.time() >= due_s:
                self._work.clear()
                due_s = loop.time() + (commit_s if await self.commit() else RETRY_S)

    async def commit(self) -> bool:
        """Makes all that was appended durable; False when the disk refused."""
        self._urgent = False
        loop = asyncio.get_running_loop()
        before = self.log.durable_size, self.log.newest_checkpoint
        try:
            self._committed_size = await loop.run_in_executor(self._disk, self.log.commit)
        except LogUnavailable as error:
            self._trouble("log", str(error))
            return False
        self._clear("log")
        if (self._committed_size, self.log.newest_checkpoint) != before:
            self._durable()
        if self.fields is not None:
            for fault in await loop.run_in_executor(self._disk, self.fields.prepare):
                self.event("fields-failure", ALARM, "fields", fault)
        try:
            await loop.run_in_executor(self._disk, self.log.prepare)
        except LogUnavailable as error:
            if self._trouble("disk", str(error)):
                self.event("disk-full", ALARM, "log", f"{error}; free some space, what is left is kept for alarms")
            return True
        if self._clear("disk"):
            self.event("disk-full-over", INFORMATION, "log", "there is room for the next segment again")
        return True

    async def run_checkpoints(self, progress: Progress) -> None:
        """Signs checkpoints when they are due, also when nothing was read, until it is cancelled."""
        look_s = min(self.policy.checkpoint_ms / 1000, 1.0)
        loop = asyncio.get_running_loop()
        signed_size, due_s = -1, 0.0
        while True:
            full = self.log.durable_size - signed_size >= self.policy.checkpoint_entries
            # On a full disk what is left is not spent on saying again that nothing is new.
            idle = "disk" in self.troubles and self.log.durable_size == signed_size
            if full or (loop.time() >= due_s and not idle):
                # A commit of its own would cost a block: but for the first one, a checkpoint waits for the next.
                signed = await self.checkpoint(at_once=signed_size < 0 or not self.policy.commit_ms)
                due_s = loop.time() + (self.policy.checkpoint_ms / 1000 if signed else RETRY_S)
                signed_size = self.log.durable_size if signed else signed_size
            progress.mark()
            await asyncio.sleep(look_s)

    async def checkpoint(self, *, at_once: bool = True) -> bool:
        """Signs the durable tree and stores the note, durably; or, unless *at_once*, durably with the next commit.

        False when the key store or the disk is away.
        """
        loop = asyncio.get_running_loop()
        tree = self.log.durable_tree()
        if self._signing is not None and not self._signing.done():
            # Nothing is queued up behind a key store that hangs.
            await asyncio.wait([self._signing], timeout=SIGN_DEADLINE_S)
            if not self._signing.done():
                return self._fails("key", f"no checkpoint at size {tree.size}: the signature before is not done yet")
        signing = self._signing = loop.run_in_executor(
            self._key_store, self._signer.sign_checkpoint, self.log.origin, tree.size, tree.root()
        )
        # Where this task is cancelled meanwhile, nobody else asks what became of it.
        signing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # Shielded: a signature that comes late must not be lost half-way through its own bookkeeping.
            async with asyncio.timeout(SIGN_DEADLINE_S):
                note = await asyncio.shield(signing)
            # Where the log did not grow, what witnesses have said of the same checkpoint stays with it.
            note = carry(note, self.log.newest_checkpoint)
            await loop.run_in_executor(self._disk, partial(self.log.checkpoint, note, at_once=at_once))
        except SignerError as error:
            replaced = isinstance(error, KeyReplaced)
            if self._trouble("key-replaced" if replaced else "key", f"no checkpoint at size {tree.size}: {error}"):
                what = ("key-replaced", ALARM) if replaced else ("key-away", WARNING)
                self.event(*what, "key", str(error))
            return False
        except LogUnavailable as error:
            return self._fails("key", f"no checkpoint at size {tree.size}: {error}")
        except TimeoutError:
            return self._fails("key", f"no checkpoint at size {tree.size}: no answer within {SIGN_DEADLINE_S:.0f} s")
        if any([self._clear("key"), self._clear("key-replaced")]):
            self.event("key-back", INFORMATION, "key", f"the checkpoint of size {tree.size} covers what waited")
        if at_once:
            self._durable()
        return True

    async def ask_key_store(self, ask: Callable[[], T]) -> T:
        """What *ask* returns or raises; it may block, and waits its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._key_store, ask)

    async def keep(self, note: bytes) -> bool:
        """Stores a checkpoint that was cosigned, durably; False when the disk refused."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._disk, _store_cosigned, self.log, note)
        except LogUnavailable as error:
            self._trouble("log", f"a cosigned checkpoint was not stored: {error}")
            return False
        self._durable()
        return True

    async def finish(self) -> None:
        """The last commit and the last checkpoint, behind the entry of the stop; then the log may be closed."""
        self._ending = True
        await self.commit()
        await self.checkpoint()
        if self.fields is not None:
            self.fields.close()
        self._disk.shutdown(wait=True)
        self._key_store.shutdown(wait=False, cancel_futures=True)

    def _trouble(self, what: str, text: str) -> bool:
        """Notes a trouble; True when it is new."""
        new = what not in self.troubles
        if new:
            _log.error("%s", text)
        self.troubles[what] = text
        return new

    def _fails(self, what: str, text: str) -> bool:
        """Notes a trouble that ends a task; False, for who asked."""
        self._trouble(what, text)
        return False

    def _clear(self, what: str) -> bool:
        """Notes that a trouble is over; True when there was one."""
        if self.troubles.pop(what, None) is None:
            return False
        _log.warning("%s: works again", what)
        return True


def _store_cosigned(log: Log, note: bytes) -> None:
    newest = log.newest_checkpoint
    log.checkpoint(note)
    if newest is not None and note_size(newest) > note_size(note):
        # Signed while the witness was asked: the newest one must stand last. A crash before this leaves the log with
        # an older checkpoint in its place until the next one is signed.
        log.checkpoint(newest)
