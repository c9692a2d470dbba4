"""The genesis entry that a channel shows as retained: a claim, held against the entry 0 that its messages bring."""

from __future__ import annotations

from gateway.log.entry import Entry
from gateway.log.tree import leaf_hash
from gateway.receiver.run import Finding


class ClaimedGenesis:
    """What the retained genesis entry says; nothing covers it, so nothing relies on it."""

    def __init__(self) -> None:
        #: The verifier keys that it names.
        self.vkeys: tuple[str, ...] = ()
        self._leaf: bytes | None = None

    def take(self, entry: Entry) -> None:
        """Remembers the newest one shown, until there is an entry 0 to compare it with."""
        self.vkeys = tuple(entry.body[4])
        self._leaf = leaf_hash(entry.data)

    def compare(self, first: bytes | None) -> list[Finding]:
        """Compares it, once, with the leaf hash of entry 0, where that is known."""
        claimed = self._leaf
        if claimed is None or first is None:
            return []
        self._leaf = None
        text = "the retained genesis entry is another one than entry 0 of the log"
        return [] if claimed == first else [Finding(kind="fork", seq=0, text=text)]
