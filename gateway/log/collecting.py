"""Collects all that an evidence file holds: entries, their definitions, the keys' rotations, hashes, the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.log.evidence import Evidence
from gateway.log.key_chain import rotations
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.proving import node_sources, proving_hashes
from gateway.log.selecting import with_definitions
from gateway.log.view import LogView


def checkpoint_for(view: LogView, last: int, *, first: bool = False) -> Checkpoint:
    """The checkpoint to prove entries up to *last* under, which the newest one must cover.

    The newest, or the *first* one that covers them; one that a witness saw is a little older, and worth more.
    """
    note = view.first_checkpoint(last) if first else view.newest_cosigned()
    newest = parse_checkpoint(view.newest_checkpoint or b"")
    found = parse_checkpoint(note) if note else newest
    return found if found.size > last else newest


def collect(
    view: LogView,
    seqs: Sequence[int],
    checkpoint: Checkpoint,
    fields: Mapping[int, bytes],
    progress: Callable[[int], None],
) -> Evidence:
    """Evidence of the entries *seqs* (ascending) under *checkpoint*, which covers them, and of disclosed *fields*.

    The hashes are checked. Raises TamperError where the log does not lead to the checkpoint.
    """
    entries = with_definitions(view, seqs)
    hashes = proving_hashes(node_sources(view, progress), entries, checkpoint)
    return Evidence(
        entries=entries, hashes=tuple(hashes), note=checkpoint.note, fields=fields, rotations=rotations(view)
    )
