"""``log verify`` on a log with any one byte changed: tampered, with the entry named."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.scan import load, segment_starts
from gateway.log.verify import INTACT, TAMPERED, Demands, Report, verify_segments
from tests.log_dir import KEY, Station

ALL = os.environ.get("LOG_EVERY_BYTE") == "1"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A cleanly stopped log of three segments with several checkpoints."""
    made = Station(tmp_path_factory.mktemp("closed"), segment_bytes=24 * 1024)
    made.start()
    while len(made.files()) < 3:
        made.fill(2, entries=4, sign_every=2)
    made.stop()
    assert len(made.files()) == 3
    return made


def check(directory: Path) -> Report:
    return verify_segments(directory, Demands(keys=[KEY]))


def owners(path: Path, end: int) -> Iterator[tuple[int, set[int]]]:
    """(offset, seqs that may be named for it) of each byte: the entry that holds it or the next one."""
    contents = load(path)
    first, borders = contents.header.first_seq, [*contents.offsets, path.stat().st_size]
    for offset in range(borders[0]):
        yield offset, {first}
    for number, (start, stop) in enumerate(itertools.pairwise(borders)):
        seq = first + number
        for offset in range(start, stop):
            yield offset, {seq, min(seq + 1, end)}


def test_a_log_as_it_was_written_is_intact(closed: Station) -> None:
    """Every checkpoint counts, and the last one covers all."""
    report = check(closed.directory)
    assert report.verdict == INTACT
    assert report.size == report.signed_size == closed.log.size
    assert report.checkpoints >= 4
    assert report.first_bad_seq is report.reason is None


@pytest.mark.parametrize("number", range(3))
def test_any_changed_byte_is_named(closed: Station, tmp_path: Path, number: int) -> None:
    """Header, frame head, entry, checkpoint, padding, zero tail: the entry with the byte, or the next, is named.

    Every third byte that is not zero and every 97th zero; every byte with ``LOG_EVERY_BYTE=1``.
    """
    starts = [*segment_starts(closed.directory), closed.log.size]
    path = closed.files()[number]
    whole = path.read_bytes()
    rng = random.Random(number)
    with path.open("r+b", buffering=0) as file:
        for offset, seqs in owners(path, starts[number + 1]):
            if offset % (1 if ALL else 3 if whole[offset] else 97):
                continue
            file.seek(offset)
            file.write(bytes([whole[offset] ^ rng.randrange(1, 256)]))
            report = check(closed.directory)
            assert report.verdict == TAMPERED, f"byte {offset}"
            assert report.first_bad_seq in seqs, f"byte {offset}: {report}"
            file.seek(offset)
            file.write(whole[offset : offset + 1])
    assert check(closed.directory).verdict == INTACT
