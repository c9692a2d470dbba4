"""What a reading costs the block device when ten meters are read every ten seconds, and where those bytes go.

The schedule is the writer's at the default settings: a commit of ten entries, a checkpoint each sixth, with the
signer's memory, spare segments and node files as they are. Bytes are the sectors written to a loop device with an ext4
of its own, as the kernel counts them. The log begins and ends with a spare made ready.

It is measured twice. Without waiting, all that the gateway itself causes is counted. In real time comes what ext4 does
on its own: each write changes the time of a file, and the journal takes that up each five seconds, at some 12 kB a
time. ``lazytime`` does not spare it (Linux 6.18); the mount option ``commit=300`` does, and takes nothing from what
the gateway promises, since an fdatasync(2) waits for all that its own data needs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.device_work import OurLog, SqliteRows, Store, own_bytes
from bench.site import BATCHES, DEFAULT, METERS, POLL_MS, Schedule
from gateway.log.segment import SEGMENT_BYTES
from tests.small_disks import Ext4, ext4, run

DISK = 256 << 20
#: Entries of one measurement: about ten segments at the default settings.
ENTRIES = 24_000
#: Polls of the measurement in real time: two minutes.
POLLS = 12
SECTOR = 512
#: ext4 is not to write its inode tables meanwhile.
_QUIET = "noinit_itable"
_SELDOM = "commit=300"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Bytes per reading."""

    #: All that the device was given.
    device: float
    #: Of that, zeroes that made segments ready.
    spares: float

    @property
    def rest(self) -> float:
        """Without them."""
        return self.device - self.spares


def rows() -> list[dict[str, Any]]:
    """The device's figures."""
    usual = _bytes_of(DEFAULT)
    return [
        _row(DEFAULT, "ten meters every 10 s, default settings", 1000, usual),
        _row(BATCHES, "batches of 64", 300, _bytes_of(BATCHES)),
        _real_time_row(usual["guarded"].spares),
    ]


def _bytes_of(schedule: Schedule) -> dict[str, Written]:
    stores: dict[str, Callable[[Path], Store]] = {
        "none": lambda folder: OurLog(folder, schedule, "none"),
        "bare": lambda folder: OurLog(folder, schedule, "bare"),
        "guarded": lambda folder: OurLog(folder, schedule),
        "sqlite": SqliteRows,
    }
    return {name: measured(make, lambda store: _at_once(store, schedule)) for name, make in stores.items()}


def _row(schedule: Schedule, what: str, goal: int, found: dict[str, Written]) -> dict[str, Any]:
    bare, signed, whole = found["none"], found["bare"], found["guarded"]
    return {
        "figure": f"bytes on the block device per one-point reading of {own_bytes():.0f} bytes, {what}: a commit each "
        f"{schedule.commit}, a checkpoint each {schedule.checkpoint}; without waiting",
        "goal": f"≤ {goal:,} per reading",
        "measured": f"{whole.device:.0f}: entries {bare.rest:.0f}, checkpoints {signed.rest - bare.rest:.0f}, the "
        f"signer's memory {whole.rest - signed.rest:.0f}, zero-filling of segments {whole.spares:.0f}",
        "comparison": f"SQLite WAL FULL, the same batches, no checkpoints: {found['sqlite'].device:.0f}",
        "met": whole.device <= goal,
    }


def _real_time_row(spares: float) -> dict[str, Any]:
    """All at the same time, since it takes minutes; *spares* is added, since that little fills no segment."""
    cases: list[tuple[Callable[[Path], Store], str]] = [
        (lambda folder: OurLog(folder, DEFAULT), _QUIET),
        (lambda folder: OurLog(folder, DEFAULT), f"{_QUIET},{_SELDOM}"),
        (SqliteRows, _QUIET),
        (SqliteRows, f"{_QUIET},{_SELDOM}"),
    ]
    with ThreadPoolExecutor(len(cases)) as threads:
        found = list(threads.map(lambda case: measured(case[0], _in_real_time, case[1]), cases))
    ours, seldom = (written.rest + spares for written in found[:2])
    return {
        "figure": f"the same at the default settings, in real time for {POLLS * POLL_MS // 1000} s, ext4 with its own "
        "writing of file times",
        "goal": "≤ 1,000 per reading",
        "measured": f"{ours:.0f}; mounted with {_SELDOM} {seldom:.0f}; of either, zero-filling {spares:.0f}",
        "comparison": f"SQLite WAL FULL: {found[2].device:.0f}; mounted with {_SELDOM} {found[3].device:.0f}",
        "met": ours <= 1000,
    }


def measured(make: Callable[[Path], Store], work: Callable[[Store], int], options: str = _QUIET) -> Written:
    """Bytes per reading of *work*, which tells how many it wrote, on a fresh ext4 mounted with *options*."""
    with tempfile.TemporaryDirectory() as folder, ext4(Path(folder) / "image", DISK) as disk:
        run("mount", "-o", f"remount,{options}", str(disk.path))
        store = make(disk.path)
        _sync(disk)
        sectors, segments = _sectors(disk), store.segments()
        count = work(store)
        _sync(disk)
        written = Written(
            device=(_sectors(disk) - sectors) * SECTOR / count,
            spares=(store.segments() - segments) * SEGMENT_BYTES / count,
        )
        store.close()
        return written


def _at_once(store: Store, schedule: Schedule) -> int:
    count = ENTRIES - ENTRIES % schedule.commit
    for _ in range(0, count, schedule.commit):
        store.append(schedule.commit)
        store.commit()
    store.close()
    return count


def _in_real_time(store: Store) -> int:
    """A poll each ten seconds, its readings within a second; the commit four seconds after its begin."""
    began_s = time.monotonic()
    for poll in range(POLLS):
        due_s = began_s + poll * POLL_MS / 1000
        for _ in range(METERS):
            store.append(1)
            time.sleep(0.1)
        time.sleep(max(0.0, due_s + 4 - time.monotonic()))
        store.commit()
        time.sleep(max(0.0, due_s + POLL_MS / 1000 - time.monotonic()))
    return POLLS * METERS


def _sync(disk: Ext4) -> None:
    """syncfs(2) of this file system, and of no other."""
    run("sync", "--file-system", str(disk.path))


def _sectors(disk: Ext4) -> int:
    """Sectors written (Documentation/block/stat.rst, field 7)."""
    return int(Path(f"/sys/block/{disk.device()}/stat").read_text().split()[6])
