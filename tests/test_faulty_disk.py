"""The simulated disk has teeth: a log that does one thing wrong loses on it what it had confirmed."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from gateway import durable
from tests.faulty_disk import SECTOR, Fault, FaultyDisk
from tests.log_dir import Station


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    found = FaultyDisk(tmp_path)
    with found.installed():
        yield found


class WorstLuck(random.Random):
    """Nothing is kept that was not confirmed."""

    def choice(self, values: list[float]) -> float:  # type: ignore[override]
        return values[0]

    def random(self) -> float:
        return 1.0

    def randint(self, low: int, high: int) -> int:
        return low


def forgets(_: object) -> None:
    """Syncs nothing."""


def tries_again(fd: int) -> None:
    """Takes the second answer of a disk that refused the first time."""
    try:
        os.fdatasync(fd)
    except OSError:
        os.fdatasync(fd)


def kept(disk: FaultyDisk, **planted: Callable[..., None]) -> tuple[int, int]:
    """Entries confirmed by a log with something planted, one sync of whose disk fails; and how many a cut leaves."""
    station = Station(disk.directory / "state")
    station.start()
    station.fill(4, sign_every=9)
    with mock.patch.multiple(durable, **planted) if planted else contextlib.nullcontext():
        station.read_meter(40)
        disk.faults["fdatasync"] = Fault(code=errno.EIO, after=0, times=1, works=False)
        station.log.commit()
        confirmed = station.log.durable_size
    station.log.close()
    disk.cut(WorstLuck())
    again = Station(disk.directory / "state")
    again.start()
    again.log.close()
    # Without the entry of the second start.
    return confirmed, min(confirmed, again.log.size - 1)


def test_the_real_log_keeps_what_it_confirmed(disk: FaultyDisk) -> None:
    """The same run without anything planted: the refused entries went into a new segment."""
    confirmed, left = kept(disk)
    assert left == confirmed > 60


@pytest.mark.parametrize(
    "planted",
    [{"sync_file": forgets}, {"sync_directory": forgets}, {"sync_file": tries_again}],
    ids=["no-fdatasync", "no-directory-fsync", "fdatasync-again-after-a-failure"],
)
def test_a_log_that_does_it_wrong_loses_entries(disk: FaultyDisk, planted: dict[str, Callable[..., None]]) -> None:
    """Each of them would pass on a disk that only ever says yes."""
    confirmed, left = kept(disk, **planted)
    assert left < confirmed


def test_a_sector_that_was_not_synced_is_any_of_its_versions(disk: FaultyDisk) -> None:
    """Old, new and in between are all met; what was synced is never lost; a whole sector is one version."""
    path, seen = disk.directory / "file", set()
    for seed in range(200):
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for letter in b"ab":
            os.pwrite(fd, bytes([letter]) * SECTOR, 0)
        os.fdatasync(fd)
        durable.sync_directory(disk.directory)
        for letter in b"cd":
            os.pwrite(fd, bytes([letter]) * SECTOR, 0)
        os.close(fd)
        disk.cut(random.Random(seed))
        seen.add(path.read_bytes())
    assert seen == {bytes([letter]) * SECTOR for letter in b"bcd"}
