"""The invocation counters of encrypted meters: handed out once, whatever happens."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.dlms.ciphering import Undeciphered
from drivers.dlms.session import Security, Session
from drivers.dlms.store import FileNumbers
from gateway.clock import SystemClock
from gateway.durable import TwoSlots
from gateway.errors import MeterUnavailable
from gateway.reading import Moment
from tests.dlms_telegrams import KEYS


def numbers(folder: Path) -> FileNumbers:
    return FileNumbers(folder / "numbers", TwoSlots, SystemClock())


def test_each_number_is_handed_out_once(tmp_path: Path) -> None:
    """By one run or by several, with one title; a wish for higher ones is met."""
    title, first = numbers(tmp_path).reserve(0, 100)
    assert first > 100_000_000
    assert (len(title), title[:3]) == (8, b"MGW")
    one = numbers(tmp_path)
    assert one.reserve(0, 100) == (title, first + 100)
    assert one.reserve(first + 5000, 100) == (title, first + 5000)
    assert numbers(tmp_path).reserve(first, 100) == (title, first + 5100)


def _reserve(folder: Path, found: multiprocessing.Queue) -> None:
    own = numbers(folder)
    found.put([own.reserve(0, 10) for _ in range(50)])


def test_processes_side_by_side_get_different_ones(tmp_path: Path) -> None:
    """``meter-gateway read`` beside the service."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_reserve, args=(tmp_path, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [reserved for _ in processes for reserved in queue.get(timeout=60)]
    for process in processes:
        process.join()
    assert len({title for title, _ in found}) == 1
    firsts = sorted(first for _, first in found)
    assert len(firsts) == 150
    assert all(after - before >= 10 for before, after in itertools.pairwise(firsts))


@dataclass
class Wall:
    """A clock that can be set."""

    wall_ms: int

    def __call__(self) -> Moment:
        return Moment(boottime_ns=0, wall_ms=self.wall_ms, quality="S", error_ms=1)


def test_an_old_file_that_is_put_back_hands_nothing_out_again(tmp_path: Path) -> None:
    """A backup of a day before: the numbers of that day had been used."""
    wall = Wall(1_800_000_000_000)
    kept = FileNumbers(tmp_path / "numbers", TwoSlots, wall)
    kept.reserve(0, 10)
    backup = (tmp_path / "numbers").read_bytes()
    title, last = kept.reserve(0, 10)
    wall.wall_ms += 86_400_000
    (tmp_path / "numbers").write_bytes(backup)
    again = FileNumbers(tmp_path / "numbers", TwoSlots, wall).reserve(0, 10)
    assert again[0] == title
    assert again[1] >= last + 10


def test_a_clock_that_is_wrong_leaves_half_of_the_numbers(tmp_path: Path) -> None:
    """In either direction."""
    far, early = Wall(9_000_000_000_000), Wall(0)
    assert FileNumbers(tmp_path / "early", TwoSlots, early).reserve(0, 10)[1] == 0
    assert FileNumbers(tmp_path / "far", TwoSlots, far).reserve(0, 10)[1] == 0x7FFF_FFFF


def test_a_lost_file_gives_another_title(tmp_path: Path) -> None:
    """Then no pair of title and number repeats, whatever the numbers."""
    title, _ = numbers(tmp_path).reserve(0, 10)
    (tmp_path / "numbers").unlink()
    assert numbers(tmp_path).reserve(0, 10)[0] != title


@pytest.mark.parametrize("content", [b"", b"x" * 8192], ids=["empty", "something else"])
def test_a_file_without_a_counter_is_an_error_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "numbers").write_bytes(content)
    with pytest.raises(MeterUnavailable, match="holds no counter; remove the file"):
        numbers(tmp_path).reserve(0, 10)
    assert (tmp_path / "numbers").read_bytes() == content


def test_a_torn_write_hands_nothing_out_twice(tmp_path: Path) -> None:
    """The power failed while the second reservation was written: its numbers were in nobody's hands yet."""
    title, first = numbers(tmp_path).reserve(0, 10)
    before = (tmp_path / "numbers").read_bytes()
    numbers(tmp_path).reserve(0, 10)
    after = bytearray((tmp_path / "numbers").read_bytes())
    [slot] = [at for at in (0, 4096) if after[at : at + 4096] != before[at : at + 4096]]
    after[slot + 25] ^= 0xFF
    (tmp_path / "numbers").write_bytes(bytes(after))
    assert numbers(tmp_path).reserve(0, 10) == (title, first + 10)


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(MeterUnavailable, match="missing/numbers: No such file"):
        FileNumbers(tmp_path / "missing" / "numbers", TwoSlots, SystemClock()).reserve(0, 10)
    assert os.listdir(tmp_path) == []


def test_a_session_uses_no_number_beyond_its_own() -> None:
    """The one behind may be another process's."""
    session = Session(Security(keys=KEYS, title=b"MGW\x00\x00\x00\x00\x01", counter=7, counter_end=8))
    session.open()
    with pytest.raises(Undeciphered, match="of this session are used up"):
        session.get([])
    assert session.counter == 8
