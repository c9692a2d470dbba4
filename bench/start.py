"""How long a start takes after a power cut: process start to ready, and to the first reading that is durable.

The cut is made by hand, since the disk that took the log did not fail: entries that no commit confirmed stand behind
the last commit, the last of them torn in the middle, and the log's files are out of the page cache. The program's own
files are not.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import alone
from bench.evidence_work import database
from bench.site import Site, site_config
from gateway.log.entry import Kind
from gateway.log.frame import block_end
from gateway.log.scan import load, segment_name, segment_starts
from tests.libmodbus import LibmodbusServer
from tests.parts import ROOT
from tests.served import serve
from tests.whole import RunningGateway, of_kind, until

STARTS = 5
#: Entries that the cut cost, at most: less than a commit.
_UNCONFIRMED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Seconds from the start of the process."""

    ready_s: float
    reading_s: float

    @classmethod
    def median(cls, starts: list[Started]) -> Started:
        """The middle of several."""
        return cls(
            ready_s=statistics.median(start.ready_s for start in starts),
            reading_s=statistics.median(start.reading_s for start in starts),
        )

    def __str__(self) -> str:
        return f"{self.ready_s:.2f} s to ready, {self.reading_s:.2f} s to the first durable reading"


def starts(site: Site, folder: Path) -> list[Started]:
    """Starts of a copy of *site* in *folder*, which is on a disk, each after a cut of its own."""
    copied = Site(folder / "site")
    shutil.copytree(site.folder, copied.folder, ignore=shutil.ignore_patterns("*.sqlite*"))
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        return [_start(copied, server.port) for _ in range(STARTS)]


def _start(site: Site, port: int) -> Started:
    size = cut(site)
    alone.forget(site.state)
    gateway = RunningGateway(site.folder, site_config(port, every="0.1"))
    with gateway:
        ready_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        until(lambda: _has_durable_reading(gateway), "a durable reading")
        reading_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        gateway.kill()
    found = list(of_kind(gateway.entries(size), Kind.RECOVERY))
    assert found, "the start found no torn tail"
    began_ns = gateway.started_ns
    return Started(ready_s=(ready_ns - began_ns) / 1e9, reading_s=(reading_ns - began_ns) / 1e9)


def _has_durable_reading(gateway: RunningGateway) -> bool:
    told = gateway.status()
    newest = max(meter["last_seq"] for meter in told["meters"])
    return 0 <= newest < int(told["log"]["durable_size"])


def cut(site: Site) -> int:
    """Leaves what a power cut leaves; returns how many entries stand before it."""
    appender = site.open()
    appender.append(_UNCONFIRMED)
    appender.close()
    path = site.directory / segment_name(segment_starts(site.directory)[-1])
    contents = load(path)
    torn = contents.offsets[-1]
    with path.open("r+b") as file:
        file.seek(torn + (contents.end - torn) // 2)
        file.write(bytes(block_end(contents.end) - file.tell()))
    return contents.next_seq - 1


def sqlite_starts(folder: Path, base: Path) -> list[float]:
    """Seconds from the start of a process that opens a copy of *base* to its first commit; killed ones before."""
    copied = folder / "sqlite"
    copied.mkdir()
    shutil.copy(base, database(copied))
    found = []
    for _ in range(STARTS):
        _sqlite_process("kill", copied)
        alone.forget(copied)
        began = time.perf_counter()
        _sqlite_process("commit", copied)
        found.append(time.perf_counter() - began)
    return found


def _sqlite_process(work: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "bench.start_sqlite", work, str(folder)], cwd=ROOT, check=True)
