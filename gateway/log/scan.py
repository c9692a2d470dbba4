"""Reading segment files: what is in a log directory, in order, with every deviation found and named.

A log directory holds ``<first seq, 20 digits>.seg`` files (format: ``gateway.log.frame``), perhaps a ``spare`` (an
empty segment kept ready), and nothing else that matters. Files are read in the order of their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2

from gateway.errors import MalformedError
from gateway.log.entry import follows, parse
from gateway.log.frame import BLOCK, CHECKPOINT, ENTRY, HEADER, FrameError, block_end, frames
from gateway.log.tree import HASH_SIZE, Frontier, leaf_hash

HEADER_VERSION = 1
_NAME = re.compile(r"(\d{20})\.seg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """First frame of a segment: all that is needed to go on from here without reading what is before."""

    origin: str
    first_seq: int
    #: Leaf hash of the entry before the first one; 32 zero bytes at the start.
    prev: bytes
    #: Hashes of the complete subtrees over the entries before, largest first.
    edge: tuple[bytes, ...]
    #: Newest checkpoint note before this segment, or empty.
    note: bytes

    def encode(self) -> bytes:
        """Payload of the header frame."""
        return cbor2.dumps([HEADER_VERSION, self.origin, self.first_seq, self.prev, list(self.edge), self.note])

    def tree(self) -> Frontier:
        """The tree over the entries before. Raises MalformedError when the edge does not fit the first seq."""
        return Frontier.restore(self.first_seq, self.edge)


def decode_header(payload: bytes) -> Header:
    """The header of a frame's payload. Raises MalformedError for anything that ``Header.encode`` does not make."""
    try:
        items: Any = cbor2.loads(payload)
        version, origin, first_seq, prev, edge, note = items
        header = Header(origin=origin, first_seq=first_seq, prev=prev, edge=tuple(edge), note=note)
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise MalformedError(f"a segment header that is not readable: {error}") from error
    types = [type(item) for item in (version, origin, first_seq, prev, note, *edge)]
    sound = types == [int, str, int, bytes, bytes] + [bytes] * len(edge) and len(prev) == HASH_SIZE
    if not sound or version != HEADER_VERSION or header.encode() != payload:
        raise MalformedError("a segment header that is not in its format")
    header.tree()
    return header


def segment_name(first_seq: int) -> str:
    """File name of the segment that begins with entry *first_seq*."""
    return f"{first_seq:020d}.seg"


def segment_starts(directory: Path) -> list[int]:
    """First seqs of the segment files of a log directory, ascending."""
    return sorted(int(match[1]) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name)))


@dataclass(slots=True, kw_only=True)
class Contents:
    """What one segment file holds, up to the first deviation."""

    path: Path
    header: Header
    #: Entries in order; the first has the header's first seq.
    entries: list[bytes]
    #: File offset of each entry's frame.
    offsets: list[int]
    #: (number of entries of the log before it, note) of each checkpoint frame.
    notes: list[tuple[int, bytes]]
    #: Offset behind the last good frame.
    end: int
    fault: FrameError | None

    @property
    def next_seq(self) -> int:
        """The seq behind the last good entry."""
        return self.header.first_seq + len(self.entries)

    def cut(self, index: int, reason: str) -> None:
        """Declares the entry of that number, and all behind it, a deviation.

        At the start of a block it is torn: lost frames before it look like the padding of a commit.
        """
        self.fault = FrameError(self.offsets[index], reason, torn=self.offsets[index] % BLOCK == 0)
        self.end = self.offsets[index]
        del self.entries[index:], self.offsets[index:]
        self.notes = [(size, note) for size, note in self.notes if size <= self.next_seq]


def load(path: Path) -> Contents:
    """Reads a whole segment file. Raises FrameError when not even its header is readable, OSError from the disk."""
    data = path.read_bytes()
    walk = frames(data)
    try:
        kind, payload, _, end = next(walk)
        if kind != HEADER:
            raise FrameError(0, "no segment header", torn=False)
        header = decode_header(payload)
        if segment_name(header.first_seq) != path.name:
            raise FrameError(0, f"the header of {segment_name(header.first_seq)}", torn=False)
    except StopIteration:
        raise FrameError(0, "an empty segment", torn=True) from None
    except MalformedError as error:
        raise FrameError(0, str(error), torn=False) from error
    end = block_end(end)
    contents = Contents(path=path, header=header, entries=[], offsets=[], notes=[], end=end, fault=None)
    try:
        _fill(contents, walk)
    except FrameError as error:
        contents.fault = error
    return contents


def _fill(contents: Contents, walk: Iterator[tuple[int, bytes, int, int]]) -> None:
    entries, offsets = contents.entries, contents.offsets
    for kind, payload, offset, end in walk:
        if kind == ENTRY:
            entries.append(payload)
            offsets.append(offset)
        elif kind == CHECKPOINT:
            contents.notes.append((contents.next_seq, payload))
        else:
            raise FrameError(offset, "a second segment header", torn=False)
        contents.end = end


def load_chained(path: Path) -> Contents:
    """As ``load``; the first entry that does not follow the one before is a deviation too.

    A disk may have lost the frames at the end of a block, which leaves no trace in the frames themselves.
    """
    contents = load(path)
    prev, seq = contents.header.prev, contents.header.first_seq
    for index, data in enumerate(contents.entries):
        if not follows(data, seq + index, prev):
            contents.cut(index, f"entry {seq + index} is not what stands")
            break
        prev = leaf_hash(data)
    while contents.entries and (fault := _fault(contents.entries[-1])) is not None:
        contents.cut(len(contents.entries) - 1, fault)
    return contents


def _fault(data: bytes) -> str | None:
    try:
        parse(data)
    except MalformedError as error:
        return str(error)
    return None


def notes_behind(path: Path, offset: int) -> list[bytes]:
    """Checkpoint notes that stand, readable, in the blocks from that of *offset* on, whatever is between them."""
    data = path.read_bytes()
    found = []
    offset -= offset % BLOCK
    while offset < len(data):
        try:
            for kind, payload, _, _ in frames(data, offset):
                if kind == CHECKPOINT:
                    found.append(payload)
            break
        except FrameError as error:
            offset = block_end(error.offset + 1)
    return found


def extend_tree(tree: Frontier, entries: list[bytes]) -> None:
    """Appends the leaf hashes of *entries* to *tree*."""
    tree.extend([leaf_hash(data) for data in entries])
