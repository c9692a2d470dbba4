"""The job that anchors the log's checkpoints: the newest one, every so often, each at most once, and ever larger ones.

Weeks offline end in one anchor. In the growing form the contract itself refuses a size that is not larger, and tells
the last one; in the event form that is read from the bundles that were kept, or, where those are gone, from the newest
events. A chain that tells more than this log holds is *ahead*: somebody else has this key, or the disk is an older
copy; nothing is anchored until the log has outgrown it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from gateway.chain.anchor import (
    AnchorContract,
    Anchored,
    Statement,
    decode_event,
    decode_last,
    decode_refusal,
    log_of,
    statement_topics,
)
from gateway.chain.answers import Topics
from gateway.chain.bundle import AnchorFact, Bundle
from gateway.chain.bundle_store import BundleStore
from gateway.chain.client import ChainClient
from gateway.chain.job import Held, Intent
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, MalformedError

#: How far back the newest events of an announced log are looked for, and how many blocks are asked for at once.
_BACK_BLOCKS, _RANGE_BLOCKS = 50_000, 5_000
#: How many of the newest kept bundles are looked at.
_KEPT_LOOKED_AT = 16


class Checkpoints(Protocol):
    """Whose checkpoints are anchored; ``gateway.log.log.Log`` is one."""

    @property
    def origin(self) -> str:
        """The log's name."""

    @property
    def newest_checkpoint(self) -> bytes | None:
        """The newest durable signed note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSettings:
    """What the config says of the anchors."""

    contract: str
    #: The contract keeps the newest one, or only announces it.
    growing: bool
    every_s: float
    #: Whose log it is where the account is a relayer.
    founder: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The newest anchor that is known, and when that was by the loop's clock."""

    size: int
    at_s: float


class AnchorJob:
    """The anchors of one log in one contract."""

    name = "anchor"

    def __init__(
        self, settings: AnchorSettings, log: Checkpoints, client: ChainClient, account: str, bundles: BundleStore
    ) -> None:
        self._settings, self._log, self._client = settings, log, client
        self._bundles = bundles
        self._contract = AnchorContract(address=settings.contract)
        self._log_id = log_of(settings.founder or account, log.origin)
        self._relayed = settings.founder is not None and settings.founder.lower() != account.lower()
        self._seen: _Seen | None = None
        self._newest: Bundle | None = None

    async def due(self) -> Intent | None:
        """The newest checkpoint, if it is newer than the last anchor and that is old enough."""
        bundle = self._bundle()
        if bundle is None:
            return None
        seen = self._seen or await self._read_back()
        size, now_s = bundle.checkpoint.size, asyncio.get_running_loop().time()
        if seen.size > size:
            self._seen = None
            raise Held("chain-ahead", f"the chain has {self._log.origin} at size {seen.size}, this log has {size}")
        if seen.size == size or now_s - seen.at_s < self._settings.every_s:
            return None
        statement = Statement(size=size, root=bundle.checkpoint.root, cid=bundle.digest)
        key = f"anchor {self._settings.contract} {self._log_id.hex()} {size}"
        return Intent(key=key, call=self._call(statement), keep=partial(self._bundles.keep, bundle))

    async def settled(self, key: str, receipt: Receipt) -> None:
        """Notes where the bundle stands now."""
        event = self._event(receipt)
        if event is None:
            raise MalformedError(f"{key}: the transaction succeeded without an event of {self._settings.contract}")
        fact = AnchorFact(
            chain_id=self._client.chain_id,
            contract=self._settings.contract,
            transaction=receipt.transaction,
            block=receipt.block_number,
            size=event.statement.size,
        )
        await asyncio.to_thread(self._bundles.anchored, event.statement.cid, fact)
        self._seen = _Seen(size=event.statement.size, at_s=asyncio.get_running_loop().time())

    async def refused(self, key: str, error: CallReverted) -> None:
        """What the contract holds is read again before the next one. Raises Held with the contract's reason."""
        self._seen = None
        refusal = decode_refusal(error.data)
        if refusal is not None:
            raise Held("reverted", f"{key}: {refusal.text}") from error

    def _bundle(self) -> Bundle | None:
        note = self._log.newest_checkpoint
        if note is not None and (self._newest is None or note != self._newest.note):
            self._newest = Bundle.of(note)
        return self._newest if self._newest is not None and self._newest.checkpoint.size else None

    def _call(self, statement: Statement) -> Call:
        if not self._settings.growing:
            return self._contract.announce(self._log.origin, statement)
        if self._relayed:
            return self._contract.submit(self._log_id, statement)
        return self._contract.anchor(self._log.origin, statement)

    def _event(self, receipt: Receipt) -> Anchored | None:
        for record in receipt.logs:
            if record.address.lower() == self._settings.contract:
                event = decode_event(record)
                if isinstance(event, Anchored) and event.log == self._log_id:
                    return event
        return None

    async def _read_back(self) -> _Seen:
        """What is known of the newest anchor: by the contract, by the bundles, or by the newest events."""
        if self._settings.growing:
            last = decode_last(await self._client.read(self._contract.last(self._log_id)))
            found = (last.size, last.block) if last.size else None
        else:
            found = await asyncio.to_thread(self._kept) or await self._announced()
        if found is None:
            return self._remember(0, None)
        size, number = found
        block, head = await self._client.block(number), await self._client.head()
        # How old it is by the chain's own clock.
        return self._remember(size, None if block is None else head.time_s - block.time_s)

    def _remember(self, size: int, age_s: int | None) -> _Seen:
        age_s = int(self._settings.every_s) + 1 if age_s is None else age_s
        self._seen = _Seen(size=size, at_s=asyncio.get_running_loop().time() - age_s)
        return self._seen

    def _kept(self) -> tuple[int, int] | None:
        """Size and block of the largest anchor that a kept bundle has in this contract. Blocks."""
        facts = [
            (fact.size, fact.block)
            for digest in self._bundles.digests()[-_KEPT_LOOKED_AT:]
            if (kept := self._bundles.get(digest)) is not None and kept.bundle.checkpoint.origin == self._log.origin
            for fact in kept.record.anchors
            if (fact.chain_id, fact.contract) == (self._client.chain_id, self._settings.contract)
        ]
        return max(facts, default=None)

    async def _announced(self) -> tuple[int, int] | None:
        """Size and block of the newest event of this log, not farther back than looked for."""
        head = (await self._client.head()).number
        for last in range(head, max(-1, head - _BACK_BLOCKS), -_RANGE_BLOCKS):
            first = max(0, last - _RANGE_BLOCKS + 1)
            topics: Topics = [list(statement_topics()), self._log_id]
            records = await self._client.logs(self._settings.contract, topics, first, last)
            events = [(decode_event(record), record.block_number) for record in records]
            found = [(event.statement.size, at) for event, at in events if isinstance(event, Anchored)]
            if found:
                return max(found)
        return None
