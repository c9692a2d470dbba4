"""A process that opens SQLite: ``python -m bench.start_sqlite WORK FOLDER``; it imports nothing else.

``commit`` opens it and commits one row. ``kill`` commits a thousand transactions of one row, and begins another.
Either ends without closing anything, as a process that is killed.
"""

from __future__ import annotations

import os
import sqlite3
import sys

_ROWS = 1000


def main() -> None:
    work, folder = sys.argv[1:]
    base = sqlite3.connect(f"{folder}/base.sqlite", isolation_level=None)
    base.execute("pragma journal_mode=wal")
    base.execute("pragma synchronous=full" if work == "commit" else "pragma synchronous=off")
    for _ in range(1 if work == "commit" else _ROWS):
        insert(base)
    if work == "kill":
        base.execute("begin")
        insert(base)
    os._exit(0)


def insert(base: sqlite3.Connection) -> None:
    """One row of an entry's size."""
    base.execute("insert into entry select max(seq) + 1, zeroblob(81) from entry")


if __name__ == "__main__":
    main()
