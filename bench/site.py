"""A gateway's state directory with a long history, as ten meters write it every ten seconds, made without waiting.

The gateway itself makes the beginning: its key, its log and the definitions of its meters. The readings that follow
are appended as it would append them, through the same log and the same guarded signer, but their clock is wound by
hand: a poll of ten meters each ten seconds, some milliseconds apart, with counters that only grow. Seeded.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from drivers.ieee754 import BINARY32, shortest
from drivers.keys.file import open_file_key
from gateway.clock import SystemClock
from gateway.log.entry import Kind, decode, description
from gateway.log.log import Declared, open_log
from gateway.log.note import VerifierKey
from gateway.log.signer_state import GuardedSigner
from gateway.reading import Moment
from gateway.signing import KeyRequest
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
    """Moments and bodies of readings, without an end; of one point, or of the twelve of ``tests.served.TWELVE``.

    They begin behind so many *polls*.
    """

    def __init__(self, definitions: list[int], points: int = 1, *, polls: int = 0) -> None:
        self._random = random.Random(polls)
        self._load = _Load if points > 1 else _Counter
        self._meters = [(definition, self._load(self._random)) for definition in definitions]
        self._polls = polls

    def __iter__(self) -> Iterator[tuple[Moment, list[Any]]]:
        bits = self._random.getrandbits
        while True:
            self._polls += 1
            error_ms = 4 + bits(4)
            for number, (definition, meter) in enumerate(self._meters):
                after_ns = self._polls * POLL_MS * 1_000_000 + number * 30_000_000 + bits(23)
                moment = Moment(
                    boottime_ns=after_ns, wall_ms=_FIRST_MS + after_ns // 1_000_000, quality="S", error_ms=error_ms
                )
                yield moment, [definition, [], meter.points()]


class _Counter:
    """A counter of 32 bits that only grows, in steps of 10 Wh."""

    def __init__(self, source: random.Random) -> None:
        self._bits = source.getrandbits
        self._total = source.randrange(1_000_000, 90_000_000)

    def points(self) -> list[list[Any]]:
        self._total = total = self._total + self._bits(5)
        return [[0, total.to_bytes(4, "big"), total, -2]]


class _Load:
    """A house on three phases, as the SDM630 tells it: binary32, so most digits of most values change each time."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._import_kwh, self._export_kwh = source.uniform(1e3, 9e4), source.uniform(1e2, 9e3)
        self._power_w = [source.uniform(50, 900) for _ in range(3)]

    def points(self) -> list[list[Any]]:
        noise = self._random.gauss
        self._power_w = [min(max(power + noise(0, 40), 20), 3600) for power in self._power_w]
        volts = [230 + noise(0, 1.2) for _ in range(3)]
        self._import_kwh += sum(self._power_w) * POLL_MS / 3.6e9
        amperes = [power / volt for power, volt in zip(self._power_w, volts, strict=True)]
        values = [self._import_kwh, self._export_kwh, sum(self._power_w), *self._power_w, *volts, *amperes]
        return [_point(value) for value in values]


def _point(value: float) -> list[Any]:
    """The point as the driver reads it from two registers."""
    raw = struct.pack(">f", value)
    scaled = shortest(int.from_bytes(raw, "big"), BINARY32)
    assert scaled is not None
    return [0, raw, scaled.mantissa, scaled.exponent]


class Site:
    """One gateway's folder: config, key, signer's memory and log."""

    def __init__(self, folder: Path, points: Sequence[str] = ("import_total",)) -> None:
        self.folder = folder
        self.points = points
        self.state = folder / "state"
        self.directory = self.state / "log"

    def begin(self) -> None:
        """The first start and a clean stop, with the meters behind a server of libmodbus."""
        with (
            LibmodbusServer(contents=serve(_MODEL).contents) as server,
            RunningGateway(self.folder, site_config(server.port, points=self.points)) as gateway,
        ):
            gateway.wait_status(
                lambda told: all(meter["last_seq"] >= 0 for meter in told["meters"]), "a reading of each"
            )
            assert gateway.stop() == 0

    def open(self) -> Appender:
        """Its log, to append to; the gateway does not run."""
        return Appender(self)


class Appender:
    """The log of a site, opened."""

    def __init__(self, site: Site) -> None:
        signer = open_file_key(KeyRequest(uri="file:device-key.pem", base=site.state))
        self._signer = GuardedSigner(signer, site.state / "signer.state", ORIGIN)
        self.key = VerifierKey.of(ORIGIN, signer.public_key)
        declared = Declared(
            origin=ORIGIN, software="bench", commit_ms=10_000, commit_entries=64, vkeys=(self.key.text,)
        )
        self.log, _ = open_log(site.directory, declared, SystemClock(), bytes(16))
        found = (decode(data) for data in self.log.read(0, 64))
        definitions = [entry for entry in found if entry.kind is Kind.DEFINITION]
        points = len(description(definitions[0].body).points)
        self._readings = iter(Readings([entry.seq for entry in definitions], points, polls=self.log.size // METERS))

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
                self.sign(at_once=False)
                unsigned = 0
            after_commit(log.durable_size)
        self.sign()

    def append(self, count: int) -> None:
        """So many readings, which no commit has confirmed yet."""
        append = self.log.append
        for moment, body in islice(self._readings, count):
            append(Kind.READING, body, moment)

    def sign(self, *, at_once: bool = True) -> None:
        """A checkpoint of all that is durable; unless *at_once*, durable itself with the next commit."""
        tree = self.log.durable_tree()
        note = self._signer.sign_checkpoint(ORIGIN, tree.size, tree.root())
        self.log.checkpoint(note, at_once=at_once)

    def close(self) -> None:
        """Leaves it as a killed process does: without a last entry."""
        self.log.close()


def _all_read(told: dict[str, Any]) -> bool:
    return all(meter["last_seq"] >= 0 for meter in told["meters"])


def site_config(port: int, *, every: str = "1", points: Sequence[str] = ("import_total",)) -> str:
    """The config of such a gateway; each entry is durable at once, so that a start need not wait for the commit."""
    meters = (
        f"  - {{name: m{unit}, model: {_MODEL}, bus: lan, unit: {unit}, every: {every}, points: [{', '.join(points)}]}}"
        for unit in range(1, METERS + 1)
    )
    head = ["log: {commit: {seconds: 0}}", "buses:", f'  - {{name: lan, tcp: "127.0.0.1:{port}"}}', "meters:"]
    return "\n".join([*head, *meters, ""])
