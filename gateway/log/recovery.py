"""What a start finds in a log directory, and what it does about it (nothing is ever repaired in silence).

=====================================  ==============================================================================
found                                  done
=====================================  ==============================================================================
nothing                                a new log
an intact log                          goes on behind its last entry, in a block of its own
a deviation behind all that is signed  the rest of that segment is void: a new segment begins, the old file stays as
                                       it is, and a recovery entry names file, offset, length and SHA-256; segments
                                       behind it have nothing to stand on, and are put aside with an entry each
a deviation at or below a signature,   that log is closed: its directory moves to ``closed/``, whole; a new log (an
or a log shorter than what was signed  epoch) begins under the origin ``ORIGIN/epoch-N`` and its genesis entry holds
or published                           the last checkpoint of the closed one, as the key's memory has it where the
                                       disk does not
=====================================  ==============================================================================

An intact log that is not the present key's to sign is closed in the same way (``gateway.keeper``).

Looked at are the newest segment and those before it that no signature vouches for, at most four: a disk that is cut
off may have kept a later file and lost the end of the one before. A start that is cut short itself leaves a state that
the next start treats in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway import durable
from gateway.errors import ConfigError, TamperError
from gateway.log.files import tidy
from gateway.log.note import Checkpoint
from gateway.log.pack import Pack, pack_name, pack_ranges
from gateway.log.scan import Contents, extend_tree, notes_behind, segment_name, segment_starts
from gateway.log.segment import SEGMENT_BYTES, UNSYNCED_SEGMENTS, Segments
from gateway.log.survey import Cut, Survey, parse_notes, parsed_notes, take_survey

#: Gives the last checkpoint that was signed for an origin, if anybody knows.
LastNote = Callable[[str], bytes | None]
_EPOCH = "/epoch-"
_CLOSED = "closed"


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
    last_note: LastNote = lambda _origin: None,
    unfit: Callable[[Segments], str | None] = lambda _segments: None,
    segment_bytes: int = SEGMENT_BYTES,
) -> Opened:
    """Opens the log in *directory*, whatever state it is in; *signed* tells what size is known to have been published.

    *last_note* gives the last checkpoint that was signed, should the log have lost it. *unfit* says why an intact log
    cannot go on all the same: it is closed like a damaged one.
    Raises ConfigError where the log belongs to another origin, OSError where the disk cannot be read or written.
    """
    tidy(directory)
    for start in segment_starts(directory)[-UNSYNCED_SEGMENTS:]:
        durable.settle_file(directory / segment_name(start))
    survey = take_survey(directory, signed)
    end = survey.end
    current = end.header.origin if end else _last_epoch(directory, origin, signed)
    if not same_log(current, origin):
        raise ConfigError(
            f"{directory} holds the log {current!r}, the config says origin {origin!r}: an origin names "
            "a log for ever; set it back, or give the new log its own state_dir"
        )
    reason = _damage(end, max(survey.signed_size, signed(current), _packed_size(directory)))
    if reason is not None:
        _close(directory, _epoch_number(current, origin))
        return _begin(directory, origin, reason, (), segment_bytes, last_note)
    cuts = [*_put_aside(survey), *survey.unaccounted()]
    if end is None:
        return _begin(directory, origin, "the log before it was closed", cuts, segment_bytes, last_note)
    segments = Segments(directory, current, segment_bytes=segment_bytes)
    segments.resume(end, segment_starts(directory))
    reason = unfit(segments)
    if reason is not None:
        segments.close()
        _close(directory, _epoch_number(current, origin))
        return _begin(directory, origin, reason, (), segment_bytes)
    return Opened(segments=segments, cuts=tuple(cuts), closed=None)


def _packed_size(directory: Path) -> int:
    """Entries that were packed: more than that were signed."""
    return max((end for _, end in pack_ranges(directory)), default=0)


def epoch_origin(origin: str, number: int) -> str:
    """Origin line of the epoch of that number, counted from 1."""
    return origin if number == 1 else f"{origin}{_EPOCH}{number}"


def _epoch_number(found: str, origin: str) -> int:
    """The inverse of ``epoch_origin``."""
    return 1 if found == origin else int(found[len(origin + _EPOCH) :])


def _closed_epochs(directory: Path) -> int:
    """Number of the epoch closed last; 0 for none."""
    closed = directory.parent / _CLOSED
    names = [path.name for path in closed.iterdir()] if closed.is_dir() else []
    return max((int(name[6:]) for name in names if name.startswith("epoch-") and name[6:].isdecimal()), default=0)


def _last_epoch(directory: Path, origin: str, signed: Callable[[str], int]) -> str:
    """Name of the log that was here. What is in ``closed`` does not tell alone: somebody may have emptied it."""
    number = _closed_epochs(directory) + 1
    while signed(epoch_origin(origin, number + 1)):
        number += 1
    return epoch_origin(origin, number)


def same_log(found: str, origin: str) -> bool:
    """Whether *found* is *origin* or one of its epochs."""
    return found == origin or (found.startswith(origin + _EPOCH) and found[len(origin + _EPOCH) :].isdecimal())


def _damage(end: Contents | None, signed_size: int) -> str | None:
    """Why the log cannot honestly go on, or None."""
    if end is None:
        return f"the log is gone; entries up to {signed_size} were signed" if signed_size else None
    if end.next_seq < signed_size:
        what = str(end.fault) if end.fault else "the log ends"
        return f"{what} before entry {end.next_seq}; {signed_size} entries were signed"
    return _wrong_root(end)


def _wrong_root(contents: Contents) -> str | None:
    tree, seq = contents.header.tree(), contents.header.first_seq
    for note in sorted(parsed_notes(contents), key=lambda note: note.size):
        if note.size < tree.size:
            continue
        extend_tree(tree, contents.entries[tree.size - seq : note.size - seq])
        if tree.root() != note.root:
            return f"the entries do not have the root that the checkpoint of size {note.size} states"
    return None


def _put_aside(survey: Survey) -> list[Cut]:
    """Renames the segments that nothing stands before; a crash on the way leaves fewer to the next start."""
    cuts = []
    for path, fault in survey.loose:
        kept = durable.set_aside(path, ".broken")
        cuts.append(Cut.of(kept, fault.offset, fault, segment=path.name))
    return cuts


def _close(directory: Path, number: int) -> None:
    closed = directory.parent / _CLOSED
    durable.make_directory(closed)
    # By its own number, since those before may have been carried away: no name may ever begin a second log.
    directory.rename(closed / f"epoch-{max(number, _closed_epochs(directory) + 1)}")
    # A crash from here on leaves no log beside a closed one: the next start begins the epoch.
    durable.sync_directory(directory.parent)
    durable.sync_directory(closed)
    durable.make_directory(directory)


def _begin(
    directory: Path,
    origin: str,
    reason: str,
    cuts: Sequence[Cut],
    segment_bytes: int,
    last_note: LastNote = lambda _origin: None,
) -> Opened:
    """A log without entries: the first, or the epoch that continues the log closed last."""
    number = _closed_epochs(directory) + 1
    segments = Segments(directory, epoch_origin(origin, number), segment_bytes=segment_bytes)
    found = None
    if number > 1:
        past = directory.parent / _CLOSED / f"epoch-{number - 1}"
        note = _last_note(past)
        named = note.origin if note else epoch_origin(origin, number - 1)
        for known in parse_notes(filter(None, [last_note(named)])):
            # The disk lost even the checkpoint: the key's own memory has it.
            note = known if note is None or known.size > note.size else note
        found = Closed(origin=named, directory=past, note=note.note if note else None, reason=reason)
    return Opened(segments=segments, cuts=tuple(cuts), closed=found)


def _last_note(directory: Path) -> Checkpoint | None:
    """The largest checkpoint in the newest segment file or pack that holds one, whatever state it is in."""
    for start in reversed(segment_starts(directory) if directory.is_dir() else []):
        notes = parse_notes(notes_behind(directory / segment_name(start), 0))
        if notes:
            return max(notes, key=lambda note: note.size)
    for first, end in reversed(pack_ranges(directory) if directory.is_dir() else []):
        try:
            notes = parse_notes(note for _, note in Pack(directory / pack_name(first, end)).notes())
        except TamperError:
            # It is kept as it is, with the log that was closed.
            continue
        if notes:
            return max(notes, key=lambda note: note.size)
    return None
