"""The part of a check that goes through packs (``gateway.log.pack``) instead of segments."""

from __future__ import annotations

from gateway.errors import PrunedError, TamperError
from gateway.log.pack import Pack
from gateway.log.packs import Packs
from gateway.log.walk import Standing, Walk


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


def packed_root(packs: Packs, size: int) -> bytes:
    """The root at a size whose entries are packed. Raises TamperError."""
    try:
        return packs.root(size)
    except PrunedError as error:
        raise TamperError(f"the checkpoint of size {size} cannot be compared: {error}", seq=size) from error
