"""The parts of what ``status`` shows, as plain values for JSON."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.keeper import KeyKeeper
from gateway.log.log import Log
from gateway.log.reader import note_size
from gateway.outbox import OutboxStatus
from gateway.poller import MeterHealth
from gateway.reading import Moment
from gateway.writer import Writer


def log(log: Log, writer: Writer) -> dict[str, Any]:
    """Sizes of the log, the declared loss window, the newest checkpoint."""
    note = log.newest_checkpoint
    signed = note_size(note) if note else 0
    return {
        "log": {
            "size": log.size,
            "durable_size": log.durable_size,
            "packed_size": log.packs.end_seq,
            "commit_ms": writer.policy.commit_ms,
            "commit_entries": writer.policy.commit_entries,
            "troubles": dict(writer.troubles),
        },
        "checkpoint": {"size": signed, "unsigned": log.size - signed},
    }


def key(keeper: KeyKeeper) -> dict[str, Any]:
    """The device key; while it is away, entries are durable and wait for the first checkpoint after."""
    state = "barred" if keeper.barred else "away" if keeper.error else "signing"
    return {
        "uri": keeper.uri,
        "hardware": keeper.hardware_uri,
        "state": state,
        "vkeys": list(keeper.vkeys()),
        "error": keeper.error,
    }


def meter(health: MeterHealth) -> dict[str, Any]:
    """How a meter is doing."""
    return asdict(health)


def sink(state: OutboxStatus) -> dict[str, Any]:
    """How a channel is doing."""
    return asdict(state)


def clock(moment: Moment) -> dict[str, Any]:
    """The wall clock and what is known of its quality."""
    return {"wall_ms": moment.wall_ms, "quality": moment.quality, "error_ms": moment.error_ms}


def disk(directory: Path) -> dict[str, Any]:
    """Room on the disk that holds *directory*, in bytes."""
    room = os.statvfs(directory)
    return {"free_bytes": room.f_bavail * room.f_frsize, "total_bytes": room.f_blocks * room.f_frsize}


def process() -> dict[str, Any]:
    """Memory and id of this process (proc(5))."""
    with open("/proc/self/statm") as file:  # noqa: PTH123  (a kernel file)
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"pid": os.getpid(), "rss_bytes": resident}
