"""Compares what an account told a Notary with the batches on the board, and those with the log; says each difference.

=============  ========================================================================================================
finding        meaning
=============  ========================================================================================================
changed        a batch has another root than its record says, or does not follow the one before it; or the log's files
               are broken where it was made
reading        a reading of a batch is not what its entry in the log says
beyond-log     a reading of a batch is of an entry that the log does not have: entries are missing at its end
left-out       a good reading stands in the log among those of a batch, or right before them, and no batch has it
unknown-root   the account told a root that no batch here has: batches were removed, or the key is in use elsewhere
twice          a root was told again
not-there      the board has noted where a root is, and the chain does not tell it: it went back, or a node leaves it
               out
=============  ========================================================================================================

The first three and ``unknown-root`` are evidence of tampering: with the log, the batches, or by whoever has the key.

The board keeps its newest batches. Roots told before the oldest one that is kept are counted as pruned, as many as its
number says that there were; so are readings whose entries were pruned. The event tells the account and the root only,
so all batches for one contract are audited together, also those of points that are configured no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.chain.events import EventClient
from gateway.chain.notary.batch_fields import BatchReading
from gateway.chain.notary.batches import Batch, check_chain
from gateway.chain.notary.job import FOLDER, folder_of, topics_of
from gateway.chain.notary.store import Anchoring, BatchStore
from gateway.chain.replay import replay
from gateway.chain.totals import MeterPoint, Observed, observe
from gateway.chain.values import LogRecord
from gateway.errors import MalformedError, PrunedError, TamperError
from gateway.log.proving import present
from gateway.log.view import LogView

TAMPERED = ("changed", "reading", "beyond-log", "unknown-root")
#: More findings than that are counted only.
FINDINGS_MAX = 100
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotaryFinding:
    """One difference. What was found on the board has no block and no transaction."""

    kind: str
    text: str
    block: int | None = None
    transaction: bytes | None = None


@dataclass(slots=True, kw_only=True)
class NotaryAudit:
    """What came of it."""

    #: Roots of the account in the blocks; of them, how many are those of a batch here, and how many were pruned.
    roots: int = 0
    agreeing: int = 0
    pruned: int = 0
    #: Batches on the board; of them, how many are not known to be stored, nor found.
    batches: int = 0
    waiting: int = 0
    #: Readings in them that are what the log says, and those whose entries are gone.
    readings: int = 0
    readings_pruned: int = 0
    findings: list[NotaryFinding] = field(default_factory=list)
    findings_more: int = 0

    @property
    def first_difference(self) -> NotaryFinding | None:
        """The first one: what is on the board comes before what is on the chain."""
        return self.findings[0] if self.findings else None

    @property
    def tampered(self) -> bool:
        """Whether any of them is evidence of tampering."""
        return any(finding.kind in TAMPERED for finding in self.findings)

    def find(self, kind: str, text: str, record: LogRecord | None = None) -> None:
        """Notes one."""
        if len(self.findings) >= FINDINGS_MAX:
            self.findings_more += 1
            return
        block, transaction = (record.block_number, record.transaction) if record else (None, None)
        self.findings.append(NotaryFinding(kind=kind, text=text, block=block, transaction=transaction))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The batches of one point, in one epoch of the log."""

    point: MeterPoint
    store: BatchStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Who told which Notary what."""

    contract: str
    #: The account's address.
    operator: str
    series: Sequence[Series]


#: The name of the job that tells a contract of a point: ``gateway.chain.subjects.notary_settings`` gives it.
Name = Callable[[str, MeterPoint], str]


def series_of(state_dir: Path, contract: str, points: Iterable[MeterPoint], name: Name) -> list[Series]:
    """All batches on the board for *contract*: of *points*, which are configured, and of others that once were.

    Raises UnavailableError where the disk cannot be read.
    """
    homes = {folder_of(state_dir, name(contract, point), "").parent: point for point in points}
    found = []
    for folder in sorted((state_dir / FOLDER).glob("*/*/")):
        store = BatchStore(folder)
        point = homes.get(folder.parent) or _former_point(state_dir, contract, folder, name)
        if point is not None:
            found.append(Series(point=point, store=store))
    return found


def _former_point(state_dir: Path, contract: str, folder: Path, name: Name) -> MeterPoint | None:
    """The point that the batches in *folder* are of, where they are for *contract*."""
    try:
        kept = BatchStore(folder).newest()
    except (MalformedError, TamperError):
        # Of which contract it was, nobody can say any more.
        return None
    if kept is None or len(words := kept.batch.device.rsplit(" ", 2)) < 3:
        return None
    point = MeterPoint(meter=words[1], point=words[2])
    return point if folder_of(state_dir, name(contract, point), kept.batch.device) == folder else None


async def audit_notary(
    client: EventClient,
    told: Told,
    views: Sequence[LogView],
    blocks: tuple[int, int],
    *,
    entries_done: Progress = lambda _done: None,
    blocks_done: Progress = lambda _done: None,
) -> NotaryAudit:
    """Replays the roots in *blocks* (first and last) against the batches, and those against *views*: all epochs.

    *entries_done* is told up to which entry a series of batches was compared. Raises ChainUnavailable, and ConfigError
    where the log has no such point.
    """
    audit, board = NotaryAudit(), _Board(blocks[0])
    for series in told.series:
        board.read(audit, series, views, entries_done)
    topics = topics_of(told.operator, b"")[:2]
    async for record in replay(client, told.contract, topics, *blocks, blocks_done):
        audit.roots += 1
        board.compare(audit, record)
    board.look_for(audit, blocks)
    return audit


class _Board:
    """What the board has of one contract."""

    def __init__(self, first_block: int) -> None:
        self._first_block = first_block
        #: By its root, each batch: its number, its point, and where the board believes it to be.
        self._kept: dict[bytes, tuple[int, MeterPoint, Anchoring]] = {}
        self._seen: set[bytes] = set()
        #: Of each series whose beginning was thinned out: the root of the oldest batch, and how many were before it.
        self._thinned: dict[bytes, int] = {}
        #: Whether all records could be read.
        self._whole = True

    def read(self, audit: NotaryAudit, series: Series, views: Sequence[LogView], progress: Progress) -> None:
        """Checks the batches of one series, one after the other."""
        try:
            check_chain(self._batches(audit, series, views, progress))
        except (TamperError, MalformedError) as error:
            self._whole = False
            audit.find("changed", str(error))

    def _batches(
        self, audit: NotaryAudit, series: Series, views: Sequence[LogView], progress: Progress
    ) -> Iterator[Batch]:
        start, following = 0, -1
        for kept in series.store.all():
            batch, block = kept.batch, kept.anchoring.block
            origin = batch.device.removesuffix(f" {series.point}")
            view = next((view for view in views if view.origin == origin), None)
            if following < 0 < batch.sequence and (block is None or block >= self._first_block):
                self._thinned[batch.root] = batch.sequence
            if batch.sequence != following:
                # The first one, or one behind a batch that is missing.
                start = batch.readings[0].seq
            audit.batches += 1
            self._kept[batch.root] = (batch.sequence, series.point, kept.anchoring)
            following = batch.sequence + 1
            if view is None:
                # That epoch was taken away.
                audit.readings_pruned += len(batch.readings)
            else:
                _compare(audit, batch, series.point, view, start)
            start = batch.readings[-1].seq + 1
            progress(start)
            yield batch

    def compare(self, audit: NotaryAudit, record: LogRecord) -> None:
        """Looks for the batch of a root that was told."""
        root = b"".join(record.topics[2:])
        if root in self._seen:
            audit.find("twice", f"the root 0x{root.hex()} was told again", record)
        elif root in self._kept:
            audit.agreeing += 1
            self._seen.add(root)
        elif self._may_be_pruned(audit.pruned):
            audit.pruned += 1
        elif self._whole:
            text = f"the root 0x{root.hex()} was told, and no batch here has it"
            audit.find("unknown-root", text, record)

    def _may_be_pruned(self, pruned: int) -> bool:
        """Whether a root may be one of those before the oldest batches that are kept."""
        return pruned < sum(self._thinned.values()) and not self._thinned.keys() <= self._seen

    def look_for(self, audit: NotaryAudit, blocks: tuple[int, int]) -> None:
        """What the board believes to be stored must have been seen."""
        for root, (sequence, point, anchoring) in self._kept.items():
            transaction, block = anchoring.transaction, anchoring.block
            if root in self._seen or not (block is None or blocks[0] <= block <= blocks[1]):
                continue
            if transaction is None:
                audit.waiting += 1
                continue
            stored = f"was stored in block {block} by 0x{transaction.hex()}"
            text = f"batch {sequence} of {point} {stored}, and the chain has it not"
            audit.find("not-there", text)


def _compare(audit: NotaryAudit, batch: Batch, point: MeterPoint, view: LogView, start: int) -> None:
    """The readings of *batch* with the entries from *start* up to its last one."""
    name = f"batch {batch.sequence} of {batch.device}"
    wanted = {reading.seq: reading for reading in batch.readings}
    for seq, data in present(view, start, min(batch.readings[-1].seq + 1, view.size)):
        reading = wanted.pop(seq, None)
        try:
            observed = observe(data, point, view.meter)
        except PrunedError:
            # The entry that says what was read.
            audit.readings_pruned += reading is not None
            continue
        if reading is None:
            if observed is not None and observed.counts:
                audit.find("left-out", f"{name} leaves entry {seq} out, which says {_said(observed)}")
        elif _is_of(reading, observed):
            audit.readings += 1
        else:
            stated = f"{reading.value} Wh at {reading.timestamp} s"
            audit.find("reading", f"{name} says {stated} of entry {seq}, and that says {_said(observed)}")
    beyond = [seq for seq in wanted if seq >= view.size]
    audit.readings_pruned += len(wanted) - len(beyond)
    if beyond:
        audit.find("beyond-log", f"{name} has a reading of entry {beyond[0]}, and the log has {view.size} entries")


def _is_of(reading: BatchReading, observed: Observed | None) -> bool:
    return (
        observed is not None
        and observed.counts
        and (reading.timestamp, reading.value) == (observed.wall_ms // 1000, observed.watt_hours)
    )


def _said(observed: Observed | None) -> str:
    if observed is None:
        return "nothing of it"
    if not observed.counts:
        return observed.status.text
    return f"{observed.watt_hours} Wh at {observed.wall_ms // 1000} s"
