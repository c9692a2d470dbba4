"""Two that take readings and make them durable: our log with its checkpoints, and SQLite; for ``bench.device``."""

from __future__ import annotations

import statistics
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from bench.log_work import ORIGIN, Sqlite
from bench.site import Readings, Schedule
from drivers.keys.file import create_file_key
from gateway import durable
from gateway.clock import SystemClock
from gateway.log.entry import Kind, encode
from gateway.log.log import Declared, open_log
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.signer_state import GuardedSigner
from gateway.reading import Moment
from gateway.signing import KeyRequest

_DEFINITIONS = list(range(3, 23, 2))


class Store(Protocol):
    """Takes readings on the device that is measured."""

    def append(self, count: int) -> None:
        """Takes the next readings of ten meters; not durable yet."""

    def commit(self) -> None:
        """They are durable on return."""

    def segments(self) -> int:
        """How many segments were made ready so far."""

    def close(self) -> None:
        """Ends in order."""


class OurLog:
    """The log; *signing* is ``none``, ``bare`` (checkpoints, without the signer's memory) or ``guarded``."""

    def __init__(self, folder: Path, schedule: Schedule, signing: str = "guarded") -> None:
        self._directory = folder / "log"
        self._signer = create_file_key(KeyRequest(uri="file:key.pem", base=folder), durable.create_exclusively)
        self._guarded = GuardedSigner(self._signer, folder / "signer", ORIGIN)
        key = VerifierKey.of(ORIGIN, self._signer.public_key)
        declared = Declared(origin=ORIGIN, software="bench", commit_ms=10_000, commit_entries=64, vkeys=(key.text,))
        self._log, _ = open_log(self._directory, declared, SystemClock(), bytes(16))
        self._readings = iter(Readings(_DEFINITIONS))
        self._schedule, self._signing = schedule, signing
        self._signed_size = self._log.size
        self._log.prepare()
        self._log.checkpoint(self._note(guarded=True))

    def append(self, count: int) -> None:
        """Takes readings, each written at once."""
        for moment, body in islice(self._readings, count):
            self._log.append(Kind.READING, body, moment)

    def commit(self) -> None:
        """Commits, makes the next segment ready and signs, as the writer does."""
        self._log.commit()
        self._log.prepare()
        if self._log.size - self._signed_size >= self._schedule.checkpoint:
            self._signed_size = self._log.size
            if self._signing != "none":
                # With the next commit, as the writer does it.
                self._log.checkpoint(self._note(guarded=self._signing == "guarded"), at_once=False)

    def _note(self, *, guarded: bool) -> bytes:
        tree = self._log.durable_tree()
        if guarded:
            return self._guarded.sign_checkpoint(ORIGIN, tree.size, tree.root())
        return sign_note(checkpoint_text(ORIGIN, tree.size, tree.root()), ORIGIN, self._signer)

    def segments(self) -> int:
        """Segment files, the spare among them."""
        return sum(1 for path in self._directory.iterdir() if path.name == "spare" or path.suffix == ".seg")

    def close(self) -> None:
        """Closes the files."""
        self._log.close()


class SqliteRows:
    """The same readings as blobs in SQLite (WAL, FULL), a transaction for each commit; no chain, no checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._base = Sqlite(folder)
        self._rows = map(row, Readings(_DEFINITIONS))
        self._taken: list[bytes] = []

    def append(self, count: int) -> None:
        """Takes rows; SQLite writes nothing before the commit anyway."""
        self._taken += islice(self._rows, count)

    def commit(self) -> None:
        """One transaction."""
        self._base.append(self._taken)
        self._taken = []

    def segments(self) -> int:
        """It has none."""
        return 0

    def close(self) -> None:
        """Merges the write-ahead log into the database."""
        self._base.close()


def row(reading: tuple[Moment, list[Any]]) -> bytes:
    """An entry's bytes."""
    moment, body = reading
    return encode(kind=Kind.READING, seq=100_000, prev=bytes(32), boot=1, moment=moment, body=body)


def own_bytes() -> float:
    """Bytes of an entry, on average."""
    return statistics.fmean(len(row(reading)) for reading in islice(Readings(_DEFINITIONS), 1000))
