"""The settled entries of a receiver, with a store or without: what repeats and old checkpoints are compared with.

Without a store only the last 4,096 leaf hashes are known (``Window``); with one, all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from gateway.channel import MAX_CHECKPOINT, MAX_ENTRIES, MAX_MESSAGE, Message, encode_message
from gateway.log.tree import Frontier
from gateway.receiver.branches import Branch, Branches, Window
from gateway.receiver.run import Finding, RefusedError, Run
from gateway.receiver.store import ReceiverStore


class Settled:
    """Settled entries, from a store's where there is one."""

    def __init__(self, store: ReceiverStore | None) -> None:
        self._store = store
        self._window = store.window() if store else Window(Frontier())

    def leaves(self, start: int, stop: int) -> list[bytes | None]:
        """Leaf hashes of entries *start* up to *stop*; None for those not known any more."""
        found = [self._window.leaf(seq) for seq in range(start, stop)]
        if self._store is not None and None in found:
            # The unknown ones are the oldest.
            return [*self._store.leaves(start, start + found.count(None)), *found[found.count(None) :]]
        return found

    def compare(self, run: Run, count: int) -> int:
        """Compares the first *count* entries of *run*; returns how many are not known any more.

        Raises RefusedError where one is another than was settled.
        """
        known = self.leaves(run.first, run.first + count)
        for index, leaf in enumerate(known):
            if leaf is not None and leaf != run.leaves[index]:
                seq = run.first + index
                raise RefusedError("fork", seq, f"another entry {seq} than the one that a signed checkpoint covers")
        return known.count(None)

    def root_at(self, size: int) -> bytes | None:
        """The root over the first *size* entries; None when not known any more."""
        root = self._window.root_at(size)
        return self._store.root_at(size) if root is None and self._store is not None else root

    def settle(self, branch: Branch, count: int, run: Run | None, note: bytes) -> None:
        """Adds the first *count* entries of *branch*, whose bytes are in the store or in *run*, and their note."""
        if self._store is not None:
            self._store.settle(self._entries(self._store, branch.places[:count], run), note)
        for index in range(count):
            self._window.add(branch.leaf(index))

    def note_keys(self, seqs: Sequence[int]) -> None:
        """Notes that these entries hold key statements, durably, before they are settled."""
        if self._store is not None and seqs:
            self._store.note_keys(seqs)

    def add_note(self, note: bytes) -> None:
        """Keeps the checkpoint of entries that were settled without it, before a crash."""
        if self._store is not None:
            self._store.settle((), note)

    @property
    def full(self) -> bool:
        """Whether no further pending entry can be kept."""
        return self._store is not None and self._store.spool.full

    def compact(self, branches: Branches) -> None:
        """Where the pending files are full, writes what is still pending to new ones."""
        if self._store is not None and self._store.spool.full:
            branches.move(self._store.spool.compact(branches.places()))

    def keep_pending(self, branch: Branch, settled: int, run: Run) -> None:
        """Writes those entries of *run* that are pending in *branch* to the store."""
        if self._store is None:
            return
        for index in range(max(run.before - settled, 0), len(branch)):
            branch.places[index] = self._store.spool.append(run.entries[-1 - branch.places[index]])

    def keep_evidence(
        self, findings: list[Finding], data: bytes, message: Message | None, origin: str, branches: Branches
    ) -> None:
        """Keeps both sides of each contradiction, within the store's bounds: *data* as it came, and what we hold."""
        for finding in findings:
            if finding.benign or self._store is None:
                continue
            name = f"{finding.seq:020d}-{finding.kind}-{sha256(data).hexdigest()[:8]}"
            first, end = (message.first_seq, message.end_seq) if message else (branches.settled, finding.seq)
            ours = self._ours(self._store, origin, branches, first, end)
            self._store.keep_evidence(f"{name}-theirs", data)
            if ours is not None:
                self._store.keep_evidence(f"{name}-ours", ours)

    def _ours(self, store: ReceiverStore, origin: str, branches: Branches, first: int, end: int) -> bytes | None:
        """A message of our own entries from *first* up to *end*, and the newest checkpoint."""
        size, places = branches.settled, branches.main.places
        entries, room = [], MAX_MESSAGE - 2 * MAX_CHECKPOINT
        for seq in range(first, min(end, branches.size, first + MAX_ENTRIES)):
            data = store.entry(seq) if seq < size else self._pending(places[seq - size])
            if data is None or (room := room - len(data) - 9) < 0:
                break
            entries.append(data)
        note = store.segments.newest_checkpoint
        if not entries and note is None:
            return None
        return encode_message(Message(origin=origin, first_seq=first, entries=tuple(entries), checkpoint=note))

    @staticmethod
    def _entries(store: ReceiverStore, places: Iterable[int], run: Run | None) -> Iterator[bytes]:
        for place in places:
            if place < 0:
                assert run is not None
                yield run.entries[-1 - place]
            else:
                yield store.spool.read(place)

    def _pending(self, place: int) -> bytes | None:
        return self._store.spool.read(place) if self._store is not None and place >= 0 else None
