"""Checks a whole log directory: structure, chain, tree, and the signature of every checkpoint.

The verdict is one of three: intact; torn, which a power cut explains and the gateway's next start settles; and
tampered, where bytes that had been written, signed or published have changed. It trusts nothing in the directory:
each segment's header is compared with what the entries before it give, every entry with its predecessor's leaf hash,
every checkpoint with the root recomputed from the entries, and whatever a segment holds beyond its last valid entry
with the recovery entry that must account for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from gateway.errors import MalformedError, TamperError
from gateway.log.entry import NO_PREV, Kind, parse
from gateway.log.frame import FrameError
from gateway.log.note import Checkpoint, of_origin, parse_checkpoint, verify_checkpoint
from gateway.log.scan import Contents, load, segment_name, segment_starts
from gateway.log.tile_reader import read_entries
from gateway.log.tree import Frontier, leaf_hash
from gateway.log.vkey import VerifierKey

INTACT, TORN, TAMPERED = "intact", "torn", "tampered"
_BATCH = 4096
#: How often the newest segment is read again when a writer may be in the middle of an append.
_LOOKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found."""

    verdict: str
    origin: str
    #: Entries checked, the tree's size.
    size: int
    root: bytes
    #: Checkpoints whose signatures and roots were checked.
    checkpoints: int
    #: Size that the newest checkpoint covers.
    signed_size: int
    first_bad_seq: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What the verifier holds in its own hand."""

    #: Empty: the keys that the log itself names are used, which proves consistency but not whose log it is.
    keys: Sequence[VerifierKey] = ()
    quorum: int | None = None
    #: Checkpoints from elsewhere that the log must extend.
    known: Sequence[bytes] = ()


@dataclass(slots=True, kw_only=True)
class Walk:
    """The state of a check that goes through a log from entry 0 on; also for logs in other forms than segments."""

    demands: Demands
    origin: str = ""
    tree: Frontier = field(default_factory=Frontier)
    prev: bytes = NO_PREV
    keys: Sequence[VerifierKey] = ()
    checkpoints: int = 0
    signed_size: int = 0
    #: (segment file, offset) of each recovery entry.
    cuts: set[tuple[str, int]] = field(default_factory=set)

    def begin(self, origin: str, first: bytes | None) -> None:
        """Takes the log's origin and its first entry, and sees whether they are what is asked for."""
        self.origin, self.keys = origin, self.demands.keys
        for key in self.keys:
            if not of_origin(origin, key.name):
                raise TamperError(f"this is the log {origin!r}, the key is that of {key.name!r}", seq=0)
        if first is None:
            return
        items = _parsed(first, 0)
        if items[1] != Kind.GENESIS or items[9][0] != origin:
            raise TamperError(f"entry 0 is not the genesis entry of {origin!r}", seq=0)
        if not self.keys:
            self.keys = [VerifierKey.parse(text) for text in items[9][4]]

    def entries(self, batch: Iterable[bytes]) -> list[bytes]:
        """Checks entries that follow; returns their leaf hashes. The tree does not grow yet."""
        seq, prev, leaves = self.tree.size, self.prev, []
        for data in batch:
            items = _parsed(data, seq)
            if items[2] != seq:
                raise TamperError(f"entry {seq} says that it is entry {items[2]}", seq=seq)
            if items[3] != prev:
                raise TamperError(f"entry {seq} does not name the entry before it", seq=seq)
            if items[1] == Kind.RECOVERY:
                self.cuts.add((items[9][0], items[9][1]))
            prev = leaf_hash(data)
            leaves.append(prev)
            seq += 1
        self.prev = prev
        return leaves

    def grow(self, leaves: list[bytes], roots: dict[int, list[Checkpoint]]) -> None:
        """Adds leaves to the tree and compares it with the checkpoints of every size passed."""
        done = 0
        base = self.tree.size
        for size in sorted(size for size in roots if base <= size <= base + len(leaves)):
            self.tree.extend(leaves[done : size - base])
            done = size - base
            for checkpoint in roots.pop(size):
                if checkpoint.root != self.tree.root():
                    bad = self.signed_size
                    raise TamperError(f"the entries do not have the root of the checkpoint of size {size}", seq=bad)
            self.signed_size = max(self.signed_size, size)
        self.tree.extend(leaves[done:])

    def checkpoint(self, note: bytes, *, counted: bool = True) -> Checkpoint:
        """Verifies a checkpoint's signatures and origin; its root is compared by ``grow``."""
        seq = self.tree.size
        try:
            checkpoint = verify_checkpoint(note, origin=self.origin, keys=self.keys, quorum=self.demands.quorum)
        except (TamperError, MalformedError) as error:
            raise TamperError(f"a checkpoint behind entry {seq - 1}: {error}", seq=seq) from error
        self.checkpoints += counted
        return checkpoint

    def report(self, verdict: str, first_bad_seq: int | None = None, reason: str | None = None) -> Report:
        """The result so far."""
        return Report(
            verdict=verdict,
            origin=self.origin,
            size=self.tree.size,
            root=self.tree.root(),
            checkpoints=self.checkpoints,
            signed_size=self.signed_size,
            first_bad_seq=first_bad_seq,
            reason=reason,
        )


def _parsed(data: bytes, seq: int) -> list[Any]:
    try:
        return parse(data)
    except MalformedError as error:
        raise TamperError(f"entry {seq}: {error}", seq=seq) from error


def known_roots(known: Sequence[bytes], walk: Walk) -> dict[int, list[Checkpoint]]:
    """The checkpoints that somebody kept elsewhere, by size; verified like the log's own."""
    roots: dict[int, list[Checkpoint]] = {}
    for note in known:
        checkpoint = walk.checkpoint(note, counted=False)
        roots.setdefault(checkpoint.size, []).append(checkpoint)
    return roots


def verify_segments(
    directory: Path,
    demands: Demands,
    *,
    signed_size: int = 0,
    progress: Callable[[int], None] = lambda _size: None,
) -> Report:
    """Checks the log in *directory*; *signed_size* is what the signer's own state says it signed.

    Raises ConfigError for demands that could prove nothing, OSError from the disk.
    """
    walk = Walk(demands=demands)
    try:
        fault = _walk_segments(directory, walk, progress)
        _require_size(walk, max(signed_size, walk.signed_size), fault)
    except TamperError as error:
        return walk.report(TAMPERED, error.seq, str(error))
    if fault is not None:
        verdict = TORN if fault.torn else TAMPERED
        return walk.report(verdict, walk.tree.size, f"behind entry {walk.tree.size - 1}: {fault}")
    return walk.report(INTACT)


def verify_tiles(
    directory: Path, note: bytes, demands: Demands, *, progress: Callable[[int], None] = lambda _size: None
) -> Report:
    """Checks an exported log (C2SP tlog-tiles) whose checkpoint is *note*. Raises as ``verify_segments``."""
    walk = Walk(demands=demands)
    try:
        checkpoint = parse_checkpoint(note)
        first = list(islice(read_entries(directory, checkpoint), 1))
        walk.begin(checkpoint.origin, first[0] if first else None)
        roots = known_roots(demands.known, walk)
        roots.setdefault(checkpoint.size, []).append(walk.checkpoint(note))
        entries = read_entries(directory, checkpoint)
        while batch := list(islice(entries, _BATCH)):
            walk.grow(walk.entries(batch), roots)
            progress(walk.tree.size)
        _require_size(walk, max([checkpoint.size, *roots]), None)
    except MalformedError as error:
        return walk.report(TAMPERED, None, f"the checkpoint: {error}")
    except TamperError as error:
        return walk.report(TAMPERED, error.seq, str(error))
    return walk.report(INTACT)


def _require_size(walk: Walk, signed_size: int, fault: FrameError | None) -> None:
    if walk.tree.size < signed_size:
        why = f" ({fault})" if fault else ""
        raise TamperError(
            f"the log has {walk.tree.size} entries, {signed_size} were signed: the rest is missing{why}",
            seq=walk.tree.size,
        )


def _walk_segments(directory: Path, walk: Walk, progress: Callable[[int], None]) -> FrameError | None:
    """Goes through all segments; returns the deviation behind the last entry, if there is one."""
    starts = segment_starts(directory)
    if not starts or starts[0] != 0:
        raise TamperError(f"{directory} does not hold the segment of entry 0", seq=0)
    following = _loaded(directory, starts[0])
    walk.begin(following.header.origin, following.entries[0] if following.entries else None)
    roots = known_roots(walk.demands.known, walk)
    _collect(following, walk, roots)
    void: list[tuple[str, int, int]] = []
    for index, start in enumerate(starts):
        contents, last = following, index + 1 == len(starts)
        if not last:
            # One segment ahead, since a checkpoint is written behind the entries it covers.
            following = _loaded(directory, starts[index + 1])
            _collect(following, walk, roots)
        end = contents.next_seq if last else starts[index + 1]
        _check_segment(contents, walk, roots, start, end)
        if not last and (contents.next_seq > end or contents.fault is not None):
            surplus = contents.offsets[end - start] if contents.next_seq > end else contents.end
            void.append((contents.path.name, surplus, end))
        progress(walk.tree.size)
    _account(void, walk)
    if missing := [size for size in roots if size > walk.tree.size]:
        _require_size(walk, max(missing), contents.fault)
    return contents.fault


def _loaded(directory: Path, start: int) -> Contents:
    path = directory / segment_name(start)
    for _ in range(_LOOKS):
        try:
            contents = load(path)
        except FrameError as error:
            raise TamperError(f"{path.name}: {error}", seq=start) from error
        if contents.fault is None:
            break
    return contents


def _collect(contents: Contents, walk: Walk, roots: dict[int, list[Checkpoint]]) -> None:
    for _, note in contents.notes:
        checkpoint = walk.checkpoint(note)
        if checkpoint.size < walk.tree.size:
            raise TamperError(f"a checkpoint of size {checkpoint.size} in {contents.path.name}", seq=checkpoint.size)
        roots.setdefault(checkpoint.size, []).append(checkpoint)


def _check_segment(contents: Contents, walk: Walk, roots: dict[int, list[Checkpoint]], start: int, end: int) -> None:
    header, name = contents.header, contents.path.name
    if header.origin != walk.origin or header.prev != walk.prev or header.edge != walk.tree.hashes():
        raise TamperError(f"the header of {name} does not follow from the entries before it", seq=start)
    if header.note and walk.checkpoint(header.note, counted=False).size > start:
        raise TamperError(f"the header of {name} holds a checkpoint of later entries", seq=start)
    if contents.next_seq < end:
        raise TamperError(f"{name}: {contents.fault or 'the end'}, before entry {end}", seq=contents.next_seq)
    walk.grow(walk.entries(contents.entries[: end - start]), roots)


def _account(void: list[tuple[str, int, int]], walk: Walk) -> None:
    for name, offset, seq in void:
        if not any(segment == name and cut <= offset for segment, cut in walk.cuts):
            raise TamperError(f"{name} holds bytes from {offset} on that no recovery entry accounts for", seq=seq)
