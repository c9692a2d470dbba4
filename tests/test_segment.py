"""Segment files: what is appended can be read and costs the same at any depth."""

from __future__ import annotations

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import TamperError
from gateway.log.entry import Kind, encode
from gateway.log.frame import BLOCK
from gateway.log.scan import load
from gateway.log.segment import Segments
from gateway.log.tree import Frontier, leaf_hash
from gateway.reading import Moment
from tests.log_dir import ORIGIN, SEGMENT, Station
from tests.log_keys import note_of


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


def test_entries_are_read_back_over_many_segments(tmp_path: Path) -> None:
    """Whatever is committed is read back verbatim, in order, over the borders of files."""
    made = station(tmp_path, 1600)
    assert len(made.files()) >= 10
    found = made.entries()
    assert len(found) == made.log.durable_size == made.log.size
    tree = Frontier()
    for data in found:
        tree.append(leaf_hash(data))
    assert tree.root() == made.log.durable_tree().root()


def test_reads_begin_anywhere_and_keep_their_limits(tmp_path: Path) -> None:
    """A read starts at any seq, in any order, and stops at its limits but gives at least one entry."""
    made = station(tmp_path, 800)
    whole = made.entries()
    rng = random.Random(3)
    for _ in range(300):
        start = rng.randrange(len(whole))
        stop = rng.choice([None, start + rng.randrange(1, 40), len(whole) + 5])
        count, size = rng.choice([1, 7, 1024]), rng.choice([1, 500, 1 << 20])
        found = made.log.read(start, stop, max_entries=count, max_bytes=size)
        assert found == whole[start : start + len(found)]
        assert 1 <= len(found) <= count
        assert sum(map(len, found[:-1])) < size
        assert stop is None or start + len(found) <= stop
    assert made.log.read(len(whole)) == []
    assert made.log.read(-1) == []
    assert made.log.read(5, 5) == []


def test_a_reader_that_goes_on_reads_no_byte_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes read for ten entries do not grow with the place in the segment, so draining costs the same anywhere."""
    made = Station(tmp_path, segment_bytes=1 << 20)
    made.start()
    for _ in range(60):
        made.read_meter(100)
        made.log.commit()
    taken: list[int] = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        data = pread(fd, length, offset)
        taken.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    costs, seq = [], 0
    while seq < 6000:
        taken.clear()
        seq += len(made.log.read(seq, max_entries=10))
        costs.append(sum(taken))
    assert max(costs[1:]) <= 2 * 128 * 1024


def test_only_committed_entries_are_read(tmp_path: Path) -> None:
    """What the disk has not confirmed does not leave."""
    made = station(tmp_path)
    size = made.log.durable_size
    made.read_meter(3)
    assert made.log.size == size + 3
    assert made.log.durable_size == size
    assert made.log.read(size) == []
    assert made.log.commit() == size + 3
    assert len(made.log.read(size)) == 3


def test_each_commit_begins_a_block(tmp_path: Path) -> None:
    """A block that holds acknowledged entries is not written again."""
    made = station(tmp_path)
    path = made.files()[0]
    before = path.read_bytes()
    used = len(before.rstrip(b"\0"))
    made.read_meter(2)
    made.log.commit()
    after = path.read_bytes()
    border = used + -used % BLOCK
    assert after[:border] == before[:border]
    assert after[border] == ord("E")


def test_a_reader_names_what_has_changed(tmp_path: Path) -> None:
    """A read of a changed frame is tampering with a seq, not an entry, and not an exception of another kind."""
    made = station(tmp_path, 320)
    second = made.files()[1]
    first_seq = int(second.stem)
    data = bytearray(second.read_bytes())
    data[load(second).offsets[5] + 12] ^= 1
    second.write_bytes(data)
    assert len(made.log.read(first_seq)) == 5
    with pytest.raises(TamperError) as caught:
        made.log.read(first_seq + 5)
    assert caught.value.seq == first_seq + 5
    second.unlink()
    with pytest.raises(TamperError, match="missing"):
        made.log.read(first_seq)


def test_a_missing_first_segment_is_named(tmp_path: Path) -> None:
    """An entry before the first file is missing, not empty."""
    made = station(tmp_path, 320)
    made.stop()
    made.files()[0].unlink()
    again = opened(tmp_path / "log")
    with pytest.raises(TamperError, match="missing"):
        again.read(0)


def test_checkpoints_come_back_and_are_found_by_range(tmp_path: Path) -> None:
    """The newest checkpoint survives a start, also where it stands in the file before; others are found on the way."""
    made = station(tmp_path, 160)
    note = made.sign()
    assert made.log.newest_checkpoint == note
    size = made.log.durable_size
    made.read_meter(300)
    made.log.commit()
    assert len(made.files()) > 2
    again = opened(tmp_path / "log")
    assert again.newest_checkpoint == note
    assert again.reader.checkpoint_covering(size - 1, size, again.newest_checkpoint) == note
    assert again.reader.checkpoint_covering(size, size + 100, again.newest_checkpoint) is None
    fresh = opened(tmp_path / "log")
    assert fresh.reader.checkpoint_covering(0, 90, fresh.newest_checkpoint) is None
    seq = 0
    while seq < 90:
        seq += len(fresh.read(seq, 90))
    older = fresh.reader.checkpoint_covering(0, 90, fresh.newest_checkpoint)
    assert older is not None
    assert older != note


def test_a_checkpoint_is_not_durable_before_its_commit(tmp_path: Path) -> None:
    """A signature leaves only when the disk has it."""
    segments = opened(tmp_path / "log")
    segments.append(b"x", leaf_hash(b"x"))
    segments.commit()
    segments.checkpoint(note_of(1))
    assert segments.newest_checkpoint is None
    segments.commit()
    assert segments.newest_checkpoint == note_of(1)


def test_an_entry_as_long_as_can_be_fits(tmp_path: Path) -> None:
    """The longest entry goes into a segment of its own if need be."""
    segments = opened(tmp_path / "log", segment_bytes=128 * 1024)
    for number in range(5):
        data = bytes([number]) * 65_535
        segments.append(data, leaf_hash(data))
    segments.commit()
    assert [len(segments.read(seq)[0]) for seq in range(5)] == [65_535] * 5


def append_beacon(segments: Segments, size: int) -> bytes:
    """Appends an entry of about *size* bytes."""
    moment = Moment(boottime_ns=1, wall_ms=1, quality="U", error_ms=-1)
    data = encode(
        kind=Kind.BEACON,
        seq=segments.size,
        prev=segments.last_hash,
        boot=0,
        moment=moment,
        body=["x", segments.size.to_bytes(4, "big") * (size // 4)],
    )
    segments.append(data, leaf_hash(data))
    return data


@given(st.lists(st.tuples(st.integers(1, 5000), st.booleans(), st.booleans()), max_size=60))
@settings(max_examples=30, deadline=None)
def test_any_sequence_of_appends_commits_and_kills_keeps_all(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool, bool]]
) -> None:
    """Entries of any size, commits and kills in any order: all entries are there, in order, with their tree."""
    directory = tmp_path_factory.mktemp("any")
    segments = opened(directory)
    written: list[bytes] = []
    for size, commit, kill in steps:
        written.append(append_beacon(segments, size))
        if commit:
            segments.commit()
        if kill:
            segments.close()
            segments = opened(directory)
            assert segments.size == segments.durable_size == len(written)
    segments.commit()
    found: list[bytes] = []
    while batch := segments.read(len(found)):
        found += batch
    assert found == written


def test_appends_go_on_while_another_thread_commits(tmp_path: Path) -> None:
    """Two thousand appends beside commits in another thread: nothing is lost or reordered."""
    made = station(tmp_path)
    done = threading.Event()

    def commits() -> int:
        while not done.is_set():
            made.log.commit()
        return made.log.commit()

    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(commits)
        made.read_meter(2000)
        done.set()
        assert last.result() == 2002
    made.sign()
    assert made.verify().verdict == "intact"
