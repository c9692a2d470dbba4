"""Where a receiver keeps what it received: a log that ``log verify`` accepts, and beside it what is not settled yet.

In the directory:

    <seq>.seg …       the settled entries and their checkpoints, a log as ``gateway/log/frame.py`` specifies
    pending-<n>       pending entries (``gateway/receiver/spool.py``)
    keys              which entries hold key statements (``gateway/receiver/key_index.py``)
    statements        rotations and revocations in entries that were forgotten, one note behind the other
    evidence/         what contradicts the log, at most 64 files and 16 MiB
    .lock             an advisory lock (flock(2)): one receiver at a time

A receiver that hands on what is settled may forget it (``forget``): the oldest segments go, and what they held is then
not known any more, as it is without a store. ``log verify`` takes such a directory for one with a beginning missing.

Order of things: pending entries are durable before their message is acknowledged; settled entries and their
checkpoint are durable in the log before they leave the pending files. A crash in between leaves entries in both, which
is harmless.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from gateway import durable
from gateway.errors import ConfigError, TamperError
from gateway.log.files import tidy
from gateway.log.frame import FrameError
from gateway.log.key_statement import Certificate, Statement, parse_statement, split_statements
from gateway.log.scan import Contents, extend_tree, load, load_chained, segment_name, segment_starts
from gateway.log.segment import Segments
from gateway.log.tree import EMPTY_ROOT, Frontier, leaf_hash
from gateway.receiver.branches import Window
from gateway.receiver.key_index import find_statements, read_index, statements_at, write_index
from gateway.receiver.spool import Spool

MAX_UNCOMMITTED = 4 << 20
MAX_EVIDENCE_FILES = 64
MAX_EVIDENCE = 16 << 20


class ReceiverStore:
    """The directory of one receiver. Raises ConfigError, TamperError or OSError when it cannot be used."""

    def __init__(self, directory: Path) -> None:
        durable.make_directory(directory)
        self.directory = directory
        self._keys = directory / "keys"
        self._statements = directory / "statements"
        #: Settled entries before this one were forgotten.
        self.first_seq = 0
        self._lock = _lock(directory)
        self._segments: Segments | None = None
        if segment_starts(directory):
            self._open(None)
            self.first_seq = segment_starts(directory)[0]
        self.spool = Spool(directory)
        self._uncommitted = 0
        self._settled = False
        self._evidence = directory / "evidence"

    def begin(self, origin: str) -> None:
        """Says which log this is to be. Raises ConfigError where another one is there."""
        if self._segments is None:
            self._open(origin)
        if self.segments.origin != origin:
            raise ConfigError(
                f"{self.directory} holds the log {self.segments.origin!r}, not {origin!r}; take another --store"
            )

    def _open(self, origin: str | None) -> None:
        """Opens the log in the directory, or begins one; a torn tail, which a power cut leaves, is cut."""
        tidy(self.directory)
        newest = _newest(self.directory)
        if newest is None:
            if read_index(self._keys) is None:
                write_index(self._keys, ())
            self._segments = Segments(self.directory, origin, copy=True) if origin else None
            return
        self._segments = Segments(self.directory, newest.header.origin, copy=True)
        self._segments.resume(newest, segment_starts(self.directory))

    @property
    def origin(self) -> str | None:
        """The log that is here; None while there is none."""
        return self._segments.origin if self._segments else None

    @property
    def segments(self) -> Segments:
        """The settled log. ``begin`` came before."""
        assert self._segments is not None
        return self._segments

    def window(self) -> Window:
        """The settled entries of the newest segment."""
        starts = segment_starts(self.directory)
        if not starts:
            return Window(Frontier())
        contents = load(self.directory / segment_name(starts[-1]))
        window = Window(contents.header.tree())
        for data in contents.entries:
            window.add(leaf_hash(data))
        return window

    def settle(self, entries: Iterable[bytes], note: bytes) -> None:
        """Appends settled entries and the checkpoint that settles them; durable after ``commit``."""
        segments = self.segments
        for data in entries:
            segments.append(data, leaf_hash(data))
            self._uncommitted += len(data)
            if self._uncommitted > MAX_UNCOMMITTED:
                # Bounds what waits for the disk. A crash after it leaves entries that wait for their checkpoint.
                self._commit_segments()
        segments.checkpoint(note)
        self._settled = True

    def commit(self, oldest_pending: int | None) -> None:
        """All that was settled, and all that is pending, is durable on return.

        *oldest_pending* is the place of the oldest entry that is still pending, None when there is none.
        """
        self.spool.sync()
        if not self._settled:
            return
        self._commit_segments()
        # Durable in the log: from here on the pending files may lose it.
        self.spool.forget_below(oldest_pending)
        self._settled = False

    def note_keys(self, seqs: Iterable[int]) -> None:
        """Notes that these entries, which are to be settled, are key entries; durable on return."""
        write_index(self._keys, [*(read_index(self._keys) or ()), *seqs])

    def statements(self, size: int) -> list[Statement]:
        """The key statements in the first *size* entries."""
        return [*self._forgotten_statements(), *statements_at(self._key_seqs(size), self.entry)]

    def _key_seqs(self, size: int) -> list[int]:
        seqs = read_index(self._keys)
        if seqs is None and size:
            seqs = find_statements(size, self.segments.read, self.first_seq)
            write_index(self._keys, seqs)
        return [seq for seq in seqs or () if self.first_seq <= seq < size]

    def _forgotten_statements(self) -> list[Statement]:
        notes = split_statements(self._statements.read_bytes()) if self._statements.exists() else []
        # A crash leaves a statement here and in its entry.
        return [said for said in map(parse_statement, notes) if said.seq < self.first_seq]

    def forget(self, size: int) -> None:
        """Entries below *size* are kept elsewhere: the segments that hold nothing else go. Raises OSError."""
        first = max((start for start in segment_starts(self.directory) if start <= size), default=0)
        if first <= self.first_seq:
            return
        said = [*self._forgotten_statements(), *statements_at(self._key_seqs(first), self.entry)]
        notes = b"".join(each.note for each in said if not isinstance(each, Certificate))
        if notes:
            durable.write_atomically(self._statements, notes)
        # A crash leaves statements here and in their entries, which is harmless.
        self.first_seq = first
        for path in self.segments.drop_below(first):
            # The oldest first, each for good: a crash leaves no hole.
            durable.remove([path])
            durable.sync_directory(self.directory)

    def _commit_segments(self) -> None:
        self.segments.commit()
        self._uncommitted = 0

    def entry(self, seq: int) -> bytes | None:
        """The settled entry *seq*; None where it was forgotten."""
        if seq < self.first_seq:
            return None
        self._commit_segments()
        return self.segments.read(seq, seq + 1)[0]

    def leaves(self, start: int, stop: int) -> list[bytes | None]:
        """Leaf hashes of settled entries; None for those that were forgotten."""
        self._commit_segments()
        found: list[bytes | None] = [None] * (min(stop, self.first_seq) - start)
        while start + len(found) < stop:
            found += map(leaf_hash, self.segments.read(start + len(found), stop))
        return found

    def root_at(self, size: int) -> bytes | None:
        """The root over the first *size* settled entries, from the segment that holds the last; None if forgotten."""
        if size == 0:
            return EMPTY_ROOT
        if size < self.first_seq:
            return None
        self._commit_segments()
        start = max(start for start in segment_starts(self.directory) if start <= size)
        path = self.directory / segment_name(start)
        try:
            contents = load_chained(path)
        except FrameError as error:
            raise _changed(path, error) from error
        if contents.next_seq < size:
            raise TamperError(f"{path}: entry {contents.next_seq} is missing or changed; keep it, take another --store")
        tree = contents.header.tree()
        extend_tree(tree, contents.entries[: size - start])
        return tree.root()

    def keep_evidence(self, name: str, data: bytes) -> Path | None:
        """Keeps *data* under *name*; None when there is no more room, or the same is there already."""
        durable.make_directory(self._evidence)
        kept = [path.stat().st_size for path in self._evidence.iterdir()]
        path = self._evidence / name
        if path.exists() or len(kept) >= MAX_EVIDENCE_FILES or sum(kept) + len(data) > MAX_EVIDENCE:
            return None
        durable.write_atomically(path, data)
        return path

    def close(self) -> None:
        """Closes all files; another receiver may use the directory then."""
        self.spool.close()
        if self._segments is not None:
            self._segments.close()
        os.close(self._lock)


def _lock(directory: Path) -> int:
    fd = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise ConfigError(f"{directory} is in use by another receiver; stop it, or take another --store") from error
    return fd


def _newest(directory: Path) -> Contents | None:
    """The newest segment that can be gone on from. Raises TamperError where bytes have changed."""
    for start in reversed(segment_starts(directory)):
        path = directory / segment_name(start)
        try:
            contents = load_chained(path)
        except FrameError as error:
            if not error.torn:
                raise _changed(path, error) from error
            # Its header never reached the disk, so nothing in it was acknowledged.
            durable.set_aside(path, ".broken")
            continue
        if contents.fault is None:
            return contents
        if not contents.fault.torn:
            raise _changed(path, contents.fault) from contents.fault
        return _cut(path, contents.end)
    return None


def _cut(path: Path, end: int) -> Contents:
    """Cuts off what a power cut left behind the last whole frame; the file as it was is kept beside it.

    The gateway's own log records such a cut in an entry; a copy of its log must not hold entries of its own.
    """
    data = path.read_bytes()
    durable.write_atomically(path.with_name(f"{path.name}.broken"), data)
    # A crash before this leaves the torn file, and the next start does the same again.
    durable.write_atomically(path, data[:end].ljust(len(data), b"\0"))
    return load_chained(path)


def _changed(path: Path, error: FrameError) -> TamperError:
    return TamperError(f"{path}: {error}: the stored log was changed or damaged; keep it, and take another --store")
