"""The log as sessions use it: it takes their entries, says when they are durable, and is read again at a start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.errors import LogUnavailable, PrunedError
from gateway.log.entry import Kind, parse
from gateway.log.proving import present
from gateway.log.tree import leaf_hash
from gateway.log.view import LogView
from gateway.writer import Writer

_KIND_AT, _BODY_AT = 2, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a log: *hash* is the leaf hash of its last entry, before *size*."""

    origin: str
    size: int
    hash: bytes


class Journal(Protocol):
    """Where sessions are written. All methods raise LogUnavailable, and the last two TamperError."""

    def append(self, code: str, severity: int, subject: str, text: str) -> int:
        """Writes one event entry and returns its seq; it survives the process, and after ``settle`` a power cut."""

    async def settle(self) -> Tail:
        """On return all that was appended is durable. Where that ends."""

    def stands(self, tail: Tail) -> bool:
        """Whether the log still has what ended there, as far as it can know. Blocks; called from threads."""

    def events(self, start: int, stop: int, mark: bytes) -> Iterator[tuple[int, str, str]]:
        """Seq, code and text of the event entries in that stretch whose bytes hold *mark*. Blocks, as above."""


async def tell(journal: Journal, code: str, severity: int, subject: str, text: str) -> None:
    """A ``gateway.chain.events.Tell``, but for its first parameter."""
    journal.append(code, severity, subject, text)
    await journal.settle()


class LogJournal:
    """``Journal`` over the gateway's own log in *directory*."""

    def __init__(self, writer: Writer, directory: Path) -> None:
        self._writer, self._directory = writer, directory

    def append(self, code: str, severity: int, subject: str, text: str) -> int:
        """See ``Journal``."""
        return self._writer.append(Kind.EVENT, [code, severity, subject, text], urgent=True).seq

    async def settle(self) -> Tail:
        """See ``Journal``."""
        log = self._writer.log
        size = log.size
        if log.durable_size < size:
            await self._writer.commit()
        if log.durable_size < size:
            trouble = self._writer.troubles.get("log", "the disk did not take it")
            raise LogUnavailable(f"entry {size - 1} is not durable yet: {trouble}")
        return Tail(origin=log.origin, size=size, hash=leaf_hash(log.read(size - 1, size)[0]))

    def stands(self, tail: Tail) -> bool:
        """See ``Journal``."""
        view = LogView(self._directory)
        if tail.origin != view.origin or not 0 < tail.size <= view.size:
            return False
        try:
            entry = view.entry(tail.size - 1)
        except PrunedError:
            # It was there.
            return True
        return entry is not None and leaf_hash(entry.data) == tail.hash

    def events(self, start: int, stop: int, mark: bytes) -> Iterator[tuple[int, str, str]]:
        """See ``Journal``."""
        for seq, data in present(LogView(self._directory), start, stop):
            if data[_KIND_AT] == Kind.EVENT and mark in data:
                code, _, _, text = parse(data)[_BODY_AT]
                yield seq, code, text
