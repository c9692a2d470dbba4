"""Makes proofs: takes the hashes from wherever they are kept, and believes them only if they lead to the signed root.

Hashes of subtrees can be had from a store or from the entries. A store may be old, damaged or changed, and a proof made
from it would prove nothing; so each is checked here, and made again from the next source when it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from gateway.errors import PrunedError, TamperError
from gateway.log.evidence import evidence_hashes, evidence_root
from gateway.log.note import Checkpoint
from gateway.log.tree import NodeSource, inclusion_ranges, leaf_hash
from gateway.log.view import LogView


def node_sources(view: LogView, progress: Callable[[int], None] = lambda _done: None) -> Iterator[NodeSource]:
    """Where the hashes of a log's subtrees come from, best first; the last one believes nothing but the entries.

    *progress* is told how many entries the hashes asked for so far stand for.
    """
    for believe in (True, False):
        yield _counted(view.nodes(believe=believe).node, progress)


def _counted(node: NodeSource, progress: Callable[[int], None]) -> NodeSource:
    done = 0

    def counted(level: int, index: int) -> bytes:
        nonlocal done
        found = node(level, index)
        done += 1 << level
        progress(done)
        return found

    return counted


def present(view: LogView, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(seq, entry) from *start* up to *stop*, but for those that were pruned."""
    while start < stop:
        try:
            for data in view.entries(start, stop):
                yield start, data
                start += 1
        except PrunedError as error:
            start = error.next_seq
        else:
            return


def proving_hashes(sources: Iterable[NodeSource], entries: Mapping[int, bytes], checkpoint: Checkpoint) -> list[bytes]:
    """The hashes that prove *entries* (by seq, ascending) under *checkpoint*, left to right.

    They are from the first of *sources* that gives good ones. Raises TamperError when none does.
    """
    leaves = {seq: leaf_hash(data) for seq, data in entries.items()}
    for node in sources:
        hashes = evidence_hashes(node, list(leaves), checkpoint.size)
        if evidence_root(leaves, checkpoint.size, hashes) == checkpoint.root:
            return hashes
    raise TamperError(
        f"the entries do not lead to the root of the checkpoint of size {checkpoint.size}: nothing can be proved under "
        "it; log verify says what was changed"
    )


def audit_path(hashes: list[bytes], index: int, size: int) -> list[bytes]:
    """The same hashes of one entry's proof in the order of RFC 9162 and of C2SP tlog-proof: its sibling first."""
    places = inclusion_ranges(index, size)
    by_place = dict(zip(sorted(places), hashes, strict=True))
    return [by_place[place] for place in places]
