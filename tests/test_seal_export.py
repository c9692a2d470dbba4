"""Exports of a pruned log (gateway/log/tiles.py): what is left, and nothing that looks like more."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.log.note import parse_checkpoint
from gateway.log.pack import CHUNK
from gateway.log.tile_reader import read_note
from gateway.log.tiles import write_tiles
from gateway.log.verify import Demands, verify_tiles
from gateway.log.view import LogView
from tests.log_dir import KEY, Station
from tests.test_seal import PACK, filled, pack_all, prune_oldest


def exported(station: Station, target: Path) -> Path:
    view = LogView(station.directory)
    assert view.newest_checkpoint is not None
    size = parse_checkpoint(view.newest_checkpoint).size
    write_tiles(
        target, view.origin, lambda start: view.entries(start, size), view.newest_checkpoint, pruned=view.pruned()
    )
    return target


def test_an_export_of_a_pruned_log_verifies(tmp_path: Path) -> None:
    """It says from where on all entries are there, holds those that are kept, and can be extended."""
    station = filled(tmp_path / "state")
    pack_all(station)
    prune_oldest(station)
    prune_oldest(station)
    target = exported(station, tmp_path / "export")
    assert (target / "minimum-index").read_text() == f"{2 * PACK}\n"
    for _ in range(2):
        report = verify_tiles(target, read_note(target), Demands(keys=[KEY]))
        assert (report.verdict, report.pruned) == ("intact", 2 * PACK - CHUNK)
        station.fill(10, 32)
        station.sign()
        exported(station, target)
    assert report.size == station.log.size - 320


@pytest.mark.parametrize("hint", [True, False])
def test_an_export_with_a_bundle_missing_is_tampered(tmp_path: Path, hint: bool) -> None:
    """Whatever the hint says: a manifest entry must name what is gone."""
    station = filled(tmp_path / "state")
    target = exported(station, tmp_path / "export")
    (target / "tile" / "entries" / "001").unlink()
    if hint:
        (target / "minimum-index").write_text("768\n")
    report = verify_tiles(target, read_note(target), Demands(keys=[KEY]))
    assert (report.verdict, report.first_bad_seq) == ("tampered", CHUNK)


def test_an_export_that_ends_before_the_pruned_part_is_kept(tmp_path: Path) -> None:
    """The entries between are nowhere: it is not made to look whole."""
    station = filled(tmp_path / "state", PACK // 2 + 20)
    target = exported(station, tmp_path / "export")
    station.fill(64, 32)
    station.sign()
    pack_all(station)
    prune_oldest(station)
    with pytest.raises(ConfigError, match="pruned up to entry 512"):
        exported(station, target)
    assert verify_tiles(target, read_note(target), Demands(keys=[KEY])).verdict == "intact"
