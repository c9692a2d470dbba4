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
#: Segments that one measurement fills: it ends when the next spare is made, so that each is counted whole.
SEGMENTS = 12
#: Rows of SQLite.
ROWS = 24_000
#: Polls of the measurement in real time: two minutes.
POLLS = 12
SECTOR = 512
#: ext4 is not to write its inode tables meanwhile (ext4(5)).
_QUIET = "noinit_itable"
_USUAL_S, _SELDOM_S = 5, 300
_READINGS = _SELDOM_S * 1000 // POLL_MS * METERS


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
    found = {
        signing: measured(
            lambda folder, signing=signing: OurLog(folder, schedule, signing),  # type: ignore[misc]
            lambda store: _segments_filled(store, schedule),
        )
        for signing in ("none", "bare", "guarded")
    }
    return {**found, "sqlite": measured(SqliteRows, lambda store: _rows_written(store, schedule))}


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
    ours: Callable[[Path], Store] = lambda folder: OurLog(folder, DEFAULT)  # noqa: E731
    cases = [(ours, _USUAL_S), (ours, _SELDOM_S), (SqliteRows, _USUAL_S), (SqliteRows, _SELDOM_S)]
    with ThreadPoolExecutor(len(cases)) as threads:
        found = list(threads.map(_measured_in_real_time, cases))
    usual, seldom = (written.rest + spares for written in found[:2])
    return {
        "figure": f"the same at the default settings, in real time for {POLLS * POLL_MS // 1000} s, ext4 with its own "
        "writing of file times",
        "goal": "≤ 1,000 per reading",
        "measured": f"{usual:.0f}; mounted with commit={_SELDOM_S} {seldom:.0f}; of either, zero-filling {spares:.0f}",
        "comparison": f"SQLite WAL FULL: {found[2].device:.0f}; mounted with commit={_SELDOM_S} {found[3].device:.0f}",
        "met": usual <= 1000,
    }


def measured(
    make: Callable[[Path], Store], work: Callable[[Store], int], options: str = _QUIET, *, flushed_after: int = 0
) -> Written:
    """Bytes per reading of *work*, which tells how many it wrote, on a fresh ext4 mounted with *options*.

    A sync at the end counts as part of it; or, where *flushed_after* is given, as what that many readings cost.
    """
    with tempfile.TemporaryDirectory() as folder, ext4(Path(folder) / "image", DISK) as disk:
        run("mount", "-o", f"remount,{options}", str(disk.path))
        store = make(disk.path)
        _sync(disk)
        began, segments = _sectors(disk), store.segments()
        count = work(store)
        ended = _sectors(disk)
        _sync(disk)
        flushed = (_sectors(disk) - ended) * SECTOR / (flushed_after or count)
        written = Written(
            device=(ended - began) * SECTOR / count + flushed,
            spares=(store.segments() - segments) * SEGMENT_BYTES / count,
        )
        store.close()
        return written


def _segments_filled(store: Store, schedule: Schedule) -> int:
    count, enough = 0, store.segments() + SEGMENTS
    while store.segments() < enough:
        count += _committed(store, schedule)
    return count


def _rows_written(store: Store, schedule: Schedule) -> int:
    count = 0
    while count < ROWS:
        count += _committed(store, schedule)
    store.close()
    return count


def _committed(store: Store, schedule: Schedule) -> int:
    store.append(schedule.commit)
    store.commit()
    return schedule.commit


def _measured_in_real_time(case: tuple[Callable[[Path], Store], int]) -> Written:
    """*case* is what is measured, and the mount option ``commit``: after how many seconds the journal is written.

    What is left for a sync at the end would be written each 300 seconds, or more seldom.
    """
    make, journal_s = case
    return measured(make, _in_real_time, f"{_QUIET},commit={journal_s}", flushed_after=_READINGS)


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
        # Behind the last one too: the journal takes its time.
        time.sleep(max(0.0, due_s + POLL_MS / 1000 - time.monotonic()))
    return POLLS * METERS


def _sync(disk: Ext4) -> None:
    """syncfs(2) of this file system, and of no other."""
    run("sync", "--file-system", str(disk.path))


def _sectors(disk: Ext4) -> int:
    """Sectors written (Documentation/block/stat.rst, field 7)."""
    return int(Path(f"/sys/block/{disk.device()}/stat").read_text().split()[6])
