"""A log with its writer and its retention, small packs, and a clock in days."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gateway.config.model import RetainConfig
from gateway.log.entry import Kind, decode
from gateway.log.log import Log
from gateway.pace import Policy
from gateway.reading import Moment
from gateway.retention import Retention
from gateway.writer import Writer
from tests.log_dir import Station

DAY_MS = 86_400_000
RULE = RetainConfig(days=400, days_min=31, free_mb=200, archive=None, fields_days=400)
PACK = 512
POLICY = Policy(commit_ms=10_000, commit_entries=64, checkpoint_ms=60_000, checkpoint_entries=256)


class Board:
    """A log with its writer and its retention, and a clock in days."""

    def __init__(self, state: Path, rule: RetainConfig = RULE) -> None:
        self.station = Station(state, segment_bytes=64 * 1024)
        self.log: Log = self.station.start()
        # Entries are written by the same clock.
        self.log._clock = self.now
        self.writer = Writer(self.log, self.station.signer, POLICY, self.now, lambda: None)
        self.rule = rule
        self.confirmed = 1 << 40
        self.quality = "S"
        self.retention = Retention(
            self.writer, self.station.directory, lambda: self.rule, lambda: self.confirmed, self.now, PACK
        )

    def now(self) -> Moment:
        moment = self.station.clock()
        return dataclasses.replace(moment, quality=self.quality)

    def later(self, days: int) -> None:
        self.station.clock.start_ms += days * DAY_MS

    async def live(self, entries: int) -> None:
        self.station.fill(entries // 32, 32)
        await self.writer.commit()
        await self.writer.checkpoint()

    async def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            await self.retention.round()
            await self.writer.commit()
            await self.writer.checkpoint()

    def manifests(self) -> list[tuple[int, int, str]]:
        found = [decode(data) for seq in self._seqs() for data in self.log.read(seq, seq + 1)]
        return [(entry.body[0], entry.body[1], entry.body[2]) for entry in found if entry.kind is Kind.MANIFEST]

    def _seqs(self) -> range:
        return range(self.log.packs.minimum_index(), self.log.durable_size)

    def minimum(self) -> int:
        return self.log.packs.minimum_index()
