"""Where a log ends: its newest segments, looked at before anything is changed.

The end is the newest segment whose entries follow without a break from those before it. What is newer than a break is
loose: nothing vouches for it, since its predecessors are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.errors import MalformedError
from gateway.log.entry import Kind, decode
from gateway.log.frame import FrameError
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.scan import Contents, extend_tree, load_chained, notes_behind, segment_name, segment_starts
from gateway.log.tree import leaf_hash

#: A commit rarely spans more than two segments; more are looked at in case the disk had been slow for long.
MAX_LINKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The void rest of a segment: the body of a recovery entry."""

    segment: str
    offset: int
    length: int
    sha256: bytes
    kept_in: str
    reason: str

    @classmethod
    def of(cls, path: Path, offset: int, fault: FrameError, *, segment: str | None = None) -> Cut:
        """All of the file *path* from *offset* on; *segment* is what it was called."""
        rest = path.read_bytes()[offset:]
        return cls(
            segment=segment or path.name,
            offset=offset,
            length=len(rest),
            sha256=hashlib.sha256(rest).digest(),
            kept_in=path.name,
            reason=f"{'torn' if fault.torn else 'changed'}: {fault}",
        )


@dataclass(slots=True, kw_only=True)
class Survey:
    """What stands in a log directory."""

    #: Segments that follow one another, newest first: the end of the log.
    chain: list[Contents] = field(default_factory=list)
    #: Newer segments that do not follow, or cannot be read, and why.
    loose: list[tuple[Path, FrameError]] = field(default_factory=list)
    #: Size of the largest checkpoint in all of them.
    signed_size: int = 0

    @property
    def end(self) -> Contents | None:
        """The newest segment that counts."""
        return self.chain[0] if self.chain else None

    def count(self, notes: list[Checkpoint]) -> None:
        """Takes note of checkpoints."""
        self.signed_size = max([self.signed_size, *(note.size for note in notes)])

    def loosen(self, why: FrameError) -> None:
        """Nothing that was taken for the end so far follows from what is before it."""
        self.loose += [(contents.path, why) for contents in self.chain]
        self.chain.clear()

    def unaccounted(self) -> list[Cut]:
        """The void rests of segments that no recovery entry names yet."""
        named = {(body[0], body[1]) for contents in self.chain for body in _recoveries(contents)}
        voids = [void for contents, stop in self._stops() if (void := _void(contents, stop)) is not None]
        return [void for void in voids if not any(void.segment == name and at <= void.offset for name, at in named)]

    def _stops(self) -> Iterable[tuple[Contents, int | None]]:
        """(segment, first seq of the next one), oldest first."""
        for older, newer in pairwise(reversed(self.chain)):
            yield older, newer.header.first_seq
        yield from ((contents, None) for contents in self.chain[:1])


def take_survey(directory: Path, signed: Callable[[str], int]) -> Survey:
    """Looks at the segments from the newest back, as far as needed; changes nothing. Raises OSError."""
    survey = Survey()
    for start in reversed(segment_starts(directory)):
        path = directory / segment_name(start)
        try:
            contents = load_chained(path)
        except FrameError as error:
            survey.loosen(FrameError(0, f"{path.name} before it is not readable", torn=error.torn))
            survey.loose.append((path, error))
            survey.count(parse_notes(notes_behind(path, 0)))
            continue
        survey.count(parsed_notes(contents))
        if contents.fault is not None and not contents.entries:
            survey.loose.append((path, contents.fault))
            continue
        if survey.chain and not _leads_to(contents, survey.chain[-1]):
            short = contents.next_seq < survey.chain[-1].header.first_seq
            survey.loosen(FrameError(0, f"{path.name} before it breaks off", torn=short and _is_torn(contents)))
        survey.chain.append(contents)
        vouched = max(survey.signed_size, signed(contents.header.origin)) > start
        if (vouched and survey.chain[0].entries) or len(survey.chain) > MAX_LINKS:
            break
    return survey


def _is_torn(contents: Contents) -> bool:
    return contents.fault is None or contents.fault.torn


def _leads_to(older: Contents, newer: Contents) -> bool:
    """Whether the header of *newer* is what the entries of *older* give at that seq."""
    seq, count = newer.header.first_seq, newer.header.first_seq - older.header.first_seq
    if older.next_seq < seq:
        return False
    tree = older.header.tree()
    extend_tree(tree, older.entries[:count])
    prev = leaf_hash(older.entries[count - 1])
    return (tree.hashes(), prev, older.header.origin) == (newer.header.edge, newer.header.prev, newer.header.origin)


def _void(contents: Contents, stop: int | None) -> Cut | None:
    if stop is not None and contents.next_seq > stop:
        fault = FrameError(contents.offsets[stop - contents.header.first_seq], "entries that stand again", torn=True)
        return Cut.of(contents.path, fault.offset, fault)
    if contents.fault is not None:
        return Cut.of(contents.path, contents.end, contents.fault)
    return None


def _recoveries(contents: Contents) -> Iterable[list[Any]]:
    for data in contents.entries:
        # The kind is the third byte of every entry: most need not be decoded.
        if data[2] == Kind.RECOVERY:
            try:
                yield decode(data).body
            except MalformedError:
                continue


def parsed_notes(contents: Contents) -> list[Checkpoint]:
    """All checkpoints that stand in a segment, those behind a deviation included; no signature is verified."""
    texts = [contents.header.note, *(note for _, note in contents.notes)]
    if contents.fault is not None:
        texts += notes_behind(contents.path, contents.fault.offset)
    return parse_notes(filter(None, texts))


def parse_notes(texts: Iterable[bytes]) -> list[Checkpoint]:
    """Those of *texts* that are checkpoints; no signature is verified."""
    found = []
    for text in texts:
        try:
            found.append(parse_checkpoint(text))
        except MalformedError:
            continue
    return found
