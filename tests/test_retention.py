"""Retention (gateway/retention.py): what goes, what stays, and that it was said and signed before it went."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import PrunedError
from gateway.log.entry import Kind
from gateway.log.tile_reader import read_note
from gateway.log.verify import Demands, verify_tiles
from gateway.reading import Moment
from gateway.retention import Candidate, Situation, reason_to_prune
from tests.log_dir import KEY
from tests.retained_board import DAY_MS, PACK, RULE, Board

NOW = Moment(boottime_ns=0, wall_ms=1_790_000_000_000, quality="S", error_ms=5)
ROOM = 1 << 40


@pytest.mark.parametrize(
    ("days", "free", "settled", "quality", "reason"),
    [
        (401, ROOM, 512, "S", "older than 400 days"),
        (399, ROOM, 512, "S", None),
        (401, ROOM, 511, "S", None),
        (401, ROOM, 512, "U", None),
        (401, ROOM, 512, "I", None),
        (32, 100 << 20, 512, "S", "older than 31 days, and less than 200 MB are free"),
        (32, 100 << 20, 511, "S", None),
        (30, 0, 512, "S", None),
        (-5, 0, 512, "S", None),
    ],
)
def test_what_may_go(days: int, free: int, settled: int, quality: str, reason: str | None) -> None:
    """Only what is settled, by a clock that is synchronised; and young entries never."""
    oldest = Candidate(first_seq=0, end_seq=512, newest_ms=NOW.wall_ms - days * DAY_MS)
    there = Situation(now=dataclasses.replace(NOW, quality=quality), free_bytes=free, settled_seq=settled)
    assert reason_to_prune(oldest, there, RULE) == reason


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Board]:
    made = Board(tmp_path)
    yield made
    await made.writer.finish()
    made.log.close()


async def test_signed_entries_are_packed(board: Board) -> None:
    """In the background, as soon as a pack is full and signed."""
    await board.live(3 * PACK)
    assert board.log.packs.end_seq == 0
    await board.rounds()
    assert board.log.packs.end_seq == 3 * PACK
    assert board.minimum() == 0
    assert board.station.verify().verdict == "intact"


async def test_old_entries_go_after_their_manifest_is_signed(board: Board) -> None:
    """The manifest first, the entries with the next round; what is young stays."""
    await board.live(2 * PACK)
    await board.rounds()
    board.later(401)
    await board.live(2 * PACK)
    await board.retention.round()
    await board.writer.commit()
    # Nothing is signed yet that says so.
    await board.retention.round()
    assert (board.minimum(), len(board.manifests())) == (0, 1)
    await board.rounds(4)
    assert board.minimum() == 2 * PACK
    assert board.manifests() == [(0, PACK, "older than 400 days"), (PACK, 2 * PACK, "older than 400 days")]
    report = board.station.verify()
    assert (report.verdict, report.pruned) == ("intact", 2 * PACK - 256)
    with pytest.raises(PrunedError):
        board.log.read(300)


async def test_what_a_channel_has_not_confirmed_stays(board: Board) -> None:
    """However old it is."""
    board.confirmed = PACK + 5
    await board.live(3 * PACK)
    board.later(1000)
    await board.live(PACK)
    await board.rounds(8)
    assert board.minimum() == PACK
    board.confirmed = 3 * PACK
    await board.rounds(8)
    assert board.minimum() == 3 * PACK


async def test_a_channel_that_comes_behind_the_manifest_is_waited_for(board: Board) -> None:
    """What was said may go, and need not."""
    await board.live(2 * PACK)
    board.later(500)
    await board.live(PACK)
    await board.rounds()
    assert len(board.manifests()) == 1
    board.confirmed = 7
    await board.rounds(4)
    assert board.minimum() == 0
    board.confirmed = 1 << 40
    await board.rounds(4)
    assert board.minimum() == 2 * PACK


async def test_a_clock_that_is_not_synchronised_makes_nothing_old(board: Board) -> None:
    """It may stand at any year."""
    await board.live(2 * PACK)
    board.later(1000)
    board.quality = "U"
    await board.live(PACK)
    await board.rounds(6)
    assert (board.minimum(), board.manifests()) == (0, [])


async def test_a_restart_between_manifest_and_prune_accounts_for_it_once_more(tmp_path: Path) -> None:
    """The pack is there, or it is not: in both cases the log verifies."""
    board = Board(tmp_path)
    await board.live(2 * PACK)
    board.later(500)
    await board.live(PACK)
    await board.rounds()
    assert len(board.manifests()) == 1
    await board.writer.finish()
    board.log.close()
    again = Board(tmp_path)
    again.later(500)
    await again.live(32)
    await again.rounds(6)
    assert again.minimum() == 2 * PACK
    assert again.station.verify().verdict == "intact"
    await again.writer.finish()


async def test_the_archive_comes_first(tmp_path: Path) -> None:
    """Nothing goes that is not there, and what is there can be verified by itself."""
    archive = tmp_path / "archive"
    archive.write_text("not mounted")
    board = Board(tmp_path / "state", dataclasses.replace(RULE, archive=archive))
    await board.live(2 * PACK)
    before = board.station.entries()
    board.later(500)
    await board.live(PACK)
    await board.rounds(4)
    assert board.minimum() == 0
    assert "retention" in board.writer.troubles
    archive.unlink()
    await board.rounds(6)
    assert board.minimum() == 2 * PACK
    assert "retention" not in board.writer.troubles
    report = verify_tiles(archive, read_note(archive), Demands(keys=[KEY]))
    assert report.verdict == "intact"
    assert report.size > len(before)
    # Later on only what is new is read, since the rest is gone.
    await board.live(2 * PACK)
    board.later(500)
    await board.rounds(10)
    assert board.minimum() > 2 * PACK
    assert verify_tiles(archive, read_note(archive), Demands(keys=[KEY])).verdict == "intact"
    await board.writer.finish()


async def test_changed_entries_are_not_packed_and_raise_an_alarm(board: Board) -> None:
    """Once, and nothing is repaired."""
    await board.live(2 * PACK)
    path = board.station.files()[0]
    data = bytearray(path.read_bytes())
    data[6000] ^= 1
    path.write_bytes(data)
    await board.rounds(3)
    assert board.log.packs.end_seq == 0
    events = [entry.body[0] for entry in board.log.last_entries(20) if entry.kind is Kind.EVENT]
    assert events == ["log-changed"]
