"""Cuts what was verified of the other log into imports (``gateway.log.imported``), one after the other.

Cut is only below the newest checkpoint that the receiver has settled, and each import is proved under it before it is
handed out: so what goes on from our log's own tree over the other log, and does not fit, never gets in. An import
waits until there is an entry to keep, or as many left out as one takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import TamperError
from gateway.log.entry import MAX_ENTRY
from gateway.log.evidence import evidence_ranges, evidence_root
from gateway.log.imported import Imported
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.tree import Frontier, leaf_hash, range_root
from gateway.receiver.store import ReceiverStore
from gateway.upstream.choice import Choice, News

#: Items of one import, and their bytes: small, so that writing one holds up nothing, and an import of imports fits.
ITEMS = 1024
ITEM_BYTES = 16 * 1024
#: What an import has beside items and note: 64 hashes, heads, and the entry around it.
_OVERHEAD = 64 * 34 + 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One import, and what becomes of it."""

    imported: Imported
    #: The tree over the other log's entries up to its end.
    tree: Frontier
    news: tuple[News, ...]
    #: Seqs of entries that would not fit into one of ours: only their hashes are kept.
    too_large: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class _Cut:
    """An import in the making. *room* is what its largest item may have."""

    room: int
    items: list[bytes] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    too_large: list[int] = field(default_factory=list)
    used: int = 0
    full: bool = False

    @property
    def due(self) -> bool:
        """Whether it is worth an entry."""
        return self.full or bool(self.too_large) or any(map(_is_kept, self.items, self.leaves))

    def take(self, seq: int, data: bytes, choice: Choice) -> None:
        """Adds an entry, if there is room for it."""
        kept, said = choice.judge(data)
        leaf = leaf_hash(data)
        large = kept and len(data) > self.room
        item = data if kept and not large else leaf
        self.full = bool(self.items) and self.used + len(item) > ITEM_BYTES
        if self.full:
            return
        self.items.append(item)
        self.leaves.append(leaf)
        self.too_large += [seq] if large else []
        self.news += [said] if said is not None and not large else []
        # Behind it stands a head of at most three bytes.
        self.used += len(item) + 3
        self.full = len(self.items) == ITEMS or self.used >= ITEM_BYTES


class Batches:
    """Goes on behind *tree*, which is what our log holds of the log in *store*."""

    def __init__(self, store: ReceiverStore, choice: Choice, tree: Frontier) -> None:
        self.store = store
        self._choice = choice
        self.tree = tree
        #: The size of the checkpoint below which nothing was due.
        self._idle_size = 0

    @property
    def meters(self) -> dict[int, tuple[str, str]]:
        """Name and model by the seq of the newest definitions there."""
        return dict(self._choice.definitions)

    def next(self) -> Batch | None:
        """The next import; None when none is due. Raises TamperError where the store is of another past."""
        note = self.store.segments.newest_checkpoint
        checkpoint = parse_checkpoint(note) if note is not None else None
        if checkpoint is None or checkpoint.size <= max(self.tree.size, self._idle_size):
            return None
        cut = self._cut(checkpoint)
        if not cut.due:
            self._idle_size = checkpoint.size
            return None
        tree = self.tree.copy()
        tree.extend(cut.leaves)
        imported = Imported(
            origin=checkpoint.origin,
            first_seq=self.tree.size,
            items=tuple(cut.items),
            hashes=self._hashes(cut, checkpoint),
            note=checkpoint.note,
        )
        return Batch(imported=imported, tree=tree, news=tuple(cut.news), too_large=tuple(cut.too_large))

    def _cut(self, checkpoint: Checkpoint) -> _Cut:
        cut = _Cut(room=MAX_ENTRY - _OVERHEAD - len(checkpoint.note))
        first = self.tree.size
        while not cut.full and first + len(cut.items) < checkpoint.size:
            start = first + len(cut.items)
            found = self.store.segments.read(start, checkpoint.size, max_entries=ITEMS, max_bytes=ITEM_BYTES)
            for seq, data in enumerate(found, start):
                cut.take(seq, data, self._choice)
                if cut.full:
                    break
        return cut

    def _hashes(self, cut: _Cut, checkpoint: Checkpoint) -> tuple[bytes, ...]:
        """What proves the items: on the left our own tree, on the right what the store holds behind them."""
        first, end = self.tree.size, self.tree.size + len(cut.items)
        node = self.store.segments.reader.nodes().node
        ranges = evidence_ranges(range(first, end), checkpoint.size)
        right = [range_root(node, *bounds) for bounds in ranges if bounds[0] >= end]
        hashes = (*self.tree.hashes(), *right)
        if evidence_root(dict(enumerate(cut.leaves, first)), checkpoint.size, hashes) != checkpoint.root:
            raise TamperError(
                f"entries {first} to {end - 1} of {checkpoint.origin}, as verified now, do not go on from those in our "
                "log: the other log, or the store of what was received, is of another past",
                seq=first,
            )
        return hashes


def _is_kept(item: bytes, leaf: bytes) -> bool:
    return item is not leaf
