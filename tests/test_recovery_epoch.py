"""Damage to what was signed: the log is closed and kept whole, and an epoch begins that names it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.log.entry import decode
from gateway.log.frame import BLOCK
from gateway.log.note import parse_checkpoint
from gateway.log.recovery import open_directory
from gateway.log.scan import load, segment_name
from gateway.log.verify import Demands, verify_segments
from tests.log_damage import flip, restart
from tests.log_dir import KEY, ORIGIN, Station


@pytest.mark.parametrize("signer_remembers", [True, False])
def test_damage_to_signed_entries_closes_the_log(tmp_path: Path, signer_remembers: bool) -> None:
    """The damaged log is kept whole; a new epoch names its last checkpoint, and says why."""
    made = restart(tmp_path)
    made.fill(4)
    note = made.stop()
    path = made.files()[-1]
    flip(path, load(path).offsets[3] + 30)
    whole = {file.name: file.read_bytes() for file in made.directory.iterdir()}
    if not signer_remembers:
        (tmp_path / "signer").unlink()
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    assert again.found.closed is not None
    closed = tmp_path / "closed" / "epoch-1"
    assert {file.name: file.read_bytes() for file in closed.iterdir()} == whole
    genesis = decode(again.log.read(0)[0])
    assert genesis.body[0] == f"{ORIGIN}/epoch-2"
    assert genesis.body[5] == [ORIGIN, note.decode()]
    assert "before entry" in genesis.body[6]
    again.fill(3)
    again.sign()
    assert again.verify().verdict == "intact"
    old = verify_segments(closed, Demands(keys=[KEY]))
    assert old.verdict == "tampered"


def test_a_second_damage_begins_a_third_epoch(tmp_path: Path) -> None:
    """Each epoch names the one before."""
    for number in (1, 2, 3):
        made = restart(tmp_path)
        made.read_meter(5)
        made.log.commit()
        note = made.stop()
        path = made.files()[-1]
        flip(path, load(path).offsets[1] + 30)
        assert parse_checkpoint(note).origin == (ORIGIN if number == 1 else f"{ORIGIN}/epoch-{number}")
    last = restart(tmp_path)
    assert last.log.origin == f"{ORIGIN}/epoch-4"
    assert decode(last.log.read(0)[0]).body[5] == [f"{ORIGIN}/epoch-3", note.decode()]
    assert sorted(path.name for path in (tmp_path / "closed").iterdir()) == ["epoch-1", "epoch-2", "epoch-3"]


@pytest.mark.parametrize("log_too", [False, True], ids=["closed logs", "all logs"])
def test_closed_logs_that_were_carried_away_give_no_name_free(tmp_path: Path, log_too: bool) -> None:
    """Somebody made room, or took the evidence: the next epoch still has a name that nothing was signed under."""
    for _ in range(2):
        made = restart(tmp_path)
        made.fill(4)
        made.stop()
        flip(made.files()[-1], load(made.files()[-1]).offsets[1] + 30)
    assert made.log.origin == f"{ORIGIN}/epoch-2"
    shutil.rmtree(tmp_path / "closed")
    if log_too:
        shutil.rmtree(made.directory)
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-3"
    assert decode(again.log.read(0)[0]).body[5][0] == f"{ORIGIN}/epoch-2"
    again.fill(4)
    assert again.verify().verdict == "intact"


def test_a_log_that_is_gone_was_signed_and_is_closed(tmp_path: Path) -> None:
    """The signer remembers that there was a log: it does not begin again under the old origin."""
    made = Station(tmp_path)
    made.start()
    made.fill(4)
    made.stop()
    shutil.rmtree(made.directory)
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    genesis = decode(again.log.read(0)[0])
    assert "gone" in genesis.body[6]
    again.fill(2)
    again.sign()
    assert again.verify().verdict == "intact"


def test_a_log_that_was_rolled_back_is_closed(tmp_path: Path) -> None:
    """An old copy of the log under a signer that has signed more is not gone on with."""
    made = Station(tmp_path)
    made.start()
    made.fill(4)
    made.log.commit()
    made.sign()
    shutil.copytree(made.directory, tmp_path / "old")
    made.fill(4)
    made.stop()
    shutil.rmtree(made.directory)
    (tmp_path / "old").rename(made.directory)
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    assert again.found.closed is not None
    assert "were signed" in again.found.closed.reason


def test_the_new_epoch_names_the_last_checkpoint_that_was_published(tmp_path: Path) -> None:
    """Also where the disk has lost it: the signer knows its size and root, and signs it once more."""
    made = Station(tmp_path)
    made.start()
    made.fill(4)
    made.sign()
    shutil.copytree(made.directory, tmp_path / "old")
    made.fill(4)
    published = made.stop()
    shutil.rmtree(made.directory)
    (tmp_path / "old").rename(made.directory)
    again = restart(tmp_path)
    assert decode(again.log.read(0)[0]).body[5] == [ORIGIN, published.decode()]


def test_a_start_cut_short_after_closing_begins_the_epoch(tmp_path: Path) -> None:
    """A crash between moving the damaged log away and beginning the next one forgets nothing."""
    made = Station(tmp_path)
    made.start()
    made.fill(2)
    note = made.stop()
    (tmp_path / "closed").mkdir()
    made.directory.rename(tmp_path / "closed" / "epoch-1")
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    assert decode(again.log.read(0)[0]).body[5] == [ORIGIN, note.decode()]


@pytest.mark.parametrize("signer_remembers", [True, False])
def test_a_signed_file_without_header_closes_the_log(tmp_path: Path, signer_remembers: bool) -> None:
    """A broken header does not hide the checkpoints behind it."""
    made = Station(tmp_path)
    made.start()
    made.fill(12)
    made.stop()
    assert len(made.files()) > 1
    flip(made.files()[-1], 20)
    if not signer_remembers:
        (tmp_path / "signer").unlink()
    again = restart(tmp_path)
    assert again.log.origin == f"{ORIGIN}/epoch-2"


def test_a_foreign_log_is_left_alone(tmp_path: Path) -> None:
    """A log of another origin is the operator's mistake: nothing in its directory is touched."""
    made = Station(tmp_path)
    made.start()
    made.stop()
    before = {file.name: file.read_bytes() for file in made.directory.iterdir()}
    with pytest.raises(ConfigError, match=r"roof-7.*other"):
        open_directory(made.directory, "other.example/log")
    assert {file.name: file.read_bytes() for file in made.directory.iterdir()} == before


def test_an_epoch_goes_on_like_any_log(tmp_path: Path) -> None:
    """The signer knows what it signed for the epoch, not only for the first log."""
    made = restart(tmp_path)
    made.fill(4)
    made.stop()
    flip(made.files()[0], BLOCK + 30)
    for _ in range(3):
        again = restart(tmp_path)
        assert again.log.origin == f"{ORIGIN}/epoch-2"
        again.fill(4)
        again.stop()
    assert again.verify().verdict == "intact"
    assert segment_name(0) in {path.name for path in again.files()}
