"""What must hold behind a storm, read from the node itself and from the board's disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from gateway.chain.anchors.bundle import Bundle
from gateway.chain.anchors.contract import Anchored, decode_event, log_of, statement_topics
from gateway.chain.ledger import ATTEMPTS_MAX, KEPT
from gateway.chain.values import LogRecord
from tests.chain_nodes import ChainNode
from tests.chain_site import ChainSite

_TAGS = ("latest", "pending")


@dataclass(slots=True)
class Told:
    """What came of a storm."""

    #: What was broken, in words; empty for a storm that was weathered.
    faults: list[str] = field(default_factory=list)
    #: Sizes in the chain's events.
    sizes: list[int] = field(default_factory=list)
    #: How often what was done, and which states and outcomes came of it.
    counts: Counter[str] = field(default_factory=Counter)


def events(site: ChainSite, node: ChainNode) -> list[tuple[Anchored, str]]:
    """What the chain tells of the site's log, in its order, with the transactions."""
    topics = ["0x" + topic.hex() for topic in statement_topics()]
    log = "0x" + log_of(site.address, site.notes.origin).hex()
    asked = {"address": site.contract, "fromBlock": "0x0", "toBlock": "latest", "topics": [topics, log]}
    return [(_decoded(told), told["transactionHash"]) for told in node.rpc("eth_getLogs", asked)]


def judge(told: Told, site: ChainSite, node: ChainNode, *, deep: bool) -> None:
    """Notes what is broken of the promises; *deep* tells that the chain went back further than they reach."""
    faults, logs = told.faults, events(site, node)
    told.sizes = sizes = [event.statement.size for event, _ in logs]
    if len(set(sizes)) < len(sizes):
        faults.append(f"anchored twice: {sorted(size for size, times in Counter(sizes).items() if times > 1)}")
    if sizes != sorted(sizes) and not deep:
        faults.append(f"sizes do not grow: {sizes}")
    for event, _ in logs:
        if event.statement.root != site.notes.log.root(event.statement.size):
            faults.append(f"another root at size {event.statement.size}")
    latest, pending = (int(node.rpc("eth_getTransactionCount", site.address, at), 16) for at in _TAGS)
    ledger = site.ledger()
    if latest != pending or ledger.live:
        faults.append(f"not at rest: nonce {latest}, pending {pending}, under way {list(ledger.live)}")
    if (ledger.next_nonce or 0) > latest:
        faults.append(f"the ledger is at {ledger.next_nonce}, the chain at {latest}")
    if len(ledger.ended) > KEPT or any(len(record.attempts) > ATTEMPTS_MAX for record in ledger.ended):
        faults.append("the ledger grows without bound")
    told.counts.update(f"ended {record.outcome.kind}" for record in ledger.ended if record.outcome)
    newest = site.bundles().get(Bundle.of(site.notes.newest_checkpoint or b"").digest)
    places = ["0x" + fact.transaction.hex() for fact in newest.record.anchors] if newest else []
    where = [transaction for event, transaction in logs if event.statement.size == site.notes.size]
    if len(where) != 1 or where[0] not in places:
        faults.append(f"the bundle of size {site.notes.size} names {places}, the chain {where}")


def _decoded(told: dict[str, Any]) -> Anchored:
    record = LogRecord(
        address=told["address"],
        topics=tuple(bytes.fromhex(topic[2:]) for topic in told["topics"]),
        data=bytes.fromhex(told["data"][2:]),
        block_number=int(told["blockNumber"], 16),
        block_hash=bytes.fromhex(told["blockHash"][2:]),
        transaction=bytes.fromhex(told["transactionHash"][2:]),
        index=int(told["logIndex"], 16),
    )
    event = decode_event(record)
    assert isinstance(event, Anchored)
    return event
