"""``make bench-year``: a year of ten meters every ten seconds, written, packed and verified; ``docs/bench-year.md``.

The log is made as the gateway makes it at its default settings (a commit of ten entries, a checkpoint each sixth), but
without waiting, in memory where there is room; what is old is packed as the gateway packs it. ``BENCH_ENTRIES`` sets
how many entries (31,536,000). It takes half an hour of one core, and 5 GB.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import alone
from bench.__main__ import line
from bench.evidence import YEAR, costs, table_row, work_folder
from bench.evidence_work import database
from bench.site import Site
from gateway.log.pack import PACK_ENTRIES
from tests.parts import ROOT

ENTRIES = int(os.environ.get("BENCH_ENTRIES", str(YEAR)))
RESULT = ROOT / "docs" / "bench-year.md"
#: What is written before it is packed.
_STEP = 8 * PACK_ENTRIES
_LIMIT_S, _LIMIT_MB, _PROVE_S = 360, 200, 2


def main() -> int:
    with tempfile.TemporaryDirectory(dir=work_folder(ENTRIES // 4)) as name:
        site = Site(Path(name) / "site")
        rows = measured(site, written(site))
    RESULT.write_text(_document(rows))
    print(f"written to {RESULT}", file=sys.stderr)
    return 0


def measured(site: Site, vkey: str) -> list[dict[str, Any]]:
    """The figures of a year."""
    verified = alone.gateway("log", "verify", str(site.state), "--vkey", vkey)
    print(verified, file=sys.stderr, flush=True)
    proved = alone.gateway("--config", str(site.folder / "config.yaml"), "log", "prove", str(ENTRIES // 3))
    log_bytes = sum(path.stat().st_size for path in site.directory.iterdir())
    alone.bench("evidence_work", "copy", str(site.folder))
    scanned, scan = alone.bench("evidence_work", "scan", str(site.folder))
    base_bytes = database(site.folder).stat().st_size
    return [
        table_row(
            "`log verify`, one core",
            f"≤ {_LIMIT_S} s",
            f"{costs(verified)}, {ENTRIES / verified.cpu_s:,.0f} entries/s",
            "SQLite, all rows read in order and hashed with SHA-256 each, no tree, no signatures: "
            f"{scanned['seconds']:.0f} s",
            met=verified.cpu_s <= _LIMIT_S,
        ),
        table_row(
            "its memory",
            f"≤ {_LIMIT_MB} MB RSS",
            f"{verified.rss_mb:.0f} MB",
            f"SQLite: {scan.rss_mb:.0f} MB",
            met=verified.rss_mb <= _LIMIT_MB,
        ),
        table_row(
            "bytes on disk per entry",
            "less than SQLite",
            f"{log_bytes / ENTRIES:.1f}",
            f"SQLite: {base_bytes / ENTRIES:.1f}",
            met=log_bytes < base_bytes,
        ),
        table_row(
            "`log prove` of one entry, the whole command",
            "≤ 2 s",
            costs(proved),
            "SQLite proves nothing",
            met=proved.cpu_s <= _PROVE_S,
        ),
    ]


def _document(rows: list[dict[str, Any]]) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}"
    text = f"""\
# A year verified

Written by `make bench-year` on {datetime.now(UTC):%Y-%m-%d}: {machine}. A shared machine: what is compared with a
goal is processor time, and the time by the clock stands beside it.

The log: {ENTRIES:,} entries of ten one-point meters, a commit each ten, a checkpoint each sixty (what the default
settings make of a poll each ten seconds), packed as the gateway packs it, the newest entries in segments.

| figure | goal | measured | comparison in the same run | met |
| --- | --- | --- | --- | --- |
"""
    return text + "\n".join(map(line, rows)) + "\n"


def written(site: Site) -> str:
    """Makes the log; returns its verifier key."""
    site.begin()
    vkey = ""
    for size in [*range(_STEP, ENTRIES, _STEP), ENTRIES]:
        told, cost = alone.bench("evidence_work", "fill", str(site.folder), str(size), "default")
        vkey = str(told["vkey"])
        _, packing = alone.bench("evidence_work", "pack", str(site.folder))
        print(f"{size:,} entries: {cost.wall_s:.0f} + {packing.wall_s:.0f} s", file=sys.stderr, flush=True)
    return vkey


if __name__ == "__main__":
    sys.exit(main())
