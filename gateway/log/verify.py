"""Checks a whole log directory: structure, chain, tree, and the signature of every checkpoint.

The verdict is one of five: intact; torn, which a power cut explains and the gateway's next start settles; unsigned,
where a key was demanded and no checkpoint is there at all; unwitnessed, where a policy demands cosignatures that are
not there, or are too old (``gateway.log.witnessing``); and tampered, where bytes that had been written, signed or
published have changed. It trusts nothing in the directory: each segment's header is compared with what the entries
before it give, every entry with its predecessor's leaf hash, every checkpoint with the root recomputed from the
entries, and whatever a segment holds beyond its last valid entry with the recovery entry that must account for it.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.frame import FrameError
from gateway.log.note import parse_checkpoint
from gateway.log.packs import Packs
from gateway.log.scan import Contents, extend_tree, load, load_chained, notes_behind, segment_name, segment_starts
from gateway.log.survey import take_survey
from gateway.log.tile_reader import minimum_index, read_runs
from gateway.log.tree import leaf_hash
from gateway.log.verify_packs import check_pack, files_of, packed_root, were_moved
from gateway.log.walk import INTACT, TAMPERED, TORN, UNSIGNED, UNWITNESSED, Demands, Report, Standing, Walk, wrong_root

__all__ = [
    "INTACT",
    "TAMPERED",
    "TORN",
    "UNSIGNED",
    "UNWITNESSED",
    "Demands",
    "Report",
    "Walk",
    "verify_segments",
    "verify_tiles",
]

_BATCH = 4096
#: How often the newest segment is read again when a writer may be in the middle of an append.
_LOOKS = 5


def known_roots(known: Sequence[bytes], walk: Walk) -> dict[int, list[Standing]]:
    """The checkpoints that somebody kept elsewhere, by size; judged like the log's own."""
    roots: dict[int, list[Standing]] = {}
    for note in known:
        try:
            parse_checkpoint(note)
        except MalformedError as error:
            raise ConfigError(f"a known checkpoint is none: {error}; give the whole file as it was kept") from error
        standing = walk.standing(note, 0, counted=False)
        roots.setdefault(standing.checkpoint.size, []).append(standing)
    walk.known = set(roots)
    return roots


def verify_segments(
    directory: Path,
    demands: Demands,
    *,
    signed_size: int = 0,
    progress: Callable[[int], None] = lambda _size: None,
) -> Report:
    """Checks the log in *directory*; *signed_size* is what the signer's own state says it signed.

    A gateway may write, pack and prune meanwhile: where that crosses the check, it is done again.
    Raises ConfigError for demands that could prove nothing, OSError from the disk.
    """
    for _ in range(_LOOKS):
        before, report = files_of(directory), None
        with contextlib.suppress(FileNotFoundError):
            report = _verify_once(directory, demands, signed_size, progress)
        if report is not None and (report.verdict != TAMPERED or not were_moved(before, directory)):
            return report
    return _verify_once(directory, demands, signed_size, progress)


def _verify_once(directory: Path, demands: Demands, signed_size: int, progress: Callable[[int], None]) -> Report:
    walk = Walk(demands=demands)
    try:
        fault = _walk_segments(directory, walk, signed_size, progress)
        _require_size(walk, max(signed_size, walk.signed_size), fault)
        walk.conclude()
    except TamperError as error:
        return walk.report(TAMPERED, error.seq, str(error))
    if fault is not None:
        verdict = TORN if fault.torn else TAMPERED
        where = f"behind entry {walk.tree.size - 1}" if walk.tree.size else "before any entry"
        return walk.report(verdict, walk.tree.size, f"{where}: {fault}")
    if demands.keys and not walk.signed_size:
        return walk.report(UNSIGNED, None, "it holds no checkpoint yet, so nothing shows whose log it is")
    return walk.intact()


def verify_tiles(
    directory: Path, note: bytes, demands: Demands, *, progress: Callable[[int], None] = lambda _size: None
) -> Report:
    """Checks an exported log (C2SP tlog-tiles) whose checkpoint is *note*. Raises as ``verify_segments``."""
    walk = Walk(demands=demands)
    try:
        checkpoint = parse_checkpoint(note)
        walk.origin = checkpoint.origin
        minimum = minimum_index(directory)
        first = [item for item in islice(read_runs(directory, checkpoint, minimum), 1) if isinstance(item, bytes)]
        walk.begin(checkpoint.origin, first[0] if first else None)
        roots = known_roots(demands.known, walk)
        roots.setdefault(checkpoint.size, []).append(walk.standing(note, checkpoint.size))
        for _, run in groupby(read_runs(directory, checkpoint, minimum), type):
            _walk_run(walk, roots, run, progress)
        walk.require_manifests()
        _judge_beyond(roots, walk, None)
        walk.conclude()
    except MalformedError as error:
        return walk.report(TAMPERED, None, f"the checkpoint: {error}")
    except TamperError as error:
        return walk.report(TAMPERED, error.seq, str(error))
    return walk.intact()


def _walk_run(
    walk: Walk, roots: dict[int, list[Standing]], run: Iterator[Any], progress: Callable[[int], None]
) -> None:
    """Goes through items of one kind: entries, or runs that were pruned."""
    while batch := list(islice(run, _BATCH)):
        if isinstance(batch[0], bytes):
            walk.grow(walk.entries(batch), roots)
        else:
            for item in batch:
                walk.skip(item.value, roots)
        progress(walk.tree.size)


def _require_size(walk: Walk, signed_size: int, fault: FrameError | None) -> None:
    if walk.tree.size < signed_size:
        why = f" ({fault})" if fault else ""
        raise TamperError(
            f"the log has {walk.tree.size} entries, {signed_size} were signed: the rest is missing{why}",
            seq=walk.tree.size,
        )


def _walk_segments(directory: Path, walk: Walk, signed_size: int, progress: Callable[[int], None]) -> FrameError | None:
    """Goes through all packs and segments; returns the deviation behind the last entry, if there is one."""
    loose = _torn_away(directory, signed_size)
    packs = Packs(directory)
    starts = [start for start in segment_starts(directory) if directory / segment_name(start) not in dict(loose)]
    # A start may have been cut off between the pack and the removal of what is in it.
    starts = starts[max(0, bisect.bisect_right(starts, packs.end_seq) - 1) :]
    if _is_cut_first_start(loose, starts, packs, signed_size, walk):
        return loose[-1][1]
    if not starts or starts[0] > packs.end_seq:
        raise TamperError(f"{directory} does not hold the segment of entry {packs.end_seq}", seq=packs.end_seq)
    following = _loaded(directory, starts[0], newest=len(starts) == 1)
    roots = _begin(packs, following, walk)
    _walk_packs(packs, following, walk, roots, progress)
    void: list[tuple[str, int, int]] = []
    for index, start in enumerate(starts):
        contents, last = following, index + 1 == len(starts)
        if not last:
            # One segment ahead, since a checkpoint is written behind the entries it covers.
            following = _loaded(directory, starts[index + 1], newest=index + 2 == len(starts))
            _collect(following.notes, packs, walk, roots)
        end = contents.next_seq if last else starts[index + 1]
        _check_segment(contents, walk, roots, end)
        if not last and (contents.next_seq > end or contents.fault is not None):
            surplus = contents.offsets[end - start] if contents.next_seq > end else contents.end
            void.append((contents.path.name, surplus, end))
        progress(walk.tree.size)
    _account(void, walk)
    walk.require_manifests()
    return _loose_end(loose, contents, walk, roots)


def _begin(packs: Packs, oldest: Contents, walk: Walk) -> dict[int, list[Standing]]:
    """Takes origin and entry 0; returns the roots to compare with, which are those known from elsewhere."""
    pack = packs.pack(0) if packs.ranges else None
    if pack is not None:
        walk.begin(pack.footer.origin, pack.entries(0)[0] if pack.footer.chunks[0][0] else None)
    else:
        walk.begin(oldest.header.origin, oldest.entries[0] if oldest.entries else None)
    return known_roots(walk.demands.known, walk)


def _is_cut_first_start(
    loose: list[tuple[Path, FrameError]], starts: list[int], packs: Packs, signed_size: int, walk: Walk
) -> bool:
    """Whether there is nothing but a segment that has its name, and nothing in it that was ever signed."""
    told = signed_size or walk.demands.known or any(notes_behind(path, 0) for path, _ in loose)
    return bool(loose) and not (starts or packs.ranges or told)


def _walk_packs(
    packs: Packs, oldest: Contents, walk: Walk, roots: dict[int, list[Standing]], progress: Callable[[int], None]
) -> None:
    """Goes through the packs, one ahead with their checkpoints; takes those of the segment *oldest* in any case."""
    newest = packs.newest()
    packed = newest.notes() if newest else []
    rest = [note for note in oldest.notes if note not in packed]
    _collect(packs.pack(0).notes() if packs.ranges else rest, packs, walk, roots)
    for number, pack in enumerate(packs):
        _collect(packs.pack(number + 1).notes() if number + 1 < len(packs.ranges) else rest, packs, walk, roots)
        check_pack(pack, walk, roots)
        progress(walk.tree.size)


def _loose_end(
    loose: list[tuple[Path, FrameError]], contents: Contents, walk: Walk, roots: dict[int, list[Standing]]
) -> FrameError | None:
    deviations = [*loose, *([(contents.path, contents.fault)] if contents.fault is not None else [])]
    for path, fault in deviations:
        _notice_signatures(notes_behind(path, fault.offset), walk)
    last_fault = deviations[-1][1] if deviations else None
    _judge_beyond(roots, walk, last_fault)
    return last_fault


def _judge_beyond(roots: dict[int, list[Standing]], walk: Walk, fault: FrameError | None) -> None:
    """Checkpoints of more entries than there are: the keys valid at the end must have signed them."""
    for standing in (standing for size in sorted(roots) for standing in roots[size]):
        walk.verify(standing)
    _require_size(walk, max(roots, default=0), fault)


def _torn_away(directory: Path, signed_size: int) -> list[tuple[Path, FrameError]]:
    """The newest segments where a power cut left nothing for them to stand on, newest first."""
    for _ in range(_LOOKS):
        loose = take_survey(directory, lambda _origin: signed_size).loose
        if not loose:
            break
    return loose if all(fault.torn for _, fault in loose) else []


def _loaded(directory: Path, start: int, *, newest: bool) -> Contents:
    path = directory / segment_name(start)
    for _ in range(_LOOKS):
        try:
            contents = load_chained(path) if newest else load(path)
        except FrameError as error:
            raise TamperError(f"{path.name}: {error}", seq=start) from error
        if contents.fault is None:
            break
    return contents


def _collect(notes: Sequence[tuple[int, bytes]], packs: Packs, walk: Walk, roots: dict[int, list[Standing]]) -> None:
    for seq, note in notes:
        standing = walk.standing(note, seq)
        checkpoint = standing.checkpoint
        if checkpoint.size >= walk.tree.size:
            roots.setdefault(checkpoint.size, []).append(standing)
            continue
        trusted = walk.verify(standing)
        root = _root_at(packs, checkpoint.size)
        if root is None:
            continue
        if root != checkpoint.root:
            raise wrong_root(checkpoint, checkpoint.size)
        walk.signed_size = max(walk.signed_size, checkpoint.size if trusted else 0)


def _root_at(packs: Packs, size: int) -> bytes | None:
    """The root at a size passed before, as of a checkpoint that stands far behind its entries; None where pruned."""
    if size <= packs.end_seq:
        return packed_root(packs, size)
    start = max(start for start in segment_starts(packs.directory) if start <= size)
    contents = _loaded(packs.directory, start, newest=False)
    tree = contents.header.tree()
    extend_tree(tree, contents.entries[: size - start])
    return tree.root()


def _notice_signatures(notes: list[bytes], walk: Walk) -> None:
    """Checkpoints behind a deviation tell how much was signed; a torn tail never was."""
    for note in notes:
        try:
            standing = walk.standing(note, walk.tree.size, counted=False)
            if walk.verify(standing):
                walk.signed_size = max(walk.signed_size, standing.checkpoint.size)
        except TamperError:
            # What stands behind a deviation can be anything, and counts only where a key speaks for it.
            continue


def _check_segment(contents: Contents, walk: Walk, roots: dict[int, list[Standing]], end: int) -> None:
    header, name, start = contents.header, contents.path.name, contents.header.first_seq
    # Of the oldest segment, some entries may be packed already.
    packed = contents.entries[: walk.tree.size - start]
    tree = header.tree()
    extend_tree(tree, packed)
    prev = leaf_hash(packed[-1]) if packed else header.prev
    if header.origin != walk.origin or walk.prev not in (prev, None) or tree.hashes() != walk.tree.hashes():
        raise TamperError(f"the header of {name} does not follow from the entries before it", seq=start)
    walk.before(header.note, start, name)
    leaves = walk.entries(contents.entries[len(packed) : end - start])
    if contents.next_seq < end:
        raise TamperError(f"{name}: {contents.fault or 'the end'}, before entry {end}", seq=contents.next_seq)
    walk.grow(leaves, roots)


def _account(void: list[tuple[str, int, int]], walk: Walk) -> None:
    for name, offset, seq in void:
        if not any(segment == name and cut <= offset for segment, cut in walk.cuts):
            raise TamperError(f"{name} holds bytes from {offset} on that no recovery entry accounts for", seq=seq)
