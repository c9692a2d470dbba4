"""Packs: a run of old entries in one file, without padding, compressed, and still there in part when it was pruned.

A pack is named ``<first seq>-<seq behind the last>.pack``, 20 digits each; both are multiples of 256. It holds the
entries in chunks of 256, which are the leaves of one subtree of level 8. Integers are big-endian:

=========  ===========================================================================================================
part       content
=========  ===========================================================================================================
magic      8 bytes ``MGPACK`` 0x00 0x01
chunks     back to back, each a zlib stream (RFC 1950) of: prev of the chunk's first entry (32 bytes), then for each
           entry its length (2 bytes) and its bytes without the 32 of prev. Those are the leaf hash of the entry
           before, so a reader puts them in again; what it gets has the chunk's hash, or is refused
notes      a zlib stream of the CBOR array [[seq, note], …]: the checkpoints that stood before those entries
footer     the deterministic CBOR array [origin, first seq, [hashes of the complete subtrees before, largest first],
           newest note before or empty, length of *notes*, [[length of the chunk, its hash], …]]
trailer    length of the footer (4 bytes), its CRC-32 (4), magic again
=========  ===========================================================================================================

A chunk of length 0 was pruned: its hash stays, so every proof about what is left stands. A pack is written whole
under another name and renamed, so a crash leaves the old state or the new one.
"""

from __future__ import annotations

import os
import re
import struct
import weakref
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, starmap
from pathlib import Path
from typing import Any, BinaryIO

import cbor2

from gateway.errors import MalformedError, TamperError
from gateway.log.entry import prev_place
from gateway.log.tree import HASH_SIZE, Frontier, complete_root, leaf_hash

CHUNK = 256
#: Entries of a pack: the leaves below one C2SP tile of level 1.
PACK_ENTRIES = 65_536
_MAGIC = b"MGPACK\x00\x01"
_TRAILER = struct.Struct(">II8s")
_NAME = re.compile(r"(\d{20})-(\d{20})\.pack")
#: No chunk is larger when it is unpacked, and no pack holds so many notes that they are.
_MAX_CHUNK = HASH_SIZE + CHUNK * (2 + 65_535)
_MAX_NOTES = 256 << 20
_MAX_FOOTER = 8 << 20
_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a pack says of itself."""

    origin: str
    first_seq: int
    #: Hashes of the complete subtrees over the entries before, largest first.
    edge: tuple[bytes, ...]
    #: Newest checkpoint note before this pack, or empty.
    note: bytes
    notes_length: int
    #: (length, hash over its entries) of each chunk.
    chunks: tuple[tuple[int, bytes], ...]

    @property
    def end_seq(self) -> int:
        """The seq behind the last entry."""
        return self.first_seq + CHUNK * len(self.chunks)

    @property
    def pruned(self) -> tuple[int, ...]:
        """The chunks whose entries are gone, by number."""
        return tuple(number for number, (length, _) in enumerate(self.chunks) if not length)

    def tree(self) -> Frontier:
        """The tree over the entries before."""
        return Frontier.restore(self.first_seq, self.edge)

    def tree_behind(self) -> Frontier:
        """The tree over the entries before and in it."""
        tree = self.tree()
        for _, value in self.chunks:
            tree.append_run(value)
        return tree

    def encode(self) -> bytes:
        """The footer's bytes."""
        rows = [list(chunk) for chunk in self.chunks]
        return cbor2.dumps([self.origin, self.first_seq, list(self.edge), self.note, self.notes_length, rows])


def pack_name(first_seq: int, end_seq: int) -> str:
    """File name of the pack of these entries."""
    return f"{first_seq:020d}-{end_seq:020d}.pack"


def pack_ranges(directory: Path) -> list[tuple[int, int]]:
    """(first seq, seq behind the last) of the packs in a log directory, as their names say, ascending."""
    names = (_NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted((int(match[1]), int(match[2])) for match in names if match)


def note_size(note: bytes) -> int:
    """Tree size that a checkpoint note of this log states: its second line. Raises TamperError where there is none."""
    try:
        return int(note.split(b"\n", 2)[1])
    except (ValueError, IndexError) as error:
        raise TamperError("a checkpoint in the log states no size") from error


def encode_chunk(entries: Sequence[bytes]) -> bytes:
    """The chunk of 256 entries that follow one another."""
    place = prev_place(entries[0])
    parts = [entries[0][place : place + HASH_SIZE]]
    for data in entries:
        place = prev_place(data)
        parts += [len(data).to_bytes(2, "big"), data[:place], data[place + HASH_SIZE :]]
    return zlib.compress(b"".join(parts), _LEVEL)


def decode_chunk(data: bytes, value: bytes) -> tuple[list[bytes], list[bytes]]:
    """The entries of a chunk whose hash is *value*, and their leaf hashes. Raises MalformedError for anything else."""
    body = _inflated(data, _MAX_CHUNK, "chunk")
    entries, leaves, at = list[bytes](), list[bytes](), HASH_SIZE
    prev = body[:HASH_SIZE]
    for _ in range(CHUNK):
        start, rest = at + 2, int.from_bytes(body[at : at + 2], "big") - HASH_SIZE
        at = start + rest
        if rest < 0 or at > len(body):
            raise MalformedError("a chunk that ends before its entries do")
        place = start + prev_place(body[start:at])
        entry = body[start:place] + prev + body[place:at]
        prev = leaf_hash(entry)
        entries.append(entry)
        leaves.append(prev)
    if at != len(body) or complete_root(leaves) != value:
        raise MalformedError("a chunk whose entries do not have the hash that the pack states")
    return entries, leaves


class PackWriter:
    """Writes a pack from front to back, chunk by chunk; nothing is durable yet."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._chunks: list[tuple[int, bytes]] = []
        file.write(_MAGIC)

    @property
    def count(self) -> int:
        """Chunks written so far."""
        return len(self._chunks)

    def add(self, chunk: bytes, value: bytes) -> None:
        """The next chunk, and the hash over its entries; no bytes for one that is pruned."""
        self._file.write(chunk)
        self._chunks.append((len(chunk), value))

    def finish(
        self, *, origin: str, first_seq: int, edge: Sequence[bytes], note: bytes, notes: Sequence[tuple[int, bytes]]
    ) -> Footer:
        """The rest of the file; returns its footer."""
        packed = zlib.compress(cbor2.dumps([list(row) for row in notes]), _LEVEL)
        self._file.write(packed)
        footer = Footer(
            origin=origin,
            first_seq=first_seq,
            edge=tuple(edge),
            note=note,
            notes_length=len(packed),
            chunks=tuple(self._chunks),
        )
        data = footer.encode()
        self._file.write(data + _TRAILER.pack(len(data), zlib.crc32(data), _MAGIC))
        return footer


class Pack:
    """One pack file, opened for reading. Raises TamperError for what is no pack, OSError from the disk.

    It stays open, and so stays what it was: another process may prune it meanwhile, which puts a new file in its place.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        """*name* is the one that it is to get, where it has not got it yet."""
        self.path = path
        name = name or path.name
        match = _NAME.fullmatch(name)
        first = int(match[1]) if match else 0
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        closing = weakref.finalize(self, os.close, self._fd)
        try:
            with os.fdopen(self._fd, "rb", closefd=False) as file, _Named(path, first):
                self.footer = _read_footer(file)
                if pack_name(self.footer.first_seq, self.footer.end_seq) != name:
                    raise MalformedError(f"it is {pack_name(self.footer.first_seq, self.footer.end_seq)}")
        except (TamperError, OSError):
            closing()
            raise
        lengths = [length for length, _ in self.footer.chunks]
        self._offsets = list(accumulate(lengths, initial=len(_MAGIC)))

    def raw_chunk(self, number: int) -> bytes:
        """The chunk as it stands in the file; empty when it was pruned."""
        return self._read(self._offsets[number], self.footer.chunks[number][0])

    def entries(self, number: int) -> list[bytes]:
        """The 256 entries of a chunk that was not pruned. Raises TamperError when they are not what they were."""
        return self.chunk(number)[0]

    def chunk(self, number: int) -> tuple[list[bytes], list[bytes]]:
        """The same, and their leaf hashes, which lead to the hash that the footer states."""
        with _Named(self.path, self.footer.first_seq + number * CHUNK):
            return decode_chunk(self.raw_chunk(number), self.footer.chunks[number][1])

    def notes(self) -> list[tuple[int, bytes]]:
        """(seq before which it stood, note) of each checkpoint. Raises TamperError."""
        with _Named(self.path, self.footer.first_seq):
            body = _inflated(self._read(self._offsets[-1], self.footer.notes_length), _MAX_NOTES, "part of notes")
            found = _decoded(body)
            if type(found) is not list or not all(_is_row(row, int, bytes) for row in found):
                raise MalformedError("notes that are not in their format")
            return list(starmap(lambda seq, note: (seq, note), found))

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)


class _Named:
    """Says which pack is meant, and the seq of the first entry concerned, where its bytes are not what they were."""

    def __init__(self, path: Path, seq: int) -> None:
        self._path = path
        self._seq = seq

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, MalformedError):
            raise TamperError(f"{self._path.name}: {error}", seq=self._seq) from error


def _read_footer(file: BinaryIO) -> Footer:
    size = file.seek(0, 2)
    if size < len(_MAGIC) + _TRAILER.size:
        raise MalformedError(f"{size} bytes are no pack")
    file.seek(size - _TRAILER.size)
    length, checksum, magic = _TRAILER.unpack(file.read())
    file.seek(0)
    if magic != _MAGIC or file.read(len(_MAGIC)) != _MAGIC or not length <= min(size - _TRAILER.size, _MAX_FOOTER):
        raise MalformedError("its first or last bytes are not those of a pack")
    file.seek(size - _TRAILER.size - length)
    data = file.read(length)
    if zlib.crc32(data) != checksum:
        raise MalformedError("its footer was changed")
    footer = _footer(_decoded(data))
    content = sum(length for length, _ in footer.chunks) + footer.notes_length
    if footer.encode() != data or len(_MAGIC) + content + len(data) + _TRAILER.size != size:
        raise MalformedError("its footer is not in its format, or does not fit the file")
    return footer


def _footer(items: Any) -> Footer:
    if not _is_row(items, str, int, list, bytes, int, list):
        raise MalformedError("a footer that is not in its format")
    origin, first_seq, edge, note, notes_length, rows = items
    sound = all(type(item) is bytes for item in edge) and all(_is_row(row, int, bytes) for row in rows)
    if not sound or any(length < 0 or len(value) != HASH_SIZE for length, value in rows) or notes_length < 0:
        raise MalformedError("a footer that is not in its format")
    if not rows or first_seq < 0 or first_seq % CHUNK:
        raise MalformedError("a footer whose entries are not whole chunks")
    chunks = tuple((length, value) for length, value in rows)
    footer = Footer(
        origin=origin, first_seq=first_seq, edge=tuple(edge), note=note, notes_length=notes_length, chunks=chunks
    )
    footer.tree()
    return footer


def _is_row(items: Any, *types: type) -> bool:
    return type(items) is list and [type(item) for item in items] == list(types)


def _decoded(data: bytes) -> Any:
    try:
        return cbor2.loads(data)
    except (cbor2.CBORError, ValueError, ArithmeticError, TypeError, RecursionError) as error:
        raise MalformedError(f"bytes that are not CBOR: {error}") from error


def _inflated(data: bytes, limit: int, what: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(data, limit)
    except zlib.error as error:
        raise MalformedError(f"a {what} that cannot be unpacked: {error}") from error
    if not stream.eof or stream.unused_data:
        raise MalformedError(f"a {what} that does not end where it should")
    return body
