"""What a start finds in a log directory, and what it does about it (nothing is ever repaired in silence).

=====================================  ==============================================================================
found                                  done
=====================================  ==============================================================================
nothing                                a new log
an intact log                          goes on behind its last entry, in a block of its own
a deviation behind all that is signed  the rest of that segment is void: a new segment begins, the old file stays as
                                       it is, and a recovery entry names file, offset, length and SHA-256
a deviation at or below a signature,   that log is closed: its directory moves to ``closed/``, whole; a new log (an
or a log shorter than its signatures   epoch) begins under the origin ``ORIGIN/epoch-N`` and its genesis entry holds
                                       the last checkpoint of the closed one
=====================================  ==============================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway import durable
from gateway.errors import ConfigError, MalformedError
from gateway.log.frame import FrameError
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.scan import Contents, extend_tree, load, notes_behind, segment_name, segment_starts
from gateway.log.segment import SEGMENT_BYTES, Segments

_EPOCH = "/epoch-"
_CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The void rest of a segment: the body of a recovery entry."""

    segment: str
    offset: int
    length: int
    sha256: bytes
    kept_in: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A log that was closed for cause: what the next genesis entry says of it."""

    origin: str
    directory: Path
    #: Newest checkpoint known of it, or None.
    note: bytes | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A log directory ready to go on, and what was found on the way."""

    segments: Segments
    cuts: tuple[Cut, ...]
    closed: Closed | None


def open_directory(
    directory: Path,
    origin: str,
    *,
    signed: Callable[[str], int] = lambda _origin: 0,
    segment_bytes: int = SEGMENT_BYTES,
) -> Opened:
    """Opens the log in *directory*, whatever state it is in; *signed* tells the size last signed for an origin.

    Raises ConfigError where the log belongs to another origin, OSError where the disk cannot be read or written.
    """
    durable.make_directory(directory)
    for leftover in directory.glob(".*.tmp"):
        leftover.unlink()
    cuts: list[Cut] = []
    contents = _newest(directory, cuts)
    current = contents.header.origin if contents else epoch_origin(origin, _closed_epochs(directory) + 1)
    signed_size = signed(current)
    if contents is None and not signed_size:
        segments = Segments(directory, current, segment_bytes=segment_bytes)
        return Opened(segments=segments, cuts=tuple(cuts), closed=None)
    if contents is not None and not same_log(contents.header.origin, origin):
        raise ConfigError(
            f"{directory} holds the log {contents.header.origin!r}, the config says origin {origin!r}: an origin names "
            "a log for ever; set it back, or give the new log its own state_dir"
        )
    reason = _damage(contents, signed_size)
    if reason is not None:
        return _close(directory, origin, contents, reason, segment_bytes)
    assert contents is not None
    if contents.fault is not None:
        cuts.append(_cut(contents.path, contents.fault))
    segments = Segments(directory, contents.header.origin, segment_bytes=segment_bytes)
    segments.resume(contents, segment_starts(directory))
    return Opened(segments=segments, cuts=tuple(cuts), closed=None)


def epoch_origin(origin: str, number: int) -> str:
    """Origin line of the epoch of that number, counted from 1."""
    return origin if number == 1 else f"{origin}{_EPOCH}{number}"


def _closed_epochs(directory: Path) -> int:
    closed = directory.parent / _CLOSED
    return sum(1 for _ in closed.iterdir()) if closed.is_dir() else 0


def same_log(found: str, origin: str) -> bool:
    """Whether *found* is *origin* or one of its epochs."""
    return found == origin or (found.startswith(origin + _EPOCH) and found[len(origin + _EPOCH) :].isdecimal())


def _newest(directory: Path, cuts: list[Cut]) -> Contents | None:
    """The newest segment with a readable header; those without one are put aside."""
    for start in reversed(segment_starts(directory)):
        path = directory / segment_name(start)
        try:
            return load(path)
        except FrameError as error:
            kept = durable.set_aside(path, ".broken")
            cuts.append(_cut(kept, error, segment=path.name))
    return None


def _cut(path: Path, fault: FrameError, *, segment: str | None = None) -> Cut:
    rest = path.read_bytes()[fault.offset :]
    reason = f"{'torn' if fault.torn else 'changed'}: {fault}"
    return Cut(
        segment=segment or path.name,
        offset=fault.offset,
        length=len(rest),
        sha256=hashlib.sha256(rest).digest(),
        kept_in=path.name,
        reason=reason,
    )


def _damage(contents: Contents | None, signed_size: int) -> str | None:
    """Why the log cannot honestly go on, or None."""
    if contents is None:
        return f"the log is gone; entries up to {signed_size} were signed"
    signed = max([signed_size, *(note.size for note in _notes(contents))])
    if contents.next_seq < signed:
        what = str(contents.fault) if contents.fault else "the log ends"
        return f"{what} before entry {contents.next_seq}; {signed} entries were signed"
    return _wrong_root(contents)


def _notes(contents: Contents) -> list[Checkpoint]:
    texts = [contents.header.note, *(note for _, note in contents.notes)]
    if contents.fault is not None:
        texts += notes_behind(contents.path, contents.fault.offset)
    found = []
    for text in filter(None, texts):
        try:
            found.append(parse_checkpoint(text))
        except MalformedError:
            continue
    return found


def _wrong_root(contents: Contents) -> str | None:
    tree, seq = contents.header.tree(), contents.header.first_seq
    for note in sorted(_notes(contents), key=lambda note: note.size):
        if note.size < tree.size:
            continue
        extend_tree(tree, contents.entries[tree.size - seq : note.size - seq])
        if tree.root() != note.root:
            return f"the entries do not have the root that the checkpoint of size {note.size} states"
    return None


def _close(directory: Path, origin: str, contents: Contents | None, reason: str, segment_bytes: int) -> Opened:
    closed = directory.parent / _CLOSED
    durable.make_directory(closed)
    number = _closed_epochs(directory) + 1
    target = closed / f"epoch-{number}"
    directory.rename(target)
    durable.sync_directory(directory.parent)
    durable.sync_directory(closed)
    durable.make_directory(directory)
    notes = _notes(contents) if contents else []
    newest = max(notes, key=lambda note: note.size, default=None)
    past = contents.header.origin if contents else epoch_origin(origin, number)
    segments = Segments(directory, epoch_origin(origin, number + 1), segment_bytes=segment_bytes)
    found = Closed(origin=past, directory=target, note=newest.note if newest else None, reason=reason)
    return Opened(segments=segments, cuts=(), closed=found)
