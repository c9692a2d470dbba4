"""Where in a stored log the key statements are: a file ``keys`` with the seqs of its key entries, one a line, rising.

The entries themselves say what holds; the file only saves the search for them. A seq in it that is not settled, or is
that of another entry, is passed over. A file that is missing or broken is made again from the whole log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gateway import durable
from gateway.errors import MalformedError
from gateway.log.entry import Kind, decode
from gateway.log.key_statement import Statement, statement_in

_MAX_BYTES = 1 << 20
_BATCH = 1024


def read_index(path: Path) -> list[int] | None:
    """The seqs in the file; None where it is missing or none."""
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES + 1).split(b"\n")
    except FileNotFoundError:
        return None
    if lines.pop() or not all(line.isdigit() and len(line) < 20 for line in lines):
        return None
    return [int(line) for line in lines]


def write_index(path: Path, seqs: Iterable[int]) -> None:
    """Replaces the file, durably."""
    durable.write_atomically(path, "".join(f"{seq}\n" for seq in sorted(set(seqs))).encode())


def statements_at(seqs: Iterable[int], entry: Callable[[int], bytes | None]) -> list[Statement]:
    """The statements in those of the entries that are key entries, in order; an entry may be there no more."""
    entries = filter(None, (entry(seq) for seq in sorted(set(seqs))))
    found = [statement for data in entries if (statement := statement_of(data)) is not None]
    return sorted(found, key=lambda statement: statement.seq)


def statement_of(data: bytes) -> Statement | None:
    """The statement in an entry; None in an entry of another kind, and in a log that nobody verified when it came."""
    # The kind is the third byte of every entry: most need not be decoded.
    if data[2] != Kind.KEY:
        return None
    try:
        entry = decode(data)
        return statement_in(entry.body, entry.seq)
    except MalformedError:
        return None


def find_statements(size: int, read: Callable[[int, int], list[bytes]], first: int = 0) -> list[int]:
    """The seqs of all key entries from *first* on, below *size*."""
    seq, found = first, []
    while seq < size:
        batch = read(seq, min(size, seq + _BATCH))
        found += [seq + index for index, data in enumerate(batch) if data[2] == Kind.KEY]
        seq += len(batch)
    return found
