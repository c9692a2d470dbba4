"""Reads what a registry tells of an identity: all its changes, by the chain that each event continues.

``changed(identity)`` names the block of the newest change, and each event the block of the one before, so a walk
backwards over single blocks finds all of them without reading the chain::

    head          the newest block: everything else is asked as of it, and valid is what is valid at its time
    changed       where the walk begins; 0 ends it
    logs          of that one block and identity; the first says where the walk goes on, each other one names this block
    owner         must be who the newest DIDOwnerChanged names

A node that leaves an event out, or invents one, breaks one of these rules, and is not believed. (Energy Web's own
resolver reads the first event of each block alone; a device that enrols by several meta-transactions in one block has
more.) The walk is bounded: a hostile owner may make as many changes as it pays for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.chain.values import Block, Call, LogRecord
from gateway.errors import ChainUnavailable, MalformedError
from gateway.identity.did import Registry
from gateway.identity.registry import NOBODY, Change, OwnerChanged, answer, decode_event, identity_topic, question

#: Blocks that are asked for, and changes that are kept.
BLOCKS_MAX = 2_000
CHANGES_MAX = 10_000


class HistoryClient(Protocol):
    """What is asked of a chain; ``gateway.chain.client.ChainClient`` is one. All raise ChainUnavailable."""

    @property
    def chain_id(self) -> int:
        """The chain's number."""

    async def head(self) -> Block:
        """The newest block."""

    async def read(self, call: Call, *, sender: str | None = None, block: int | None = None) -> bytes:
        """What a contract answers, as of *block*."""

    async def logs(
        self, address: str, topics: Sequence[bytes | Sequence[bytes] | None], first: int, last: int
    ) -> list[LogRecord]:
        """Its events in those blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A change and its block."""

    block: int
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All changes of an identity, the oldest first, as of a block."""

    identity: str
    registry: Registry
    as_of: Block
    #: Who may change it: the identity itself where nobody else does.
    owner: str
    changes: tuple[Dated, ...]


async def read_history(client: HistoryClient, registry: Registry, identity: str) -> History:
    """The changes of *identity* (in lower case). Raises ChainUnavailable, MalformedError."""
    head = await client.head()
    owner = answer("identityOwner", await _ask(client, registry, "identityOwner", identity, head))
    block = answer("changed", await _ask(client, registry, "changed", identity, head))
    if block > head.number:
        raise MalformedError(f"{identity}: changed in block {block}, and the chain ends with {head.number}")
    found: list[Dated] = []
    for _ in range(BLOCKS_MAX):
        if not block:
            break
        changes = await _block_changes(client, registry, identity, block)
        found[:0] = [Dated(block=block, change=change) for change in changes]
        block = changes[0].previous
    if block or len(found) > CHANGES_MAX:
        raise MalformedError(f"{identity}: has more than {len(found)} changes, which is more than a device's; refused")
    _require_owner(identity, owner, found)
    return History(identity=identity, registry=registry, as_of=head, owner=owner, changes=tuple(found))


async def owner_of(client: HistoryClient, registry: Registry, identity: str) -> str:
    """Who may change *identity* now, in lower case. Raises ChainUnavailable, MalformedError."""
    return str(answer("identityOwner", await client.read(question(registry.address, "identityOwner", identity))))


async def nonce_of(client: HistoryClient, registry: Registry, owner: str) -> int:
    """How many meta-transactions of *owner* the registry has taken. Raises ChainUnavailable, MalformedError."""
    return int(answer("nonce", await client.read(question(registry.address, "nonce", owner))))


async def _ask(client: HistoryClient, registry: Registry, function: str, identity: str, head: Block) -> bytes:
    return await client.read(question(registry.address, function, identity), block=head.number)


async def _block_changes(client: HistoryClient, registry: Registry, identity: str, block: int) -> list[Change]:
    """What happened to the identity in that block, in order; the first one names an earlier block."""
    records = await client.logs(registry.address, [None, identity_topic(identity)], block, block)
    if not records:
        raise ChainUnavailable(
            f"{identity}: changed in block {block}, of which the node tells no event: it keeps none so old, or the "
            "chain was reorganised; ask again, or ask another node"
        )
    changes = [decode_event(record) for record in sorted(records, key=lambda record: record.index)]
    if changes[0].previous >= block or any(change.previous != block for change in changes[1:]):
        raise MalformedError(f"{identity}: the events of block {block} do not continue each other; ask another node")
    return changes


def _require_owner(identity: str, owner: str, found: Sequence[Dated]) -> None:
    """The registry's answer is what the events say."""
    said = [dated.change.owner for dated in found if isinstance(dated.change, OwnerChanged)]
    expected = said[-1] if said and said[-1] != NOBODY else identity
    if owner != expected:
        raise MalformedError(f"{identity}: belongs to {owner}, while its events say {expected}; ask another node")
