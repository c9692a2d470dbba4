"""The log: how fast it takes entries and is verified on one core, and what an entry costs the block device.

Rates are of rounds in a process of its own; the machine has neighbours, so the best round is compared with the goal
and the median stands beside it. Bytes are the sectors written to a loop device with an ext4 of its own, as the kernel
counts them, from the first batch until all is synced: journal, zero-filling of segments and padding are in it. The log
begins and ends with a spare segment made ready.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.log_work import BATCH, PER_ROUND, Bench, Sqlite, entry_bytes, readings
from tests.small_disks import ext4

ROUNDS = 7
#: Rounds whose bytes are counted: some tens of segments.
COUNTED = 4
DISK = 256 << 20


def rows() -> list[dict[str, Any]]:
    """The log's figures."""
    return [append_row(), *bytes_rows(), verify_row()]


def _rates(work: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.log_work", work, folder, str(ROUNDS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(json.loads(done.stdout))


def _shown(rates: list[float]) -> str:
    return f"{max(rates):,.0f} entries/s (median {statistics.median(rates):,.0f})"


def append_row() -> dict[str, Any]:
    """Append with chain and tree."""
    ours, lines, sqlite = _rates("append"), _rates("append-json"), _rates("append-sqlite")
    return {
        "figure": f"append of one-point entries, chain and tree, one core, batches of {BATCH}",
        "goal": "≥ 50,000 entries/s",
        "measured": _shown(ours),
        "comparison": f"SQLite WAL FULL, the same bytes without hashing: {_shown(sqlite)}; "
        f"chained lines of JSON, fsync: {_shown(lines)}",
        "met": max(ours) >= 50_000,
    }


def verify_row() -> dict[str, Any]:
    """Verification of a whole log."""
    ours, lines = _rates("verify"), _rates("verify-json")
    return {
        "figure": "`log verify`, one-point entries, a checkpoint each 256, one core",
        "goal": "≥ 100,000 entries/s",
        "measured": _shown(ours),
        "comparison": f"chained lines of JSON, parsed and hashed, no tree, no signatures: {_shown(lines)}",
        "met": max(ours) >= 100_000,
    }


def bytes_rows() -> list[dict[str, Any]]:
    """Bytes on the block device."""
    one, twelve = (_own_bytes(points) for points in (1, 12))
    found = {points: _written(lambda folder, points=points: _log(folder, points)) for points in (1, 12)}  # type: ignore[misc]
    signed = _written(lambda folder: _log(folder, 1, sign=True))
    sqlite = {points: _written(lambda folder, points=points: _sqlite(folder, points)) for points in (1, 12)}  # type: ignore[misc]
    return [
        {
            "figure": f"bytes on the block device, one-point entries of {one:.0f} bytes",
            "goal": "≤ 300 per entry",
            "measured": f"{found[1]:.0f} ({signed:.0f} with a checkpoint each 256 and the signer's memory)",
            "comparison": f"SQLite WAL FULL: {sqlite[1]:.0f}",
            "met": found[1] <= 300,
        },
        {
            "figure": f"bytes on the block device, twelve-point entries of {twelve:.0f} bytes",
            "goal": "≤ 2.5 × their own bytes",
            "measured": f"{found[12]:.0f}, {found[12] / twelve:.2f} ×",
            "comparison": f"SQLite WAL FULL: {sqlite[12]:.0f}, {sqlite[12] / twelve:.2f} ×",
            "met": found[12] <= 2.5 * twelve,
        },
    ]


def _own_bytes(points: int) -> float:
    return statistics.fmean(len(data) for batch in entry_bytes(0, points) for data in batch)


def _written(prepare: Callable[[Path], Callable[[], None]]) -> float:
    """Bytes per entry that the device of a fresh file system was given for the work that *prepare* makes ready."""
    with tempfile.TemporaryDirectory() as folder, ext4(Path(folder) / "image", DISK) as disk:
        work = prepare(disk.path)
        os.sync()
        before = _sectors(disk.device())
        work()
        os.sync()
        return (_sectors(disk.device()) - before) * 512 / (COUNTED * PER_ROUND)


def _sectors(device: str) -> int:
    """Sectors written (Documentation/block/stat.rst, field 7)."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6])


def _log(folder: Path, points: int, *, sign: bool = False) -> Callable[[], None]:
    bench = Bench(folder)
    bench.log.prepare()

    def work() -> None:
        for number in range(COUNTED):
            for place, batch in enumerate(readings(number, points)):
                bench.append(batch)
                if sign and place % 4 == 3:
                    bench.sign()
        bench.log.close()

    return work


def _sqlite(folder: Path, points: int) -> Callable[[], None]:
    base = Sqlite(folder)

    def work() -> None:
        for number in range(COUNTED):
            for batch in entry_bytes(number, points):
                base.append(batch)
        base.close()

    return work


if __name__ == "__main__":
    for row in rows():
        print(row)
