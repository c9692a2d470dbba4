"""Erases records: whole files where all of a file goes, else the file is written anew without them.

What an erasure reaches: no file holds the record any more, durably, and zeroes were written over the old blocks. What
it cannot reach: flash writes the zeroes elsewhere and keeps the old block until it needs it, and so do file systems
that never write in place. Nothing of the log changes: all proofs hold as before, but of the erased fields only that
there were some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway import durable
from gateway.errors import MalformedError
from gateway.fields.files import Contents, file_bytes, load
from gateway.fields.record import Record, decode_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many records are gone, and the seqs of the first and last of them; -1 where there were none."""

    count: int = 0
    from_seq: int = -1
    to_seq: int = -1

    def add(self, seq: int) -> Erased:
        """One more."""
        lowest = seq if self.from_seq < 0 else min(self.from_seq, seq)
        return Erased(count=self.count + 1, from_seq=lowest, to_seq=max(self.to_seq, seq))


def erase(groups: Iterable[list[Path]], meter: str | None, until_ms: int, *, patient: bool = True) -> Erased:
    """Erases the records of *meter* (None: of all) whose wall time is before *until_ms*.

    *groups* are the files of each epoch, oldest first; nobody may write to them any more (``FieldStore.roll``). Unless
    *patient*, a group is left at the first file that holds none of them: records mostly stand in the order of their
    times. Raises OSError; what was erased until then stays erased.
    """

    def doomed(record: Record) -> bool:
        return record.wall_ms < until_ms and meter in (None, record.meter)

    erased = Erased()
    for files in groups:
        for path in files:
            found = _erase_in(path, doomed, until_ms)
            if not found and not patient:
                break
            for seq in found:
                erased = erased.add(seq)
    return erased


def _erase_in(path: Path, doomed: Callable[[Record], bool], until_ms: int) -> list[int]:
    """The seqs whose records are erased in this file."""
    contents = load(path)
    gone: list[int] = []
    kept: list[bytes] = []
    for data in contents.records:
        try:
            record = decode_record(data)
        except MalformedError:
            # Nobody can read it, and nobody can tell whose it is.
            continue
        if doomed(record):
            gone.append(record.seq)
        else:
            kept.append(data)
    if gone or (_unreadable(contents, kept) and path.stat().st_mtime * 1000 < until_ms):
        _write_without(path, contents.origin, kept)
    return gone


def _unreadable(contents: Contents, kept: list[bytes]) -> bool:
    """Whether the file holds bytes that nobody can read: they go when all that was written with them is old enough."""
    return bool(contents.fault) or len(kept) < len(contents.records)


def _write_without(path: Path, origin: str, kept: list[bytes]) -> None:
    if kept:
        durable.replace_overwriting(path, file_bytes(origin, kept))
    else:
        durable.overwrite(path)
