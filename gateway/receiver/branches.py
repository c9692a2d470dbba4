"""What a receiver holds that no checkpoint has settled yet, and the leaf hashes that were settled last.

Anyone who can write to a channel can make an entry that chains to the last one: the chain has no secret. So an entry
that only chains is *pending*, and where two different entries claim one place, both are kept as branches until a
signed checkpoint says which of them is in the log. All branches begin at the settled size, which only checkpoints
move. Kept are 32 bytes of leaf hash and 8 bytes of place (where the store has the entry) per pending entry.

Bounds: 8 branches, 1,048,576 pending entries in all. The branch that grew longest ago makes room for a new one.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.log.tree import HASH_SIZE, Frontier

MAX_BRANCHES = 8
MAX_PENDING = 1 << 20
WINDOW = 4096


class Branch:
    """Pending entries in one order: leaf hashes and places from the settled size on, and the tree over all."""

    __slots__ = ("leaves", "places", "tree")

    def __init__(self, tree: Frontier, leaves: bytearray, places: array[int]) -> None:
        self.tree = tree
        self.leaves = leaves
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def leaf(self, index: int) -> bytes:
        """The leaf hash *index* entries above the settled size."""
        return bytes(self.leaves[index * HASH_SIZE : (index + 1) * HASH_SIZE])

    def common(self, other: Branch) -> int:
        """How many entries are the same from the settled size on."""
        shorter = min(len(self), len(other))
        return next((index for index in range(shorter) if self.leaf(index) != other.leaf(index)), shorter)

    def extend(self, leaves: Sequence[bytes], places: Sequence[int]) -> None:
        """Adds entries at the end."""
        self.leaves += b"".join(leaves)
        self.tree.extend(leaves)
        self.places.extend(places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Where a run of entries attaches: to a branch, *index* entries above the settled size, *common* of them known."""

    branch: Branch
    index: int
    common: int


class Branches:
    """The settled tree's edge and the branches above it. The first branch is the one that is reported."""

    def __init__(self, tree: Frontier, last_hash: bytes) -> None:
        self.tree = tree
        self.last_hash = last_hash
        self._branches = [self._sprout(None, 0)]

    @property
    def settled(self) -> int:
        """Entries below this are settled."""
        return self.tree.size

    @property
    def main(self) -> Branch:
        """The branch that is reported."""
        return self._branches[0]

    @property
    def size(self) -> int:
        """Settled entries and those of the main branch."""
        return self.settled + len(self.main)

    @property
    def held(self) -> int:
        """Pending entries of all branches."""
        return sum(map(len, self._branches))

    def fit(self, seq: int, prev: bytes, leaves: Sequence[bytes]) -> Fit | None:
        """Where entries from *seq* on, the first with this *prev*, attach with most in common; None for nowhere."""
        index = seq - self.settled
        best: Fit | None = None
        for branch in self._branches:
            if not 0 <= index <= len(branch) or prev != (branch.leaf(index - 1) if index else self.last_hash):
                continue
            common = 0
            for leaf in leaves[: len(branch) - index]:
                if leaf != branch.leaf(index + common):
                    break
                common += 1
            if best is None or common > best.common:
                best = Fit(branch=branch, index=index, common=common)
        return best

    def room(self, fit: Fit, count: int) -> bool:
        """Whether a run of *count* entries that fits so may be held."""
        at = fit.index + fit.common
        copied = 0 if at == len(fit.branch) else at
        return self.held + copied + count - fit.common <= MAX_PENDING

    def roomy(self, count: int) -> bool:
        """Whether *count* more entries may be held wherever they attach."""
        return self.held + max(map(len, self._branches)) + count <= MAX_PENDING

    def clear(self) -> None:
        """Forgets all that is pending."""
        self._branches = [self._sprout(None, 0)]

    def drop_rivals(self) -> None:
        """Forgets all branches but the main one."""
        del self._branches[1:]

    def places(self) -> list[int]:
        """The places of all pending entries, rising, each once."""
        return sorted({place for branch in self._branches for place in branch.places})

    def move(self, places: Mapping[int, int]) -> None:
        """The store moved entries, from place to place."""
        for branch in self._branches:
            branch.places = array("q", [places[place] for place in branch.places])

    def grow(self, fit: Fit, leaves: Sequence[bytes], places: Sequence[int]) -> tuple[Branch, int]:
        """Adds what of *leaves* is not in common; returns the branch that has them now and its length before."""
        at = fit.index + fit.common
        branch = fit.branch if at == len(fit.branch) else self._fork(fit.branch, at)
        branch.extend(leaves[fit.common :], places[fit.common :])
        self._touch(branch)
        return branch, at

    def shrink(self, branch: Branch, length: int) -> None:
        """Takes back what ``grow`` added; a branch without anything of its own goes."""
        kept = self._sprout(branch, length)
        branch.leaves, branch.places, branch.tree = kept.leaves, kept.places, kept.tree
        others = [other for other in self._branches if other is not branch]
        if branch is not self.main and any(_begins(other, branch) for other in others):
            self._branches = others

    def root_at(self, branch: Branch, size: int) -> bytes | None:
        """The root over the first *size* entries in this branch's order; None when it does not reach so far."""
        index = size - self.settled
        if index == len(branch):
            return branch.tree.root()
        return self._sprout(branch, index).tree.root() if 0 <= index < len(branch) else None

    def matching(self, size: int, root: bytes) -> Branch | None:
        """The branch that has this root at this size."""
        return next((branch for branch in self._branches if self.root_at(branch, size) == root), None)

    def all(self) -> list[Branch]:
        """All branches, the main one first."""
        return self._branches[:]

    def reaches(self, size: int) -> bool:
        """Whether a branch has *size* entries or more."""
        return any(size <= self.settled + len(branch) for branch in self._branches)

    def settle(self, branch: Branch, size: int) -> None:
        """Makes the first *size* entries of *branch* final; branches that differ there are dropped."""
        count = size - self.settled
        start = self._sprout(branch, count)
        if count:
            self.last_hash = branch.leaf(count - 1)
        self.tree = start.tree
        ordered = [branch, *(other for other in self._branches if other is not branch)]
        kept = [other for other in ordered if _begins(other, start)]
        for other in kept:
            del other.leaves[: count * HASH_SIZE]
            del other.places[:count]
        self._branches = kept

    def has(self, branch: Branch) -> bool:
        """Whether *branch* is still held."""
        return any(branch is other for other in self._branches)

    @property
    def oldest_place(self) -> int | None:
        """The least place of a pending entry; None when none is pending."""
        return min((branch.places[0] for branch in self._branches if branch.places), default=None)

    def _sprout(self, branch: Branch | None, count: int) -> Branch:
        """A new branch of the first *count* entries of *branch*."""
        sprout = Branch(self.tree.copy(), bytearray(), array("q"))
        if branch is None:
            return sprout
        if count == len(branch):
            return Branch(branch.tree.copy(), branch.leaves[:], branch.places[:])
        sprout.extend([branch.leaf(index) for index in range(count)], branch.places[:count])
        return sprout

    def _fork(self, branch: Branch, at: int) -> Branch:
        fork = self._sprout(branch, at)
        if len(self._branches) == MAX_BRANCHES:
            del self._branches[1]
        self._branches.append(fork)
        return fork

    def _touch(self, branch: Branch) -> None:
        """The main branch stays first; of the others, the one that grew last stands last."""
        if branch is not self.main:
            self._branches = [other for other in self._branches if other is not branch] + [branch]


def _begins(branch: Branch, prefix: Branch) -> bool:
    return branch.leaves.startswith(prefix.leaves)


class Window:
    """The last settled leaf hashes, and the tree before them: repeats and old checkpoints are compared with these."""

    def __init__(self, base: Frontier) -> None:
        self._base = base.copy()
        self._leaves: deque[bytes] = deque()

    def add(self, leaf: bytes) -> None:
        """One more settled entry."""
        self._leaves.append(leaf)
        if len(self._leaves) > WINDOW:
            self._base.append(self._leaves.popleft())

    def leaf(self, seq: int) -> bytes | None:
        """The leaf hash of entry *seq*; None when it is not in the window."""
        index = seq - self._base.size
        return self._leaves[index] if 0 <= index < len(self._leaves) else None

    def root_at(self, size: int) -> bytes | None:
        """The root over the first *size* entries; None when that is not in the window."""
        count = size - self._base.size
        if not 0 <= count <= len(self._leaves):
            return None
        tree = self._base.copy()
        tree.extend(islice(self._leaves, count))
        return tree.root()
