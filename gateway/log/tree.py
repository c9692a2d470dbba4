"""The Merkle tree over the entries: RFC 9162 section 2.1 (the same tree as RFC 6962), SHA-256.

A leaf is ``SHA-256(0x00 || entry)`` and a node ``SHA-256(0x01 || left || right)``. The tree of no entries has the
root SHA-256 of nothing. A tree of n > 1 leaves splits at the largest power of two below n.

Nodes are addressed as in C2SP tlog-tiles: ``(level, index)`` is the root of the complete subtree over the leaves
``index << level`` up to ``(index + 1) << level``. Incomplete subtrees are never stored; they are folded from
complete ones. Proofs are lists of 32-byte hashes in the order of RFC 9162 sections 2.1.3 and 2.1.4: for inclusion,
the sibling of the leaf first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import islice

from gateway.errors import MalformedError, TamperError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
#: No tree is larger: seq is at most 63 bits, so that no proof is longer than 64 hashes.
MAX_SIZE = 1 << 63

#: Returns the hash of a complete subtree by level and index.
NodeSource = Callable[[int, int], bytes]

_RUN = 256
_RUN_LEVEL = 8


def leaf_hash(entry: bytes) -> bytes:
    """``SHA-256(0x00 || entry)``."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """``SHA-256(0x01 || left || right)``."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: all that is needed to append leaves and to state the root.

    Memory is one hash per set bit of the size. Appending costs one node hash per leaf on average.
    """

    __slots__ = ("_edge", "size")

    def __init__(self) -> None:
        self.size = 0
        #: Roots of the complete subtrees that make up the tree, largest first.
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash."""
        edge = self._edge
        carry = self.size
        self.size = carry + 1
        while carry & 1:
            leaf = sha256(b"\x01" + edge.pop() + leaf).digest()
            carry >>= 1
        edge.append(leaf)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Adds leaf hashes; about twice as fast per leaf as append."""
        rest = iter(leaves)
        while run := list(islice(rest, _RUN - self.size % _RUN)):
            position, count = 0, len(run)
            while position < count:
                # The largest subtree that begins here and is complete.
                level = (count - position).bit_length() - 1
                if self.size:
                    level = min(level, (self.size & -self.size).bit_length() - 1)
                end = position + (1 << level)
                self._append_complete(complete_root(run[position:end]), level)
                position = end

    def append_run(self, node: bytes) -> None:
        """Adds 256 leaves by the root over them. Raises MalformedError unless the size is a multiple of 256."""
        if self.size % _RUN:
            raise MalformedError(f"a subtree of {_RUN} leaves has no place behind {self.size}")
        self._append_complete(node, _RUN_LEVEL)

    def _append_complete(self, node: bytes, level: int) -> None:
        """Adds a complete subtree; the size must be a multiple of its leaves."""
        carry = self.size >> level
        while carry & 1:
            node = sha256(b"\x01" + self._edge.pop() + node).digest()
            carry >>= 1
        self._edge.append(node)
        self.size += 1 << level

    def edge(self, level: int, index: int) -> bytes:
        """The hash of one of the complete subtrees that make up the tree. Raises IndexError for any other."""
        if not self.size >> level & 1 or index != (self.size >> level) - 1:
            raise IndexError(f"subtree {index} of level {level} is not at the edge of a tree of {self.size}")
        return self._edge[(self.size >> (level + 1)).bit_count()]

    def root(self) -> bytes:
        """The root over all leaves so far."""
        return _fold(self._edge)

    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees that make up the tree, largest first; what restore() takes."""
        return tuple(self._edge)

    def copy(self) -> Frontier:
        """An independent frontier at the same place."""
        twin = Frontier()
        twin.size, twin._edge = self.size, self._edge.copy()
        return twin

    @classmethod
    def restore(cls, size: int, hashes: Sequence[bytes]) -> Frontier:
        """The frontier of *size* leaves with these subtree roots. Raises MalformedError when they do not fit."""
        if not 0 <= size <= MAX_SIZE:
            raise MalformedError(f"tree size {size} is out of range 0 to 2^63")
        if len(hashes) != size.bit_count():
            raise MalformedError(f"a tree of {size} leaves has {size.bit_count()} edge hashes, not {len(hashes)}")
        _require_hashes(hashes)
        frontier = cls()
        frontier.size, frontier._edge = size, list(hashes)
        return frontier


class HashStore:
    """All hashes of complete subtrees, in memory: 64 bytes per leaf."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        """Adds one leaf hash and every subtree that it completes."""
        carry, level = self.size, 0
        self._levels[0] += leaf
        while carry & 1:
            row = self._levels[level]
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level + 1] += sha256(b"\x01" + row[-2 * HASH_SIZE :]).digest()
            carry, level = carry >> 1, level + 1

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree. Raises IndexError where there is none yet."""
        row = self._levels[level]
        if not 0 <= index < len(row) // HASH_SIZE:
            raise IndexError(f"the tree of {self.size} leaves has no complete subtree {index} at level {level}")
        return bytes(row[index * HASH_SIZE : (index + 1) * HASH_SIZE])

    def root(self, size: int | None = None) -> bytes:
        """The root over the first *size* leaves, by default over all."""
        return range_root(self.node, 0, self.size if size is None else size)


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes of one level."""
    run = list(hashes)
    while len(run) > 1:
        pairs = iter(run)
        run = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return run[0]


def _fold(edge: Sequence[bytes]) -> bytes:
    if not edge:
        return EMPTY_ROOT
    node = edge[-1]
    for left in reversed(edge[:-1]):
        node = node_hash(left, node)
    return node


def range_root(node: NodeSource, start: int, end: int) -> bytes:
    """The root over leaves *start* to *end*, where *start* is a multiple of a power of two >= end - start."""
    edge, position, rest = [], start, end - start
    while rest:
        level = rest.bit_length() - 1
        edge.append(node(level, position >> level))
        position, rest = position + (1 << level), rest - (1 << level)
    return _fold(edge)


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaf ranges whose roots prove leaf *index* in a tree of *size*, in the order of the proof."""
    if not 0 <= index < size <= MAX_SIZE:
        raise MalformedError(f"entry {index} is not in a tree of {size}")
    start, end, ranges = 0, size, []
    while end - start > 1:
        middle = start + left_size(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The leaf ranges whose roots prove that the tree of *new* extends that of *old*, in the order of the proof."""
    if not 1 <= old <= new <= MAX_SIZE:
        raise MalformedError(f"there is no consistency proof from size {old} to size {new}")
    start, end, ranges = 0, new, []
    while old != end:
        middle = start + left_size(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    # The verifier knows the root of the old tree itself; any other subtree that ends it must be given.
    return ([(start, end)] if start else []) + ranges[::-1]


def left_size(size: int) -> int:
    """How many leaves of a tree of *size* > 1 are in its left subtree: the largest power of two below *size*."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(node: NodeSource, index: int, size: int) -> list[bytes]:
    """The audit path of leaf *index* in the tree of *size* (RFC 9162 section 2.1.3.1)."""
    return [range_root(node, *bounds) for bounds in inclusion_ranges(index, size)]


def consistency_proof(node: NodeSource, old: int, new: int) -> list[bytes]:
    """Proof that the tree of *new* leaves extends that of *old* (RFC 9162 section 2.1.4.1)."""
    return [range_root(node, *bounds) for bounds in consistency_ranges(old, new)]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that *proof* leads to (RFC 9162 section 2.1.3.2). Raises MalformedError for a proof of wrong shape."""
    ranges = inclusion_ranges(index, size)
    if len(proof) != len(ranges):
        raise MalformedError(f"the proof of entry {index} at size {size} has {len(ranges)} hashes, not {len(proof)}")
    _require_hashes((leaf, *proof))
    node = leaf
    for (start, _), sibling in zip(ranges, proof, strict=True):
        node = node_hash(sibling, node) if start <= index else node_hash(node, sibling)
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that *leaf* is leaf number *index* of the tree of *size* with this *root*.

    Raises MalformedError for a proof of wrong shape, TamperError when it leads to another root.
    """
    if root_from_inclusion(leaf, index, size, proof) != root:
        raise TamperError(
            f"entry {index} is not the one in the tree of {size}: its proof leads to another root", seq=index
        )


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Checks that the tree of *new* leaves extends that of *old* (RFC 9162 section 2.1.4.2).

    Raises MalformedError for a wrong shape, which any proof from the empty tree has, TamperError for other roots.
    """
    ranges = consistency_ranges(old, new)
    if len(proof) != len(ranges):
        raise MalformedError(f"a proof from size {old} to size {new} has {len(ranges)} hashes, not {len(proof)}")
    _require_hashes(proof)
    first, second = _consistency_roots(old, ranges, proof, old_root)
    if first != old_root or second != new_root:
        raise TamperError(f"the log of size {new} does not extend the log of size {old}")


def _consistency_roots(
    old: int, ranges: list[tuple[int, int]], proof: Sequence[bytes], old_root: bytes
) -> tuple[bytes, bytes]:
    nodes = list(zip(ranges, proof, strict=True))
    # A first range that ends at the old size is the rest of the old tree; without it the old tree is one subtree.
    first = second = nodes.pop(0)[1] if nodes and nodes[0][0][1] == old else old_root
    for (start, _), sibling in nodes:
        if start < old:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
        else:
            second = node_hash(second, sibling)
    return first, second


def _require_hashes(hashes: Sequence[bytes]) -> None:
    for number, item in enumerate(hashes):
        if len(item) != HASH_SIZE:
            raise MalformedError(f"hash {number} has {len(item)} bytes, not {HASH_SIZE}")
