"""Entries of another log inside an entry of this one: its own bytes, and what proves them to whoever holds its key.

The body of an imported entry (``gateway.log.entry``, kind 14) is an array of five::

    origin      text: the other log's
    first seq   the seq there of the first item
    items       byte strings, one for each entry from *first seq* on without a hole: the entry's own bytes, or its leaf
                hash (32 bytes; no entry is so short) where the entry was left out
    hashes      byte strings of 32 bytes: with the items' leaf hashes they lead to the root in the note, by the walk
                of ``gateway.log.evidence`` with every item listed
    note        a signed checkpoint of the other log, verbatim, of at least so many entries

So an imported entry proves what it holds by itself, and its own wall time is when it came; everything that the other
gateway said (time, quality, error bound, the meter's own clock) stands in the items. The hashes left of the first item
are the edge of the tree before it (``gateway.log.tree.Frontier``). Imported entries of one origin follow each other
without a hole and without an overlap: *first seq* of the next one is the end of the one before, and the first one
begins at 0. Therefore a log holds every leaf hash of the other one up to the newest import, and any of the kept entries
can be proved under the checkpoint of any import behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import MalformedError, TamperError
from gateway.log.entry import Entry, Kind, decode, parse
from gateway.log.evidence import READINGS, Evidence, evidence_ranges, evidence_root
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.proof import verified_checkpoint
from gateway.log.tree import HASH_SIZE, Frontier, leaf_hash, left_size, node_hash
from gateway.log.vkey import VerifierKey

_KIND_AT = 2
#: A leaf range of a tree, and its root.
_Roots = dict[tuple[int, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The body of an imported entry; nothing is verified yet."""

    origin: str
    first_seq: int
    items: tuple[bytes, ...]
    hashes: tuple[bytes, ...]
    note: bytes

    @property
    def end_seq(self) -> int:
        """The seq after the last item."""
        return self.first_seq + len(self.items)

    @property
    def entries(self) -> Mapping[int, bytes]:
        """The entries that were kept, by seq, ascending."""
        return {seq: item for seq, item in enumerate(self.items, self.first_seq) if len(item) != HASH_SIZE}

    @property
    def leaves(self) -> Mapping[int, bytes]:
        """The leaf hash of every item by seq, ascending."""
        hashed = (item if len(item) == HASH_SIZE else leaf_hash(item) for item in self.items)
        return dict(enumerate(hashed, self.first_seq))

    def edge(self) -> Frontier:
        """The tree over all entries before the first item, as the hashes have it. Raises MalformedError."""
        return Frontier.restore(self.first_seq, self.hashes[: self.first_seq.bit_count()])

    def decoded(self) -> Iterator[Entry]:
        """The entries that were kept. Raises MalformedError."""
        return map(decode, self.entries.values())


def imported_body(imported: Imported) -> list[Any]:
    """Body of the entry."""
    return [imported.origin, imported.first_seq, list(imported.items), list(imported.hashes), imported.note]


def imported_of(body: Sequence[Any]) -> Imported:
    """The exact inverse of ``imported_body``. Raises MalformedError where it holds nothing that can be proved."""
    origin, first_seq, items, hashes, note = body
    if first_seq < 0 or not items or not all(len(item) >= HASH_SIZE for item in items):
        raise MalformedError(f"an import from seq {first_seq} on that does not hold entries or their hashes")
    return Imported(origin=origin, first_seq=first_seq, items=tuple(items), hashes=tuple(hashes), note=note)


def verify_imported(
    imported: Imported,
    keys: Sequence[VerifierKey],
    statements: Sequence[bytes] = (),
    *,
    quorum: int | None = None,
) -> Checkpoint:
    """The checkpoint that covers all items, signed by *keys* or by those that *statements* link to them.

    Raises MalformedError, TamperError where it proves nothing, ConfigError without keys.
    """
    checkpoint, _ = verified_checkpoint(imported.note, keys, imported.origin, quorum, statements)
    require_fits(imported, checkpoint)
    return checkpoint


def require_fits(imported: Imported, checkpoint: Checkpoint) -> None:
    """Checks everything but the signatures. Raises MalformedError, TamperError."""
    for seq, data in imported.entries.items():
        if parse(data)[2] != seq:
            raise TamperError(f"the import of {imported.origin}: the entry in the place of {seq} is another", seq=seq)
    if evidence_root(imported.leaves, checkpoint.size, imported.hashes) != checkpoint.root:
        what = f"entries {imported.first_seq} to {imported.end_seq - 1} of {imported.origin}"
        raise TamperError(f"the import of {what} does not lead to the root in its checkpoint", seq=imported.first_seq)


def imports_in(entries: Iterable[bytes], origin: str | None = None) -> Iterator[Imported]:
    """What *entries*, bytes of this log's entries in order, hold of *origin*, or of all logs. Raises MalformedError."""
    for data in entries:
        # The kind is the third byte of every entry: most need not be looked at.
        if data[_KIND_AT] == Kind.IMPORTED and (body := parse(data)[9])[0] == (origin or body[0]):
            yield imported_of(body)


def evidence_of(imports: Sequence[Imported], seqs: Iterable[int], rotations: Sequence[bytes] = ()) -> Evidence:
    """Evidence of the other log's entries *seqs*, and of the definitions they need, under the newest checkpoint.

    *imports* follow each other, and hold all of these entries; *rotations* are key statements of the other log. Whoever
    verifies it needs that log's key, and nothing of ours. Raises MalformedError for what is missing, TamperError.
    """
    kept = {seq: data for imported in imports for seq, data in imported.entries.items()}
    wanted = set(seqs)
    wanted |= {_definition(kept[seq]) for seq in wanted if seq in kept and kept[seq][_KIND_AT] in READINGS}
    if missing := sorted(wanted - kept.keys()):
        raise MalformedError(f"entry {missing[0]} of {imports[-1].origin} is not in these imports; give those before")
    listed = sorted(wanted)
    checkpoint = parse_checkpoint(imports[-1].note)
    roots = _roots(imports, checkpoint.size)
    hashes = tuple(_root(roots, *bounds) for bounds in evidence_ranges(listed, checkpoint.size))
    entries = {seq: kept[seq] for seq in listed}
    leaves = {seq: leaf_hash(data) for seq, data in entries.items()}
    if evidence_root(leaves, checkpoint.size, hashes) != checkpoint.root:
        raise TamperError(f"the imports of {imports[-1].origin} do not lead to the root in their newest checkpoint")
    return Evidence(entries=entries, hashes=hashes, note=imports[-1].note, rotations=tuple(rotations))


def _definition(data: bytes) -> int:
    seq: int = parse(data)[9][0]
    return seq


def _roots(imports: Sequence[Imported], size: int) -> _Roots:
    """The roots of leaf ranges in the tree of *size* that the imports tell."""
    roots: _Roots = {}
    end = imports[0].first_seq
    for imported in imports:
        if imported.first_seq != end:
            raise MalformedError(f"an import of {imported.origin} from seq {imported.first_seq} where {end} comes next")
        roots |= {(seq, seq + 1): leaf for seq, leaf in imported.leaves.items()}
        end = imported.end_seq
    last = imports[-1]
    roots |= dict(zip(evidence_ranges(list(last.leaves), size), last.hashes, strict=True))
    # What is left of the first item stays as it is however large the tree becomes.
    position = 0
    for node in imports[0].edge().hashes():
        level = (imports[0].first_seq - position).bit_length() - 1
        roots[position, position + (1 << level)] = node
        position += 1 << level
    return roots


def _root(roots: _Roots, start: int, end: int) -> bytes:
    """The root over leaves *start* to *end*."""
    if (found := roots.get((start, end))) is not None:
        return found
    if end - start == 1:
        raise MalformedError(f"the imports do not tell what entry {start} is; give those before")
    middle = start + left_size(end - start)
    return node_hash(_root(roots, start, middle), _root(roots, middle, end))
