"""How far our own log holds the other one: what tells it is our log; a file saves the search.

The file is JSON::

    {"log", "seq", "hash", "size", "edge", "meters"}

Up to entry *seq* of our log *log*, whose leaf hash is *hash*, the imports reach to *size*; *edge* are the hashes of the
tree over the other log's entries up to there (hex), and *meters* the newest definitions there: name and model by seq.
What came behind *seq* is searched for in our log. A file that is
missing, broken, or of a log that was cut since, costs a search through the whole log. In a new epoch of our log nothing
of the one before is imported again: it goes on where the file says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.errors import MalformedError, PrunedError, TamperError
from gateway.log.imported import Imported, imports_in
from gateway.log.proving import present
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.view import LogView

_MAX_FILE = 1 << 20
_STRIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where our log stands."""

    #: Origin of our log: another epoch is another log.
    log: str
    #: Seq and leaf hash of our newest entry that holds an import, or of the last one that was looked through.
    seq: int = -1
    hash: bytes = b""
    #: The tree over the other log's entries that ours accounts for.
    tree: Frontier = field(default_factory=Frontier)
    #: Name and model by the seq of the definition entry there.
    meters: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def save(path: Path, position: Position) -> None:
    """Replaces the file, durably. Raises OSError."""
    found: dict[str, Any] = {
        "log": position.log,
        "seq": position.seq,
        "hash": position.hash.hex(),
        "size": position.tree.size,
    }
    found["edge"] = [node.hex() for node in position.tree.hashes()]
    found["meters"] = {str(seq): list(meter) for seq, meter in position.meters.items()}
    durable.write_atomically(path, json.dumps(found).encode())


def load(path: Path) -> Position | None:
    """What the file says; None where it is missing or broken."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_FILE))
        log, seq, size = str(found["log"]), int(found["seq"]), int(found["size"])
        tree = Frontier.restore(size, [bytes.fromhex(node) for node in found["edge"]])
        meters = {int(at): (str(name), str(model)) for at, (name, model) in found["meters"].items()}
        return Position(log=log, seq=seq, hash=bytes.fromhex(found["hash"]), tree=tree, meters=meters)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, MalformedError):
        return None


def find(view: LogView, origin: str, known: Position | None) -> Position:
    """How far the log in *view* holds the log *origin*; *known* is what the file says.

    Raises TamperError, LogUnavailable where our log cannot be read.
    """
    meters = known.meters if known is not None else {}
    here = known is not None and known.log == view.origin and _stands(view, known)
    start = known.seq + 1 if known is not None and here else 0
    for end in range(view.size, start, -_STRIDE):
        found = list(_imports(view, max(start, end - _STRIDE), end, origin))
        if found:
            seq, leaf, imported = found[-1]
            return Position(log=view.origin, seq=seq, hash=leaf, tree=_tree(imported), meters=meters)
    if known is not None and here:
        return known
    last = view.entry(view.size - 1) if view.size else None
    tree = known.tree if known is not None and known.log != view.origin else Frontier()
    if last is None:
        return Position(log=view.origin, tree=tree, meters=meters)
    return Position(log=view.origin, seq=last.seq, hash=leaf_hash(last.data), tree=tree, meters=meters)


def _stands(view: LogView, known: Position) -> bool:
    """Whether our log still has that entry; one that was pruned was there."""
    if known.seq < 0:
        return True
    try:
        entry = view.entry(known.seq) if known.seq < view.size else None
    except PrunedError:
        return True
    return entry is not None and leaf_hash(entry.data) == known.hash


def _imports(view: LogView, start: int, stop: int, origin: str) -> Iterator[tuple[int, bytes, Imported]]:
    for seq, data in present(view, start, stop):
        for imported in imports_in([data], origin):
            yield seq, leaf_hash(data), imported


def _tree(imported: Imported) -> Frontier:
    """The tree up to the end of an import. Raises TamperError where our log holds what this gateway never wrote."""
    try:
        tree = imported.edge()
    except MalformedError as error:
        raise TamperError(f"our log holds an import of {imported.origin} that proves nothing: {error}") from error
    tree.extend(imported.leaves.values())
    return tree
