"""The packs of one log directory, read as one run of entries from 0 on; one maker, any number of readers."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import PrunedError, TamperError
from gateway.log.pack import CHUNK, Pack, note_size, pack_name, pack_ranges
from gateway.log.tree import EMPTY_ROOT, leaf_hash

#: Opened packs, and unpacked chunks, that are remembered: about 10 and 60 kB each.
_OPEN = 4
_UNPACKED = 4
_ROOT_BYTES = 1 << 30


class Packs:
    """Reads entries by seq. What the names of the files say is believed; ``gateway.log.verify`` looks closer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open: dict[int, Pack] = {}
        self._unpacked: dict[int, list[bytes]] = {}
        self._noted: Pack | None = None
        self.ranges: list[tuple[int, int]] = []
        self.refresh()

    def refresh(self) -> None:
        """Sees what was packed or pruned since."""
        ranges = pack_ranges(self.directory) if self.directory.is_dir() else []
        self.close()
        self.ranges = ranges

    def close(self) -> None:
        """Lets go of the files; they are opened again when they are read."""
        self._open, self._unpacked, self._noted = {}, {}, None

    @property
    def end_seq(self) -> int:
        """The seq behind the last packed entry; 0 when there is no pack."""
        return self.ranges[-1][1] if self.ranges else 0

    def pack(self, number: int) -> Pack:
        """The pack of that number, counted from the oldest. Raises TamperError, OSError."""
        first, end = self.ranges[number]
        pack = self._open.get(first)
        if pack is None:
            pack = self._open[first] = Pack(self.directory / pack_name(first, end))
            _shrink(self._open, _OPEN)
        return pack

    def newest(self) -> Pack | None:
        """The newest pack, if there is one."""
        return self.pack(len(self.ranges) - 1) if self.ranges else None

    def __iter__(self) -> Iterator[Pack]:
        return (self.pack(number) for number in range(len(self.ranges)))

    def read(self, start: int, stop: int, *, max_entries: int, max_bytes: int) -> list[bytes]:
        """Entries from *start*, which must be packed, up to *stop*: at least one, of one chunk.

        Raises PrunedError for an entry that was removed, TamperError, OSError.
        """
        pack = self._holding(start)
        number, at = divmod(start - pack.footer.first_seq, CHUNK)
        base = start - at
        if not pack.footer.chunks[number][0]:
            left = self.next_kept(start)
            raise PrunedError(
                f"entry {start} was pruned; entries are there from {left} on, proofs need the archive", next_seq=left
            )
        entries = self._unpacked.get(base)
        if entries is None:
            entries = self._unpacked[base] = pack.entries(number)
            _shrink(self._unpacked, _UNPACKED)
        found = list[bytes]()
        for data in entries[at : min(at + max_entries, stop - base)]:
            found.append(data)
            max_bytes -= len(data)
            if max_bytes <= 0:
                break
        return found

    def newest_note(self, seq: int) -> bytes | None:
        """The largest checkpoint in the pack that holds entry *seq*; None where it has none, or this was told last."""
        pack = self._holding(seq)
        if pack is self._noted:
            return None
        self._noted = pack
        return max((note for _, note in pack.notes()), key=note_size, default=None)

    def _holding(self, seq: int) -> Pack:
        number = bisect.bisect_right(self.ranges, (seq, self.end_seq)) - 1
        if number < 0 or self.ranges[number][1] <= seq:
            raise TamperError(f"entry {seq} is not in {self.directory}: its pack is missing", seq=seq)
        return self.pack(number)

    def root(self, size: int) -> bytes:
        """The root over the first *size* entries, none of the last of which may be pruned. Raises as ``read``."""
        if not size:
            return EMPTY_ROOT
        pack = self._holding(size - 1)
        tree = pack.footer.tree()
        for _, value in pack.footer.chunks[: (size - tree.size) // CHUNK]:
            tree.append_run(value)
        while tree.size < size:
            tree.extend(map(leaf_hash, self.read(tree.size, size, max_entries=CHUNK, max_bytes=_ROOT_BYTES)))
        return tree.root()

    def pruned_hash(self, run: int) -> bytes | None:
        """The hash over a run of 256 entries that was pruned; None for any other."""
        if run * CHUNK >= self.end_seq:
            return None
        footer = self._holding(run * CHUNK).footer
        length, value = footer.chunks[run - footer.first_seq // CHUNK]
        return None if length else value

    def next_kept(self, seq: int) -> int:
        """The first seq from *seq* on that was not pruned."""
        while seq < self.end_seq:
            pack = self._holding(seq)
            first = pack.footer.first_seq
            for number in range((seq - first) // CHUNK, len(pack.footer.chunks)):
                if pack.footer.chunks[number][0]:
                    return max(seq, first + number * CHUNK)
            seq = pack.footer.end_seq
        return seq

    def minimum_index(self) -> int:
        """The first seq from which on nothing was pruned (C2SP tlog-tiles, Pruning)."""
        for pack in map(self.pack, reversed(range(len(self.ranges)))):
            if pruned := pack.footer.pruned:
                return pack.footer.first_seq + CHUNK * (pruned[-1] + 1)
        return 0


def _shrink(cache: dict[int, Pack] | dict[int, list[bytes]], limit: int) -> None:
    while len(cache) > limit:
        del cache[next(iter(cache))]
