"""A gateway's state directory with a long history, as ten meters write it every ten seconds, made without waiting.

The gateway itself makes the beginning: its key, its log and the definitions of its meters. The readings that follow
are appended as it would append them, through the same log and the same guarded signer, but their clock is wound by
hand: a poll of ten meters each ten seconds, some milliseconds apart, with counters that only grow. Seeded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from drivers.keys.file import open_file_key
from gateway.clock import SystemClock
from gateway.log.entry import Kind, decode
from gateway.log.log import Declared, Log, open_log
from gateway.log.note import VerifierKey
from gateway.log.signer_state import GuardedSigner
from gateway.reading import Moment
from tests.libmodbus import LibmodbusServer
from tests.served import serve
from tests.whole import ORIGIN, RunningGateway

METERS = 10
POLL_MS = 10_000
#: 1 March 2026, midnight UTC.
_FIRST_MS = 1_772_323_200_000
_MODEL = "eastron-sdm630"


class Schedule(NamedTuple):
    """When entries are committed, and when the log is signed; both in entries."""

    commit: int
    checkpoint: int


#: What the default settings make of ten meters every ten seconds: 10 s, and 60 s.
DEFAULT = Schedule(commit=10, checkpoint=60)
#: Batches as a backlog or many meters make them.
BATCHES = Schedule(commit=64, checkpoint=256)


class Readings:
    """Moments and bodies of readings, without an end."""

    def __init__(self, definitions: list[int], seed: int = 3) -> None:
        self._definitions = definitions
        self._random = random.Random(seed)
        self._polls = 0
        self._totals = [self._random.randrange(1_000_000, 90_000_000) for _ in definitions]

    def __iter__(self) -> Iterator[tuple[Moment, list[Any]]]:
        bits, totals = self._random.getrandbits, self._totals
        while True:
            self._polls += 1
            error_ms = 4 + bits(4)
            for number, definition in enumerate(self._definitions):
                after_ns = self._polls * POLL_MS * 1_000_000 + number * 30_000_000 + bits(23)
                totals[number] = total = totals[number] + bits(5)
                moment = Moment(
                    boottime_ns=after_ns, wall_ms=_FIRST_MS + after_ns // 1_000_000, quality="S", error_ms=error_ms
                )
                yield moment, [definition, [], [[0, total.to_bytes(4, "big"), total, -2]]]


class Site:
    """One gateway's folder: config, key, signer's memory and log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.directory = self.state / "log"

    def begin(self) -> None:
        """The first start and a clean stop, with one-point meters behind a server of libmodbus."""
        with (
            LibmodbusServer(contents=serve(_MODEL).contents) as server,
            RunningGateway(self.folder, site_config(server.port)) as gateway,
        ):
            gateway.wait_status(lambda told: all(meter["last_seq"] >= 0 for meter in told["meters"]), "a reading of each")
            assert gateway.stop() == 0

    def open(self) -> Appender:
        """Its log, to append to; the gateway does not run."""
        return Appender(self)


class Appender:
    """The log of a site, opened."""

    def __init__(self, site: Site) -> None:
        signer = open_file_key("file:device-key.pem", site.state)
        self._signer = GuardedSigner(signer, site.state / "signer.state", ORIGIN)
        self.key = VerifierKey.of(ORIGIN, signer.public_key)
        declared = Declared(
            origin=ORIGIN, software="bench", commit_ms=10_000, commit_entries=64, vkeys=(self.key.text,)
        )
        self.log, _ = open_log(site.directory, declared, SystemClock(), bytes(16))
        found = (decode(data) for data in self.log.read(0, 64))
        self._definitions = [entry.seq for entry in found if entry.kind is Kind.DEFINITION]
        self._readings = iter(Readings(self._definitions))

    def fill(self, size: int, schedule: Schedule, after_commit: Callable[[int], None] = lambda _size: None) -> None:
        """Appends readings until the log has *size* entries; all are durable, and signed as *schedule* has it."""
        log, unsigned = self.log, 0
        while log.size < size:
            count = min(schedule.commit, size - log.size)
            self.append(count)
            log.commit()
            log.prepare()
            unsigned += count
            if unsigned >= schedule.checkpoint:
                self.sign()
                unsigned = 0
            after_commit(log.durable_size)
        self.sign()

    def append(self, count: int) -> None:
        """So many readings, which no commit has confirmed yet."""
        append = self.log.append
        for moment, body in islice(self._readings, count):
            append(Kind.READING, body, moment)

    def sign(self) -> None:
        """A checkpoint of all that is durable."""
        tree = self.log.durable_tree()
        self.log.checkpoint(self._signer.sign_checkpoint(ORIGIN, tree.size, tree.root()))

    def close(self) -> None:
        """Leaves it as a killed process does: without a last entry."""
        self.log.close()


def site_config(port: int, *, every: str = "1") -> str:
    """The config of such a gateway; each entry is durable at once, so that a start need not wait for the commit."""
    meters = (
        f"  - {{name: m{unit}, model: {_MODEL}, bus: lan, unit: {unit}, every: {every}, points: [import_total]}}"
        for unit in range(1, METERS + 1)
    )
    head = ["log: {commit: {seconds: 0}}", "buses:", f'  - {{name: lan, tcp: "127.0.0.1:{port}"}}', "meters:"]
    return "\n".join([*head, *meters, ""])
