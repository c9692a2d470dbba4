"""Checks a whole log directory: structure, chain, tree, and the signature of every checkpoint.

The verdict is one of four: intact; torn, which a power cut explains and the gateway's next start settles; unsigned,
where a key was demanded and no checkpoint is there at all; and tampered, where bytes that had been written, signed or
published have changed. It trusts nothing in the directory:
each segment's header is compared with what the entries before it give, every entry with its predecessor's leaf hash,
every checkpoint with the root recomputed from the entries, and whatever a segment holds beyond its last valid entry
with the recovery entry that must account for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.frame import FrameError
from gateway.log.note import parse_checkpoint
from gateway.log.scan import Contents, extend_tree, load, load_chained, notes_behind, segment_name, segment_starts
from gateway.log.survey import take_survey
from gateway.log.tile_reader import read_entries
from gateway.log.walk import INTACT, TAMPERED, TORN, UNSIGNED, Demands, Report, Standing, Walk, wrong_root

__all__ = ["INTACT", "TAMPERED", "TORN", "UNSIGNED", "Demands", "Report", "Walk", "verify_segments", "verify_tiles"]

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
        fault = _walk_segments(directory, walk, signed_size, progress)
        _require_size(walk, max(signed_size, walk.signed_size), fault)
        walk.conclude()
    except TamperError as error:
        return walk.report(TAMPERED, error.seq, str(error))
    if fault is not None:
        verdict = TORN if fault.torn else TAMPERED
        return walk.report(verdict, walk.tree.size, f"behind entry {walk.tree.size - 1}: {fault}")
    if demands.keys and not walk.signed_size:
        return walk.report(UNSIGNED, None, "it holds no checkpoint yet, so nothing shows whose log it is")
    return walk.report(INTACT)


def verify_tiles(
    directory: Path, note: bytes, demands: Demands, *, progress: Callable[[int], None] = lambda _size: None
) -> Report:
    """Checks an exported log (C2SP tlog-tiles) whose checkpoint is *note*. Raises as ``verify_segments``."""
    walk = Walk(demands=demands)
    try:
        checkpoint = parse_checkpoint(note)
        walk.origin = checkpoint.origin
        first = list(islice(read_entries(directory, checkpoint), 1))
        walk.begin(checkpoint.origin, first[0] if first else None)
        roots = known_roots(demands.known, walk)
        roots.setdefault(checkpoint.size, []).append(walk.standing(note, checkpoint.size))
        entries = read_entries(directory, checkpoint)
        while batch := list(islice(entries, _BATCH)):
            walk.grow(walk.entries(batch), roots)
            progress(walk.tree.size)
        _judge_beyond(roots, walk, None)
        walk.conclude()
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


def _walk_segments(directory: Path, walk: Walk, signed_size: int, progress: Callable[[int], None]) -> FrameError | None:
    """Goes through all segments; returns the deviation behind the last entry, if there is one."""
    loose = _torn_away(directory, signed_size)
    starts = [start for start in segment_starts(directory) if directory / segment_name(start) not in dict(loose)]
    if not starts or starts[0] != 0:
        raise TamperError(f"{directory} does not hold the segment of entry 0", seq=0)
    following = _loaded(directory, starts[0], newest=len(starts) == 1)
    walk.begin(following.header.origin, following.entries[0] if following.entries else None)
    roots = known_roots(walk.demands.known, walk)
    _collect(following, walk, roots)
    void: list[tuple[str, int, int]] = []
    for index, start in enumerate(starts):
        contents, last = following, index + 1 == len(starts)
        if not last:
            # One segment ahead, since a checkpoint is written behind the entries it covers.
            following = _loaded(directory, starts[index + 1], newest=index + 2 == len(starts))
            _collect(following, walk, roots)
        end = contents.next_seq if last else starts[index + 1]
        _check_segment(contents, walk, roots, start, end)
        if not last and (contents.next_seq > end or contents.fault is not None):
            surplus = contents.offsets[end - start] if contents.next_seq > end else contents.end
            void.append((contents.path.name, surplus, end))
        progress(walk.tree.size)
    _account(void, walk)
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


def _collect(contents: Contents, walk: Walk, roots: dict[int, list[Standing]]) -> None:
    for seq, note in contents.notes:
        standing = walk.standing(note, seq)
        checkpoint = standing.checkpoint
        if checkpoint.size >= walk.tree.size:
            roots.setdefault(checkpoint.size, []).append(standing)
            continue
        trusted = walk.verify(standing)
        if _root_at(contents.path.parent, checkpoint.size) != checkpoint.root:
            raise wrong_root(checkpoint, checkpoint.size)
        walk.signed_size = max(walk.signed_size, checkpoint.size if trusted else 0)


def _root_at(directory: Path, size: int) -> bytes:
    """The root at a size that was passed before: a slow key store's checkpoint stands far behind its entries."""
    start = max(start for start in segment_starts(directory) if start <= size)
    contents = _loaded(directory, start, newest=False)
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


def _check_segment(contents: Contents, walk: Walk, roots: dict[int, list[Standing]], start: int, end: int) -> None:
    header, name = contents.header, contents.path.name
    if header.origin != walk.origin or header.prev != walk.prev or header.edge != walk.tree.hashes():
        raise TamperError(f"the header of {name} does not follow from the entries before it", seq=start)
    if header.note:
        standing = walk.standing(header.note, start, counted=False)
        if standing.checkpoint.size > start:
            raise TamperError(f"the header of {name} holds a checkpoint of later entries", seq=start)
        walk.verify(standing)
    leaves = walk.entries(contents.entries[: end - start])
    if contents.next_seq < end:
        raise TamperError(f"{name}: {contents.fault or 'the end'}, before entry {end}", seq=contents.next_seq)
    walk.grow(leaves, roots)


def _account(void: list[tuple[str, int, int]], walk: Walk) -> None:
    for name, offset, seq in void:
        if not any(segment == name and cut <= offset for segment, cut in walk.cuts):
            raise TamperError(f"{name} holds bytes from {offset} on that no recovery entry accounts for", seq=seq)
