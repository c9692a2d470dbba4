"""``make lab-days``: 400 days of ten meters on a 4 GB partition, then a full disk; writes ``docs/lab-days.md``.

``LAB_DAYS`` and ``LAB_POINTS`` set how many days (400), and points in a reading (1). It takes half an hour.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.config.model import RetainConfig
from tests.long_retention import Life, Lived, live
from tests.parts import ROOT
from tests.small_disks import ext4

DAYS = int(os.environ.get("LAB_DAYS", "400"))
POINTS = int(os.environ.get("LAB_POINTS", "1"))
DISK = 4 << 30
RULE = RetainConfig(days=400, days_min=31, free_mb=200, archive=None, fields_days=400)
RESULT = ROOT / "docs" / "lab-days.md"


def _row(what: str, lived: Lived) -> str:
    used, free = lived.used_bytes >> 20, lived.free_bytes >> 20
    return (
        f"| {what} | {lived.entries:,} | {lived.kept_days:.1f} | {used:,} MB, {free:,} MB free | {lived.refused:,} | "
        f"{lived.report.verdict}, {lived.report.pruned:,} pruned |"
    )


def main() -> int:
    began_s = time.monotonic()
    life = Life(rule=RULE, days=DAYS, full_days=1, points=POINTS)
    with tempfile.TemporaryDirectory(prefix="lab-") as folder, ext4(Path(folder) / "image", DISK) as disk:
        roomy, full, after = live(disk.path, life)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}"
    minutes = (time.monotonic() - began_s) / 60
    lines = [
        "# Four hundred days on a small partition",
        "",
        "`make lab-days` lets the real log, packs, retention and file system live through the days by a clock set by",
        f"hand: ten meters, a reading of {POINTS} point(s) each every 10 s, commits of ten readings, a checkpoint a",
        "minute, an ext4 of 4 GB, `retain: {days: 400, days_min: 31, free_mb: 200}`. Then somebody else fills the disk",
        "for a day, and frees it.",
        "",
        f"Written by `make lab-days` on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes: {machine}.",
        "",
        "| when | entries | days kept | disk | readings refused | log verify |",
        "| --- | --- | --- | --- | --- | --- |",
        _row(f"after {DAYS} days", roomy),
        _row("after a day on a full disk", full),
        _row("after two hours with room again", after),
    ]
    print("\n".join(lines))
    if DAYS == 400:
        RESULT.write_text("\n".join(lines) + "\n")
    return 0 if {lived.report.verdict for lived in (roomy, full, after)} == {"intact"} else 1


if __name__ == "__main__":
    sys.exit(main())
