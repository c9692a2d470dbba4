"""The part of a check that goes through packs (``gateway.log.pack``) instead of segments."""

from __future__ import annotations

import contextlib
from pathlib import Path

from gateway.errors import PrunedError, TamperError
from gateway.log.pack import Pack
from gateway.log.packs import Packs
from gateway.log.walk import Standing, Walk

_HOLDING = frozenset((".seg", ".pack"))


def check_pack(pack: Pack, walk: Walk, roots: dict[int, list[Standing]]) -> None:
    """Checks the entries of the next pack against what is before them and against *roots*. Raises TamperError."""
    footer, start = pack.footer, walk.tree.size
    if (footer.origin, footer.first_seq, footer.edge) != (walk.origin, start, walk.tree.hashes()):
        raise TamperError(f"{pack.path.name} does not follow from the entries before it", seq=start)
    walk.before(footer.note, start, pack.path.name)
    for number, (length, value) in enumerate(footer.chunks):
        if length:
            entries, leaves = pack.chunk(number)
            walk.entries(entries, leaves)
            walk.grow_run(leaves, value, roots)
        else:
            walk.skip(value, roots)


def packed_root(packs: Packs, size: int) -> bytes | None:
    """The root at a size whose entries are packed; None where they were pruned, as ``Walk.skip`` passes over it.

    Raises TamperError.
    """
    try:
        return packs.root(size)
    except PrunedError:
        return None


def files_of(directory: Path) -> dict[str, int]:
    """The files that hold entries, and which ones they are (inode)."""
    return {path.name: inode for path in directory.iterdir() if (inode := _inode(path)) and path.suffix in _HOLDING}


def _inode(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_ino
    return 0


def were_moved(before: dict[str, int], directory: Path) -> bool:
    """Whether some of these files are not what they were: a gateway packs and prunes meanwhile."""
    now = files_of(directory)
    return any(now.get(name) != inode for name, inode in before.items())
