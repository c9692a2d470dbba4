"""Retention (gateway/retention.py) where something is wrong: full disks, archives away, clocks, work broken off."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import chores
from gateway.chores import BALLAST
from gateway.log.entry import Kind
from gateway.log.tile_reader import read_note
from gateway.log.verify import Demands, verify_tiles
from tests.log_dir import KEY
from tests.retained_board import PACK, RULE, Board
from tests.small_disks import KB, ext4, fill


@pytest.fixture
async def board(tmp_path: Path) -> AsyncIterator[Board]:
    made = Board(tmp_path)
    yield made
    await made.writer.finish()
    made.log.close()


async def test_a_full_disk_gives_up_old_entries_and_goes_on(tmp_path: Path) -> None:
    """With nothing left at all, the ballast makes room for the smaller pack; young entries stay."""
    with ext4(tmp_path / "image", 16_384 * KB) as disk:
        board = Board(disk.path / "state", dataclasses.replace(RULE, free_mb=4, days_min=31))
        await board.live(8 * PACK)
        await board.rounds(1)
        assert (board.station.directory / BALLAST).exists()
        board.later(40)
        await board.live(PACK)
        await board.rounds(1)
        packed = board.log.packs.end_seq
        # Somebody else takes the rest of the disk.
        foreign = fill(disk.path)
        await board.rounds(40)
        assert board.minimum() == 8 * PACK < packed
        assert board.manifests()[0][2] == "older than 31 days, and less than 4 MB are free"
        assert board.station.verify().verdict == "intact"
        foreign.unlink()
        await board.writer.commit()
        await board.live(PACK)
        await board.rounds(2)
        assert board.station.verify().verdict == "intact"
        await board.writer.finish()
        board.log.close()


async def test_a_disk_without_room_for_the_next_pack_is_pruned(tmp_path: Path) -> None:
    """The channels were away until the disk was full: once they have confirmed, old packs go and the rest is packed."""
    with ext4(tmp_path / "image", 16_384 * KB) as disk:
        board = Board(disk.path / "state", dataclasses.replace(RULE, free_mb=4))
        board.confirmed = 0
        await board.live(4 * PACK)
        await board.rounds()
        await board.live(2 * PACK)
        board.later(40)
        await board.live(PACK)
        # Blocks that were given back count only when the journal has it.
        os.sync()
        foreign = fill(disk.path)
        await board.rounds(2)
        assert "No space left" in board.writer.troubles["retention"]
        assert board.minimum() == 0
        board.confirmed = 1 << 40
        await board.rounds(12)
        assert board.minimum() >= 4 * PACK
        foreign.unlink()
        await board.rounds(4)
        assert board.log.packs.end_seq >= 6 * PACK
        assert board.station.verify().verdict == "intact"
        await board.writer.finish()
        board.log.close()


async def test_an_archive_whose_disk_is_not_mounted_gets_nothing(tmp_path: Path) -> None:
    """Its mount point is an empty directory of the board's own disk: nothing is put there, and nothing pruned."""
    archive, away = tmp_path / "archive", tmp_path / "away"
    board = Board(tmp_path / "state", dataclasses.replace(RULE, archive=archive))
    await board.live(2 * PACK)
    await board.rounds()
    assert verify_tiles(archive, read_note(archive), Demands(keys=[KEY])).verdict == "intact"
    archive.rename(away)
    archive.mkdir()
    await board.live(2 * PACK)
    board.later(500)
    await board.live(PACK)
    await board.rounds(6)
    assert "is its disk mounted?" in board.writer.troubles["retention"]
    assert not list(archive.iterdir())
    assert board.minimum() <= 2 * PACK
    archive.rmdir()
    away.rename(archive)
    await board.rounds(10)
    assert board.minimum() == 4 * PACK
    assert verify_tiles(archive, read_note(archive), Demands(keys=[KEY])).verdict == "intact"
    await board.writer.finish()


async def test_a_clock_that_was_years_ahead_for_a_while_keeps_nothing_for_ever(board: Board) -> None:
    """What an unsynchronised clock said at the end of a pack says nothing of its age."""
    await board.live(PACK - 64)
    board.quality = "U"
    board.later(20_000)
    await board.live(128)
    board.later(-20_000)
    board.quality = "S"
    await board.live(PACK)
    await board.rounds()
    board.later(399)
    await board.live(PACK)
    await board.rounds(3)
    assert board.minimum() == 0
    board.later(2)
    await board.live(32)
    await board.rounds(4)
    assert board.minimum() == 2 * PACK


async def test_work_that_was_broken_off_after_it_was_done_is_done_once(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as by the OOM killer: there is no alarm, and the next round goes on behind it."""
    real = chores.seal

    def killed(directory: Path, end_seq: int) -> None:
        real(directory, end_seq)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(chores, "seal", killed)
    await board.live(3 * PACK)
    await board.rounds(2)
    assert "broken off" in board.writer.troubles["retention"]
    monkeypatch.setattr(chores, "seal", real)
    await board.rounds()
    assert board.log.packs.end_seq == 3 * PACK
    assert board.writer.troubles == {}
    events = [entry.body[0] for entry in board.log.last_entries(20) if entry.kind is Kind.EVENT]
    assert events == ["retention-failed"]


async def test_a_round_that_fails_is_said_once(board: Board, tmp_path: Path) -> None:
    """And tried again with the next."""
    board.rule = dataclasses.replace(RULE, archive=Path("/proc/archive"))
    await board.live(2 * PACK)
    await board.rounds(3)
    events = [entry.body[0] for entry in board.log.last_entries(20) if entry.kind is Kind.EVENT]
    assert events == ["retention-failed"]
    board.rule = RULE
    await asyncio.sleep(0)
    await board.rounds()
    assert board.writer.troubles == {}
