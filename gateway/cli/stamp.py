"""``log prove SEQ --ots``: one entry's way up to its anchor on a chain, as an OpenTimestamps file.

Of the anchored checkpoints that the board still has (``gateway.chain.anchors.bundle_store``), the smallest one that
covers the entry is taken: it was anchored soonest, so its block says most about when the entry existed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.chain.anchors.bundle import AnchorFact
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.timestamps import write_timestamp
from gateway.errors import TamperError, UnavailableError
from gateway.log.proving import audit_path, node_sources, proving_hashes
from gateway.log.view import LogView


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """An ``.ots`` file, and what is told about it."""

    data: bytes
    hashes: int
    anchor: AnchorFact

    @property
    def text(self) -> str:
        """The anchor in a line."""
        there = self.anchor
        return (
            f"anchored on chain {there.chain_id} in block {there.block}, by contract {there.contract} in transaction "
            f"0x{there.transaction.hex()}"
        )

    @property
    def object(self) -> dict[str, Any]:
        """The anchor for JSON."""
        there = self.anchor
        return {
            "chain_id": there.chain_id,
            "contract": there.contract,
            "transaction": f"0x{there.transaction.hex()}",
            "block": there.block,
        }


def stamp(seq: int, entry: bytes, view: LogView, origin: str, progress: Callable[[int], None]) -> Stamp:
    """The timestamp of entry *seq* of the log *origin* that *view* shows; its anchors are kept beside the log.

    Raises UnavailableError where no anchor is known, TamperError where the log is not the one that was anchored.
    """
    folder = bundles_beside(view.directory)
    kept = BundleStore(folder).first_behind(seq, origin)
    if kept is None:
        raise UnavailableError(f"entry {seq} has no anchor behind it in {folder}; wait for the next (chain status)")
    checkpoint, anchor = kept.bundle.checkpoint, kept.record.anchors[0]
    if checkpoint.size > view.size:
        raise TamperError(
            f"{checkpoint.size} entries were anchored, and the log has {view.size}: it was cut, or is an older copy"
        )
    hashes = proving_hashes(node_sources(view, progress), {seq: entry}, checkpoint)
    path = audit_path(hashes, seq, checkpoint.size)
    data = write_timestamp(entry, seq, path, checkpoint.root, anchor)
    return Stamp(data=data, hashes=len(path), anchor=anchor)


def bundles_beside(log: Path) -> Path:
    """Where the bundles of the log in this directory are: in the state directory around it, or around ``closed``."""
    places = [folder / FOLDER for folder in log.absolute().parents[:2]]
    return next((place for place in places if place.is_dir()), places[0])
