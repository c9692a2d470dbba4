"""The gateway's own log: entries of all kinds on top of the segment files, opened in whatever state they are.

Every start appends a boot entry; a first start, or one that had to close a damaged log, a genesis entry before it;
and one recovery entry per cut. So the log tells its own history.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gateway import durable
from gateway.errors import LogUnavailable
from gateway.log.entry import ALARM, INFORMATION, Entry, Kind, decode, encode
from gateway.log.nodes import TreeNodes
from gateway.log.packs import Packs
from gateway.log.recovery import Closed, open_directory
from gateway.log.segment import SEGMENT_BYTES, Segments
from gateway.log.survey import Cut
from gateway.log.tree import Frontier, leaf_hash
from gateway.reading import Clock, Moment

_log = logging.getLogger(__name__)

#: Stands for the hash of bytes that cannot be hashed: nobody knows what the disk holds of them.
NOT_CONFIRMED = bytes(32)
#: Code of the event that a clean stop writes last.
SHUTDOWN = "shutdown"
#: Halves of a full disk's reserve that an entry leaves: gaps shall not use up what alarms need.
_SPARE = {Kind.READING: 2, Kind.CONCEALED: 2, Kind.IMPORTED: 2, Kind.GAP: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a genesis entry declares."""

    origin: str
    software: str
    commit_ms: int
    commit_entries: int
    vkeys: tuple[str, ...]


class Appended(NamedTuple):
    """Where an entry went; a tuple, since one is made for each entry and a frozen dataclass costs three times more."""

    seq: int
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the start found, for people."""

    how: str
    cuts: tuple[Cut, ...]
    closed: Closed | None


class Log:
    """Appends entries of this run to a log. Use ``open_log`` to make one."""

    def __init__(self, segments: Segments, clock: Clock, boot: int) -> None:
        self._segments = segments
        self._clock = clock
        self._lock = threading.RLock()
        self.boot = boot

    @property
    def origin(self) -> str:
        """The origin line of this log's checkpoints."""
        return self._segments.origin

    @property
    def size(self) -> int:
        """Entries appended."""
        return self._segments.size

    @property
    def durable_size(self) -> int:
        """Entries that survive a power cut; only these may leave the device."""
        return self._segments.durable_size

    @property
    def newest_checkpoint(self) -> bytes | None:
        """The newest durable signed checkpoint."""
        return self._segments.newest_checkpoint

    def durable_tree(self) -> Frontier:
        """The tree over the durable entries."""
        return self._segments.durable_tree()

    def append(self, kind: Kind, body: list[Any], moment: Moment | None = None) -> Appended:
        """Writes one entry at once; it is durable after the next ``commit``.

        Raises LogUnavailable (nothing is then appended) and MalformedError for a body that is not the kind's.
        """
        segments = self._segments
        # A commit in another thread may append what it found.
        with self._lock:
            seq = segments.tree.size
            data = encode(
                kind=kind,
                seq=seq,
                prev=segments.last_hash,
                boot=self.boot,
                moment=moment or self._clock(),
                body=body,
            )
            leaf = leaf_hash(data)
            segments.append(data, leaf, spare=_SPARE.get(kind, 0))
        return Appended(seq, leaf, data)

    def append_at(self, kind: Kind, body_of: Callable[[int], list[Any]], moment: Moment) -> Appended:
        """As ``append``, of the body that *body_of* makes of the entry's seq."""
        # The lock is held until the entry is written: the seq is its own.
        with self._lock:
            return self.append(kind, body_of(self.size), moment)

    def before_sync(self, call: Callable[[], None]) -> None:
        """Has each commit call *call* before it syncs: so what an entry relies on is durable ahead of the entry.

        It blocks and does not raise.
        """
        self._segments.before_sync = call

    def event(self, code: str, severity: int, subject: str, text: str) -> Appended:
        """Appends an event entry."""
        return self.append(Kind.EVENT, [code, severity, subject, text[:1000]])

    def commit(self) -> int:
        """Makes all appended entries durable; see ``Segments.commit``. What the disk did wrong becomes an event."""
        segments = self._segments
        size = segments.commit()
        if not segments.faults:
            return size
        for name, offset, length in segments.voids:
            body = [name, offset, length, NOT_CONFIRMED, name, "the disk did not confirm it; its entries follow again"]
            self.append(Kind.RECOVERY, body)
        for fault in segments.faults:
            _log.error("disk-failure %s: %s", segments.directory, fault)
            self.event("disk-failure", ALARM, str(segments.directory), fault)
        segments.voids.clear()
        segments.faults.clear()
        return segments.commit()

    def checkpoint(self, note: bytes, *, at_once: bool = True) -> None:
        """Stores a signed checkpoint, durably; or with the next commit. Only then may it leave the device."""
        self._segments.checkpoint(note)
        if at_once:
            self._segments.commit()

    @property
    def packs(self) -> Packs:
        """The packed part of the log."""
        return self._segments.reader.packs

    def use_packs(self) -> list[Path]:
        """Sees what was packed or pruned; returns the segments that nobody needs any more.

        They can be removed, at leisure: a crash on the way leaves some, or a power cut brings some back, and they hold
        nothing that the packs do not.
        """
        return self._segments.take_packs()

    def take_packs(self) -> None:
        """The same, and removes them. Raises OSError."""
        durable.remove(self.use_packs())

    def prepare(self) -> None:
        """Makes room for what comes; see ``Segments.prepare``."""
        self._segments.prepare()

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        """Durable entries from *start* on; see ``Segments.read``."""
        return self._segments.read(start, stop, max_entries=max_entries, max_bytes=max_bytes)

    def nodes(self) -> TreeNodes:
        """Hashes of complete subtrees over the durable entries."""
        return self._segments.reader.nodes()

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        """The newest known note with *first_seq* < size ≤ *end_seq*."""
        newest = self._segments.newest_checkpoint
        return self._segments.reader.checkpoint_covering(first_seq, end_seq, newest)

    def last_entries(self, count: int) -> list[Entry]:
        """Up to *count* of the newest durable entries, oldest first."""
        start, found = max(0, self.durable_size - count), []
        while batch := self.read(start):
            found += [decode(data) for data in batch]
            start += len(batch)
        return found

    def close(self) -> None:
        """Closes the files. Commit first."""
        self._segments.close()
        self.packs.close()


def open_log(
    directory: Path,
    declared: Declared,
    clock: Clock,
    boot_id: bytes,
    *,
    signed: Callable[[str], int] = lambda _origin: 0,
    last_note: Callable[[str], bytes | None] = lambda _origin: None,
    unfit: Callable[[Segments], str | None] = lambda _segments: None,
    segment_bytes: int = SEGMENT_BYTES,
) -> tuple[Log, Found]:
    """Opens or begins the log in *directory* and writes what a start has to say; durable on return.

    Raises ConfigError (another log's directory), LogUnavailable (the disk takes nothing).
    """
    try:
        opened = open_directory(
            directory, declared.origin, signed=signed, last_note=last_note, unfit=unfit, segment_bytes=segment_bytes
        )
    except OSError as error:
        raise LogUnavailable(
            f"the log in {directory} cannot be opened: {error.strerror}; is the disk writable?"
        ) from error
    segments = opened.segments
    last = decode(segments.read(segments.size - 1)[0]) if segments.size else None
    how = "first" if last is None else "clean" if _is_shutdown(last) else "unclean"
    log = Log(segments, clock, last.boot + 1 if last else 0)
    found = Found(how=how, cuts=opened.cuts, closed=opened.closed)
    if last is None:
        log.append(Kind.GENESIS, _genesis(segments.origin, declared, opened.closed))
    for cut in opened.cuts:
        body = [cut.segment, cut.offset, cut.length, cut.sha256, cut.kept_in, cut.reason]
        log.append(Kind.RECOVERY, body)
    log.append(Kind.BOOT, [boot_id, declared.software, how])
    log.commit()
    return log, found


def shut_down(log: Log, reason: str) -> None:
    """Appends the entry of a clean stop; commit and sign after it."""
    log.event(SHUTDOWN, INFORMATION, "gateway", reason)


def _is_shutdown(entry: Entry) -> bool:
    return entry.kind is Kind.EVENT and entry.body[0] == SHUTDOWN


def _genesis(origin: str, declared: Declared, closed: Closed | None) -> list[Any]:
    previous: Sequence[str] = []
    if closed is not None and closed.note is not None:
        previous = [closed.origin, closed.note.decode()]
    reason = "first start" if closed is None else closed.reason
    return [
        origin,
        declared.software,
        declared.commit_ms,
        declared.commit_entries,
        list(declared.vkeys),
        list(previous),
        reason,
    ]
