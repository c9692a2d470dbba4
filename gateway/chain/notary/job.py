"""The job that has the Notary of Energy Web's 24/7 SDK store the roots of batches of readings, each root once.

Notary (energywebfoundation/origin-247-sdk): ``store(bytes32)`` emits ``NewMeterReading(operator, proof)`` and keeps
nothing; anyone may call it, so what a root is worth is who the operator is: here the gateway's own account.

A batch holds the good readings of one point (``gateway.chain.totals``), zeroes too, from behind the batch before: it is
made when the newest of them is *every* seconds after the last one told, or when *readings_max* of them wait. Weeks
offline end in full batches, one after the other. The first batch begins with the reading that is the newest when the
job runs first. Batches are chained (``gateway.chain.notary.batches``); a later epoch of the log has a chain of its own,
from its first reading on.

Before a root is sent its batch is durable (``gateway.chain.notary.store``). A batch that is not known to be stored is
looked for on the chain at the start, and sent only if it is not there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.chain import abi
from gateway.chain.events import EventClient
from gateway.chain.job import Held, Intent
from gateway.chain.notary.batch_fields import BatchReading
from gateway.chain.notary.batches import Batch, make_batch
from gateway.chain.notary.precise import Proof
from gateway.chain.notary.store import LIMIT, BatchStore, Kept
from gateway.chain.replay import replay
from gateway.chain.totals import MeterPoint, Observed, Totals
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, ConfigError, LogUnavailable, MalformedError, TamperError

EVENT = "NewMeterReading(address,bytes32)"
FOLDER = Path("chain") / "notary"


def store_call(root: bytes) -> bytes:
    """The call that has *root* stored."""
    return abi.encode_call("store(bytes32)", [root])


def topics_of(operator: str, root: bytes) -> tuple[bytes, bytes, bytes]:
    """The topics of the event by which *operator* stored *root*."""
    return abi.topic(EVENT), bytes(12) + bytes.fromhex(operator[2:]), root


def device_of(origin: str, point: MeterPoint) -> str:
    """What a chain of batches is called: whose readings they are."""
    return f"{origin} {point}"


def folder_of(state_dir: Path, name: str, device: str) -> Path:
    """Where the batches of that device are that the job *name* made: a folder in the job's own."""
    return state_dir / FOLDER / _short(name) / _short(device)


def _short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotarySettings:
    """What the config says."""

    #: Unique in its chain.
    name: str
    contract: str
    point: MeterPoint
    every_s: float
    #: Hashing one takes a board 5 ms.
    readings_max: int = 512
    batches_max: int = LIMIT


class NotaryJob:
    """A ``gateway.chain.job.Job``: one point of one meter. *account* is the operator."""

    def __init__(
        self,
        settings: NotarySettings,
        totals: Totals,
        client: EventClient,
        account: str,
        state_dir: Path,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._settings, self._totals, self._client = settings, totals, client
        self._account, self._random = account.lower(), random
        self._device = device_of(totals.origin, settings.point)
        folder = folder_of(state_dir, settings.name, self._device)
        self.store = BatchStore(folder, limit=settings.batches_max)
        self._started = False
        #: The newest batch that is stored, and the one that is to be.
        self._newest: Batch | None = None
        self._pending: Batch | None = None
        #: Readings that wait for a batch, and where the log was looked through to.
        self._waiting: list[Observed] = []
        self._at = 0

    @property
    def name(self) -> str:
        """See ``Job``."""
        return self._settings.name

    async def due(self) -> Intent | None:
        """See ``Job``."""
        try:
            if not self._started:
                await self._start()
            if self._pending is None:
                self._pending = await self._next()
        except (ConfigError, MalformedError, LogUnavailable, TamperError) as error:
            raise Held("notary-waiting", str(error)) from error
        if self._pending is None:
            return None
        since = (await self._client.head()).number
        call = Call(to=self._settings.contract, data=store_call(self._pending.root))
        return Intent(key=self._key(self._pending), call=call, keep=partial(self.store.keep, self._pending, since))

    def _key(self, batch: Batch) -> str:
        return f"{self.name} {batch.sequence} {batch.root.hex()}"

    async def _start(self) -> None:
        kept = await asyncio.to_thread(self.store.newest)
        if kept is None:
            newest = await self._totals.newest(self._settings.point)
            if newest is None:
                return
            self._at = await asyncio.to_thread(self.store.begin, newest.seq)
        elif kept.anchoring.transaction is not None or await self._found(kept):
            self._newest, self._at = kept.batch, kept.batch.readings[-1].seq + 1
        else:
            self._pending = kept.batch
        self._started = True

    async def _found(self, kept: Kept) -> bool:
        """Whether the chain has the root that nobody told us of."""
        topics = topics_of(self._account, kept.batch.root)
        head = await self._client.head()
        async for record in replay(
            self._client, self._settings.contract, topics, min(kept.anchoring.since, head.number), head.number
        ):
            place = (record.transaction, record.block_number)
            await asyncio.to_thread(self.store.anchored, kept.batch.sequence, *place)
            return True
        return False

    async def _next(self) -> Batch | None:
        if not self._started:
            return None
        await self._collect()
        if not self._waiting or not self._is_time():
            return None
        readings = self._waiting[: self._settings.readings_max]
        link = self._newest.link if self._newest is not None else None
        stated = [BatchReading(timestamp=one.wall_ms // 1000, value=one.watt_hours, seq=one.seq) for one in readings]
        return await asyncio.to_thread(make_batch, self._device, stated, link, self._random)

    async def _collect(self) -> None:
        while len(self._waiting) < self._settings.readings_max:
            stretch = await self._totals.stretch(self._settings.point, self._at)
            if stretch.end == self._at:
                return
            self._waiting += [one for one in stretch.values if one.counts]
            self._at = stretch.end

    def _is_time(self) -> bool:
        """By the readings' own clocks; one that was set back delays nothing."""
        if len(self._waiting) >= self._settings.readings_max:
            return True
        last_s = self._newest.readings[-1].timestamp if self._newest is not None else self._waiting[0].wall_ms // 1000
        return not 0 <= self._waiting[-1].wall_ms - last_s * 1000 < self._settings.every_s * 1000

    async def settled(self, key: str, receipt: Receipt) -> None:
        """See ``Job``."""
        sequence = int(key.split(" ")[-2])
        await asyncio.to_thread(self.store.anchored, sequence, receipt.transaction, receipt.block_number)
        pending = self._pending
        if pending is not None and self._key(pending) == key:
            self._newest, self._pending = pending, None
            last = pending.readings[-1].seq
            self._waiting = [one for one in self._waiting if one.seq > last]
            self._at = max(self._at, last + 1)

    async def refused(self, key: str, error: CallReverted) -> None:
        """See ``Job``. The Notary refuses nothing."""
        reason = error.reason or "no reason given"
        raise Held("notary-refused", f"{key}: {self._settings.contract} is no Notary: {reason}") from error

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        return {
            "name": self.name,
            "batches": 0 if self._newest is None else self._newest.sequence + 1,
            "last_seq": None if self._newest is None else self._newest.readings[-1].seq,
            "waiting": len(self._waiting),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedReading:
    """One reading under the root that the Notary was given."""

    proof: Proof
    #: Number of the batch, and place of the reading in it.
    sequence: int
    index: int
    root: bytes
    #: None until the root is known to be stored.
    transaction: bytes | None
    block: int | None


def proof_of(store: BatchStore, seq: int) -> ProvedReading:
    """The proof of the reading in entry *seq*. Blocks: a batch is hashed anew.

    Raises ConfigError where no batch that is kept has it, MalformedError, TamperError where its file was changed.
    """
    kept = store.holding(seq)
    readings = [reading.seq for reading in kept.batch.readings] if kept is not None else []
    if kept is None or seq not in readings:
        raise ConfigError(
            f"entry {seq} is in no batch that is kept here: not a good reading of it, too new, or too old"
        )
    batch, index = kept.batch, readings.index(seq)
    return ProvedReading(
        proof=batch.proof(index),
        sequence=batch.sequence,
        index=index,
        root=batch.root,
        transaction=kept.anchoring.transaction,
        block=kept.anchoring.block,
    )
