"""Consistency proofs of the gateway's own log, at the same cost at any size of the log.

They read files that the gateway is appending to, below a size that was signed and so is durable; nothing is shared
with the writer, so a proof may be made in a thread.
"""

from __future__ import annotations

from pathlib import Path

from gateway.errors import TamperError
from gateway.log.note import Checkpoint
from gateway.log.proving import node_sources
from gateway.log.tree import consistency_proof, range_root, verify_consistency
from gateway.log.view import LogView


def prove_growth(directory: Path, old: int, checkpoint: Checkpoint) -> list[bytes]:
    """The proof that the log in *directory* only grew from size *old*, at least 1, to that of its *checkpoint*.

    The hashes are from the first source with which the proof leads to the checkpoint's root. Raises MalformedError
    for sizes that the log does not have, TamperError where its files have changed, PrunedError where the hashes
    needed went with their entries, OSError.
    """
    for node in node_sources(LogView(directory)):
        proof = consistency_proof(node, old, checkpoint.size)
        try:
            verify_consistency(old, checkpoint.size, proof, range_root(node, 0, old), checkpoint.root)
        except TamperError:
            # A node file that is damaged; the last source takes nothing but the entries.
            continue
        return proof
    raise TamperError(f"the log in {directory} does not lead to the root of its checkpoint of size {checkpoint.size}")
