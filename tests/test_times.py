"""Finding a window: the answer is that of reading everything, however the clock went, and less is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import NO_PREV, Kind, encode
from gateway.log.times import WallTimes, encode_times, read_times, wall_ms_of
from gateway.log.tree import HashStore, leaf_hash
from gateway.reading import Moment

LEVEL = 3


class TimedLog:
    """Entries at given wall times, and a count of how many were read."""

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.entries = [_entry(seq, wall_ms) for seq, wall_ms in enumerate(times)]
        self.node = HashStore(map(leaf_hash, self.entries)).node
        self.read = 0

    def between(self, start: int, stop: int) -> Iterator[bytes]:
        for data in self.entries[start:stop]:
            self.read += 1
            yield data

    def search(self, path: Path, since_ms: int, until_ms: int) -> list[int]:
        """Seqs of the window, from the stretches that may hold some; what was learnt is kept."""
        times = WallTimes(path, self.node, self.between, LEVEL)
        stretches = list(times.may_hold(since_ms, until_ms, len(self.entries)))
        times.keep()
        return [seq for pair in stretches for seq in range(*pair) if since_ms <= self.times[seq] < until_ms]

    def brute(self, since_ms: int, until_ms: int) -> list[int]:
        return [seq for seq, wall_ms in enumerate(self.times) if since_ms <= wall_ms < until_ms]


def _entry(seq: int, wall_ms: int) -> bytes:
    moment = Moment(boottime_ns=seq, wall_ms=wall_ms, quality="U", error_ms=-1)
    return encode(kind=Kind.EVENT, seq=seq, prev=NO_PREV, boot=0, moment=moment, body=["t", 0, "t", "t"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(-50, 50), max_size=60), since=st.integers(-60, 60), length=st.integers(1, 40))
def test_the_answer_is_that_of_reading_everything(tmp_path: Path, times: list[int], since: int, length: int) -> None:
    """Whatever times the entries claim; with what an earlier search of another log left behind, and once more."""
    log = TimedLog(times)
    for _ in range(2):
        assert log.search(tmp_path / "t", since, since + length) == log.brute(since, since + length)


def test_a_second_search_reads_only_what_may_hold_the_window(tmp_path: Path) -> None:
    """The first one reads each block once; the rest behind the last whole block is the caller's to read."""
    log = TimedLog(list(range(0, 1000, 10)))
    assert log.search(tmp_path / "t", 405, 500) == list(range(41, 50))
    assert log.read == 96
    log.read = 0
    assert log.search(tmp_path / "t", 100, 300) == list(range(10, 30))
    assert log.read == 0
    grown = TimedLog(list(range(0, 1200, 10)))
    assert grown.search(tmp_path / "t", 0, 5) == [0]
    assert grown.read == 24


def test_the_file_of_another_past_is_not_believed(tmp_path: Path) -> None:
    """A block whose entries differ in one bit has another hash, and is read again."""
    log = TimedLog([0] * 32)
    log.search(tmp_path / "t", 0, 1)
    other = TimedLog([0] * 20 + [700] + [0] * 11)
    assert other.search(tmp_path / "t", 700, 701) == [20]


def test_a_file_with_any_byte_changed_or_cut_is_not_used(tmp_path: Path) -> None:
    """It only costs time; the answer is the same."""
    log = TimedLog(list(range(32)))
    path = tmp_path / "t"
    log.search(path, 5, 9)
    good = path.read_bytes()
    assert read_times(path) != {}
    for position in range(len(good)):
        changed = bytearray(good)
        changed[position] ^= 1 << position % 8
        for bad in (bytes(changed), good[:position]):
            path.write_bytes(bad)
            assert read_times(path) == {}
    assert log.search(path, 5, 9) == [5, 6, 7, 8]
    assert path.read_bytes() == good


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    """A golden row: hash, smallest and largest time, and a sum over all."""
    (tmp_path / "t").write_bytes(encode_times({bytes(range(32)): (-1, 2)}))
    data = (tmp_path / "t").read_bytes()
    assert data[:28] == b"meter-gateway/wall-times@v1\n"
    assert data[28:60] == bytes(range(32))
    assert data[60:76].hex() == "ffffffffffffffff0000000000000002"
    assert data[76:].hex() == "7a74c49ad0b37475f638687bf3af398d22851c6ad1189a6681f9e28be68bc35e"
    assert read_times(tmp_path / "t") == {bytes(range(32)): (-1, 2)}


def test_a_place_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    """A log on read-only evidence media can be searched."""
    log = TimedLog(list(range(32)))
    assert log.search(tmp_path / "missing folder" / "t", 5, 9) == [5, 6, 7, 8]


def test_times_are_read_from_entries_only() -> None:
    """Other CBOR, whatever it is, is refused as every decoder refuses it."""
    assert wall_ms_of(_entry(1, -(2**63))) == -(2**63)
    for bad in (
        b"",
        b"\xff",
        b"\x80",
        b"\x01",
        b"\x66" + bytes(6),
        b"\xa1\x06\x01",
        _entry(1, 5)[:-1],
    ):
        with pytest.raises(MalformedError):
            wall_ms_of(bad)
