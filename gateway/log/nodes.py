"""Hashes of complete subtrees, kept beside the segments, so that a proof costs the same at any size of the log.

A log directory holds the files ``level-8.nodes``, ``level-16.nodes`` and ``level-24.nodes``. Hash i of a file, 32
bytes at offset 32 i, is the root over the leaves ``i << level`` up to ``(i + 1) << level``: the rows of C2SP tiles of
levels 1 to 3. 32 zero bytes, or the end of the file, mean that the hash is not there.

All of it can be had again from the entries, so nothing here is synced and nothing here is believed: who makes a proof
checks that it leads to the signed root, and makes it from the entries alone when it does not.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway import durable
from gateway.log.tree import HASH_SIZE, Frontier, NodeSource, complete_root, node_hash

_log = logging.getLogger(__name__)

LEVELS = (8, 16, 24)
RUN = 256
LAST_OF_RUN = RUN - 1
_RUN_LEVEL = 8
_NONE = bytes(HASH_SIZE)
_ROW = RUN * HASH_SIZE
#: Rows of 256 hashes, and runs of 256 leaf hashes, that are kept in memory.
_CACHED = 8

#: (level, index, hash) of a complete subtree.
Node = tuple[int, int, bytes]
#: Leaf hashes of the entries from the first seq up to the second.
Leaves = Callable[[int, int], list[bytes]]


class NodeFiles:
    """The node files of one log directory; one writer, any number of readers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rows: dict[tuple[int, int], bytes] = {}
        self._pending: list[Node] = []
        self._failed = False

    def complete(self, tree: Frontier, leaf: bytes) -> None:
        """Takes the hashes that *leaf*, the next one of *tree*, completes; ``flush`` writes them."""
        self._pending += completed(tree.edge, tree.size, leaf)

    def flush(self, size: int) -> None:
        """Writes what was taken of the first *size* entries; call it when they are durable."""
        if self._pending:
            self.put([node for node in self._pending if (node[1] + 1) << node[0] <= size])
            self._pending = [node for node in self._pending if (node[1] + 1) << node[0] > size]

    def get(self, level: int, index: int) -> bytes | None:
        """The hash of that subtree, which nobody vouches for; None when it is not kept."""
        place = (level, index // RUN)
        row = self._rows.get(place) or self._read(*place)
        start = index % RUN * HASH_SIZE
        found = row[start : start + HASH_SIZE]
        return found if len(found) == HASH_SIZE and found != _NONE else None

    def _read(self, level: int, number: int) -> bytes:
        try:
            fd = os.open(self._path(level), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            row = os.pread(fd, _ROW, number * _ROW)
        except OSError:
            return b""
        finally:
            os.close(fd)
        if len(row) == _ROW and row[-HASH_SIZE:] != _NONE:
            # A full row does not change any more.
            self._rows[level, number] = row
            while len(self._rows) > _CACHED:
                del self._rows[next(iter(self._rows))]
        return row

    def put(self, nodes: Iterable[Node]) -> None:
        """Writes hashes to their places. A disk that refuses is said once, and costs later proofs their speed only."""
        for level in LEVELS:
            mine = [(index, value) for at, index, value in nodes if at == level]
            if not mine or self._failed:
                continue
            try:
                fd = os.open(self._path(level), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    for index, value in mine:
                        durable.write_all(fd, value, index * HASH_SIZE)
                finally:
                    os.close(fd)
            except OSError as error:
                self._failed = True
                _log.warning("%s cannot be written (%s): proofs are slower", self._path(level), error.strerror)

    def _path(self, level: int) -> Path:
        return self._directory / f"level-{level}.nodes"


class TreeNodes:
    """The hash of any complete subtree: from the node files where they have it, from the leaves where not.

    *believe* set to False takes the leaves only. *pruned* tells the hash over a run of 256 whose leaves are gone.
    """

    def __init__(
        self,
        files: NodeFiles,
        leaves: Leaves,
        pruned: Callable[[int], bytes | None] = lambda _index: None,
        *,
        believe: bool = True,
    ) -> None:
        self._files = files
        self._leaves = leaves
        self._pruned = pruned
        self._believe = believe
        self._runs: dict[int, list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Its hash; a ``gateway.log.tree.NodeSource``. Raises as *leaves* does."""
        if level in LEVELS and self._believe and (found := self._files.get(level, index)) is not None:
            return found
        if level == _RUN_LEVEL and (found := self._pruned(index)) is not None:
            return found
        if level <= _RUN_LEVEL:
            return complete_root(self._run(index << level, 1 << level))
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def _run(self, start: int, count: int) -> list[bytes]:
        """Leaf hashes of up to 256 entries in one aligned run; the run is remembered as far as it was asked for."""
        number, at = divmod(start, RUN)
        known = self._runs.get(number, [])
        if len(known) < at + count:
            base = number * RUN
            known = [*known, *self._leaves(base + len(known), base + at + count)]
            self._runs[number] = known
            while len(self._runs) > _CACHED:
                del self._runs[next(iter(self._runs))]
        return known[at : at + count]

    def restore(self, size: int, start: int = 0) -> None:
        """Writes the hashes that are missing from seq *start* up to *size*; reads what it needs for it."""
        for level in LEVELS:
            for index in range(start >> level, size >> level):
                if self._files.get(level, index) is None:
                    self._files.put([(level, index, self.node(level, index))])


def completed(edge: NodeSource, seq: int, leaf: bytes) -> Iterator[Node]:
    """The kept nodes that entry *seq* completes; *edge* gives the complete subtrees left of it."""
    node, level = leaf, 0
    while seq >> level & 1:
        node = node_hash(edge(level, (seq >> level) - 1), node)
        level += 1
        if level in LEVELS:
            yield level, seq >> level, node
