"""The gateway's witnesses: each is asked in its own task, every so often, for a cosignature of a durable checkpoint.

Asked for is the newest checkpoint, just after it was signed; or one that another witness has cosigned and this one has
not, so that a quorum comes together on one checkpoint whatever the periods are. A cosignature that verifies is joined
to the checkpoint, and the note is stored in the log like any other before it is shown to anybody. A witness that is
away, slow or wrong costs itself a growing pause, and the others, the meters and the channels nothing.

=============  =======================================================================================================
state          meaning
=============  =======================================================================================================
waiting        nothing was asked yet, or there is no newer checkpoint to ask for
cosigned       the last one asked for was cosigned
away           it could not be reached, or TLS failed: asked again after a pause; TLS is never left out
misconfigured  it does not know this log or key, or cosigns with another key than the config says
faulty         its answer was none that the protocol has, or the log could not be proved or stored
refused        it says that the log contradicts what it has seen: an alarm, with its words
ahead          it has cosigned more than the disk holds: an alarm, the next start begins an epoch; not asked until then
=============  =======================================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from gateway.config.model import WitnessConfig
from gateway.errors import GatewayError, UnavailableError
from gateway.log.cosignature import WitnessKey, carry, signers_of
from gateway.log.durable_log import DurableLog
from gateway.log.entry import ALARM
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.reader import note_size
from gateway.outbox import Pacing, pause_s
from gateway.state import State
from gateway.task import Progress, Supervisor
from gateway.witness.client import Outcome, Result, Submission
from gateway.witness.growth import prove_growth
from gateway.witness.memory import remember_size
from gateway.witness.post import Endpoint, add_checkpoint, endpoint

_log = logging.getLogger(__name__)
_PACING = Pacing(backoff_s_min=2, backoff_s_max=600)
#: How long a due witness waits for a checkpoint that is newer than the one asked for last.
_NEWS_S_MAX = 60.0
_ALARMS = {Outcome.REFUSED: "witness-refused", Outcome.AHEAD: "rolled-back"}


class Keeper(Protocol):
    """Who writes into the log; ``gateway.writer.Writer`` is one."""

    async def keep(self, note: bytes) -> bool:
        """Stores a cosigned checkpoint, durably; False when the disk refused."""

    def event(self, code: str, severity: int, subject: str, text: str) -> None:
        """Appends an event."""


@dataclass(slots=True, kw_only=True)
class _Shared:
    """What the tasks of all witnesses of one log share."""

    log: DurableLog
    directory: Path
    keeper: Keeper
    state: State
    #: Told of each cosigned checkpoint once it is durable.
    cosigned: Callable[[bytes], None]
    #: The cosigned checkpoint that was stored last.
    latest: bytes | None = None


class Witness:
    """One witness's task."""

    def __init__(self, config: WitnessConfig, shared: _Shared) -> None:
        self.name = config.name
        self._key = WitnessKey.parse(config.vkey)
        self._target: Endpoint = endpoint(config.name, config.url, config.ca)
        self._every_s = config.every_ms / 1000
        self._shared = shared
        self._news = asyncio.Event()
        #: The size that it cosigned last, and the text of the checkpoint that it was asked for last.
        self._known, self._asked = 0, b""
        #: Alarms raised since it cosigned last.
        self._alarmed: set[Outcome] = set()
        self._state, self._error, self._failures = "waiting", "", 0
        self._size, self._time_s = 0, 0

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        said = {"size": self._size, "cosigned_ms": self._time_s * 1000 if self._time_s else None}
        return {"name": self.name, "state": self._state, **said, "error": self._error}

    def wake(self) -> None:
        """There may be a newer checkpoint."""
        self._news.set()

    async def run(self, _progress: Progress) -> None:
        """Asks until it is cancelled."""
        while True:
            await self._newer_checkpoint()
            if await self._ask():
                self._failures = 0
                await asyncio.sleep(self._every_s)
            else:
                await asyncio.sleep(pause_s(_PACING, self._failures, random.random()))  # noqa: S311  (no secret)
                self._failures += 1

    async def _newer_checkpoint(self) -> None:
        """Waits for a checkpoint that was not asked for yet, but not for ever: news of an idle log are news, too."""
        while self._shared.log.newest_checkpoint is None:
            self._news.clear()
            await self._news.wait()
        if self._failures:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._every_s, _NEWS_S_MAX)):
                while _text(self._chosen()) == self._asked:
                    self._news.clear()
                    await self._news.wait()

    def _chosen(self) -> bytes:
        """The checkpoint to ask for."""
        newest, latest = self._shared.log.newest_checkpoint, self._shared.latest
        assert newest is not None
        if latest is None or note_size(latest) < self._known or signers_of(latest, (self._key,)):
            return newest
        return latest

    async def _ask(self) -> bool:
        """One submission; whether it was cosigned."""
        if self._state == Outcome.AHEAD.value:
            # This log cannot be extended honestly: to show it on would be to show a fork.
            return False
        note = self._chosen()
        self._asked = _text(note)
        try:
            result = await self._submit(parse_checkpoint(note))
        except UnavailableError as error:
            self._turn("away", str(error))
            return False
        except (GatewayError, OSError) as error:
            self._turn("faulty", f"the log could not be proved to it: {error}")
            return False
        return await self._take(result)

    async def _submit(self, checkpoint: Checkpoint) -> Result:
        submission = Submission(checkpoint, self._key, self._known)
        while True:
            proof: Sequence[bytes] = ()
            if submission.needs_proof:
                prove = partial(prove_growth, self._shared.directory, submission.old, checkpoint)
                proof = await asyncio.to_thread(prove)
            result = submission.take(await add_checkpoint(self._target, submission.request(proof)))
            if result is not None:
                return result

    async def _take(self, result: Result) -> bool:
        if result.outcome is Outcome.COSIGNED:
            return await self._keep(result)
        shared, size = self._shared, result.size or 0
        if result.outcome is Outcome.AHEAD:
            self._known = size
            if size <= shared.log.durable_size:
                # It has seen a newer checkpoint than the one asked for, of the log as it is: there is one to come.
                self._turn("waiting", "")
                return False
            await self._remember(size)
        if result.outcome in _ALARMS and result.outcome not in self._alarmed:
            self._alarmed.add(result.outcome)
            shared.keeper.event(_ALARMS[result.outcome], ALARM, self.name, result.error)
        self._turn(result.outcome.value, result.error)
        return False

    async def _remember(self, size: int) -> None:
        try:
            await asyncio.to_thread(remember_size, self._shared.state, self._shared.log.origin, size)
        except UnavailableError as error:
            _log.error("witness %s has seen size %d, which could not be remembered: %s", self.name, size, error)

    async def _keep(self, result: Result) -> bool:
        assert result.cosignature is not None
        self._known = result.size or 0
        # Another witness may have cosigned the same checkpoint meanwhile.
        note = carry(result.note, self._shared.latest)
        if not await self._shared.keeper.keep(note):
            self._turn("faulty", "it cosigned, and the log could not store it")
            return False
        # Durable: from here on the cosigned checkpoint may be shown.
        self._shared.latest = note
        self._size, self._time_s = self._known, result.cosignature.time_s
        self._alarmed.clear()
        self._turn("cosigned", "")
        self._shared.cosigned(note)
        return True

    def _turn(self, state: str, error: str) -> None:
        if (state, error) != (self._state, self._error) and error:
            _log.warning("witness %s: %s", self.name, error)
        self._state, self._error = state, error


def _text(note: bytes) -> bytes:
    return note.rpartition(b"\n\n")[0]


class Witnesses:
    """All witnesses of the running gateway."""

    def __init__(
        self,
        configs: Sequence[WitnessConfig],
        log: DurableLog,
        directory: Path,
        keeper: Keeper,
        state: State,
        cosigned: Callable[[bytes], None],
    ) -> None:
        shared = _Shared(log=log, directory=directory, keeper=keeper, state=state, cosigned=cosigned)
        self._all = [Witness(config, shared) for config in configs]

    def start(self, supervisor: Supervisor) -> None:
        """Begins to ask."""
        for witness in self._all:
            supervisor.start(f"witness {witness.name}", witness.run)

    async def stop(self, supervisor: Supervisor) -> None:
        """Ends all tasks; an answer that is under way is forgotten."""
        await supervisor.stop(*(f"witness {witness.name}" for witness in self._all))

    def wake(self) -> None:
        """Something became durable: perhaps a checkpoint."""
        for witness in self._all:
            witness.wake()

    def describe(self) -> list[dict[str, Any]]:
        """What ``status`` shows."""
        return [witness.describe() for witness in self._all]
