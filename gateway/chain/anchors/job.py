"""The job that anchors the log's checkpoints: the newest one, every so often, each at most once, and ever larger ones.

Weeks offline end in one anchor. In the growing form the contract itself refuses a size that is not larger, and tells
the last one. In the event form the events tell, which are read again before each anchor: from the last anchor that a
kept bundle names, or, where the bundles are gone, as far back as ``BACK_BLOCKS``. A chain that tells more than this log
holds is *ahead*: somebody else has this key, or the disk is an older copy; nothing is anchored until the log has
outgrown it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from gateway.chain.anchors.bundle import AnchorFact, Bundle
from gateway.chain.anchors.bundle_store import BundleStore, Kept
from gateway.chain.anchors.contract import (
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
from gateway.chain.client import ChainClient
from gateway.chain.job import Held, Intent
from gateway.chain.replay import replay
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, MalformedError, TamperError, UnavailableError

_log = logging.getLogger(__name__)
#: How far back the events of an announced log are looked for at most.
BACK_BLOCKS = 50_000
#: Blocks that are read again each time: the chain may have been reorganised since.
_AGAIN_BLOCKS = 256
#: How many of the newest kept bundles are looked at; other chains have theirs among them.
_KEPT_LOOKED_AT = 256


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
    #: Up to which the events were read; 0 where the contract told, or none were.
    block: int = 0


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
        seen, size = self._seen or await self._read_back(), bundle.checkpoint.size
        if not self._settings.growing and self._is_due(seen, size):
            # The contract would take it a second time, so the chain has the last word.
            seen = await self._caught_up(seen)
        if seen.size > size:
            self._seen = None
            raise Held("chain-ahead", f"the chain has {self._log.origin} at size {seen.size}, this log has {size}")
        if not self._is_due(seen, size):
            return None
        statement = Statement(size=size, root=bundle.checkpoint.root, cid=bundle.digest)
        key = f"anchor {self._settings.contract} {self._log_id.hex()} {size}"
        return Intent(key=key, call=self._call(statement), keep=partial(self._bundles.keep, bundle))

    async def settled(self, key: str, receipt: Receipt) -> None:
        """Notes where the bundle stands now; *key* may be of another contract, or of a log that was closed since."""
        contract, log_id = _named(key)
        event, now_s = _event(receipt, contract, log_id), asyncio.get_running_loop().time()
        if event is None:
            # It has cost its fee, so the next one comes no sooner than after any other.
            self._seen = self._seen and replace(self._seen, at_s=now_s)
            raise MalformedError(f"{key}: it succeeded without an event of {contract}; is that our contract?")
        size = event.statement.size
        fact = AnchorFact(
            chain_id=self._client.chain_id,
            contract=contract,
            transaction=receipt.transaction,
            block=receipt.block_number,
            size=size,
        )
        await asyncio.to_thread(self._bundles.anchored, event.statement.cid, fact)
        here, seen = (contract, log_id) == (self._settings.contract, self._log_id), self._seen
        if here and (seen is None or size >= seen.size):
            # What is told late, by a chain that went back, does not make a smaller one the newest.
            block = seen.block if seen is not None else receipt.block_number
            self._seen = _Seen(size=size, at_s=now_s, block=block)

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

    def _is_due(self, seen: _Seen, size: int) -> bool:
        return seen.size < size and asyncio.get_running_loop().time() - seen.at_s >= self._settings.every_s

    def _call(self, statement: Statement) -> Call:
        if not self._settings.growing:
            return self._contract.announce(self._log.origin, statement)
        if self._relayed:
            return self._contract.submit(self._log_id, statement)
        return self._contract.anchor(self._log.origin, statement)

    async def _read_back(self) -> _Seen:
        """What is known of the newest anchor: by the contract, or by the bundles and the events."""
        if not await self._client.code(self._settings.contract):
            words = f"{self._settings.contract}: there is no contract on chain {self._client.chain_id}"
            raise Held("no-contract", f"{words}; correct its address")
        if not self._settings.growing:
            kept = await asyncio.to_thread(self._kept)
            size, block = kept or (0, 0)
            self._seen = await self._caught_up(_Seen(size=size, at_s=await self._when(block), block=block))
            return self._seen
        last = decode_last(await self._client.read(self._contract.last(self._log_id)))
        self._seen = _Seen(size=last.size, at_s=await self._when(last.block))
        return self._seen

    async def _caught_up(self, seen: _Seen) -> _Seen:
        """The newest anchor, with the events behind those that were read for *seen*."""
        head = (await self._client.head()).number
        first = max(0, head - BACK_BLOCKS, min(seen.block, head) - _AGAIN_BLOCKS)
        topics: Topics = [list(statement_topics()), self._log_id]
        size, block = seen.size, None
        async for record in replay(self._client, self._settings.contract, topics, first, head):
            event = decode_event(record)
            if isinstance(event, Anchored) and event.statement.size > size:
                size, block = event.statement.size, record.block_number
        at_s = seen.at_s if block is None else await self._when(block)
        self._seen = _Seen(size=size, at_s=at_s, block=head)
        return self._seen

    async def _when(self, number: int) -> float:
        """When block *number* was, by the loop's clock and the chain's; long ago for 0, and where there is none."""
        block, now_s = await self._client.block(number) if number else None, asyncio.get_running_loop().time()
        if block is None:
            return now_s - self._settings.every_s - 1
        return now_s - ((await self._client.head()).time_s - block.time_s)

    def _kept(self) -> tuple[int, int] | None:
        """Size and block of the anchor that the newest kept bundle has in this contract. Blocks."""
        try:
            digests = self._bundles.digests()
        except OSError as error:
            raise UnavailableError(f"the kept bundles cannot be read ({error.strerror}): check the disk") from error
        here = (self._client.chain_id, self._settings.contract)
        for digest in reversed(digests[-_KEPT_LOOKED_AT:]):
            kept = self._readable(digest)
            if kept is not None and kept.bundle.checkpoint.origin == self._log.origin:
                facts = [fact for fact in kept.record.anchors if (fact.chain_id, fact.contract) == here]
                if facts:
                    return max((fact.size, fact.block) for fact in facts)
        return None

    def _readable(self, digest: bytes) -> Kept | None:
        """A bundle that was changed is the audit's business; here the others, or the chain, tell the same."""
        try:
            return self._bundles.get(digest)
        except (TamperError, MalformedError) as error:
            _log.warning("%s", error)
            return None


def _named(key: str) -> tuple[str, bytes]:
    """The contract and the log that a key of ``due`` names."""
    _, contract, log_hex, _ = key.split(" ")
    return contract, bytes.fromhex(log_hex)


def _event(receipt: Receipt, contract: str, log_id: bytes) -> Anchored | None:
    for record in receipt.logs:
        if record.address.lower() == contract:
            event = decode_event(record)
            if isinstance(event, Anchored) and event.log == log_id:
                return event
    return None
