"""A log directory as a reader sees it who has no part in the writing: the gateway may be running on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.errors import ConfigError, LogUnavailable, TamperError
from gateway.log.cosignature import is_cosigned
from gateway.log.entry import Entry, Kind, decode, description
from gateway.log.frame import FrameError
from gateway.log.nodes import TreeNodes
from gateway.log.pack import CHUNK
from gateway.log.packs import Packs
from gateway.log.reader import SegmentReader
from gateway.log.scan import load, segment_name, segment_starts
from gateway.log.tiles import Pruned
from gateway.log.tree import Frontier
from gateway.reading import MeterDescription

_BATCH = 4096
_BATCH_BYTES = 1 << 20
#: Segments in which a cosigned checkpoint is looked for: an hour or more of a busy log each.
_LOOK_BACK = 4


def find_log(directory: Path) -> Path:
    """The directory with the segment files: *directory*, or ``log`` in it. Raises ConfigError when it is neither."""
    for candidate in (directory / "log", directory):
        if candidate.is_dir() and segment_starts(candidate):
            return candidate
    what = "does not exist" if not directory.exists() else "holds no log"
    raise ConfigError(f"{directory} {what}; name a state directory, a log directory or an exported log")


class LogView:
    """Entries of a log directory as they are on disk, durable or not."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._starts: list[int] = []
        self._reader = SegmentReader(directory, self._starts)
        self._meters: dict[int, MeterDescription | None] = {}
        self.origin = ""
        self.size = 0
        self.newest_checkpoint: bytes | None = None
        self.refresh()

    @property
    def packs(self) -> Packs:
        """The packed part."""
        return self._reader.packs

    def refresh(self) -> None:
        """Sees what was appended since. Raises TamperError where the newest segment has no readable header."""
        # In this order: a segment that is packed in between is in both lists, and not in none.
        self._starts[:] = segment_starts(self.directory)
        self.packs.refresh()
        path = self.directory / segment_name(self._starts[-1])
        try:
            newest = load(path)
        except FrameError as error:
            raise TamperError(f"{path}: {error}", seq=self._starts[-1]) from error
        self.origin, self.size = newest.header.origin, newest.next_seq
        self.newest_checkpoint = newest.notes[-1][1] if newest.notes else newest.header.note or None

    def newest_cosigned(self) -> bytes | None:
        """The newest checkpoint that a witness seems to have cosigned, as far as the newest segments hold one."""
        for start in self._starts[: -1 - _LOOK_BACK : -1]:
            try:
                notes = load(self.directory / segment_name(start)).notes
            except (FrameError, FileNotFoundError):
                # log verify says what is wrong with it, or it was packed just now; others may hold one.
                continue
            if (found := next((note for _, note in reversed(notes) if is_cosigned(note)), None)) is not None:
                return found
        return None

    def checkpoints(self) -> Iterator[bytes]:
        """Checkpoints all along the log, the newest included: of each pack and segment the newest one before it."""
        try:
            for pack in self._reader.packs:
                yield from filter(None, [pack.footer.note])
            for start in self._starts:
                yield from filter(None, [load(self.directory / segment_name(start)).header.note])
        except OSError as error:
            raise LogUnavailable(f"the log in {self.directory} cannot be read: {error.strerror}") from error
        except FrameError as error:
            raise TamperError(f"{segment_name(start)}: {error}", seq=start) from error
        yield from filter(None, [self.newest_checkpoint])

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Entries from seq *start* on, up to *stop* or the end. Raises TamperError where the log has changed."""
        limit = self.size if stop is None else min(stop, self.size)
        while start < limit:
            batch = self._reader.read(start, limit, max_entries=_BATCH, max_bytes=_BATCH_BYTES)
            yield from batch
            start += len(batch)

    def nodes(self, *, believe: bool = True) -> TreeNodes:
        """Hashes of complete subtrees; *believe* set to False takes nothing but the entries."""
        return self._reader.nodes(believe=believe)

    def first_checkpoint(self, seq: int) -> bytes | None:
        """The first stored checkpoint that covers entry *seq*; None when none does."""
        return self._reader.first_checkpoint(seq)

    def root(self, size: int) -> bytes:
        """The root over the first *size* entries, from all of them that are there."""
        tree = Frontier()
        self.grow(tree, size)
        return tree.root()

    def grow(self, tree: Frontier, size: int) -> None:
        """Appends to *tree*, which holds the beginning of this log, what is missing up to *size* entries.

        Raises PrunedError where the hashes that this takes went with the entries; the tree then holds what is before.
        """
        while tree.size < size:
            start = tree.size
            value = None if start % CHUNK else self.packs.pruned_hash(start // CHUNK)
            if value is not None and start + CHUNK <= size:
                tree.append_run(value)
            else:
                tree.extend(self._reader.leaves(start, min(start - start % CHUNK + CHUNK, size)))

    def pruned(self) -> Pruned:
        """What is left of the entries that were pruned, for an export."""
        packs = self.packs
        minimum = packs.minimum_index()
        return Pruned(minimum_index=minimum, kept=_kept(packs, minimum), node=self.nodes().node)

    def entry(self, seq: int) -> Entry | None:
        """The entry *seq*, or None beyond the end."""
        found = self._reader.read(seq, self.size, max_entries=1, max_bytes=1)
        return decode(found[0]) if found else None

    def meter(self, definition_seq: int) -> MeterDescription | None:
        """The meter that the definition entry of that seq spells out; None when there is no such entry."""
        if definition_seq not in self._meters:
            entry = self.entry(definition_seq)
            known = entry is not None and entry.kind is Kind.DEFINITION
            self._meters[definition_seq] = description(entry.body) if entry is not None and known else None
        return self._meters[definition_seq]


def _kept(packs: Packs, minimum: int) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the run of 256, its entries) of what was kept below *minimum*."""
    for pack in packs:
        for number, (length, _) in enumerate(pack.footer.chunks):
            run = pack.footer.first_seq // CHUNK + number
            if length and run * CHUNK < minimum:
                yield run, pack.entries(number)
