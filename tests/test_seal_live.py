"""Packing and pruning while others read: each step of it between two of theirs, and nobody is told of tampering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import durable
from gateway.errors import TamperError
from gateway.log.note import parse_checkpoint
from gateway.log.pack import CHUNK, Pack, pack_name
from gateway.log.seal import prune, seal
from gateway.log.verify import Demands, Report, verify_segments
from gateway.log.view import LogView
from gateway.packing import next_message
from tests.log_damage import flip
from tests.log_dir import KEY, Station
from tests.test_seal import PACK, filled, pack_all, prune_oldest


def verify_while(station: Station, work: Callable[[], None]) -> Report:
    """What a verifier finds who had begun when *work* was done; it looks up at each pack and segment."""
    waiting = [work]

    def meanwhile(_size: int) -> None:
        if waiting:
            waiting.pop()()

    return verify_segments(station.directory, Demands(keys=[KEY]), progress=meanwhile)


def test_a_check_that_packing_crosses_finds_the_log_intact(tmp_path: Path) -> None:
    """Segments that it was about to read are gone, and their entries are elsewhere."""
    station = filled(tmp_path)
    report = verify_while(station, lambda: pack_all(station))
    assert station.log.packs.end_seq == 3 * PACK
    assert (report.verdict, report.size) == ("intact", station.log.size)


def test_a_check_that_pruning_crosses_finds_the_log_intact(tmp_path: Path) -> None:
    """Also where the manifest entry stands in a segment that was not there when the check began."""
    station = filled(tmp_path, 6 * PACK + 100)
    pack_all(station)

    def work() -> None:
        for _ in range(4):
            station.fill(20, 32)
            prune_oldest(station)

    report = verify_while(station, work)
    assert (report.verdict, report.pruned) == ("intact", 4 * PACK - CHUNK)


def test_a_check_that_tampering_crosses_finds_it(tmp_path: Path) -> None:
    """What has changed for good is not excused by what the gateway does."""
    station = filled(tmp_path)

    def work() -> None:
        pack_all(station)
        flip(station.directory / pack_name(PACK, 2 * PACK), 1000)

    assert verify_while(station, work).verdict == "tampered"


def test_a_reader_goes_on_while_its_segments_are_packed(tmp_path: Path) -> None:
    """One that looked at the directory before finds entries and checkpoints where they are now."""
    station = filled(tmp_path)
    before = station.entries()
    views = [LogView(station.directory) for _ in range(3)]
    first = views[0].first_checkpoint(5)
    pack_all(station)
    assert list(views[0].entries()) == before
    assert views[1].first_checkpoint(5) == first
    assert views[2].root(len(before)) == station.log.durable_tree().root()


def test_a_reader_of_a_pack_keeps_what_it_has_opened(tmp_path: Path) -> None:
    """The footer that it has read is not laid over the bytes of another file."""
    station = filled(tmp_path)
    before = station.entries()
    pack_all(station)
    view = LogView(station.directory)
    assert next(view.entries(PACK)) == before[PACK]
    prune_oldest(station)
    prune_oldest(station)
    assert list(view.entries(PACK, 2 * PACK)) == before[PACK : 2 * PACK]


@pytest.mark.parametrize("offset", [200, -400, -8])
def test_a_pack_that_the_disk_has_not_taken_well_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    """It is read back before it counts: neither a seal nor a prune puts it in the place of what is good."""
    station = filled(tmp_path)
    before = station.entries()
    real = durable.writing_atomically

    def badly(path: Path, check: Callable[[Path], None]) -> object:
        def look(written: Path) -> None:
            flip(written, offset % written.stat().st_size)
            check(written)

        return real(path, look)

    pack_all(station)
    monkeypatch.setattr(durable, "writing_atomically", badly)
    with pytest.raises(TamperError):
        prune(station.directory, 0, PACK)
    station.fill(12, 32)
    with pytest.raises(TamperError):
        seal(station.directory, 4 * PACK)
    assert not list(station.directory.glob(".*"))
    assert not (station.directory / pack_name(3 * PACK, 4 * PACK)).exists()
    assert not Pack(station.directory / pack_name(0, PACK)).footer.pruned
    assert station.entries()[: len(before)] == before


def test_what_is_packed_already_is_not_packed_again(tmp_path: Path) -> None:
    """Who asked may not have heard that it was done."""
    station = filled(tmp_path)
    assert seal(station.directory, PACK) == seal(station.directory, PACK)
    station.log.take_packs()
    assert station.verify().verdict == "intact"


def test_a_late_checkpoint_of_pruned_entries_is_passed_over(tmp_path: Path) -> None:
    """Of a witness that was away for packs' lengths: nobody can compare it any more, and that is no tampering."""
    station = filled(tmp_path, PACK - 100)
    assert station.log.durable_size % CHUNK
    late = station.log.newest_checkpoint
    assert late is not None
    station.fill(60, 32)
    station.log.checkpoint(late)
    station.fill(20, 32)
    pack_all(station)
    prune_oldest(station)
    report = station.verify()
    assert (report.verdict, report.pruned) == ("intact", PACK - CHUNK)


def test_a_channel_that_is_far_behind_gets_checkpoints_with_packed_entries(tmp_path: Path) -> None:
    """What waits for a checkpoint at the far side is one pack, however long the channel was away."""
    station = filled(tmp_path)
    pack_all(station)
    station.stop()
    log = Station(tmp_path, segment_bytes=64 * 1024).start()
    position, sizes = 0, list[int]()
    while (message := next_message(log, position, None, 64 * 1024)) is not None and position < 3 * PACK:
        if message.checkpoint is not None:
            sizes.append(parse_checkpoint(message.checkpoint).size)
        position = message.end_seq
    assert [size // PACK for size in sizes[:3]] == [0, 1, 2]
