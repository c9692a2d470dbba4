"""What stands behind a signed view: the newest stored checkpoint, and that the log still is what it states.

Nothing is signed for a root of our own making: the root must be the one of a checkpoint that the log holds, signed by
a key of the log (one that its first entry names, or one that followed), and the entries must lead to it.
"""

from __future__ import annotations

from gateway.errors import ConfigError, TamperError, UnavailableError
from gateway.log.key_chain import rotation_history
from gateway.log.note import Checkpoint, parse_checkpoint, verify_checkpoint
from gateway.log.proving import audit_path, node_sources, proving_hashes
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey


def newest_checkpoint(view: LogView) -> Checkpoint:
    """The newest stored checkpoint. Raises UnavailableError without one, TamperError when the log's keys did not sign.

    What it says of its own log is all that can be asked here; whose log it is, the reader of the view has to know.
    """
    note = view.newest_checkpoint
    if note is None:
        raise UnavailableError(f"the log {view.origin} has no checkpoint yet, and nothing else may be signed for")
    return verify_checkpoint(note, origin=view.origin, keys=keys_of(view), quorum=1)


def keys_of(view: LogView) -> list[VerifierKey]:
    """The keys that may sign the newest checkpoint: those that the log's first entry names, or that followed them.

    Raises TamperError where there is no such entry, or a rotation does not hold.
    """
    size = parse_checkpoint(view.newest_checkpoint).size if view.newest_checkpoint else 0
    return [line.key_at(size) for line in rotation_history(view).lines]


def require_intact(view: LogView, checkpoint: Checkpoint) -> None:
    """Reads all that the checkpoint covers. Raises TamperError unless it leads to the checkpoint's root."""
    if view.root(checkpoint.size) != checkpoint.root:
        raise TamperError(
            f"the log is not the one that its checkpoint of size {checkpoint.size} states; run log verify"
        )


def proof(view: LogView, seq: int, checkpoint: Checkpoint) -> tuple[bytes, list[bytes]]:
    """Entry *seq* and its inclusion proof. Raises ConfigError where the checkpoint does not cover it, TamperError.

    The one place where a view gets its proofs from.
    """
    if seq >= checkpoint.size:
        raise ConfigError(f"entry {seq}: the newest checkpoint covers entries below {checkpoint.size} only")
    entry = next(view.entries(seq, seq + 1))
    hashes = proving_hashes(node_sources(view), {seq: entry}, checkpoint)
    return entry, audit_path(hashes, seq, checkpoint.size)
