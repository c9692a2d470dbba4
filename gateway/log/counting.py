"""Finds in a log how far its counter had come, and compares: see ``gateway.log.attestation``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.errors import PrunedError
from gateway.log.attestation import INTENT
from gateway.log.entry import Kind, decode
from gateway.log.note import parse_checkpoint
from gateway.log.proving import node_sources, proving_hashes
from gateway.log.view import LogView

_BATCH = 4096
_KIND_AT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The newest intent under the newest checkpoint."""

    seq: int
    value: int


def signed_step(directory: Path, counter: str) -> Step | None:
    """The newest intent for *counter* that the log's newest checkpoint covers; None where there is none.

    Whether that checkpoint's signature is good has to be known. Reads backwards from there, so a log that has never met
    the counter is read whole. Raises TamperError where the entry does not lead to the checkpoint's root, OSError.
    """
    view = LogView(directory)
    note = view.newest_checkpoint
    if note is None:
        return None
    checkpoint = parse_checkpoint(note)
    found = _newest(view, checkpoint.size, counter)
    if found is not None:
        seq, data = found
        # Raises where the entry is not the one that was signed.
        proving_hashes(node_sources(view), {seq: data}, checkpoint)
        return Step(seq=seq, value=decode(data).body[2])
    return None


def _newest(view: LogView, size: int, counter: str) -> tuple[int, bytes] | None:
    for stop in range(size, 0, -_BATCH):
        for seq, data in reversed(_batch(view, max(0, stop - _BATCH), stop)):
            if data[_KIND_AT] == Kind.ATTESTATION and decode(data).body[:2] == [INTENT, counter]:
                return seq, data
    return None


def _batch(view: LogView, start: int, stop: int) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    while start < stop:
        try:
            for data in view.entries(start, stop):
                found.append((start, data))
                start += 1
        except PrunedError as error:
            start = error.next_seq
        else:
            break
    return found


def set_back(step: Step | None, value: int) -> str | None:
    """Why a log whose newest signed step is *step* cannot be the newest copy, with the counter at *value*; or None."""
    if step is None or value <= step.value:
        return None
    return f"the key store's counter stands at {value}, the log's newest signed step is {step.value}: it was set back"


def replaced(step: Step | None, value: int) -> str | None:
    """Why the counter at *value* cannot be the one that the log has met; or None."""
    if step is None or value >= step.value - 1:
        return None
    return f"the key store's counter stands at {value}, below the log's {step.value}: it is another one, or was cleared"
