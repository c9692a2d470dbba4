"""Starts of a log: killed or stopped, with leftovers of a crash, it goes on where it was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.log.frame import BLOCK, FrameError
from gateway.log.scan import segment_name, segment_starts
from gateway.log.segment import Segments
from tests.log_dir import ORIGIN, SEGMENT, Station


def opened(directory: Path, **options: int) -> Segments:
    return Segments.open(directory, ORIGIN, **({"segment_bytes": SEGMENT} | options))


def station(tmp_path: Path, readings: int = 0) -> Station:
    """A started gateway log with so many readings in commits of 16, a checkpoint behind each fifth."""
    made = Station(tmp_path)
    made.start()
    for number in range(readings // 16):
        made.read_meter(16)
        made.log.commit()
        if number % 5 == 4:
            made.sign()
    return made


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Entries that no commit confirmed are in the file: another process finds them all."""
    made = station(tmp_path, 160)
    made.read_meter(50)
    size = made.log.size
    again = Station(tmp_path)
    again.start()
    assert again.found.how == "unclean"
    assert again.log.size == size + 1
    assert again.verify().verdict == "intact"


def test_a_log_goes_on_after_each_start(tmp_path: Path) -> None:
    """Stopped or killed, at any size, over the borders of files: one log."""
    rng = random.Random(5)
    for start in range(30):
        made = Station(tmp_path)
        made.start()
        assert made.found.how == ("first" if not start else "clean" if start % 2 else "unclean")
        made.read_meter(rng.randrange(60))
        if start % 3:
            made.log.commit()
        if start % 2 == 0:
            made.stop()
    report = made.verify()
    assert (report.verdict, report.size) == ("intact", made.log.size)
    assert len(made.files()) > 4


def test_the_directory_is_what_it_was_after_a_start_without_entries(tmp_path: Path) -> None:
    """Opening writes nothing."""
    station(tmp_path, 160).stop()
    before = {path.name: path.read_bytes() for path in (tmp_path / "log").iterdir()}
    opened(tmp_path / "log").close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "log").iterdir()} == before


def test_an_empty_directory_needs_an_origin(tmp_path: Path) -> None:
    """A log is named once, when it begins, and never renamed."""
    with pytest.raises(ConfigError, match="no origin"):
        Segments.open(tmp_path / "new")
    station(tmp_path, 16).stop()
    assert Segments.open(tmp_path / "log").origin == ORIGIN
    with pytest.raises(ConfigError, match="roof-7"):
        Segments.open(tmp_path / "log", "other.example/log")


def test_a_changed_segment_is_not_opened(tmp_path: Path) -> None:
    """What a deviation means is not decided here."""
    made = station(tmp_path, 32)
    path = made.files()[0]
    data = bytearray(path.read_bytes())
    data[BLOCK + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(FrameError, match="checksum"):
        opened(tmp_path / "log")


def test_a_spare_that_is_not_empty_is_not_used(tmp_path: Path) -> None:
    """After a power cut the spare may hold what was written before its renaming was lost: that would come back."""
    made = station(tmp_path, 160)
    made.log.prepare()
    spare = tmp_path / "log" / "spare"
    spare.write_bytes(made.files()[0].read_bytes())
    again = Station(tmp_path)
    again.start()
    again.read_meter(300)
    again.log.commit()
    assert again.verify().verdict == "intact"
    assert again.log.size == 163 + 300


def test_a_sound_spare_is_kept_and_used(tmp_path: Path) -> None:
    """What was made ready is used by the next segment, also after a start."""
    made = station(tmp_path, 16)
    made.log.prepare()
    spare = tmp_path / "log" / "spare"
    inode = spare.stat().st_ino
    again = Station(tmp_path)
    again.start()
    while spare.exists():
        again.read_meter()
    assert again.files()[-1].stat().st_ino == inode


def test_leftovers_of_a_crash_go(tmp_path: Path) -> None:
    """A file that was never finished is removed at the next start."""
    station(tmp_path, 16).stop()
    leftover = tmp_path / "log" / ".spare.tmp"
    leftover.write_bytes(b"half")
    opened(tmp_path / "log")
    assert not leftover.exists()


def test_names_of_files_are_their_first_seqs(tmp_path: Path) -> None:
    """Twenty digits sort like the numbers; other names are not looked at."""
    station(tmp_path, 320).stop()
    directory = tmp_path / "log"
    starts = segment_starts(directory)
    for name in ("5.seg", "00000000000000000005.seg.void", "x", "00000000000000000005.SEG"):
        (directory / name).write_bytes(b"")
    assert segment_starts(directory) == starts
    assert segment_name(12) == "00000000000000000012.seg"
