"""A log that a gateway under test will find at its start, as an earlier run of it would have left it."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import SystemClock, boot_id
from gateway.log.entry import Kind
from gateway.log.log import Declared, open_log
from gateway.log.segment import SEGMENT_BYTES
from tests.whole import ORIGIN


def write_backlog(state_dir: Path, vkey: str, readings: int, *, segment_bytes: int = SEGMENT_BYTES) -> None:
    """*readings* of one point each, durable and unsigned, in a new log below *state_dir*."""
    declared = Declared(origin=ORIGIN, software="test 1", commit_ms=0, commit_entries=64, vkeys=(vkey,))
    log, _ = open_log(state_dir / "log", declared, SystemClock(), boot_id(), segment_bytes=segment_bytes)
    point = ["import_total", "1-0:1.8.0", "kWh", "fc4 0x0048 f32 abcd scale10 0", 1, -1]
    definition = log.append(Kind.DEFINITION, ["cellar", "eastron-sdm630", bytes(32), "lan unit 1", [point]]).seq
    for number in range(readings):
        log.append(Kind.READING, [definition, [], [[0, bytes(4), number, -1]]])
    log.commit()
    log.close()
