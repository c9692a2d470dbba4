"""A long log as evidence: proofs, whole verification, a start after a power cut, and what packing makes of all that.

The log is that of a gateway with ten one-point meters (``bench.site``), of ``BENCH_ENTRIES`` entries (3,000,000), made
without waiting in memory (``/dev/shm``, where there is room), and packed half-way through. Beside it stands a SQLite
database (WAL, FULL) with the same bytes as rows. Each command runs alone in a process on one core. The machine has
neighbours: what is compared with a goal is processor time, and the time by the clock stands beside it.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench import alone
from bench.alone import Cost
from bench.evidence_work import database
from bench.site import METERS, POLL_MS, Site
from bench.start import Started, sqlite_starts, starts
from gateway.log.pack import PACK_ENTRIES
from tests.served import TWELVE

ENTRIES = int(os.environ.get("BENCH_ENTRIES", "3000000"))
PROOFS = 300
#: A year of ten meters every ten seconds.
YEAR = METERS * 365 * 86_400_000 // POLL_MS
_MEMORY = Path("/dev/shm")
#: What a log and its database need at most, in bytes an entry.
_ROOM = 600
#: Two packs and some.
_LEAST = 140_000


def rows() -> list[dict[str, Any]]:
    """The figures of long logs."""
    with tempfile.TemporaryDirectory(dir=work_folder(ENTRIES)) as name, tempfile.TemporaryDirectory() as disk:
        usual = Site(Path(name) / "usual")
        count = max(_LEAST, ENTRIES // 5)
        vkey = made(usual, count, "default")
        alone.bench("evidence_work", "copy", str(usual.folder))
        found = [_verify_row(usual, vkey, "a checkpoint each 60 (ten meters every 10 s, default settings)")]
        usual_bytes = _log_bytes(usual) / count
        shutil.rmtree(usual.folder)
        site = Site(Path(name) / "site")
        vkey = made(site, ENTRIES, "batches")
        alone.bench("evidence_work", "copy", str(site.folder))
        found += [*_proof_rows(site, vkey), _verify_row(site, vkey, "a checkpoint each 256")]
        found += [_start_row(site, Path(disk) / "raw"), _pack_row(site, usual_bytes)]
        return [*found, *_packed_rows(site, vkey, Path(disk) / "packed")]


def work_folder(entries: int) -> Path | None:
    """Where a log of so many entries is made; None leaves it to the system."""
    fits = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM * entries
    return _MEMORY if fits else None


def made(site: Site, entries: int, schedule: str) -> str:
    """Makes the log of *site*, of so many entries; returns its verifier key."""
    site.begin()
    told, _ = alone.bench("evidence_work", "fill", str(site.folder), str(entries), schedule)
    return str(told["vkey"])


def table_row(figure: str, goal: str, measured: str, comparison: str, *, met: bool) -> dict[str, Any]:
    """One line of the results."""
    return {"figure": figure, "goal": goal, "measured": measured, "comparison": comparison, "met": met}


def _proof_rows(site: Site, vkey: str) -> list[dict[str, Any]]:
    told, _ = alone.bench("evidence_work", "prove", str(site.folder), str(PROOFS))
    first, _ = alone.bench("evidence_work", "prove-first", str(site.folder), str(PROOFS))
    selected, _ = alone.bench("evidence_work", "select", str(site.folder), str(PROOFS))
    scanned, _ = alone.bench("evidence_work", "scan", str(site.folder))
    proof = site.folder / "proof"
    config = str(site.folder / "config.yaml")
    making = alone.gateway("--config", config, "log", "prove", str(ENTRIES // 3), "-o", str(proof))
    checking = alone.gateway("verify", str(proof), "--vkey", vkey)
    of = f"of one entry of {ENTRIES:,}, {PROOFS} at random"
    made, checked, sizes = told["times"]["made"], told["times"]["checked"], told["sizes"]
    return [
        table_row(
            f"proof {of}: made under the newest checkpoint, in a process that has opened the log",
            "≤ 50 ms",
            f"{_shown(made)}; opening the log {_shown(told['times']['opened'])}; the whole command {costs(making)}",
            f"SQLite: the row by its primary key {_shown(selected['times'])}, which proves nothing; the hash chain "
            f"over all rows, which without a tree is the proof, {scanned['seconds']:.1f} s",
            met=max(made["cpu"]) <= 50,
        ),
        table_row(
            f"proof {of}: checked, signature included",
            "≤ 5 ms",
            f"{_shown(checked)}; the whole command {costs(checking)}",
            "SQLite has nothing to check",
            met=max(checked["cpu"]) <= 5,
        ),
        table_row(
            f"size of a proof {of}, the entry in it",
            "≤ 1,200 bytes",
            f"C2SP text under the newest checkpoint {_bytes(sizes['C2SP'])}; under the first that covers the entry "
            f"{_bytes(first['sizes'])}; COSE receipt and entry {_bytes(sizes['COSE'])}",
            "the same by hash chain: all entries behind it",
            met=max(sizes["C2SP"]) <= 1200,
        ),
    ]


def _shown(times: dict[str, list[float]]) -> str:
    cpu, wall = times["cpu"], times["wall"]
    return (
        f"median {statistics.median(cpu):.3g} ms, at most {max(cpu):.3g} of processor time "
        f"({statistics.median(wall):.3g} and {max(wall):.3g} by the clock)"
    )


def _bytes(sizes: list[int]) -> str:
    return f"median {statistics.median(sizes):,.0f}, at most {max(sizes):,}"


def costs(cost: Cost) -> str:
    """What a command took, for people."""
    return f"{cost.cpu_s:.2f} s of processor time ({cost.wall_s:.2f} s by the clock)"


def _verify_row(site: Site, vkey: str, what: str) -> dict[str, Any]:
    cost = alone.gateway("log", "verify", str(site.state), "--vkey", vkey)
    size = int(cost.output.split(" entries")[0].rpartition(" ")[2])
    year_s = cost.cpu_s * YEAR / size
    with_base = database(site.folder).exists()
    scanned, scan = alone.bench("evidence_work", "scan", str(site.folder)) if with_base else (None, None)
    compared = "see the rows below"
    if scanned is not None and scan is not None:
        scan_year_s = scanned["seconds"] * YEAR / scanned["rows"]
        compared = (
            f"SQLite, all rows read in order and hashed with SHA-256 each, no tree, no signatures, no format checked: "
            f"{scanned['rows'] / scanned['seconds']:,.0f} rows/s, a year {scan_year_s:.0f} s; {scan.rss_mb:.0f} MB"
        )
    return table_row(
        f"`log verify` of {size:,} one-point entries, {what}, one core",
        "a year (31.5 million) ≤ 360 s, ≤ 200 MB",
        f"{size / cost.cpu_s:,.0f} entries/s of processor time ({size / cost.wall_s:,.0f} by the clock): a year would "
        f"take {year_s:.0f} s, a projection (`make bench-year` verifies a whole one); {cost.rss_mb:.0f} MB RSS",
        compared,
        met=year_s <= 360 and cost.rss_mb <= 200,
    )


def _start_row(site: Site, disk: Path, what: str = "") -> dict[str, Any]:
    disk.mkdir()
    found = starts(site, disk)
    slowest = max(found, key=lambda start: start.reading_s)
    there = database(site.folder)
    compared = "see the row above"
    if there.exists():
        sqlite = sqlite_starts(disk, there)
        compared = (
            f"SQLite with as many rows after a kill, opened to its first commit, reads no meter: median "
            f"{statistics.median(sqlite):.2f} s, at most {max(sqlite):.2f}"
        )
    shutil.rmtree(disk)
    return table_row(
        f"start after a power cut, {ENTRIES:,} entries in the log{what}, a torn tail, the log not in the page cache",
        "≤ 2 s",
        f"{Started.median(found)} (median of {len(found)}); at most {slowest}",
        compared,
        met=slowest.reading_s <= 2,
    )


def _pack_row(site: Site, usual: float) -> dict[str, Any]:
    """Packs *site*, and a log of twelve-point readings beside it."""
    raw, rows = _log_bytes(site) / ENTRIES, database(site.folder).stat().st_size / ENTRIES
    packed, packing = alone.bench("evidence_work", "pack", str(site.folder))
    one = _pack_bytes(site) / packed["entries"]
    twelve = Site(site.folder.with_name("twelve"), TWELVE)
    count = _LEAST
    made(twelve, count, "batches")
    base, _ = alone.bench("evidence_work", "copy", str(twelve.folder))
    raw_twelve = _log_bytes(twelve) / count
    packed_twelve, _ = alone.bench("evidence_work", "pack", str(twelve.folder))
    of_twelve = _pack_bytes(twelve) / packed_twelve["entries"]
    own = {site: told["bytes"] for site, told in ((1, packed), (12, packed_twelve))}
    return table_row(
        f"bytes on disk per entry in packs of {PACK_ENTRIES:,}, checkpoints and hashes in them",
        "less than the entries' own bytes",
        f"one-point entries of {own[1]:.0f} bytes {one:.1f} (in segments {raw:.0f} in batches of 64, {usual:.0f} at "
        f"the default settings); twelve-point entries of {own[12]:.0f} bytes {of_twelve:.1f} (in segments "
        f"{raw_twelve:.0f}); {packed['entries'] / packing.cpu_s:,.0f} one-point entries/s are packed",
        f"SQLite file: {rows:.0f} and {base / count:.0f}",
        met=one < own[1] and of_twelve < own[12],
    )


def _packed_rows(site: Site, vkey: str, disk: Path) -> list[dict[str, Any]]:
    made = alone.bench("evidence_work", "prove", str(site.folder), str(PROOFS))[0]["times"]["made"]
    return [
        _verify_row(site, vkey, "a checkpoint each 256, packed"),
        _start_row(site, disk, ", packed"),
        table_row(
            f"proof of one entry of {ENTRIES:,}, packed: made under the newest checkpoint",
            "≤ 50 ms",
            _shown(made),
            "see the rows above",
            met=max(made["cpu"]) <= 50,
        ),
    ]


def _log_bytes(site: Site) -> int:
    return sum(path.stat().st_size for path in site.directory.glob("*.seg"))


def _pack_bytes(site: Site) -> int:
    return sum(path.stat().st_size for path in site.directory.glob("*.pack"))
