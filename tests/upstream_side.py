"""Another gateway's channel in a directory, and our side of an upstream on a real log, for tests without a service."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from gateway.log.entry import Kind
from gateway.log.imported import Imported, imported_body, imports_in
from gateway.log.log import Appended
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from gateway.receiver.run import Finding
from gateway.sinks.directory import message_name
from gateway.upstream.batches import Batch
from gateway.upstream.settings import UpstreamSettings, directory_feed
from gateway.upstream.worker import Worker
from tests.honest_log import HonestLog
from tests.log_dir import Station
from tests.whole import until


class Channel:
    """A directory channel that a test fills message by message."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0

    def post(self, log: HonestLog, first: int, end: int, note: int | None = None) -> None:
        """One message of these entries; *note* is the size of its checkpoint."""
        self.put(first, log.message(first, end, note))

    def put(self, first: int, data: bytes) -> None:
        """One message of these bytes, appearing complete or not at all."""
        (self.folder / "entries").mkdir(parents=True, exist_ok=True)
        path = self.folder / "entries" / message_name(first, self._count)
        self._count += 1
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(data)
        hidden.rename(path)

    def settings(self, keys: Sequence[VerifierKey], meters: Sequence[str] | None = None) -> UpstreamSettings:
        wanted = None if meters is None else tuple(meters)
        return UpstreamSettings(name="roof", feed=directory_feed(self.folder), keys=tuple(keys), meters=wanted)


def post_all(channel: Channel, log: HonestLog, first: int, end: int, step: int = 20) -> None:
    """Messages of *step* entries each, with a checkpoint at the end of each."""
    for start in range(first, end, step):
        channel.post(log, start, min(start + step, end), min(start + step, end))


class NearSide:
    """A ``gateway.upstream.worker.Near`` over a log on disk; it takes no import that does not go on from the last."""

    def __init__(self, state: Path) -> None:
        self.station = Station(state)
        self.station.start()
        self.findings: list[Finding] = []
        self.notices: list[str] = []
        self.batches: list[Batch] = []
        #: While it is cleared our log takes nothing.
        self.open = threading.Event()
        self.open.set()
        #: Dies in the middle of the hand-over with this many imports, before or behind the append.
        self.dies_at: int | None = None
        self.dies_behind = False
        self.stopping = threading.Event()
        self.ended = threading.Event()

    def take(self, batch: Batch) -> Appended | None:
        while not self.open.wait(0.01):
            if self.stopping.is_set():
                return None
        dies = self.dies_at is not None and len(self.batches) >= self.dies_at
        if dies and not self.dies_behind:
            return None
        appended = self.station.log.append(Kind.IMPORTED, imported_body(batch.imported))
        self.station.log.commit()
        self.batches.append(batch)
        return None if dies else appended

    def durable_size(self) -> int:
        return self.station.log.durable_size

    def found(self, finding: Finding, verified: int) -> None:
        self.findings.append(finding)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def imports(self, origin: str) -> list[Imported]:
        """What our log holds of the other one; it must be without a hole and without an overlap."""
        found = list(imports_in(LogView(self.station.directory).entries(), origin))
        end = 0
        for imported in found:
            assert imported.first_seq == end
            end = imported.end_seq
        return found

    def entries(self, origin: str) -> dict[int, bytes]:
        """The entries of the other log that were kept, each met once."""
        return {seq: data for imported in self.imports(origin) for seq, data in imported.entries.items()}


@contextmanager
def working(settings: UpstreamSettings, near: NearSide, directory: Path) -> Iterator[Worker]:
    """A worker in a thread of its own; what it raised is raised at the end."""
    near.stopping.clear()
    near.ended.clear()
    worker = Worker(settings, directory, near.station.directory, near)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(worker.run)
        work.add_done_callback(lambda _work: near.ended.set())
        try:
            yield worker
        finally:
            near.stopping.set()
            worker.stop()
            work.result(30)


def imported_to(near: NearSide, origin: str, size: int) -> None:
    """Waits until our log holds the other one up to *size*."""
    until(
        lambda: (
            sum(len(batch.imported.items) for batch in near.batches) >= size or near.findings or near.ended.is_set()
        ),
        f"{size} imported",
        20,
    )
    assert sum(len(imported.items) for imported in near.imports(origin)) == size, near.findings


def follow(channel: Channel, near: NearSide, log: HonestLog, size: int) -> None:
    """Follows until so much is in our log."""
    with working(channel.settings([log.vkey]), near, near.station.state / "upstream"):
        imported_to(near, log.origin, size)
