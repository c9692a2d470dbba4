"""An export with any one byte changed, a file missing or too long is found, and the first entry concerned named."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from gateway.errors import GatewayError, LogUnavailable, TamperError
from gateway.log.note import verify_checkpoint
from gateway.log.tile_reader import is_tile_directory, read_entries, read_note, surplus
from gateway.log.tiles import edge_widths, write_tiles
from tests.log_keys import ORIGIN, entries_from, entry_bytes, log_key, note_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of 260 entries."""
    write_tiles(tmp_path / "log", ORIGIN, entries_from, note_of(260))
    return tmp_path / "log"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with tiles at three levels."""
    folder = tmp_path_factory.mktemp("large")
    write_tiles(folder, ORIGIN, entries_from, note_of(66_000))
    return folder


def _check(folder: Path) -> int:
    checkpoint = verify_checkpoint(read_note(folder), origin=ORIGIN, keys=[log_key()])
    count = 0
    for count, entry in enumerate(read_entries(folder, checkpoint), 1):
        assert entry == entry_bytes(count - 1), "an entry was believed that is not the log's"
    return count


def _accused(folder: Path) -> int | None:
    with pytest.raises(TamperError) as caught:
        _check(folder)
    return caught.value.seq


def _flip(path: Path, position: int, bit: int = 0) -> bytes:
    before = path.read_bytes()
    changed = bytearray(before)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    return before


def test_any_byte_changed_in_a_bundle_names_its_entry(folder: Path) -> None:
    """Length bytes and entry bytes, in both bundles."""
    for name, first, count in (("tile/entries/000", 0, 256), ("tile/entries/001.p/4", 256, 4)):
        path, position = folder / name, 0
        for seq in range(first, first + count):
            for offset in range(position, position + 2 + len(entry_bytes(seq))):
                before = _flip(path, offset, seq % 8)
                assert _accused(folder) == seq
                path.write_bytes(before)
            position += 2 + len(entry_bytes(seq))


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("tile/0/000", 0, 0), ("tile/0/001.p/4", 256, 259), ("tile/1/000.p/1", 0, 0)],
)
def test_any_byte_changed_in_a_tile_names_an_entry_that_it_covers(
    folder: Path, name: str, first: int, last: int
) -> None:
    """The first one, or the very one where the entries below are at hand."""
    path = folder / name
    for position in range(0, path.stat().st_size, 5):
        before = _flip(path, position, position % 8)
        seq = _accused(folder)
        assert seq is not None
        assert first <= seq <= last
        path.write_bytes(before)


def test_any_byte_changed_in_the_checkpoint_is_refused(folder: Path) -> None:
    """By its signature; there is no entry to name."""
    path = folder / "checkpoint"
    for position in range(path.stat().st_size):
        before = _flip(path, position, position % 8)
        with pytest.raises(GatewayError):
            _check(folder)
        path.write_bytes(before)
    assert _check(folder) == 260


def test_an_unsigned_root_that_the_tiles_do_not_give_is_found_without_a_key(folder: Path) -> None:
    """The tiles are compared with the root before any entry is believed."""
    from gateway.log.note import parse_checkpoint

    forged = note_of(259).replace(b"\n259\n", b"\n260\n")
    with pytest.raises(TamperError, match="do not give the root"):
        list(read_entries(folder, parse_checkpoint(forged)))


def test_any_byte_changed_in_a_log_of_three_levels_is_found(large: Path) -> None:
    """A sample of positions over all files, weighted by nothing but chance."""
    files = sorted(path for path in large.rglob("*") if path.is_file() and path.name != "checkpoint")
    rng = random.Random(6962)
    picked = [path for path in files if "/tile/0/" not in str(path) and "entries" not in str(path)]
    picked += rng.sample(files, 25)
    assert len(edge_widths(66_000)) == 3
    for path in picked:
        before = _flip(path, rng.randrange(path.stat().st_size), rng.randrange(8))
        seq = _accused(large)
        assert seq is not None, path
        assert seq <= 66_000
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("name", "seq"),
    [
        ("tile/0/000", 0),
        ("tile/0/001.p/4", 256),
        ("tile/1/000.p/1", 0),
        ("tile/entries/000", 0),
        ("tile/entries/001.p/4", 256),
    ],
)
def test_a_file_missing_cut_or_grown_is_found(folder: Path, name: str, seq: int) -> None:
    """Every file counts, and every byte of its length."""
    path = folder / name
    data = path.read_bytes()
    for content in (data + b"\0", data + data, data[:-1], b""):
        path.write_bytes(content)
        accused = _accused(folder)
        assert accused is not None
        assert accused >= seq
    path.unlink()
    assert _accused(folder) == seq


def test_an_empty_entry_behind_the_last_one_is_found(folder: Path) -> None:
    """Two zero bytes would be an entry of their own."""
    for name, seq in (("tile/entries/000", 255), ("tile/entries/001.p/4", 259)):
        path = folder / name
        data = path.read_bytes()
        path.write_bytes(data + b"\0\0")
        assert _accused(folder) == seq
        path.write_bytes(data)


def test_an_entry_and_its_leaf_hash_changed_together_are_found(folder: Path) -> None:
    """What a careful forger without the key would do; the tile above still knows."""
    from gateway.log.tree import leaf_hash

    bundle, tile = folder / "tile/entries/000", folder / "tile/0/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 100 ", b"entry 1oo "))
    hashes = bytearray(tile.read_bytes())
    forged = leaf_hash(entry_bytes(100).replace(b"entry 100 ", b"entry 1oo "))
    hashes[3200:3232] = forged
    tile.write_bytes(hashes)
    assert _accused(folder) == 0


def test_an_older_partial_tile_must_be_the_beginning_of_the_present_one(folder: Path) -> None:
    """It is still served to readers that hold an earlier checkpoint."""
    write_tiles(folder, ORIGIN, entries_from, note_of(270))
    for name in ("tile/0/001.p/4", "tile/entries/001.p/4"):
        path = folder / name
        for position in range(path.stat().st_size):
            before = _flip(path, position)
            assert _accused(folder) == 256
            path.write_bytes(before)
    assert _check(folder) == 270


def test_files_that_belong_to_nothing_are_listed(folder: Path) -> None:
    """They are no fault of the log, but nobody vouches for them."""
    strange = [
        "tile/0/001",
        "tile/0/001.p/5",
        "tile/0/001.p/04",
        "tile/0/002.p/1",
        "tile/0/0",
        "tile/0/x000/000",
        "tile/7/000",
        "tile/9/000",
        "tile/entries/001.p/notes",
        "tile/entries/.000.tmp",
        "tile/stray",
        "tile/-1/000",
    ]
    for name in strange:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "index.html").write_text("outside tile/ anything may lie")
    assert set(surplus(folder, 260)) == set(strange)
    assert _check(folder) == 260


def test_what_is_no_export_is_told_apart(tmp_path: Path, folder: Path) -> None:
    """By its checkpoint and its directory of tiles."""
    assert is_tile_directory(folder)
    assert not is_tile_directory(tmp_path)
    with pytest.raises(LogUnavailable, match="no exported log"):
        read_note(tmp_path)


def test_a_pipe_in_place_of_a_file_does_not_hang_the_check(folder: Path) -> None:
    """Only regular files are read."""
    path = folder / "tile/0/000"
    path.unlink()
    os.mkfifo(path)
    assert _accused(folder) == 0
