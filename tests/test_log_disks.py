"""The log on small real disks: full, read-only, and one that refuses to confirm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import LogUnavailable
from gateway.log.segment import Segments
from gateway.log.tree import leaf_hash
from gateway.log.verify import Demands, verify_segments
from tests.log_damage import kinds, restart, signs_intact
from tests.log_dir import KEY
from tests.small_disks import KB, ext4, fill, tmpfs


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of a few MiB."""
    if request.param == "tmpfs":
        with tmpfs(tmp_path / "disk", 2048 * KB) as path:
            yield path
    else:
        with ext4(tmp_path / "image", 8192 * KB) as disk:
            yield disk.path


def test_a_full_disk_takes_alarms_to_the_end(small_disk: Path) -> None:
    """Readings stop with a clear error while there is room for alarms and checkpoints; freed space is used at once."""
    station = restart(small_disk / "state")
    station.read_meter(20)
    station.log.commit()
    station.sign()
    ballast = fill(small_disk)
    with pytest.raises(LogUnavailable, match="No space left"):
        station.log.prepare()
    with pytest.raises(LogUnavailable, match="No space left"):
        station.read_meter(5000)
    refused_at = station.log.size
    for _ in range(20):
        station.log.event("disk-full", 2, "log", "no room for readings")
    assert station.log.commit() == station.log.size == refused_at + 20
    station.sign()
    with pytest.raises(LogUnavailable):
        station.read_meter()
    ballast.unlink()
    station.log.prepare()
    station.read_meter(2000)
    assert station.log.commit() == refused_at + 2020
    signs_intact(station)
    station.log.close()


def test_a_disk_that_is_full_when_the_segment_fails_is_waited_for(tmp_path: Path) -> None:
    """No room for the entries of a segment that was given up: they wait in memory, and are there when there is room."""
    with ext4(tmp_path / "image", 8192 * KB) as disk:
        station = restart(disk.path / "state")
        station.read_meter(20)
        station.log.commit()
        station.read_meter(7)
        ballast = fill(disk.path)
        station.log._segments._failed = True
        with pytest.raises(LogUnavailable, match="confirms nothing"):
            station.log.commit()
        with pytest.raises(LogUnavailable, match="takes no entry"):
            station.read_meter()
        assert station.log.durable_size == 22
        ballast.unlink()
        assert station.log.commit() > 29
        assert "disk-failure" in kinds(station)
        signs_intact(station)
        station.log.close()


def test_a_file_system_that_turned_read_only_keeps_what_was_confirmed(tmp_path: Path) -> None:
    """The kernel makes ext4 read-only after an error: entries are refused, reads go on, the next mount has all."""
    with ext4(tmp_path / "image", 8192 * KB) as disk:
        station = restart(disk.path / "state")
        station.read_meter(50)
        station.log.commit()
        station.sign()
        kept = station.entries()
        disk.abort()
        with pytest.raises(LogUnavailable, match="Read-only"):
            station.read_meter(2000)
        with pytest.raises(LogUnavailable, match="confirms nothing"):
            station.log.commit()
        assert station.entries() == kept
        station.log.close()
        disk.unmount()
        disk.mount()
        again = restart(disk.path / "state")
        assert again.entries()[: len(kept)] == kept
        assert again.found.closed is None
        signs_intact(again)
        again.log.close()


def test_a_read_only_disk_is_named_at_the_start(tmp_path: Path) -> None:
    """A start on a read-only disk says so, changes nothing, and works when the disk can be written."""
    with tmpfs(tmp_path / "disk", 2048 * KB) as path:
        station = restart(path / "state")
        station.read_meter(10)
        station.stop()
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        with pytest.raises(LogUnavailable, match="Read-only"):
            restart(path / "state")
        subprocess.run(["mount", "-o", "remount,rw", str(path)], check=True)
        again = restart(path / "state")
        assert again.found.how == "clean"
        signs_intact(again)
        again.log.close()


def test_a_copy_that_the_disk_refuses_stops_and_can_be_started_again(tmp_path: Path) -> None:
    """A copy holds no entry of its own about a disk: it takes nothing more, and the next start goes on."""
    station = restart(tmp_path / "own")
    station.read_meter(30)
    station.stop()
    entries = station.entries()
    copy = Segments(tmp_path / "copy", station.log.origin, segment_bytes=64 * KB, copy=True)
    (tmp_path / "copy").mkdir()
    for data in entries[:10]:
        copy.append(data, leaf_hash(data))
    copy.commit()
    for data in entries[10:20]:
        copy.append(data, leaf_hash(data))
    # A descriptor that is gone makes fdatasync(2) fail as a disk does.
    os.close(copy._fd)
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="did not confirm"):
            copy.commit()
    with pytest.raises(LogUnavailable, match="takes no entry"):
        copy.append(entries[20], leaf_hash(entries[20]))
    assert copy.durable_size == 10
    again = Segments.open(tmp_path / "copy")
    for data in entries[again.size :]:
        again.append(data, leaf_hash(data))
    assert station.log.newest_checkpoint is not None
    again.checkpoint(station.log.newest_checkpoint)
    again.commit()
    assert verify_segments(tmp_path / "copy", Demands(keys=[KEY])).verdict == "intact"
