"""Consistency proofs of the gateway's own log, at a cost that depends on what was added and not on the whole.

A proof from an old size to a new one needs the complete subtrees of the old tree, and the roots of ranges that lie
behind it (RFC 9162 section 2.1.4). The former stand in the header of the segment that holds the old end, the latter
come from the entries between the two sizes. It reads files that the gateway is appending to, below a size that was
signed and so is durable; it shares nothing with the writer, so it may run in a thread.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from gateway.errors import TamperError
from gateway.log.frame import FrameError
from gateway.log.scan import extend_tree, load, segment_name, segment_starts
from gateway.log.tree import Frontier, consistency_ranges, leaf_hash
from gateway.log.view import LogView


def prove_growth(directory: Path, old: int, new: int) -> list[bytes]:
    """The proof that the log in *directory* only grew from size *old* to *new*; both at least 1, both durable.

    With a store of all nodes this is ``gateway.log.tree.consistency_proof(node, old, new)``, the same hashes. Raises
    MalformedError for sizes that the log does not have, TamperError where its files have changed, OSError.
    """
    ranges = consistency_ranges(old, new)
    roots = _edge(_frontier(directory, old))
    leaves = map(leaf_hash, LogView(directory).entries(old, new))
    # What lies behind the old size covers it without a hole, so one pass over the new entries gives it all.
    for start, end in sorted(bounds for bounds in ranges if bounds[0] >= old):
        added = Frontier()
        added.extend(islice(leaves, end - start))
        if added.size != end - start:
            raise TamperError(
                f"the log ends at entry {start + added.size}, and {new} were signed", seq=start + added.size
            )
        roots[start, end] = added.root()
    return [roots[bounds] for bounds in ranges]


def _frontier(directory: Path, size: int) -> Frontier:
    """The tree over the first *size* entries, from the segment that holds the last of them."""
    start = max((start for start in segment_starts(directory) if start <= size), default=None)
    if start is None:
        raise TamperError(f"entry {size - 1} is not in {directory}: its segment is missing", seq=size - 1)
    path = directory / segment_name(start)
    try:
        contents = load(path)
    except FrameError as error:
        raise TamperError(f"{path}: {error}", seq=start) from error
    if contents.next_seq < size:
        raise TamperError(f"{path}: the end, before entry {size - 1}", seq=contents.next_seq)
    tree = contents.header.tree()
    extend_tree(tree, contents.entries[: size - start])
    return tree


def _edge(tree: Frontier) -> dict[tuple[int, int], bytes]:
    """The complete subtrees that make up the tree, by the leaves they cover."""
    found, start = {}, 0
    for bit, root in zip((bit for bit in range(63, -1, -1) if tree.size >> bit & 1), tree.hashes(), strict=True):
        found[start, start + (1 << bit)] = root
        start += 1 << bit
    return found
