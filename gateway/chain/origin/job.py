"""The job that tells an Origin registry the total of a meter: what the log proves, never less than before, each once.

What is told is the newest total in the log, in whole Wh, rounded down; those between are passed over, so that weeks
offline end in one transaction. A total is told every so often by the readings' own clocks. The rules of each release
are those of ``gateway.chain.origin.registry``.

Before anything is told the contract is asked what it holds, and that is compared with what this gateway told it:

=========  ===========================================================================================================
standing   meaning
=========  ===========================================================================================================
agrees     it holds what was told last, or nothing yet
differs    it holds something else: somebody else wrote, the chain went back, or the state was lost. It is told on, and
           the hash claims nothing
alarm      it holds more than the meter's total: nothing is told. The meter was exchanged (``offset_wh`` then adds what
           the one before had counted), or a stranger has the key
=========  ===========================================================================================================

What is offered to the sender is remembered before it is signed, so after any crash the contract holds what was told
last, or what was offered, or something that was not said here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.chain.job import Held as Waiting
from gateway.chain.job import Intent
from gateway.chain.origin.calls import refusal
from gateway.chain.origin.co2 import intensity, more
from gateway.chain.origin.memory import NO_CO2, Kept, Memory, Saying, load, save
from gateway.chain.origin.registry import Held, Registry
from gateway.chain.totals import MeterPoint, Observed, Totals
from gateway.chain.values import Receipt
from gateway.errors import CallReverted, ConfigError, LogUnavailable, MalformedError, TamperError
from gateway.reading import Scaled

_log = logging.getLogger(__name__)
STARTING, AGREES, DIFFERS, ALARM = "starting", "agrees", "differs", "alarm"
#: Told of each new standing but a good one: its word, and what it means.
Told = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSettings:
    """What the config says."""

    #: Unique in its chain and the same for ever: what is remembered is found by it.
    name: str
    point: MeterPoint
    every_s: float
    #: A carbon source; None for none.
    co2: MeterPoint | None = None
    #: Added to each total: what meters before this one have counted.
    offset_wh: int = 0


class OriginJob:
    """A ``gateway.chain.job.Job``: one meter, one asset."""

    def __init__(
        self,
        settings: OriginSettings,
        registry: Registry,
        totals: Totals,
        kept: Kept,
        told: Told = lambda _standing, _words: None,
    ) -> None:
        self._settings, self._registry, self._totals = settings, registry, totals
        self._kept, self._told = kept, told
        self._memory: Memory | None = None
        #: What the contract holds was compared since the start, or since there was a doubt.
        self._compared = False
        self.standing, self.words = STARTING, ""

    @property
    def name(self) -> str:
        """See ``Job``."""
        return self._settings.name

    async def due(self) -> Intent | None:
        """See ``Job``."""
        try:
            return await self._due()
        except (ConfigError, MalformedError, LogUnavailable, TamperError) as error:
            raise Waiting("origin-waiting", str(error)) from error

    async def _due(self) -> Intent | None:
        last = (await self._remembered()).last
        observed = await self._totals.newest(self._settings.point, after=self._seq(last))
        if self._compared and not self._is_time(observed, last):
            return None
        held = await self._registry.look()
        if held.trouble:
            raise Waiting("origin-enrolment", held.trouble)
        standing, words = await self._compare(held)
        self._require_rising(observed, held)
        self._stand(standing, words)
        # It may have turned out that what was offered before a crash was told.
        last = (await self._remembered()).last
        if observed is None or not self._is_time(observed, last):
            return None
        saying = await self._saying(observed, held, last)
        if saying is None:
            return None
        offered = Memory(last=last, offered=saying)
        return Intent(key=saying.key, call=self._registry.call(held, saying), keep=partial(self._remember, offered))

    def _seq(self, last: Saying | None) -> int:
        """The entry told last, in the log as it is now: another epoch is another log."""
        return last.seq if last is not None and last.origin == self._totals.origin else -1

    def _is_time(self, observed: Observed | None, last: Saying | None) -> bool:
        """Whether it is to be told; a clock that was set back delays nothing."""
        if observed is None or observed.seq <= self._seq(last):
            return False
        if observed.value is None and not self._registry.repeats:
            return False
        if last is None:
            return True
        if not self._registry.repeats and self._total(observed) == last.total_wh:
            return False
        return not 0 <= observed.wall_ms - last.wall_ms < self._settings.every_s * 1000

    def _total(self, observed: Observed) -> int:
        return observed.watt_hours + self._settings.offset_wh

    def _require_rising(self, observed: Observed | None, held: Held) -> None:
        """Raises Waiting where the contract holds more than the meter has counted."""
        if observed is None or observed.value is None or self._total(observed) >= held.total_wh:
            return
        words = (
            f"the contract holds {held.total_wh} Wh, and {self._settings.point} is at {self._total(observed)} Wh in "
            f"entry {observed.seq}: was the meter exchanged, or is the key in use elsewhere?"
        )
        self._stand(ALARM, words)
        raise Waiting("origin-alarm", words)

    async def _saying(self, observed: Observed, held: Held, last: Saying | None) -> Saying | None:
        """What tells of *observed*; None where the contract has it already. Raises Waiting."""
        total = held.total_wh if observed.value is None else self._total(observed)
        if total == held.total_wh and not self._registry.repeats:
            return None
        objection = self._registry.objection(held, observed.wall_ms, last.wall_ms if last else 0)
        if objection:
            raise Waiting("origin-waiting", objection)
        saying = Saying(
            key=f"{self.name} {self._totals.origin} {observed.seq}",
            origin=self._totals.origin,
            seq=observed.seq,
            wall_ms=observed.wall_ms,
            total_wh=total,
            down=observed.value is None,
            hash=last.following if last and last.following else self._registry.no_hash,
            before=(held.total_wh, held.hash),
        )
        if held.co2 is not None:
            saying = await self._with_co2(saying, observed, held, last)
        return replace(saying, following=self._registry.following(saying, observed.data))

    async def _with_co2(self, saying: Saying, observed: Observed, held: Held, last: Saying | None) -> Saying:
        known = last.co2 if last is not None and last.co2_total == held.co2 else None
        # What the contract holds has no fraction, and is what must not fall.
        grams = Scaled(mantissa=held.co2 or 0, exponent=0) if known is None else known
        per_kwh = await intensity(self._totals, self._settings.co2, observed)
        if per_kwh is None:
            return replace(saying, co2=grams, co2_down=True)
        return replace(saying, co2=more(grams, saying.total_wh - held.total_wh, per_kwh), co2_down=False)

    async def _compare(self, held: Held) -> tuple[str, str]:
        """Finds out which of what was said the contract holds, if any; the standing, and what it means."""
        memory, now = await self._remembered(), (held.total_wh, held.hash)
        offered, last = memory.offered, memory.last
        self._compared = True
        if last is not None and now == (last.total_wh, last.hash):
            return AGREES, _agreed(last)
        if offered is not None and now == (offered.total_wh, offered.hash) and now != offered.before:
            await asyncio.to_thread(self._remember, Memory(last=offered))
            return AGREES, _agreed(offered)
        if last is None and not held.total_wh and not held.hash.strip("0"):
            return AGREES, "the contract holds nothing yet"
        await asyncio.to_thread(self._remember, Memory(last=_adopted(held, last)))
        return DIFFERS, _difference(held, last)

    async def settled(self, key: str, receipt: Receipt) -> None:  # noqa: ARG002  (the event says what we said)
        """See ``Job``."""
        memory = await self._remembered()
        if memory.offered is not None and memory.offered.key == key:
            await asyncio.to_thread(self._remember, Memory(last=memory.offered))
            self._stand(AGREES, _agreed(memory.offered))
        elif memory.last is None or memory.last.key != key:
            # Something older, told again, or something that is not remembered: the contract knows.
            self._compared = False

    async def refused(self, key: str, error: CallReverted) -> None:
        """See ``Job``."""
        remedy, words = refusal(error)
        raise Waiting(f"origin-{remedy}", f"{key}: {words}") from error

    async def _remembered(self) -> Memory:
        if self._memory is None:
            self._memory = await asyncio.to_thread(load, self._kept, self.name)
        return self._memory

    def _remember(self, memory: Memory) -> None:
        """Blocks. Raises UnavailableError."""
        save(self._kept, self.name, memory)
        self._memory = memory

    def _stand(self, standing: str, words: str) -> None:
        news = standing != self.standing or (words != self.words and standing != AGREES)
        self.standing, self.words = standing, words
        if news and standing != AGREES:
            _log.warning("%s: %s", self.name, words)
            self._told(standing, f"{self.name}: {words}")

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        last = self._memory.last if self._memory else None
        return {
            "name": self.name,
            "standing": self.standing,
            "words": self.words,
            "last_total_wh": last.total_wh if last else None,
            "last_seq": last.seq if last else None,
        }


def _agreed(said: Saying) -> str:
    return f"the contract holds {said.total_wh} Wh, as it was told" + (f" (entry {said.seq})" if said.key else "")


def _difference(held: Held, last: Saying | None) -> str:
    holds = f"the contract holds {held.total_wh} Wh" + (f" under {held.hash}" if held.hash else "")
    if last is None:
        return f"{holds}, and nothing is known of having told it: is the asset in use elsewhere, or was the state lost?"
    told = f"{last.total_wh} Wh" + (f" under {last.hash}" if last.hash else "")
    return f"{holds}, and what was told last is {told} (entry {last.seq})"


def _adopted(held: Held, last: Saying | None) -> Saying:
    """What the contract holds, as if it had been told."""
    co2 = NO_CO2 if held.co2 is None else Scaled(mantissa=held.co2, exponent=0)
    if last is not None:
        return replace(last, key="", total_wh=held.total_wh, hash=held.hash, following="", co2=co2)
    return Saying(key="", origin="", seq=-1, wall_ms=0, total_wh=held.total_wh, hash=held.hash, co2=co2)
