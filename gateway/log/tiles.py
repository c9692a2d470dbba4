"""The log as a directory that any static web server can serve: C2SP tlog-tiles.

==============================  ======================================================================================
file                            content
==============================  ======================================================================================
``checkpoint``                  the signed checkpoint; it says which of the others count
``tile/<L>/<N>``                256 hashes of 32 bytes: hash i is the root over the leaves
                                ``(256 N + i) 256^L`` up to ``(256 N + i + 1) 256^L``
``tile/<L>/<N>.p/<W>``          the same, not full yet: W hashes, 1 to 255
``tile/entries/<N>``            256 entries, each after its length (2 bytes, big-endian)
``tile/entries/<N>.p/<W>``      the same, not full yet: W entries
``minimum-index``               not of C2SP: where the log was pruned, the seq from which on all entries are there, in
                                decimal; it is a hint that nobody signed
==============================  ======================================================================================

N is written in groups of three digits, all but the last behind an x: 1234067 is ``x001/x234/067``. A log of size s has
``s // 256^(L+1)`` full tiles at level L, and one of width ``s // 256^L mod 256`` where that is not 0; nothing is hashed
upwards from a tile that is not full. Only an entry is hashed, never its length. Tiles and bundles that are not full
stay as long as the full one is not there, for readers that still hold an earlier checkpoint.

Of a pruned log (C2SP tlog-tiles, Pruning) the bundles and the tiles of level 0 below the minimum index are missing, but
for those with entries that are never pruned. Tiles of higher levels are all there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.durable import make_directory, sync_everything, write_atomically, write_replacing
from gateway.errors import ConfigError, LogUnavailable, MalformedError, TamperError
from gateway.log.note import Checkpoint, parse_checkpoint
from gateway.log.tree import HASH_SIZE, Frontier, NodeSource, leaf_hash

WIDTH = 256
ENTRIES = "entries"
MINIMUM_INDEX = "minimum-index"
MAX_BUNDLE = WIDTH * (2 + 65_535)

#: What an export that was cut short leaves.
_OURS = frozenset(("tile", ".checkpoint.tmp", MINIMUM_INDEX))

#: Yields the log's entries from this seq on.
ReadFrom = Callable[[int], Iterable[bytes]]


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Path of a tile below the directory; *level* ``entries`` names a bundle."""
    groups, rest = f"{index % 1000:03}", index // 1000
    while rest:
        groups, rest = f"x{rest % 1000:03}/{groups}", rest // 1000
    return f"tile/{level}/{groups}" + (f".p/{width}" if width < WIDTH else "")


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """The bundle of these entries."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def edge_widths(size: int) -> list[int]:
    """Width of the tile that is not full, by level; 0 where there is none."""
    widths = []
    while size:
        widths.append(size % WIDTH)
        size //= WIDTH
    return widths


def edge_root(rows: list[list[bytes]]) -> bytes:
    """The root of the tree whose tiles that are not full hold these hashes, by level."""
    size, hashes = 0, list[bytes]()
    for level, row in reversed(list(enumerate(rows))):
        frontier = Frontier()
        frontier.extend(row)
        size += len(row) << 8 * level
        hashes += frontier.hashes()
    return Frontier.restore(size, hashes).root()


def row_root(row: list[bytes]) -> bytes:
    """The root over the hashes of one tile."""
    frontier = Frontier()
    frontier.extend(row)
    return frontier.root()


def split_tile(data: bytes) -> list[bytes]:
    """The hashes of a tile. Raises MalformedError for a length that is not a multiple of 32."""
    if len(data) % HASH_SIZE:
        raise MalformedError(f"a tile of {len(data)} bytes, which is not a multiple of {HASH_SIZE}")
    return [data[start : start + HASH_SIZE] for start in range(0, len(data), HASH_SIZE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What is left of the pruned beginning of a log."""

    #: The seq from which on all entries are there; a multiple of 256.
    minimum_index: int = 0
    #: (number of the run of 256, its entries) of what is left below.
    kept: Iterable[tuple[int, list[bytes]]] = ()
    #: Hashes of complete subtrees of level 8 and above.
    node: NodeSource | None = None


def write_tiles(
    directory: Path,
    origin: str,
    read: ReadFrom,
    note: bytes,
    progress: Callable[[int], None] = lambda _done: None,
    pruned: Pruned | None = None,
) -> int:
    """Exports the log up to the checkpoint *note* into *directory*, or extends the export that is there.

    Returns how many entries were read. Only what is new since the last export is written; memory does not grow with
    the log, and a reader sees a whole old export or a whole new one. *progress* is told how many entries are done.

    Raises ConfigError for a directory with something else in it, TamperError when the log does not lead to the
    checkpoint, or does not extend what was exported before, LogUnavailable when the disk takes no more.
    """
    new = parse_checkpoint(note)
    if new.origin != origin:
        raise TamperError(f"the checkpoint to export is of the log {new.origin!r}, not of {origin!r}")
    try:
        old = _earlier(directory, new)
        start = _write(directory, read, new, old, progress, pruned or Pruned())
        # A crash before this line: the old checkpoint holds, tiles beyond it are written again by the next export.
        sync_everything()
        write_atomically(directory / "checkpoint", note)
        _remove_superseded(directory, 0 if old is None else old.size, new.size)
    except OSError as error:
        raise LogUnavailable(f"export {directory}: {error.strerror or error} ({error.filename})") from error
    return new.size - start


def _earlier(directory: Path, new: Checkpoint) -> Checkpoint | None:
    """The checkpoint exported before; it must be one that *new* can extend."""
    make_directory(directory)
    try:
        old = parse_checkpoint((directory / "checkpoint").read_bytes())
    except FileNotFoundError:
        strange = sorted(item.name for item in directory.iterdir() if item.name not in _OURS)
        if strange:
            raise ConfigError(f"export {directory}: holds {strange[0]!r}; name an empty or a new directory") from None
        return None
    except MalformedError as error:
        raise ConfigError(f"export {directory}: its checkpoint is none ({error}); name an empty directory") from error
    if old.origin != new.origin:
        raise ConfigError(f"export {directory}: holds the log {old.origin!r}; name another directory")
    if old.size > new.size:
        raise TamperError(f"export {directory}: holds {old.size} entries, the log only {new.size}: it was rolled back")
    if old.size == new.size and old.root != new.root:
        raise TamperError(f"export {directory}: holds other entries under the same size of {old.size}")
    return old


def _write(
    directory: Path,
    read: ReadFrom,
    new: Checkpoint,
    old: Checkpoint | None,
    progress: Callable[[int], None],
    pruned: Pruned,
) -> int:
    rows = _resumed(directory, old) if old else None
    if old is not None and old.size < pruned.minimum_index:
        raise ConfigError(
            f"export {directory}: holds {old.size} entries, and the log was pruned up to entry {pruned.minimum_index}: "
            "the entries between are not there; keep it, and name a new directory"
        )
    if rows is None and pruned.minimum_index:
        rows = _write_pruned(directory, pruned)
    writer = _Writer(directory, rows or [])
    start = writer.size
    entries = iter(read(start))
    while writer.size < new.size:
        bundle = list(islice(entries, min(WIDTH, new.size - writer.size)))
        if not bundle:
            raise TamperError(f"the log ends at entry {writer.size}, the checkpoint covers {new.size}", seq=writer.size)
        leaves = [leaf_hash(entry) for entry in bundle]
        if old and writer.size <= old.size < writer.size + len(bundle):
            _require_root([leaves[: old.size - writer.size], *writer.rows[1:]], old, f"what {directory} holds")
        writer.add(bundle, leaves)
        progress(writer.size)
    writer.finish()
    _require_root(writer.rows, new, "the checkpoint to export")
    return start


def _write_pruned(directory: Path, pruned: Pruned) -> list[list[bytes]]:
    """Writes what is left below the minimum index; returns the rows there."""
    assert pruned.node is not None
    writer = _Writer(directory, [])
    for number, entries in pruned.kept:
        writer.put(tile_path(ENTRIES, number), encode_bundle(entries))
        writer.put(tile_path(0, number), b"".join(map(leaf_hash, entries)))
    rows: list[list[bytes]] = [[]]
    for level in range(1, len(edge_widths(pruned.minimum_index))):
        count, row = pruned.minimum_index >> 8 * level, list[bytes]()
        for index in range(count):
            row.append(pruned.node(8 * level, index))
            if len(row) == WIDTH:
                writer.put(tile_path(level, index // WIDTH), b"".join(row))
                row.clear()
        rows.append(row)
    write_replacing(directory / MINIMUM_INDEX, f"{pruned.minimum_index}\n".encode())
    return rows


def _require_root(rows: list[list[bytes]], checkpoint: Checkpoint, what: str) -> None:
    if edge_root(rows) != checkpoint.root:
        raise TamperError(f"the log's first {checkpoint.size} entries do not lead to the root of {what}")


def _resumed(directory: Path, old: Checkpoint) -> list[list[bytes]] | None:
    """The rows at the last full bundle of the export; None when its edge is damaged: all is written again."""
    try:
        rows = [
            split_tile((directory / tile_path(level, old.size // WIDTH ** (level + 1), width)).read_bytes())
            if width
            else []
            for level, width in enumerate(edge_widths(old.size))
        ]
        if edge_root(rows) != old.root:
            return None
    except (FileNotFoundError, MalformedError):
        return None
    # The last bundle is written anew with the entries that came since.
    return [[], *rows[1:]]


class _Writer:
    """Writes each tile once it is full, and the others at the end."""

    def __init__(self, directory: Path, rows: list[list[bytes]]) -> None:
        self._directory = directory
        #: Hashes of the tile that is not full, by level.
        self.rows = rows
        self.size = sum(len(row) << 8 * level for level, row in enumerate(rows))
        self._bundle: list[bytes] = []

    def add(self, bundle: list[bytes], leaves: list[bytes]) -> None:
        """Adds up to 256 entries; fewer only once, at the end."""
        self._bundle = bundle
        level, hashes = 0, leaves
        self.size += len(bundle)
        if len(bundle) == WIDTH:
            self.put(tile_path(ENTRIES, self.size // WIDTH - 1), encode_bundle(bundle))
        while True:
            if level == len(self.rows):
                self.rows.append([])
            row = self.rows[level]
            row += hashes
            if len(row) < WIDTH:
                return
            level += 1
            self.put(tile_path(level - 1, self.size // WIDTH**level - 1), b"".join(row))
            hashes = [row_root(row)]
            row.clear()

    def finish(self) -> None:
        """Writes what is not full."""
        for level, row in enumerate(self.rows):
            if row:
                self.put(tile_path(level, self.size // WIDTH ** (level + 1), len(row)), b"".join(row))
        if self.rows and self.rows[0]:
            self.put(tile_path(ENTRIES, self.size // WIDTH, len(self.rows[0])), encode_bundle(self._bundle))

    def put(self, name: str, data: bytes) -> None:
        """Writes one file, whole; it is not durable yet."""
        path = self._directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_replacing(path, data)


def _remove_superseded(directory: Path, old_size: int, new_size: int) -> None:
    """Removes the partial tiles of the old edge that are full now."""
    for name in _old_edges(old_size, new_size):
        folder = directory / f"{name}.p"
        if folder.is_dir():
            for item in folder.iterdir():
                item.unlink()
            folder.rmdir()


def _old_edges(old_size: int, new_size: int) -> Iterator[str]:
    for level in range(len(edge_widths(old_size))):
        index = old_size // WIDTH ** (level + 1)
        if index < new_size // WIDTH ** (level + 1):
            yield tile_path(level, index)
            if level == 0:
                yield tile_path(ENTRIES, index)
