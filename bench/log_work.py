"""What the log's benchmark runs in a process of its own, on one core: ``python -m bench.log_work WORK FOLDER ROUNDS``.

Each work prints one JSON list: what each round reached, in entries per second. The entries are readings of one point,
made before the clock starts; batches are of 64, each made durable before the next begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.keys.file import create_file_key
from gateway import durable
from gateway.clock import SystemClock
from gateway.log.entry import Kind
from gateway.log.log import Declared, Log, open_log
from gateway.log.note import VerifierKey
from gateway.log.signer_state import GuardedSigner
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.reading import Moment
from gateway.signing import KeyRequest

ORIGIN = "bench.example/log"
BATCH = 64
#: Batches in a round.
BATCHES = 400
PER_ROUND = BATCH * BATCHES

#: A reading as it comes from a meter: its moment and the body of its entry.
Batch = list[tuple[Moment, list[Any]]]


class Bench:
    """A gateway log with a key of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.directory = folder / "log"
        signer = create_file_key(KeyRequest(uri="file:key.pem", base=folder), durable.create_exclusively)
        self.key = VerifierKey.of(ORIGIN, signer.public_key)
        self.signer = GuardedSigner(signer, folder / "signer", ORIGIN)
        declared = Declared(
            origin=ORIGIN, software="bench", commit_ms=10_000, commit_entries=BATCH, vkeys=(self.key.text,)
        )
        self.log, _ = open_log(self.directory, declared, SystemClock(), bytes(16))

    def append(self, batch: Batch) -> None:
        """One batch, durable on return."""
        append_batch(self.log, batch)

    def sign(self) -> None:
        """A checkpoint of all that is durable."""
        tree = self.log.durable_tree()
        self.log.checkpoint(self.signer.sign_checkpoint(ORIGIN, tree.size, tree.root()))


def append_batch(log: Log, batch: Batch) -> None:
    for moment, body in batch:
        log.append(Kind.READING, body, moment)
    log.commit()
    log.prepare()


def readings(number: int, points: int = 1) -> list[Batch]:
    """The batches of round *number*."""
    clock, first = SystemClock(), number * PER_ROUND
    return [
        [(clock(), _body(first + batch * BATCH + place, points)) for place in range(BATCH)] for batch in range(BATCHES)
    ]


def _body(number: int, points: int) -> list[Any]:
    values = [2_300_000 + (number * 7 + point * 1013) % 100_000 for point in range(points)]
    return [1, [], [[0, value.to_bytes(4, "big"), value, -1] for value in values]]


class Sqlite:
    """The same bytes as blobs in SQLite, WAL, synchronous=FULL, 64 to a transaction."""

    def __init__(self, folder: Path) -> None:
        self._base = sqlite3.connect(folder / "base.sqlite", isolation_level=None)
        self._base.execute("pragma journal_mode=wal")
        self._base.execute("pragma synchronous=full")
        self._base.execute("create table entry (seq integer primary key, data blob not null)")
        self._seq = 0

    def append(self, batch: list[bytes]) -> None:
        """One batch, durable on return."""
        self._base.execute("begin")
        for data in batch:
            self._base.execute("insert into entry values (?, ?)", (self._seq, data))
            self._seq += 1
        self._base.execute("commit")

    def close(self) -> None:
        """Merges the write-ahead log into the database, as a clean end does."""
        self._base.close()


class JsonLines:
    """The same readings as lines of JSON, each with the hash of the one before; fsync after 64."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lines.json"
        self._file = self.path.open("ab")
        self._prev = ""

    def append(self, batch: Batch) -> None:
        """One batch, durable on return."""
        for moment, body in batch:
            points = [[status, raw.hex(), mantissa, exponent] for status, raw, mantissa, exponent in body[2]]
            item = {"prev": self._prev, "ns": moment.boottime_ns, "ms": moment.wall_ms, "body": [body[0], [], points]}
            line = json.dumps(item, sort_keys=True, separators=(",", ":")).encode()
            self._prev = hashlib.sha256(line).hexdigest()
            self._file.write(line + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def verify(self) -> int:
        """Parses each line, compares it with its own encoding and its prev; no tree, no signature."""
        prev, count = "", 0
        with self.path.open("rb") as file:
            for line in file:
                item = json.loads(line)
                again = json.dumps(item, sort_keys=True, separators=(",", ":")).encode()
                if item["prev"] != prev or again != line[:-1]:
                    raise SystemExit("the lines are not a chain")
                prev = hashlib.sha256(again).hexdigest()
                count += 1
        return count


def entry_bytes(number: int, points: int = 1) -> list[list[bytes]]:
    """The bytes of a round's entries, as the log would write them."""
    from gateway.log.entry import encode

    return [
        [encode(kind=Kind.READING, seq=number * PER_ROUND + n * BATCH + place, prev=bytes(32), boot=0, moment=moment,
                body=body) for place, (moment, body) in enumerate(batch)]
        for n, batch in enumerate(readings(number, points))
    ]  # fmt: skip


def rates(rounds: int, make: Callable[[int], list[Any]], append: Callable[[Any], None]) -> list[float]:
    """Entries per second of each round; what is appended is made before the clock starts."""
    found = []
    for number in range(rounds):
        batches = make(number)
        began = time.perf_counter()
        for batch in batches:
            append(batch)
        found.append(PER_ROUND / (time.perf_counter() - began))
    return found


def timed(work: Callable[[], int]) -> float:
    """Entries per second."""
    began = time.perf_counter()
    count = work()
    return count / (time.perf_counter() - began)


def append_rounds(folder: Path, rounds: int) -> list[float]:
    return rates(rounds, readings, Bench(folder).append)


def sqlite_rounds(folder: Path, rounds: int) -> list[float]:
    return rates(rounds, entry_bytes, Sqlite(folder).append)


def json_rounds(folder: Path, rounds: int) -> list[float]:
    return rates(rounds, readings, JsonLines(folder).append)


def verify_rounds(folder: Path, rounds: int) -> list[float]:
    bench = Bench(folder)
    for number in range(4):
        for place, batch in enumerate(readings(number)):
            bench.append(batch)
            if place % 4 == 3:
                bench.sign()
    bench.sign()

    def verify() -> int:
        report = verify_segments(bench.directory, Demands(keys=[bench.key]))
        if report.verdict != INTACT or report.signed_size != report.size:
            raise SystemExit(f"the log is not as it was written: {report}")
        return report.size

    return [timed(verify) for _ in range(rounds)]


def json_verify_rounds(folder: Path, rounds: int) -> list[float]:
    lines = JsonLines(folder)
    for number in range(4):
        for batch in readings(number):
            lines.append(batch)
    return [timed(lines.verify) for _ in range(rounds)]


WORKS: dict[str, Callable[[Path, int], list[float]]] = {
    "append": append_rounds,
    "append-sqlite": sqlite_rounds,
    "append-json": json_rounds,
    "verify": verify_rounds,
    "verify-json": json_verify_rounds,
}


def main() -> None:
    work, folder, rounds = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(json.dumps(WORKS[work](Path(folder), int(rounds))))


if __name__ == "__main__":
    main()
