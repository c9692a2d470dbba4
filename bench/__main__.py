"""``make bench``: runs the benchmarks, prints a table, and writes it to ``bench/results.md``.

Each module here has ``rows()``, a list of {figure, goal, measured, comparison, met}. A comparison is measured in the
same run, since machines are noisy: quote ratios. ``python -m bench log bus`` runs only those.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MODULES = ("log", "device", "evidence", "bus", "delivery", "gateway", "keys", "meters", "chain")
RESULTS = Path(__file__).with_name("results.md")


def main(names: list[str]) -> int:
    rows: list[dict[str, Any]] = []
    for name in names or MODULES:
        print(f"bench {name} …", file=sys.stderr, flush=True)
        for row in importlib.import_module(f"bench.{name}").rows():
            rows.append(row)
            print(line(row), flush=True)
    if not names:
        RESULTS.write_text(_document(rows))
        print(f"written to {RESULTS}", file=sys.stderr)
    return 0


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    met = "yes" if row["met"] else "NO"
    return f"| {row['figure']} | {row['goal']} | {row['measured']} | {row['comparison']} | {met} |"


def _document(rows: list[dict[str, Any]]) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.release()}"
    head = [
        "# Benchmark results",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}: {machine}.",
        "A shared machine: compare figures of one run with each other, not with those of another machine.",
        "",
        "| figure | goal | measured | comparison in the same run | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*head, *map(line, rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
