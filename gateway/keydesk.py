"""What the key stores add to the log while the gateway runs: a certificate at each boot, and the counter's steps.

A step of the counter (``gateway.log.counting``) is made at each boot, each hour and at each clean stop::

    intent      appended, committed, and covered by a checkpoint, which is durable
    increase    a crash before it leaves the counter one below the intent, which the next start knows
    counted     with what the store says of the value and of its clock
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.errors import KeyReplaced, SignerError, TamperError, UnavailableError
from gateway.keeper import KeyKeeper
from gateway.log.attestation import BOOT, COUNTED, INTENT, body_of
from gateway.log.entry import ALARM, Kind
from gateway.log.note import parse_checkpoint
from gateway.task import Progress
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.rollback import CounterGuard

_log = logging.getLogger(__name__)
T = TypeVar("T")
#: How often the counter is stepped, and how soon a step or a certificate that failed is tried again.
STEP_S = 3600.0
RETRY_S = 30.0
#: A step may take this much longer than its period before the watchdog is worried.
LIMIT_S = STEP_S + 600.0


class KeyDesk:
    """Asks the key stores on behalf of the log. *counter* None: there is none."""

    def __init__(self, writer: Writer, keeper: KeyKeeper, counter: CounterGuard | None) -> None:
        self._writer = writer
        self._keeper = keeper
        self._counter = counter
        self._certified = False

    async def run(self, progress: Progress) -> None:
        """Certifies and counts until it is cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while not (self._certified and self._counter is None):
            done = await self.certify()
            if self._counter is not None and loop.time() >= due_s:
                done = await self.count() and done
                due_s = loop.time() + STEP_S if done else due_s
            progress.mark()
            await asyncio.sleep(max(due_s - loop.time(), RETRY_S) if done else RETRY_S)

    async def certify(self) -> bool:
        """Writes the certificate of this run, if it is not written yet and there is a key in hardware."""
        if self._certified:
            return True
        log = self._writer.log
        try:
            note = await self._ask(lambda: self._keeper.certify(log.origin, log.durable_size, log.boot))
            if note is not None:
                self._writer.append(Kind.KEY, ["certificate", note.decode()], urgent=True)
                await self._attest()
        except UnavailableError as error:
            _log.warning("no certificate of this boot yet: %s", error)
            return False
        self._certified = note is not None or not self._keeper.has_hardware
        return self._certified

    async def _attest(self) -> None:
        """Writes what the store of the key in hardware says of it and of the machine, where it says anything."""
        challenge = self._root()
        said = await self._ask(lambda: self._keeper.attest(challenge)) if challenge else ()
        if said:
            name = (self._keeper.hardware_uri or "").partition("?")[0]
            self._append(BOOT, name, self._writer.log.boot, said)

    async def count(self) -> bool:
        """One step of the counter; False where the key store or the disk is away."""
        counter = self._counter
        if counter is None:
            return True
        try:
            value = await self._ask(counter.read)
            self._append(INTENT, counter.name, value + 1)
            # What is not durable and signed tells nothing later: without it the counter is not touched.
            if not (await self._writer.commit() and await self._writer.checkpoint()):
                return False
            challenge = self._root()
            # A crash here leaves the counter one below the intent.
            value = await self._ask(counter.increase)
            said = await self._ask(lambda: counter.certify(challenge))
            self._append(COUNTED, counter.name, value, said)
        except TamperError as error:
            # Nothing is signed on top of a log that was set back: the next start closes it.
            self._keeper.bar(f"{error}; start the gateway again to close the log and begin an epoch")
            self._writer.event("log-set-back", ALARM, counter.name, str(error))
            self._counter = None
        except KeyReplaced as error:
            self._writer.event("counter-replaced", ALARM, counter.name, str(error))
            return False
        except (SignerError, UnavailableError) as error:
            _log.warning("the counter was not stepped: %s", error)
            return False
        return True

    def describe(self) -> dict[str, Any] | None:
        """The counter, as ``status`` shows it."""
        counter = self._counter
        return None if counter is None else {"name": counter.name, "value": counter.value, "error": counter.error}

    def _append(self, step: str, name: str, value: int, said: Any = ()) -> None:
        self._writer.append(Kind.ATTESTATION, body_of(step, name, value, said), urgent=True)

    def _root(self) -> bytes:
        """The root of the newest checkpoint; nothing where there is none yet."""
        note = self._writer.log.newest_checkpoint
        return parse_checkpoint(note).root if note else b""

    async def _ask(self, ask: Callable[[], T]) -> T:
        return await self._writer.ask_key_store(ask)
