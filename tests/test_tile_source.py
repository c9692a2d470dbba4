"""Tiles made on demand: byte for byte those of an export, none that is not there, none that leads to another root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TamperError
from gateway.log.note import parse_checkpoint
from gateway.log.tile_source import TileSource, parse_tile_path, tile_root
from gateway.log.tiles import split_tile, tile_path, write_tiles
from gateway.log.tree import HashStore, NodeSource, leaf_hash
from tests.log_keys import ORIGIN, entries_from, entry_bytes, note_of

SIZE = 66_000
ENTRIES = [entry_bytes(seq) for seq in range(SIZE)]
STORE = HashStore(map(leaf_hash, ENTRIES))


def _source(*nodes: NodeSource) -> TileSource:
    return TileSource(lambda start, stop: ENTRIES[start:stop], lambda: nodes or (STORE.node,))


def _files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "checkpoint":
            yield path.relative_to(directory).as_posix(), path.read_bytes()


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600, 66_000])
def test_every_file_of_an_export_is_made_byte_for_byte(tmp_path: Path, size: int) -> None:
    """Tiles of all levels and bundles, full and partial."""
    note = note_of(size)
    write_tiles(tmp_path, ORIGIN, entries_from, note)
    source, checkpoint = _source(), parse_checkpoint(note)
    # All bundles of the largest log would say no more than some of them.
    files = [(name, data) for number, (name, data) in enumerate(_files(tmp_path)) if size < 1000 or number % 10 < 2]
    files += [(name, data) for name, data in _files(tmp_path) if not name.startswith(("tile/0/0", "tile/entries/0"))]
    assert len(files) >= 2
    for name, data in files:
        assert source.file(name, checkpoint) == data, name


def test_partial_files_of_earlier_checkpoints_stay(tmp_path: Path) -> None:
    """A reader that holds one may come back for them, after the full one is there as well."""
    write_tiles(tmp_path, ORIGIN, entries_from, note_of(300))
    source, later = _source(), parse_checkpoint(note_of(600))
    for name, data in _files(tmp_path):
        assert source.file(name, later) == data, name


def test_nothing_beyond_the_checkpoint_is_there() -> None:
    """However much more the log holds, and in no other spelling."""
    source, checkpoint = _source(), parse_checkpoint(note_of(600))
    for name in (
        "tile/0/002",
        "tile/0/002.p/89",
        "tile/0/003.p/1",
        "tile/1/000",
        "tile/1/000.p/3",
        "tile/2/000.p/1",
        "tile/7/000.p/1",
        "tile/63/000.p/1",
        "tile/entries/002",
        "tile/entries/002.p/89",
    ):
        assert source.file(name, checkpoint) is None, name
    assert source.file("tile/0/002.p/88", checkpoint) is not None
    assert source.file("tile/1/000.p/2", checkpoint) is not None


WRONG_SPELLINGS = [
    "",
    "checkpoint",
    "/tile/0/000",
    "tile/0/0",
    "tile/0/0000",
    "tile/00/000",
    "tile/-1/000",
    "tile/100/000",
    "tile/0/x000/000",
    "tile/0/x001",
    "tile/0/001/x234",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/07",
    "tile/0/000.p/",
    "tile/0/000.p",
    "tile/0/000/",
    "tile/0/000?x",
    "tile/0/%30%30%30",
    "tile/0/٠٠٠",
    "tile/entries/../0/000",
    "tile/entry/000",
    "tile//000",
]


@pytest.mark.parametrize("name", WRONG_SPELLINGS)
def test_a_file_has_one_name_only(name: str) -> None:
    """Every other spelling is no name."""
    assert parse_tile_path(name) is None
    assert _source().file(name, parse_checkpoint(note_of(600))) is None


@given(kind=st.one_of(st.just("entries"), st.integers(0, 63)), index=st.integers(0, 10**15), width=st.integers(1, 256))
def test_every_name_of_a_tile_is_read_back(kind: str | int, index: int, width: int) -> None:
    """The inverse of tile_path."""
    assert parse_tile_path(tile_path(kind, index, width)) == (str(kind), index, width)


def test_a_store_that_lies_is_passed_over_and_never_served() -> None:
    """A wrong hash in the tile, or beside it, is met before the tile leaves; without another source, nothing leaves."""

    def lies_within(level: int, index: int) -> bytes:
        return bytes(32) if (level, index) == (8, 1) else STORE.node(level, index)

    def lies_beside(level: int, index: int) -> bytes:
        return bytes(32) if (level, index) == (9, 0) else STORE.node(level, index)

    checkpoint = parse_checkpoint(note_of(600))
    for name, liar in (("tile/1/000.p/2", lies_within), ("tile/entries/002.p/88", lies_beside)):
        good = _source().file(name, checkpoint)
        assert good is not None
        assert _source(liar, STORE.node).file(name, checkpoint) == good
        with pytest.raises(TamperError, match="does not lead to the root"):
            _source(liar).file(name, checkpoint)


def test_a_log_that_changed_or_shrank_serves_nothing() -> None:
    """Entries that are not those of the checkpoint, and entries that are missing."""
    checkpoint = parse_checkpoint(note_of(600))
    changed = TileSource(lambda start, stop: [b"x", *ENTRIES[start + 1 : stop]], lambda: [STORE.node])
    short = TileSource(lambda start, stop: ENTRIES[start : min(stop, 580)], lambda: [STORE.node])
    for source, words in ((changed, "does not lead to the root"), (short, "ends at entry 580")):
        with pytest.raises(TamperError, match=words):
            source.file("tile/entries/002.p/88", checkpoint)


@pytest.mark.parametrize("size", [1, 2, 256, 257, 600, 65_536, 65_537, 66_000])
def test_each_tile_leads_to_the_root(size: int) -> None:
    """Of any level and width, at the edge and inside."""
    root = STORE.root(size)
    for level in range(3):
        for index in range(0, (size >> 8 * level) // 256 + 1, 40):
            row = [
                STORE.node(8 * level, place) for place in range(index * 256, min(index * 256 + 256, size >> 8 * level))
            ]
            if row:
                assert tile_root(row, level, index * 256, size, STORE.node) == root
    assert split_tile(b"") == []
