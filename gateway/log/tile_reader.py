"""Reads a C2SP tlog-tiles directory (see ``gateway.log.tiles``) and believes nothing in it but what it can check.

The checks go from the checkpoint downwards: the tiles at the right edge must give its root, each full tile must give
its hash in the tile above, and each entry of a bundle must give its hash in the tile at level 0. So a changed byte is
found in the file it is in, before any entry that it could speak for is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import LogUnavailable, TamperError
from gateway.log.note import MAX_NOTE, Checkpoint
from gateway.log.tiles import (
    ENTRIES,
    MAX_BUNDLE,
    MINIMUM_INDEX,
    WIDTH,
    edge_root,
    edge_widths,
    row_root,
    split_tile,
    tile_path,
)
from gateway.log.tree import HASH_SIZE, leaf_hash

#: Level of the tiles that a path names; a bundle stands beside a tile of level 0. A tree has no level above 7.
_LEVELS = {ENTRIES: 0} | {str(level): level for level in range(8)}
_LONGEST_NAME = 64


def is_tile_directory(directory: Path) -> bool:
    """Whether *directory* looks like an exported log: a file ``checkpoint`` and a directory ``tile``."""
    return (directory / "checkpoint").is_file() and (directory / "tile").is_dir()


def read_note(directory: Path) -> bytes:
    """The signed checkpoint as it is; nothing is verified. Raises LogUnavailable when there is none."""
    note = _read(directory / "checkpoint", MAX_NOTE)
    if note is None:
        raise LogUnavailable(f"{directory / 'checkpoint'}: missing, so this is no exported log")
    return note


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedRun:
    """A run of 256 entries that is not there: the hash over it, proved to be under the checkpoint."""

    value: bytes


def minimum_index(directory: Path) -> int:
    """From which seq on all entries should be there; 0 without a word about it, which is a hint only."""
    text = _read(directory / MINIMUM_INDEX, 20)
    return int(text) if text is not None and text.strip().isdigit() else 0


def read_entries(directory: Path, checkpoint: Checkpoint) -> Iterator[bytes]:
    """All entries under *checkpoint* in order, each proved to be under it; memory does not grow with the log.

    Verify the checkpoint first. Raises TamperError, with the seq of the first entry concerned (for a tile, the first
    one it covers), LogUnavailable for a file that cannot be read.
    """
    for item in read_runs(directory, checkpoint, 0):
        assert isinstance(item, bytes)
        yield item


def read_runs(directory: Path, checkpoint: Checkpoint, minimum: int) -> Iterator[bytes | PrunedRun]:
    """As ``read_entries``; a bundle below *minimum* may be missing."""
    reader = _Reader(directory, minimum)
    rows = [
        reader.tile(level, _edge_index(checkpoint.size, level), width) if width else []
        for level, width in enumerate(edge_widths(checkpoint.size))
    ]
    if edge_root(rows) != checkpoint.root:
        reader.accuse_edge(rows, checkpoint)
    for level, row in reversed(list(enumerate(rows))):
        index = _edge_index(checkpoint.size, level)
        if level:
            for position, expected in enumerate(row):
                yield from reader.descend(level - 1, index * WIDTH + position, expected)
        elif row:
            yield from reader.bundle(index, row)
    _check_older(directory, checkpoint)


def surplus(directory: Path, size: int) -> Iterator[str]:
    """Files under ``tile`` that a log of *size* does not have; nobody vouches for what is in them."""
    expected = {f"{name}.p": width for name, width in _edges(size)}
    for path in sorted((directory / "tile").rglob("*")):
        name = path.relative_to(directory).as_posix()
        folder, _, last = name.rpartition("/")
        known = _is_width(last, expected.get(folder, 0) + 1) or _is_full_tile(name, size)
        if not path.is_dir() and not known:
            yield name


def _is_full_tile(name: str, size: int) -> bool:
    _, kind, *groups = name.split("/")
    digits = "".join(group.removeprefix("x") for group in groups)
    if len(name) > _LONGEST_NAME or not (digits.isascii() and digits.isdigit()) or kind not in _LEVELS:
        return False
    # The comparison finds what only looks like a number in groups of three.
    return int(digits) < _edge_index(size, _LEVELS[kind]) and tile_path(kind, int(digits)) == name


def _is_width(text: str, limit: int) -> bool:
    """Whether *text* is a number from 1 up to below *limit*, without leading zeros."""
    return text in map(str, range(1, limit))


class _Reader:
    def __init__(self, directory: Path, minimum: int) -> None:
        self._directory = directory
        self._minimum = minimum

    def tile(self, level: int, index: int, width: int = WIDTH) -> list[bytes]:
        """The hashes of one tile; not checked but for their number."""
        data, name = self._find(level, index, width, WIDTH * HASH_SIZE)
        wanted = (width if name.endswith(f".p/{width}") else WIDTH) * HASH_SIZE
        if len(data) != wanted:
            raise _changed(name, f"is not {wanted} bytes long", _first(level, index))
        return split_tile(data)[:width]

    def descend(self, level: int, index: int, expected: bytes) -> Iterator[bytes | PrunedRun]:
        """The entries below a full tile whose root must be *expected*."""
        if self._pruned(level, index):
            yield PrunedRun(value=expected)
            return
        row = self.tile(level, index)
        if row_root(row) != expected:
            raise _changed(tile_path(level, index), "does not give its hash in the tile above", _first(level, index))
        if level == 0:
            yield from self.bundle(index, row)
            return
        for position, below in enumerate(row):
            yield from self.descend(level - 1, index * WIDTH + position, below)

    def bundle(self, index: int, row: list[bytes]) -> list[bytes]:
        """The entries of one bundle, which must have the leaf hashes *row*."""
        data, name = self._find(ENTRIES, index, len(row), MAX_BUNDLE)
        entries, rest = _split_bundle(data, len(row))
        leaves = list(map(leaf_hash, entries))
        if leaves != row:
            same = [leaf == hashed for leaf, hashed in zip(leaves, row, strict=False)]
            bad = same.index(False) if False in same else len(same)
            raise _changed(name, "an entry does not give its leaf hash", index * WIDTH + bad)
        if rest and name == tile_path(ENTRIES, index, len(row)):
            raise _changed(name, f"has {rest} bytes behind its last entry", index * WIDTH + len(row) - 1)
        return entries

    def _pruned(self, level: int, index: int) -> bool:
        gone = level == 0 and _first(0, index + 1) <= self._minimum
        return gone and not (self._directory / tile_path(ENTRIES, index)).exists()

    def accuse_edge(self, rows: list[list[bytes]], checkpoint: Checkpoint) -> None:
        """Finds which edge tile does not fit what is below it; raises TamperError in any case."""
        for level, row in reversed(list(enumerate(rows))):
            index = _edge_index(checkpoint.size, level)
            below = [self._below(level - 1, index * WIDTH + i, hashed) for i, hashed in enumerate(row) if level]
            if level and below != row:
                name = tile_path(level, index, len(row))
                raise _changed(name, "does not fit the tiles below it", _first(level, index))
            if level == 0 and row:
                self.bundle(index, row)
        raise TamperError(f"the tiles of size {checkpoint.size} do not give the root in the checkpoint")

    def _below(self, level: int, index: int, hashed: bytes) -> bytes:
        """The root of a full tile; of one that was pruned, what the tile above says."""
        return hashed if self._pruned(level, index) else row_root(self.tile(level, index))

    def _find(self, level: int | str, index: int, width: int, limit: int) -> tuple[bytes, str]:
        # A partial tile may have been removed since the full one is there; it begins with the same hashes.
        for name in dict.fromkeys((tile_path(level, index, width), tile_path(level, index))):
            data = _read(self._directory / name, limit)
            if data is not None:
                return data, name
        raise _changed(tile_path(level, index, width), "is missing", _first(_LEVELS[str(level)], index))


def _check_older(directory: Path, checkpoint: Checkpoint) -> None:
    """Partial tiles of earlier checkpoints, at the edge, must be beginnings of the present ones."""
    for name, width in _edges(checkpoint.size):
        kind = name.split("/")[1]
        limit = MAX_BUNDLE if kind == ENTRIES else WIDTH * HASH_SIZE
        present = _read(directory / f"{name}.p" / str(width), limit) or b""
        for path in sorted((directory / f"{name}.p").glob("*")) if present else ():
            if _is_width(path.name, width) and _read(path, limit) != _beginning(kind, present, int(path.name)):
                seq = _first(_LEVELS[kind], _edge_index(checkpoint.size, _LEVELS[kind]))
                raise _changed(f"{name}.p/{path.name}", f"is not the beginning of {width}", seq)


def _beginning(kind: str, data: bytes, width: int) -> bytes:
    if kind != ENTRIES:
        return data[: width * HASH_SIZE]
    _, rest = _split_bundle(data, width)
    return data[: len(data) - rest]


def _split_bundle(data: bytes, count: int) -> tuple[list[bytes], int]:
    """Up to *count* entries, as far as they are whole, and how many bytes are left."""
    entries, position = list[bytes](), 0
    while len(entries) < count and position + 2 <= len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if end > len(data):
            break
        entries.append(data[position + 2 : end])
        position = end
    return entries, len(data) - position


def _edges(size: int) -> Iterator[tuple[str, int]]:
    """Full names of the tiles that are not full, and their widths."""
    for level, width in enumerate(edge_widths(size)):
        if width:
            yield tile_path(level, _edge_index(size, level)), width
        if width and level == 0:
            yield tile_path(ENTRIES, _edge_index(size, level)), width


def _edge_index(size: int, level: int) -> int:
    return size >> 8 * (level + 1)


def _first(level: int, index: int) -> int:
    """Seq of the first entry that a tile covers."""
    return index << 8 * (level + 1)


def _changed(name: str, fault: str, seq: int) -> TamperError:
    return TamperError(f"{name}: {fault}; entry {seq} is the first one concerned", seq=seq)


def _read(path: Path, limit: int) -> bytes | None:
    """The file's first *limit* + 1 bytes; None where there is no file. Raises LogUnavailable."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        raise LogUnavailable(f"{path}: cannot be read ({error.strerror}); check its owner and the disk") from error
