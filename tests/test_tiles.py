"""Exports as C2SP tlog-tiles: the layout, growing in place, and refusals; what the specification's examples say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigError, LogUnavailable, TamperError
from gateway.log.note import parse_checkpoint
from gateway.log.tile_reader import is_tile_directory, read_entries, read_note, surplus
from gateway.log.tiles import edge_root, edge_widths, encode_bundle, tile_path, write_tiles
from gateway.log.tree import EMPTY_ROOT
from tests.log_keys import ORIGIN, entries_from, entry_bytes, note_of
from tests.parts import ROOT


def export(folder: Path, size: int) -> int:
    """Exports the first *size* entries."""
    return write_tiles(folder, ORIGIN, entries_from, note_of(size))


def contents(folder: Path) -> dict[str, bytes]:
    """All files by their path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("index", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (273, 112, "tile/0/273.p/112"),
    ],
)
def test_paths_are_those_of_the_specification(index: int, width: int, path: str) -> None:
    """Groups of three digits, all but the last behind an x."""
    assert tile_path(0, index, width) == path


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    """273 full tiles and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2."""
    assert edge_widths(70_000) == [112, 17, 1]
    assert edge_widths(256) == [0, 1]
    assert edge_root([]) == EMPTY_ROOT


def test_a_small_export_has_exactly_the_files_it_should(tmp_path: Path) -> None:
    """Size 256 needs a full tile and bundle, and a tile of one hash above."""
    export(tmp_path, 256)
    files = contents(tmp_path)
    assert sorted(files) == ["checkpoint", "tile/0/000", "tile/1/000.p/1", "tile/entries/000"]
    assert len(files["tile/0/000"]) == 8192
    assert files["checkpoint"] == note_of(256)
    assert files["tile/entries/000"] == encode_bundle(entry_bytes(seq) for seq in range(256))
    assert files["tile/entries/000"][:10] == b"\x00\x08entry 0 "


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 700])
def test_an_export_is_read_back_whole(tmp_path: Path, size: int) -> None:
    """Every entry, in order, and nothing that does not belong there."""
    assert export(tmp_path, size) == size
    assert is_tile_directory(tmp_path)
    assert _read(tmp_path) == [entry_bytes(seq) for seq in range(size)]
    assert list(surplus(tmp_path, size)) == []


def _read(folder: Path) -> list[bytes]:
    return list(read_entries(folder, parse_checkpoint(read_note(folder))))


def test_an_export_that_grew_in_steps_is_the_one_made_at_once(tmp_path: Path) -> None:
    """Each step in between reads back whole, and leaves nothing behind that is full by now."""
    for size in (1, 3, 256, 300, 301, 512, 65_530, 65_536, 66_000):
        export(tmp_path / "grown", size)
        assert len(_read(tmp_path / "grown")) == size
    export(tmp_path / "at once", 66_000)
    assert contents(tmp_path / "grown") == contents(tmp_path / "at once")


def test_growing_reads_only_what_is_new(tmp_path: Path) -> None:
    """From the last full bundle on; and the same checkpoint again costs no full bundle."""
    export(tmp_path, 1000)
    assert export(tmp_path, 1100) == 1100 - 768
    assert export(tmp_path, 1100) == 1100 - 1024


def test_partial_tiles_stay_while_no_full_one_is_there(tmp_path: Path) -> None:
    """A reader that holds the checkpoint before still finds its tiles."""
    export(tmp_path, 300)
    held = contents(tmp_path)
    export(tmp_path, 310)
    assert {name for name in held if name not in contents(tmp_path)} == set()
    (tmp_path / "checkpoint").write_bytes(held["checkpoint"])
    assert len(_read(tmp_path)) == 300


def test_a_reader_with_an_earlier_checkpoint_finds_the_full_tile(tmp_path: Path) -> None:
    """The partial one may be gone by then."""
    export(tmp_path, 300)
    export(tmp_path, 600)
    assert not (tmp_path / "tile/0/001.p").exists()
    (tmp_path / "checkpoint").write_bytes(note_of(300))
    assert len(_read(tmp_path)) == 300


@pytest.mark.parametrize("content", [bytes(32), bytes(33), None], ids=["changed", "odd length", "missing"])
def test_a_damaged_edge_is_written_anew(tmp_path: Path, content: bytes | None) -> None:
    """What cannot be resumed from is not trusted: all entries are read again."""
    export(tmp_path, 300)
    path = tmp_path / "tile/1/000.p/1"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert export(tmp_path, 310) == 310
    assert len(_read(tmp_path)) == 310


def _forked(start: int) -> Iterator[bytes]:
    for seq, entry in enumerate(entries_from(start), start):
        yield b"another" if seq == 290 else entry


@pytest.mark.parametrize("size", [250, 300])
def test_an_export_is_not_replaced_by_a_shorter_log_or_another_one(tmp_path: Path, size: int) -> None:
    """A log rolled back, or with another root for the same size."""
    export(tmp_path, 300)
    before = contents(tmp_path)
    note = note_of(size) if size < 300 else _other_root(note_of(300))
    with pytest.raises(TamperError):
        write_tiles(tmp_path, ORIGIN, entries_from, note)
    assert contents(tmp_path) == before


def _other_root(note: bytes) -> bytes:
    lines = note.split(b"\n")
    lines[2] = note_of(299).split(b"\n")[2]
    return b"\n".join(lines)


def test_a_log_that_forked_below_the_export_is_refused(tmp_path: Path) -> None:
    """Its checkpoint is fine by itself, but it does not extend what was exported."""
    export(tmp_path, 300)
    with pytest.raises(TamperError, match="do not lead to the root"):
        write_tiles(tmp_path, ORIGIN, _forked, note_of(400))
    assert (tmp_path / "checkpoint").read_bytes() == note_of(300)


def test_entries_that_do_not_lead_to_the_checkpoint_are_not_published(tmp_path: Path) -> None:
    """No checkpoint file appears."""
    with pytest.raises(TamperError, match="do not lead to the root"):
        write_tiles(tmp_path, ORIGIN, _forked, note_of(400))
    with pytest.raises(TamperError, match="ends at entry 10"):
        write_tiles(tmp_path, ORIGIN, lambda start: map(entry_bytes, range(start, 10)), note_of(11))
    assert not (tmp_path / "checkpoint").exists()


def test_a_directory_with_something_else_in_it_is_not_written_to(tmp_path: Path) -> None:
    """Nor one that holds another log, or a checkpoint that is none."""
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(ConfigError, match=r"thesis\.txt"):
        export(tmp_path, 3)
    (tmp_path / "checkpoint").write_text("none")
    with pytest.raises(ConfigError, match="its checkpoint is none"):
        export(tmp_path, 3)
    (tmp_path / "checkpoint").write_bytes(note_of(1, origin="other.example"))
    with pytest.raises(ConfigError, match=r"other\.example"):
        export(tmp_path, 3)
    with pytest.raises(TamperError, match=r"other\.example"):
        write_tiles(tmp_path, ORIGIN, entries_from, note_of(1, origin="other.example"))


def test_an_interrupted_first_export_is_taken_up_again(tmp_path: Path) -> None:
    """Tiles without a checkpoint count for nothing and are in nobody's way."""

    def broken(start: int) -> Iterator[bytes]:
        for seq in range(start, 700):
            yield entry_bytes(seq)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tiles(tmp_path, ORIGIN, broken, note_of(1000))
    assert not (tmp_path / "checkpoint").exists()
    export(tmp_path, 1000)
    assert len(_read(tmp_path)) == 1000


def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    """Once for each bundle."""
    told: list[int] = []
    write_tiles(tmp_path, ORIGIN, entries_from, note_of(600), told.append)
    assert told == [256, 512, 600]


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    """A file where a directory should be, as an example that root meets too."""
    (tmp_path / "tile").write_text("")
    with pytest.raises(LogUnavailable, match="export"):
        export(tmp_path, 3)


MEMORY = """
import resource, sys
from pathlib import Path
from tests.log_keys import ORIGIN, entries_from, note_of
from tests.test_tiles import _read_all, write_tiles
note = note_of(20_000)
write_tiles(Path(sys.argv[1], "small"), ORIGIN, entries_from, note)
_read_all(Path(sys.argv[1], "small"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
note = note_of(200_000)
write_tiles(Path(sys.argv[1], "large"), ORIGIN, entries_from, note)
assert _read_all(Path(sys.argv[1], "large")) == 200_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _read_all(folder: Path) -> int:
    return sum(1 for _ in read_entries(folder, parse_checkpoint(read_note(folder))))


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Ten times the entries, written and read: less than one more megabyte."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1024, done.stdout
