"""The files of a C2SP tlog-tiles log (see ``gateway.log.tiles``), each made when it is asked for.

A file is there if the tree of the given checkpoint has it, full or not: also the narrower ones of earlier checkpoints,
since those stay true for ever. What is returned was followed to the checkpoint's root before, whatever store its hashes
came from, so nothing leaves that a reader would have to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from gateway.errors import TamperError
from gateway.log.note import Checkpoint
from gateway.log.tiles import ENTRIES, WIDTH, encode_bundle, tile_path
from gateway.log.tree import NodeSource, leaf_hash, left_size, node_hash, range_root

#: Yields the entries from the first seq up to the second. Raises PrunedError where they were removed.
Read = Callable[[int, int], Iterable[bytes]]

_LOG_WIDTH = 8
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")
#: Files that are kept, and how large one may be: a reader of the whole log asks for tile and bundle once each.
_CACHED, _CACHED_BYTES = 16, 64 * 1024


class TileSource:
    """The tiles and bundles of one log. Not for two threads at once."""

    def __init__(self, read: Read, sources: Callable[[], Iterable[NodeSource]]) -> None:
        """*sources* gives the sources of subtree hashes, best first; see ``gateway.log.proving``."""
        self._read = read
        self._sources = sources
        self._kept: dict[str, bytes] = {}

    def file(self, name: str, checkpoint: Checkpoint) -> bytes | None:
        """The file ``tile/…`` as the log of *checkpoint* has it; None where it has none of that name.

        Raises TamperError where the log does not lead to the checkpoint, PrunedError for what was removed,
        LogUnavailable where it cannot be read.
        """
        found = parse_tile_path(name)
        if found is None:
            return None
        kind, index, width = found
        level = 0 if kind == ENTRIES else int(kind)
        if (index * WIDTH + width) << _LOG_WIDTH * level > checkpoint.size:
            return None
        data = self._kept.get(name) or self._made(kind, index, width, checkpoint)
        if len(data) <= _CACHED_BYTES:
            self._kept[name] = data
            while len(self._kept) > _CACHED:
                del self._kept[next(iter(self._kept))]
        return data

    def _made(self, kind: str, index: int, width: int, checkpoint: Checkpoint) -> bytes:
        start = index * WIDTH
        level = 0 if kind == ENTRIES else int(kind)
        entries = list(self._read(start, start + width)) if level == 0 else []
        leaves = list(map(leaf_hash, entries))
        if level == 0 and len(leaves) != width:
            raise TamperError(f"the log ends at entry {start + len(leaves)}", seq=start + len(leaves))
        for node in self._sources():
            row = leaves or [node(_LOG_WIDTH * level, start + place) for place in range(width)]
            if tile_root(row, level, start, checkpoint.size, node) == checkpoint.root:
                return encode_bundle(entries) if kind == ENTRIES else b"".join(row)
        raise TamperError(
            f"{tile_path(kind, index, width)}: the log does not lead to the root of its checkpoint of size "
            f"{checkpoint.size}; log verify says what was changed",
            seq=start << _LOG_WIDTH * level,
        )


def parse_tile_path(name: str) -> tuple[str, int, int] | None:
    """(level or ``entries``, index, width) of a path; None for anything that ``tile_path`` does not write."""
    match = _PATH.fullmatch(name)
    if match is None:
        return None
    kind, groups, width = match[1], match[2], int(match[3] or WIDTH)
    index = int(groups.replace("x", "").replace("/", ""))
    # The comparison finds leading zeros and widths of 0 and 256, which the pattern lets through.
    canonical = width and tile_path(kind if kind == ENTRIES else int(kind), index, width) == name
    return (kind, index, width) if canonical and (match[3] is None or width < WIDTH) else None


def tile_root(row: Sequence[bytes], level: int, start: int, size: int, node: NodeSource) -> bytes:
    """The root of the tree of *size*, from the hashes of one tile and, for all beside it, from *node*.

    *row* has the hashes of the tile's level from *start* on.
    """
    height = _LOG_WIDTH * level
    first, behind = start << height, (start + len(row)) << height

    def walk(begin: int, end: int) -> bytes:
        if end <= first or begin >= behind:
            return range_root(node, begin, end)
        if end - begin == 1 << height:
            return row[(begin >> height) - start]
        middle = begin + left_size(end - begin)
        return node_hash(walk(begin, middle), walk(middle, end))

    return walk(0, size)
