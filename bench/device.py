"""What a reading costs the block device when ten meters are read every ten seconds, and where those bytes go.

The schedule is the writer's at the default settings, without its waiting: a commit of ten entries, a checkpoint each
sixth, with the signer's memory, spare segments and node files as they are. Bytes are the sectors written to a loop
device with an ext4 of its own, as the kernel counts them. The log begins and ends with a spare made ready.

Without waiting, ext4 has no time for what it does on its own: it writes the changed times of files to its journal each
five seconds. So the same is measured with a sync(2) of the file system after each commit, which does that and more,
and is what a device sees at most.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bench.log_work import ORIGIN, Sqlite
from bench.site import BATCHES, DEFAULT, Readings, Schedule
from drivers.keys.file import create_file_key
from gateway import durable
from gateway.clock import SystemClock
from gateway.log.entry import Kind, encode
from gateway.log.log import Declared, open_log
from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.segment import SEGMENT_BYTES
from gateway.log.signer_state import GuardedSigner
from tests.small_disks import Ext4, ext4, run

DISK = 256 << 20
#: Entries of one measurement: about ten segments at the default settings.
ENTRIES = 24_000
#: With a sync after each commit.
ENTRIES_SYNCED = 6_000
SECTOR = 512
_DEFINITIONS = list(range(3, 23, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Bytes per entry."""

    #: All that the device was given.
    device: float
    #: Of that, zeroes that made segments ready.
    spares: float


def rows() -> list[dict[str, Any]]:
    """The device's figures."""
    return [_row(DEFAULT, "ten meters every 10 s, default settings", 1000), _row(BATCHES, "batches of 64", 300)]


def _row(schedule: Schedule, what: str, goal: int) -> dict[str, Any]:
    bare, signed, whole = (measured(_log(schedule, ENTRIES, signing)) for signing in ("none", "bare", "guarded"))
    synced = measured(_log(schedule, ENTRIES_SYNCED, "guarded", sync=True), ENTRIES_SYNCED)
    sqlite = measured(_sqlite(schedule.commit, ENTRIES))
    sqlite_synced = measured(_sqlite(schedule.commit, ENTRIES_SYNCED, sync=True), ENTRIES_SYNCED)
    entries = bare.device - bare.spares
    notes = signed.device - signed.spares - entries
    memory = whole.device - whole.spares - entries - notes
    return {
        "figure": f"bytes on the block device per one-point reading of {_own_bytes():.0f} bytes: {what}: "
        f"a commit each {schedule.commit}, a checkpoint each {schedule.checkpoint} entries",
        "goal": f"≤ {goal} per reading",
        "measured": f"{whole.device:.0f}: entries {entries:.0f}, checkpoints {notes:.0f}, the signer's memory "
        f"{memory:.0f}, zero-filling of segments {whole.spares:.0f}; {synced.device:.0f} where the file system is "
        "synced after each commit",
        "comparison": f"SQLite WAL FULL, the same batches, no checkpoints: {sqlite.device:.0f}; "
        f"{sqlite_synced.device:.0f} with the syncs",
        "met": whole.device <= goal,
    }


#: Makes the work ready in a folder; the work itself; the number of segments made ready so far.
Work = tuple[Callable[[], None], Callable[[], int]]


def measured(prepare: Callable[[Path], Work], entries: int = ENTRIES, *, options: str = "") -> Written:
    """Does the work on a fresh ext4, mounted with *options*."""
    with tempfile.TemporaryDirectory() as folder, ext4(Path(folder) / "image", DISK) as disk:
        if options:
            remount(disk, options)
        work, made = prepare(disk.path)
        os.sync()
        before, made_before = sectors(disk), made()
        work()
        os.sync()
        return Written(
            device=(sectors(disk) - before) * SECTOR / entries,
            spares=(made() - made_before) * SEGMENT_BYTES / entries,
        )


def remount(disk: Ext4, options: str) -> None:
    """Mounts it again with *options*, such as ``lazytime``."""
    run("mount", "-o", f"remount,{options}", str(disk.path))


def sectors(disk: Ext4) -> int:
    """Sectors written (Documentation/block/stat.rst, field 7)."""
    return int(Path(f"/sys/block/{disk.device()}/stat").read_text().split()[6])


def _own_bytes() -> float:
    moments = islice(Readings(_DEFINITIONS), 1000)
    sizes = [
        len(encode(kind=Kind.READING, seq=100_000, prev=bytes(32), boot=1, moment=moment, body=body))
        for moment, body in moments
    ]
    return sum(sizes) / len(sizes)


def _log(schedule: Schedule, entries: int, signing: str, *, sync: bool = False) -> Callable[[Path], Work]:
    def prepare(folder: Path) -> Work:
        directory = folder / "log"
        signer = create_file_key("file:key.pem", folder, durable.create_exclusively)
        guarded = GuardedSigner(signer, folder / "signer", ORIGIN)
        key = VerifierKey.of(ORIGIN, signer.public_key)
        declared = Declared(origin=ORIGIN, software="bench", commit_ms=10_000, commit_entries=64, vkeys=(key.text,))
        log, _ = open_log(directory, declared, SystemClock(), bytes(16))
        log.prepare()
        log.checkpoint(guarded.sign_checkpoint(ORIGIN, log.size, log.durable_tree().root()))

        def sign() -> None:
            tree = log.durable_tree()
            if signing == "guarded":
                log.checkpoint(guarded.sign_checkpoint(ORIGIN, tree.size, tree.root()))
            elif signing == "bare":
                log.checkpoint(sign_note(checkpoint_text(ORIGIN, tree.size, tree.root()), ORIGIN, signer))

        def work() -> None:
            readings, unsigned = iter(Readings(_DEFINITIONS)), 0
            for start in range(0, entries, schedule.commit):
                for moment, body in islice(readings, min(schedule.commit, entries - start)):
                    log.append(Kind.READING, body, moment)
                log.commit()
                log.prepare()
                unsigned += schedule.commit
                if unsigned >= schedule.checkpoint:
                    sign()
                    unsigned = 0
                if sync:
                    os.sync()
            log.close()

        return work, lambda: sum(1 for path in directory.iterdir() if path.name == "spare" or path.suffix == ".seg")

    return prepare


def _sqlite(batch: int, entries: int, *, sync: bool = False) -> Callable[[Path], Work]:
    def prepare(folder: Path) -> Work:
        base = Sqlite(folder)
        readings = iter(Readings(_DEFINITIONS))
        blobs = [
            encode(kind=Kind.READING, seq=100_000 + seq, prev=bytes(32), boot=1, moment=moment, body=body)
            for seq, (moment, body) in enumerate(islice(readings, entries))
        ]

        def work() -> None:
            for start in range(0, entries, batch):
                base.append(blobs[start : start + batch])
                if sync:
                    os.sync()
            base.close()

        return work, lambda: 0

    return prepare
