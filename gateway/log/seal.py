"""Packs old segments, and prunes packs: everything that makes an old part of a log smaller.

Sealing. The entries of the next pack are read from their segments, written, synced, read back from the disk, and named;
only then may the segments go. A crash before that leaves them, and after it both: the pack counts, and what is left of
the segments below it is removed by the next round.

Pruning. First a manifest entry says what will go, with the SHA-256 of each C2SP entry bundle, so that a copy from an
archive can be recognised; when that entry is durable, the pack is replaced by one without the chunks, which was read
back too. Chunks stay that hold an entry which others refer to or that a verifier needs: genesis, definition, key,
manifest. The hashes of the others stay as well, so every proof about what is left stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.errors import TamperError
from gateway.log.entry import Kind
from gateway.log.frame import FrameError
from gateway.log.nodes import NodeFiles
from gateway.log.pack import CHUNK, Footer, Pack, PackWriter, encode_chunk, pack_name
from gateway.log.packs import Packs
from gateway.log.reader import note_size
from gateway.log.scan import Contents, load, segment_name, segment_starts
from gateway.log.tiles import encode_bundle
from gateway.log.tree import Frontier, complete_root, leaf_hash

_RUN_LEVEL = 8
#: Entries of these kinds are never pruned; the kind is the third byte of every entry.
_KEPT = frozenset((Kind.GENESIS, Kind.DEFINITION, Kind.KEY, Kind.MANIFEST))


#: Stands in a manifest for a chunk that is not removed.
STAYS = (0, bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """What a manifest entry says of a pack, but for the reason."""

    first_seq: int
    end_seq: int
    pack_bytes: int
    sha256: bytes
    #: (bytes, SHA-256) of the C2SP entry bundle of each chunk that goes; ``STAYS`` for the others.
    bundles: tuple[tuple[int, bytes], ...]

    def body(self, reason: str) -> list[Any]:
        """The body of the manifest entry."""
        bundles = [list(bundle) for bundle in self.bundles]
        return [self.first_seq, self.end_seq, reason, self.pack_bytes, self.sha256, bundles]


def seal(directory: Path, end_seq: int) -> Footer:
    """Packs what is not packed yet below *end_seq*, a multiple of 256; durable and read back on return.

    The log must have *end_seq* durable entries. Raises TamperError when the disk does not hold what was appended,
    OSError; no pack is then left.
    """
    packs = Packs(directory)
    first = packs.end_seq
    before = packs.newest()
    if before is not None and first >= end_seq:
        # Who asked last ended before it could say that it was done.
        return before.footer
    tree = before.footer.tree_behind() if before else Frontier()
    if tree.size != first:
        raise TamperError(f"the packs in {directory} do not lead to entry {first}", seq=first)
    path = directory / pack_name(first, end_seq)
    source = _Source(directory, first, end_seq)
    known = NodeFiles(directory)
    with durable.writing_atomically(path, partial(_read_back, name=path.name)) as file:
        writer = PackWriter(file)
        for entries in source.chunks():
            value = complete_root([leaf_hash(data) for data in entries])
            seq = first + CHUNK * writer.count
            if known.get(_RUN_LEVEL, seq >> _RUN_LEVEL) not in (value, None):
                raise TamperError(f"entries {seq} to {seq + CHUNK - 1} are not what was appended", seq=seq)
            writer.add(encode_chunk(entries), value)
        return writer.finish(
            origin=source.origin,
            first_seq=first,
            edge=tree.hashes(),
            note=source.note_before,
            notes=source.notes,
        )


def _read_back(path: Path, name: str) -> None:
    """Raises TamperError for an entry whose prev is not what stands before it, or what the disk has not taken well."""
    pack = Pack(path, name)
    for number, (length, _) in enumerate(pack.footer.chunks):
        if length:
            pack.entries(number)
    pack.notes()


class _Source:
    """The entries of a range, from the segments that hold them, and the checkpoints that stood among them."""

    def __init__(self, directory: Path, first: int, end: int) -> None:
        self._directory = directory
        self._first, self._end = first, end
        self.origin = ""
        self.note_before = b""
        self.notes: list[tuple[int, bytes]] = []

    def chunks(self) -> Iterator[list[bytes]]:
        """Runs of 256 entries."""
        rest: list[bytes] = []
        for entries in self._segments():
            rest += entries
            while len(rest) >= CHUNK:
                yield rest[:CHUNK]
                del rest[:CHUNK]

    def _segments(self) -> Iterator[list[bytes]]:
        starts = segment_starts(self._directory)
        at = self._first
        for start, stop in zip(starts, [*starts[1:], self._end], strict=True):
            stop = min(stop, self._end)  # noqa: PLW2901  (the last segment goes beyond)
            if stop <= at or start >= self._end:
                continue
            contents = self._load(start)
            if start > at or contents.next_seq < stop:
                raise TamperError(f"{contents.path.name} does not hold entry {max(at, contents.next_seq)}", seq=at)
            self._take_notes(contents, stop)
            yield contents.entries[at - start : stop - start]
            at = stop
        if at != self._end:
            raise TamperError(f"the segments in {self._directory} do not hold entry {at}", seq=at)

    def _load(self, start: int) -> Contents:
        path = self._directory / segment_name(start)
        try:
            return load(path)
        except FrameError as error:
            raise TamperError(f"{path.name}: {error}", seq=start) from error

    def _take_notes(self, contents: Contents, stop: int) -> None:
        if not self.origin:
            self.origin, self.note_before = contents.header.origin, contents.header.note
        for seq, note in contents.notes:
            if seq <= self._first:
                self.note_before = note
            elif seq <= stop:
                self.notes.append((seq, note))


def doomed(directory: Path, first_seq: int, end_seq: int) -> Doomed:
    """What a manifest entry must say before that pack may be pruned. Raises TamperError, OSError."""
    path = directory / pack_name(first_seq, end_seq)
    pack, bundles = Pack(path), []
    for number in range(len(pack.footer.chunks)):
        bundle = encode_bundle(pack.entries(number))
        kept = _is_kept(pack, number)
        bundles.append(STAYS if kept else (len(bundle), hashlib.sha256(bundle).digest()))
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 16):
            digest.update(block)
        size = file.tell()
    return Doomed(first_seq=first_seq, end_seq=end_seq, pack_bytes=size, sha256=digest.digest(), bundles=tuple(bundles))


def prune(directory: Path, first_seq: int, end_seq: int) -> int:
    """Replaces that pack by one without the chunks that may go; returns how many bytes that gave back.

    Its manifest entry must be durable. Raises TamperError, OSError; the pack is then as it was.
    """
    path = directory / pack_name(first_seq, end_seq)
    pack = Pack(path)
    before = path.stat().st_size
    kept = {number for number in range(len(pack.footer.chunks)) if _is_kept(pack, number)}
    footer = pack.footer
    with durable.writing_atomically(path, partial(_read_back, name=path.name)) as file:
        writer = PackWriter(file)
        for number, (_, value) in enumerate(footer.chunks):
            writer.add(pack.raw_chunk(number) if number in kept else b"", value)
        notes = [(seq, note) for seq, note in pack.notes() if _is_comparable(note, footer, kept)]
        writer.finish(origin=footer.origin, first_seq=first_seq, edge=footer.edge, note=footer.note, notes=notes)
    return before - path.stat().st_size


def _is_kept(pack: Pack, number: int) -> bool:
    return bool(pack.footer.chunks[number][0]) and any(data[2] in _KEPT for data in pack.entries(number))


def _is_comparable(note: bytes, footer: Footer, kept: set[int]) -> bool:
    """Whether a reader can still compute the root that this checkpoint states."""
    size = note_size(note)
    if size % CHUNK == 0:
        return True
    return footer.first_seq <= size < footer.end_seq and (size - footer.first_seq) // CHUNK in kept
