"""The batches that a notary job has made, as files on the board: without its salts no reading can be proved any more.

One folder for each chain of batches (``gateway.chain.notary.batches``). A batch has two files, and there is a third::

    0000042.1200-1259.json    its record: batch 42, with readings of the entries 1200 to 1259
    0000042.chain             JSON: {"since": block, "transaction": "0x…" or null, "block": number or null}
    begin                     the entry from which on the first batch looks for readings, in decimal

The record and its ``.chain`` are durable before the root is sent anywhere; *since* is the newest block then, so that
after any crash the chain can be asked whether the root is there. Transaction and block are noted when they are final.

The newest *limit* batches are kept. When there is one more the oldest goes, if it is anchored: its root and its number
stand in the link of the batch behind it, so the chain of batches can still be checked; its readings cannot be proved
any more, but by the log's own proofs, which this does not touch. A batch of 60 readings takes 8 KiB, one of 512 60.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway import durable
from gateway.chain.notary.batches import RECORD_MAX, Batch
from gateway.errors import MalformedError, UnavailableError

#: A year of hourly batches, about 70 MiB.
LIMIT = 8784
_RECORD = re.compile(r"([0-9]{7,})\.([0-9]+)-([0-9]+)\.json")
_SMALL = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchoring:
    """Where a batch's root is."""

    #: The newest block before it was sent.
    since: int
    #: None until it is final.
    transaction: bytes | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A batch in the store."""

    batch: Batch
    anchoring: Anchoring


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Name:
    sequence: int
    first: int
    last: int

    @property
    def record(self) -> str:
        return f"{self.sequence:07}.{self.first}-{self.last}.json"

    @property
    def chain(self) -> str:
        return f"{self.sequence:07}.chain"


class BatchStore:
    """One folder. All methods block; one process at a time writes, any may read."""

    def __init__(self, folder: Path, *, limit: int = LIMIT) -> None:
        """*limit* is at least 1. Nothing is read or made yet."""
        self._folder, self._limit = folder, limit

    def begin(self, seq: int) -> int:
        """The entry that the first batch begins at, as was said first: *seq*, or 0 where the log had an epoch before.

        Durable on return. Raises UnavailableError.
        """
        path = self._folder / "begin"
        with self._said("where the first batch begins could not be kept"):
            text = _content(path, _SMALL)
            if text is not None and text.isdigit():
                return int(text)
            parent = self._folder.parent
            later = parent.is_dir() and any(other != self._folder for other in parent.iterdir())
            durable.make_directory(self._folder)
            durable.write_atomically(path, b"0" if later else str(seq).encode())
            return 0 if later else seq

    def keep(self, batch: Batch, since: int) -> None:
        """On return it is durable, and may be sent; may be called again. Raises UnavailableError."""
        name = _Name(sequence=batch.sequence, first=batch.readings[0].seq, last=batch.readings[-1].seq)
        with self._said("a batch could not be kept"):
            durable.make_directory(self._folder)
            if not (self._folder / name.chain).exists():
                self._write(name, Anchoring(since=since))
            durable.write_atomically(self._folder / name.record, batch.to_json().encode())
            self._thin()

    def anchored(self, sequence: int, transaction: bytes, block: int) -> None:
        """Notes where the root of batch *sequence* is, if it is kept; may be told again. Raises UnavailableError."""
        name = next((name for name in self._names() if name.sequence == sequence), None)
        if name is None:
            return
        with self._said("where a batch is could not be noted"):
            known = self._anchoring(name)
            told = replace(known, transaction=transaction, block=block)
            if told != known:
                self._write(name, told)

    def newest(self) -> Kept | None:
        """The batch with the highest number.

        Raises MalformedError, TamperError where its file was changed, UnavailableError.
        """
        names = self._names()
        return self._read(names[-1]) if names else None

    def holding(self, seq: int) -> Kept | None:
        """The batch that has entry *seq* between its first and its last one. Raises as ``newest``."""
        name = next((name for name in self._names() if name.first <= seq <= name.last), None)
        return None if name is None else self._read(name)

    def all(self) -> Iterator[Kept]:
        """All of them, in order, one at a time in memory. Raises as ``newest``."""
        yield from map(self._read, self._names())

    def _names(self) -> list[_Name]:
        try:
            found = [match for path in self._folder.iterdir() if (match := _RECORD.fullmatch(path.name))]
        except FileNotFoundError:
            return []
        return sorted(_Name(sequence=int(m[1]), first=int(m[2]), last=int(m[3])) for m in found)

    def _read(self, name: _Name) -> Kept:
        path = self._folder / name.record
        with self._said("a batch cannot be read"):
            data = path.read_bytes()[: RECORD_MAX + 1]
            anchoring = self._anchoring(name)
        try:
            return Kept(batch=Batch.from_json(data.decode()), anchoring=anchoring)
        except UnicodeDecodeError as error:
            raise MalformedError(f"{path}: no text; restore it, or remove it and what it proves") from error

    def _anchoring(self, name: _Name) -> Anchoring:
        path = self._folder / name.chain
        data = _content(path, _SMALL)
        try:
            return _anchoring(json.loads(data)) if data is not None else Anchoring(since=0)
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedError(f"{path}: it does not say where a batch is; remove it: the chain is asked") from error

    def _write(self, name: _Name, anchoring: Anchoring) -> None:
        transaction = None if anchoring.transaction is None else "0x" + anchoring.transaction.hex()
        found = {"since": anchoring.since, "transaction": transaction, "block": anchoring.block}
        durable.write_atomically(self._folder / name.chain, json.dumps(found).encode())

    def _thin(self) -> None:
        names = self._names()
        surplus = [name for name in names[: -self._limit] if self._anchoring(name).transaction is not None]
        durable.remove(self._folder / file for name in surplus for file in (name.record, name.chain))

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnavailableError(f"{self._folder}: {what} ({error.strerror}): check the disk") from error


def _anchoring(found: dict[str, Any]) -> Anchoring:
    """Raises KeyError, TypeError, ValueError for anything else than ``_write`` writes."""
    since, text, block = int(found["since"]), found["transaction"], found["block"]
    if text is None:
        return Anchoring(since=since)
    return Anchoring(since=since, transaction=bytes.fromhex(text.removeprefix("0x")), block=int(block))


def _content(path: Path, limit: int) -> bytes | None:
    """The file's bytes, *limit* at most; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except FileNotFoundError:
        return None
