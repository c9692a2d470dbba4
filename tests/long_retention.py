"""Years of a gateway in minutes: ten meters every ten seconds on a small partition, packed, pruned, and at last full.

The log, its files, the packs, the retention and the file system are the real ones; the clock is set by hand, and
nothing is synced, since this is about room and not about power cuts. Readings have twelve points as a three-phase
meter gives them: float registers and the decimals they stand for, counters that rise and values that wander.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import describe, durable
from gateway.config.model import RetainConfig
from gateway.errors import LogUnavailable
from gateway.log.entry import Kind
from gateway.log.log import Declared, open_log
from gateway.log.note import VerifierKey
from gateway.log.signer_state import GuardedSigner
from gateway.log.verify import Demands, Report, verify_segments
from gateway.pace import Policy
from gateway.reading import Moment
from gateway.retention import Retention
from gateway.writer import Writer
from tests.log_keys import Ed25519Signer
from tests.small_disks import fill

ORIGIN = "example.org/long"
KEY = VerifierKey.of(ORIGIN, Ed25519Signer().public_key)
DECLARED = Declared(origin=ORIGIN, software="lab", commit_ms=10_000, commit_entries=64, vkeys=(KEY.text,))
METERS = 10
_START_MS = 1_700_000_000_000
_POLICY = Policy(commit_ms=10_000, commit_entries=64, checkpoint_ms=60_000, checkpoint_entries=256)


class _Clock:
    """Set by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> Moment:
        return Moment(boottime_ns=self.ms * 1_000_000, wall_ms=_START_MS + self.ms, quality="S", error_ms=5)


def bodies(points: int, seed: int) -> Iterator[list[Any]]:
    """Reading bodies of the meters in turn, without end."""
    rng = random.Random(seed)
    values = [[rng.randrange(100_000) for _ in range(points)] for _ in range(METERS)]
    while True:
        for meter, row in enumerate(values):
            made = []
            for place, value in enumerate(row):
                step = rng.randrange(3) if place < points // 3 else rng.randrange(-20, 21)
                row[place] = max(0, value + step)
                made.append([0, struct.pack(">f", row[place] / 100), row[place], -2])
            yield [1 + meter, [], made]


@dataclass(frozen=True, kw_only=True)
class Life:
    """What is lived: days with room, then days on a disk that somebody else has filled."""

    rule: RetainConfig
    days: float
    full_days: float
    period_s: int = 10
    points: int = 12
    seed: int = 1
    pack_entries: int = 65_536


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What became of it."""

    entries: int
    #: Days from the oldest entry that is still there to the newest.
    kept_days: float
    used_bytes: int
    free_bytes: int
    #: Readings that the log did not take.
    refused: int
    report: Report


class Board:
    """One gateway's log on the file system at *folder*."""

    def __init__(self, folder: Path, life: Life) -> None:
        self.clock = _Clock()
        self.folder = folder
        self.directory = folder / "state" / "log"
        self._life = life
        self._signer = GuardedSigner(Ed25519Signer(), folder / "signer", ORIGIN)
        self.log, _ = open_log(self.directory, DECLARED, self.clock, bytes(16))
        self._writer = Writer(self.log, self._signer, _POLICY, self.clock, lambda: None)
        self._retention = Retention(
            self._writer,
            self.directory,
            lambda: life.rule,
            lambda: self.log.durable_size,
            self.clock,
            life.pack_entries,
        )
        self._bodies = bodies(life.points, life.seed)
        self._refused = 0

    async def live(self, days: float) -> None:
        """Polls, commits, signs each minute; retention has a round each quarter of an hour."""
        period_s = self._life.period_s
        for _ in range(int(days * 86_400 / period_s)):
            before_ms = self.clock.ms
            self.clock.ms += period_s * 1000
            for _ in range(METERS):
                body = next(self._bodies)
                try:
                    self.log.append(Kind.READING, body)
                except LogUnavailable:
                    self._refused += 1
            self.log.commit()
            with contextlib.suppress(LogUnavailable):
                # The disk is full; the next commit asks again, as the writer's does.
                self.log.prepare()
            if self.clock.ms // 60_000 != before_ms // 60_000:
                self._sign()
            if self.clock.ms // 900_000 != before_ms // 900_000:
                await self._retention.round()
                await self._writer.commit()

    async def notice(self) -> None:
        """A gateway asks for room with each commit, some seconds apart."""
        await self._writer.commit()

    def _sign(self) -> None:
        tree = self.log.durable_tree()
        note = self._signer.sign_checkpoint(ORIGIN, tree.size, tree.root())
        # On a full disk a checkpoint may have to wait for the next one.
        with contextlib.suppress(LogUnavailable):
            self.log.checkpoint(note, at_once=False)

    def look(self) -> Lived:
        """How it is now."""
        self._sign()
        self.log.commit()
        disk = describe.disk(self.folder)
        left = self.log.durable_size - self.log.packs.minimum_index()
        return Lived(
            entries=self.log.durable_size,
            kept_days=left * self._life.period_s / METERS / 86_400,
            used_bytes=disk["total_bytes"] - disk["free_bytes"],
            free_bytes=disk["free_bytes"],
            refused=self._refused,
            report=verify_segments(self.directory, Demands(keys=[KEY])),
        )


def live(folder: Path, life: Life) -> tuple[Lived, Lived, Lived]:
    """How it was after the days with room, after those on the full disk, and when there was room again."""
    board = Board(folder, life)

    async def lived() -> tuple[Lived, Lived, Lived]:
        await board.live(life.days)
        roomy = board.look()
        foreign = fill(folder)
        await board.live(life.full_days)
        full = board.look()
        foreign.unlink()
        await board.notice()
        await board.live(0.1)
        return roomy, full, board.look()

    kept = durable.sync_file
    # Nothing is cut off here, and four million commits need not reach the disk.
    durable.sync_file = lambda _fd: None
    try:
        return asyncio.run(lived())
    finally:
        durable.sync_file = kept
        board.log.close()
