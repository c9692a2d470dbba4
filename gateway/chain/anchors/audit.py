"""Compares what a chain says of a log with the log itself, anchor by anchor, and says the first difference.

==============  =======================================================================================================
finding         meaning
==============  =======================================================================================================
root-differs    the log's first SIZE entries have another root than the one that was anchored: one of them was changed
beyond-log      a size was anchored that the log does not have: entries are missing at its end
not-growing     a size that is not above the one before it: the key is used by two, or an older copy of the log spoke
bundle-differs  the bundle that is kept for this anchor says something else than the anchor, or was changed
not-there       the ledger has an anchor that the chain does not tell: the chain went back, or a node leaves it out
pruned          the entries are gone, and so is what is left of them: this anchor says nothing here; no difference
==============  =======================================================================================================

The first two and the fourth are evidence of tampering, with the log or by whoever has the account's key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.chain.anchors.bundle import AnchorFact
from gateway.chain.anchors.bundle_store import BundleStore, Kept
from gateway.chain.anchors.contract import Anchored, decode_event, statement_topics
from gateway.chain.events import EventClient, Topics
from gateway.chain.replay import replay
from gateway.chain.values import LogRecord
from gateway.errors import MalformedError, PrunedError, TamperError
from gateway.log.tree import Frontier
from gateway.log.view import LogView

TAMPERED = ("root-differs", "beyond-log", "bundle-differs")
#: More findings than that are counted only.
FINDINGS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference, or an anchor that cannot be compared."""

    kind: str
    size: int
    block: int
    transaction: bytes
    text: str


@dataclass(slots=True, kw_only=True)
class Audit:
    """What came of it."""

    anchors: int = 0
    #: Of them, how many the log leads to.
    agreeing: int = 0
    size_max: int = 0
    block_max: int = -1
    findings: list[Finding] = field(default_factory=list)
    findings_more: int = 0

    @property
    def first_difference(self) -> Finding | None:
        """The first one in the chain's order; None where the log and the chain agree."""
        return next((finding for finding in self.findings if finding.kind != "pruned"), None)

    @property
    def tampered(self) -> bool:
        """Whether any of them is evidence of tampering."""
        return any(finding.kind in TAMPERED for finding in self.findings)

    def find(self, kind: str, size: int, record: LogRecord | AnchorFact, text: str) -> None:
        """Notes one."""
        if len(self.findings) >= FINDINGS_MAX:
            self.findings_more += 1
            return
        block = record.block_number if isinstance(record, LogRecord) else record.block
        self.findings.append(Finding(kind=kind, size=size, block=block, transaction=record.transaction, text=text))


class Roots:
    """The roots of a log at sizes that are asked for, in one pass over the log while they grow."""

    def __init__(self, view: LogView) -> None:
        self._view = view
        self._tree = Frontier()

    def at(self, size: int) -> bytes | None:
        """The root over the first *size* entries, at most the log's; None where what it takes was pruned."""
        try:
            if size < self._tree.size:
                return self._view.root(size)
            self._view.grow(self._tree, size)
            return self._tree.root()
        except PrunedError:
            return None


async def audit_anchors(
    client: EventClient,
    contract: str,
    log_id: bytes,
    view: LogView,
    blocks: tuple[int, int],
    *,
    bundles: BundleStore | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Audit:
    """Replays the anchors of the log *log_id* in *blocks* (first and last) against *view*.

    With *bundles*, the notes that were kept are compared as well, and what they say of the contract is looked for on
    the chain. Raises ChainUnavailable, TamperError where the log's files are broken.
    """
    audit, roots = Audit(), Roots(view)
    seen: set[bytes] = set()
    topics: Topics = [list(statement_topics()), log_id]
    async for record in replay(client, contract, topics, *blocks, progress):
        event = decode_event(record)
        if not isinstance(event, Anchored):
            continue
        audit.anchors += 1
        seen.add(record.transaction)
        _compare(audit, event, record, roots, view.size)
        if bundles is not None:
            _compare_bundle(audit, event, record, bundles, view.origin)
    if bundles is not None:
        _look_for(audit, seen, (client.chain_id, contract, view.origin), bundles, blocks)
    return audit


def _compare(audit: Audit, event: Anchored, record: LogRecord, roots: Roots, log_size: int) -> None:
    size = event.statement.size
    if size <= audit.size_max:
        audit.find("not-growing", size, record, f"size {size} was anchored after size {audit.size_max}")
    audit.size_max, audit.block_max = max(size, audit.size_max), record.block_number
    if size > log_size:
        audit.find("beyond-log", size, record, f"size {size} was anchored, and the log has {log_size} entries")
        return
    root = roots.at(size)
    if root is None:
        audit.find("pruned", size, record, f"what is left of the log does not tell its root at size {size}")
    elif root != event.statement.root:
        said = event.statement.root.hex()
        audit.find("root-differs", size, record, f"the root at size {size} is {root.hex()}, anchored was {said}")
    else:
        audit.agreeing += 1


def _compare_bundle(audit: Audit, event: Anchored, record: LogRecord, bundles: BundleStore, origin: str) -> None:
    try:
        kept = _kept(bundles, event.statement.cid)
    except TamperError as error:
        audit.find("bundle-differs", event.statement.size, record, str(error))
        return
    if kept is None:
        return
    said = kept.bundle.checkpoint
    if (said.origin, said.size, said.root) != (origin, event.statement.size, event.statement.root):
        text = f"the bundle {kept.bundle.cid} is of {said.origin} at size {said.size}, not of this anchor"
        audit.find("bundle-differs", event.statement.size, record, text)


def _kept(bundles: BundleStore, digest: bytes) -> Kept | None:
    """The bundle; None as well where the record that names its anchors cannot be read. Raises TamperError."""
    try:
        return bundles.get(digest)
    except MalformedError:
        return None


def _look_for(
    audit: Audit, seen: set[bytes], where: tuple[int, str, str], bundles: BundleStore, blocks: tuple[int, int]
) -> None:
    """What the kept bundles of this log say of this contract must be on the chain."""
    for digest in bundles.digests():
        try:
            kept = _kept(bundles, digest)
        except TamperError:
            # Found already, where an anchor names it.
            continue
        if kept is None or kept.bundle.checkpoint.origin != where[2]:
            continue
        for fact in kept.record.anchors:
            here = (fact.chain_id, fact.contract) == where[:2] and blocks[0] <= fact.block <= blocks[1]
            if here and fact.transaction not in seen:
                text = f"size {fact.size} was anchored by 0x{fact.transaction.hex()}, and the chain has it not"
                audit.find("not-there", fact.size, fact, text)
