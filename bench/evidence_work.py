"""What the benchmark of long logs runs in a process of its own: ``python -m bench.evidence_work WORK FOLDER …``.

Each work prints one JSON value. FOLDER is that of a ``bench.site.Site``; the SQLite database beside it holds the same
entries as rows (seq integer primary key, data blob).
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bench.site import BATCHES, DEFAULT, Site
from drivers.keys.file import open_file_key
from gateway import durable
from gateway.log.files import SegmentFiles
from gateway.log.note import parse_checkpoint
from gateway.log.pack import PACK_ENTRIES
from gateway.log.packs import Packs
from gateway.log.proof import verify_proof, write_proof
from gateway.log.reader import note_size
from gateway.log.scan import segment_starts
from gateway.log.seal import seal
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from gateway.signing import KeyRequest, Purpose
from gateway.views.cose import Proved, receipt
from gateway.views.evidence import proof
from tests.whole import ORIGIN

SCHEDULES = {"batches": BATCHES, "default": DEFAULT}
_ROWS_A_TRANSACTION = 10_000
#: Entries whose own bytes are counted.
_SAMPLE = 5000


def database(folder: Path) -> Path:
    """The SQLite file beside a site's log."""
    return folder / "base.sqlite"


def fill(folder: Path, size: str, schedule: str) -> dict[str, Any]:
    """A log of *size* entries; the last commit is behind it, and no clean stop."""
    appender = Site(folder).open()
    appender.fill(int(size), SCHEDULES[schedule])
    appender.close()
    return {"size": appender.log.size, "vkey": appender.key.text}


def copy(folder: Path) -> int:
    """The same entries as rows of SQLite (WAL, FULL); many to a transaction, since this is no measurement."""
    base = connect(folder)
    base.execute("create table entry (seq integer primary key, data blob not null)")
    rows = enumerate(LogView(Site(folder).directory).entries())
    while batch := list(islice(rows, _ROWS_A_TRANSACTION)):
        base.execute("begin")
        base.executemany("insert into entry values (?, ?)", batch)
        base.execute("commit")
    base.close()
    return database(folder).stat().st_size


def connect(folder: Path) -> sqlite3.Connection:
    """The database as a careful program opens it."""
    base = sqlite3.connect(database(folder), isolation_level=None)
    base.execute("pragma journal_mode=wal")
    base.execute("pragma synchronous=full")
    return base


def prove(folder: Path, count: str) -> dict[str, Any]:
    """Milliseconds and bytes of proofs of random entries under the newest checkpoint, each made and then checked."""
    view, key, sign = _opened(folder)
    checkpoint = parse_checkpoint(view.newest_checkpoint or b"")
    times: dict[str, Times] = {"made": Times(), "checked": Times(), "opened": Times()}
    sizes: dict[str, list[int]] = {"C2SP": [], "COSE": []}
    for seq in _seqs(checkpoint.size, int(count)):
        with times["opened"]:
            LogView(Site(folder).directory)
        with times["made"]:
            entry, hashes = proof(view, seq, checkpoint)
            data = write_proof(seq, entry, hashes, checkpoint.note)
        with times["checked"]:
            result = verify_proof(data, [key])
        assert (result.entry, result.index) == (entry, seq)
        sizes["C2SP"].append(len(data))
        proved = [Proved(seq=seq, hashes=hashes)]
        sizes["COSE"].append(len(entry) + len(receipt(checkpoint=checkpoint, proved=proved, key=key, sign=sign)))
    return {"times": {what: taken.told() for what, taken in times.items()}, "sizes": sizes}


def prove_first(folder: Path, count: str) -> dict[str, Any]:
    """Bytes of proofs of random entries under the first checkpoint that covers them; the log is not packed."""
    view, key, _ = _opened(folder)
    sizes = []
    for seq in _seqs(view.size, int(count)):
        checkpoint = parse_checkpoint(view.first_checkpoint(seq) or view.newest_checkpoint or b"")
        entry, hashes = proof(view, seq, checkpoint)
        data = write_proof(seq, entry, hashes, checkpoint.note)
        assert verify_proof(data, [key]).entry == entry
        sizes.append(len(data))
    return {"sizes": sizes}


def _opened(folder: Path) -> tuple[LogView, VerifierKey, Callable[[bytes], bytes]]:
    site = Site(folder)
    signer = open_file_key(KeyRequest(uri="file:device-key.pem", base=site.state, purpose=Purpose.RECEIPT))
    key = VerifierKey.of(ORIGIN, signer.public_key)
    return LogView(site.directory), key, lambda message: signer.sign(Purpose.RECEIPT, message)


def _seqs(size: int, count: int) -> list[int]:
    return random.Random(5).sample(range(size), count)


class Times:
    """What each block under it took, in milliseconds: by the clock, and of processor time."""

    def __init__(self) -> None:
        self._wall: list[float] = []
        self._cpu: list[float] = []
        self._began = 0, 0

    def __enter__(self) -> None:
        self._began = time.perf_counter_ns(), time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self._cpu.append((time.thread_time_ns() - self._began[1]) / 1e6)
        self._wall.append((time.perf_counter_ns() - self._began[0]) / 1e6)

    def told(self) -> dict[str, list[float]]:
        """All of them."""
        return {"wall": self._wall, "cpu": self._cpu}


def select(folder: Path, count: str) -> dict[str, Any]:
    """Milliseconds of fetching random rows by their primary key."""
    base, times = connect(folder), Times()
    rows = base.execute("select max(seq) + 1 from entry").fetchone()[0]
    for seq in _seqs(rows, int(count)):
        with times:
            found = base.execute("select data from entry where seq = ?", (seq,)).fetchone()
        assert found
    return {"times": times.told()}


def scan(folder: Path) -> dict[str, Any]:
    """Seconds of going through all rows in order, each hashed with SHA-256: a chain without tree and signatures."""
    base, count, prev = connect(folder), 0, bytes(32)
    began = time.perf_counter()
    for (data,) in _rows(base):
        prev = hashlib.sha256(prev + data).digest()
        count += 1
    return {"rows": count, "seconds": time.perf_counter() - began}


def _rows(base: sqlite3.Connection) -> Iterator[tuple[bytes]]:
    return iter(base.execute("select data from entry order by seq"))


def pack(folder: Path) -> dict[str, Any]:
    """Packs all that the gateway would pack, pack by pack, and removes what is then in packs."""
    directory = Site(folder).directory
    view = LogView(directory)
    signed, end = note_size(view.newest_checkpoint or b""), Packs(directory).end_seq + PACK_ENTRIES
    own = statistics.fmean(map(len, view.entries(view.size - _SAMPLE)))
    while end < signed:
        seal(directory, end)
        end += PACK_ENTRIES
    files = SegmentFiles(directory, 0)
    files.starts[:] = segment_starts(directory)
    durable.remove(files.drop_below(end - PACK_ENTRIES))
    return {"entries": end - PACK_ENTRIES, "bytes": own}


WORKS: dict[str, Callable[..., Any]] = {
    "fill": fill,
    "copy": copy,
    "prove": prove,
    "prove-first": prove_first,
    "select": select,
    "scan": scan,
    "pack": pack,
}


def main() -> None:
    work, folder, *rest = sys.argv[1:]
    print(json.dumps(WORKS[work](Path(folder), *rest)))


if __name__ == "__main__":
    main()
