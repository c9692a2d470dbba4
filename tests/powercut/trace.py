"""What a recorded run did to its disk, and what it had told the world at each moment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.powercut.fuse_disk import FLUSH, MARK, RECORD, WRITE

__all__ = ["FLUSH", "MARK", "WRITE", "Operation", "Told", "read_trace"]


class Operation(NamedTuple):
    """One thing that reached the disk, or a marker."""

    kind: bytes
    offset: int
    data: bytes


def read_trace(path: Path) -> list[Operation]:
    """All operations of a trace, in order."""
    raw, at, found = path.read_bytes(), 0, []
    while at < len(raw):
        kind, offset, length = RECORD.unpack_from(raw, at)
        at += RECORD.size
        found.append(Operation(kind, offset, raw[at : at + length]))
        at += length
    return found


@dataclass(slots=True, kw_only=True)
class Told:
    """What had left the device, or had been promised, when the power was cut."""

    #: Root of the tree at each size that a commit had confirmed.
    durable: dict[int, bytes] = field(default_factory=dict)
    #: Leaf hash of the last entry of each message that had left, by the message's end.
    sent: dict[int, bytes] = field(default_factory=dict)
    #: (size, root) of each signature that the key store had made.
    signed: dict[int, bytes] = field(default_factory=dict)
    #: Checkpoint notes that had left, in order.
    published: list[bytes] = field(default_factory=list)
    #: The far side had confirmed all entries below.
    confirmed: int = 0
    #: What cannot both be true of one log, in words.
    contradictions: list[str] = field(default_factory=list)
    #: The workload had begun, packed, pruned, or come to its end.
    phases: list[str] = field(default_factory=list)

    def hear(self, marker: bytes) -> None:
        """Takes one marker of ``tests.powercut.workload``."""
        what: dict[str, Any] = json.loads(marker)
        match what.pop("told"):
            case "durable":
                self._note(self.durable, what["size"], bytes.fromhex(what["root"]), "roots told for size")
            case "sent":
                self._note(self.sent, what["end"], bytes.fromhex(what["hash"]), "entries sent as the one before")
            case "signed":
                self._note(self.signed, what["size"], bytes.fromhex(what["root"]), "roots signed for size")
                if what["size"] < max(self.signed):
                    self.contradictions.append(f"I2 size {what['size']} was signed after {max(self.signed)}")
            case "published":
                self.published.append(what["note"].encode())
            case "confirmed":
                self.confirmed = max(self.confirmed, what["end"])
            case phase:
                self.phases.append(phase)

    def _note(self, known: dict[int, bytes], number: int, value: bytes, what: str) -> None:
        if known.setdefault(number, value) != value:
            self.contradictions.append(f"I2 two {what} {number}")

    def copy(self) -> Told:
        """The same, to go on from."""
        return Told(
            durable=dict(self.durable),
            sent=dict(self.sent),
            signed=dict(self.signed),
            published=list(self.published),
            confirmed=self.confirmed,
            contradictions=list(self.contradictions),
            phases=list(self.phases),
        )

    def hear_all(self, operations: Iterable[Operation]) -> Told:
        """Takes all markers among *operations*; returns itself."""
        for operation in operations:
            if operation.kind == MARK:
                self.hear(operation.data)
        return self
