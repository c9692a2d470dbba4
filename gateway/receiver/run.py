"""What a receiver says of a message, and the checks of a message that need no state.

``check_run`` answers step 1 of ``gateway/receiver/``: the entries are entries, carry the seqs that the message says,
and chain among themselves; entry 0 is the genesis entry of the log that the message names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.channel import Message, check_origin
from gateway.errors import MalformedError
from gateway.log.entry import NO_PREV, Entry, Kind, decode, parse
from gateway.log.tree import leaf_hash
from gateway.receiver.branches import Branch

#: Findings that show no fraud: something is missing, came twice, could not be compared, found no room, or is not said
#: any more by the witnesses.
BENIGN = frozenset({"gap", "duplicate", "old-checkpoint", "full", "unwitnessed", "silent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Entries *from_seq* to *to_seq*, both included, chain; *to_seq* is one less where only a checkpoint came."""

    from_seq: int
    to_seq: int
    #: Entries held without a hole from 0 on, settled or pending.
    size: int
    #: Size of the newest checkpoint that fits the entries.
    verified: int
    #: False behind a gap: the entries chain among themselves, and nothing more is known of them.
    anchored: bool = True
    entries: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was wrong: *kind* is a word of ``gateway/receiver/``, *seq* the first entry, or the size, concerned."""

    kind: str
    seq: int
    text: str
    #: Last entry concerned, where that is known.
    to_seq: int | None = None

    @property
    def benign(self) -> bool:
        """Whether this is no evidence of tampering."""
        return self.kind in BENIGN


Outcome = Accepted | Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Entries that are needed to go on: from *from_seq* up to, not including, *to_seq*."""

    from_seq: int
    to_seq: int


class RefusedError(Exception):
    """Ends the work on a message; *finding* says why."""

    def __init__(self, kind: str, seq: int, text: str, to_seq: int | None = None) -> None:
        super().__init__(text)
        self.finding = Finding(kind=kind, seq=seq, text=text, to_seq=to_seq)


@dataclass(slots=True, kw_only=True)
class Run:
    """Consecutive entries of one message, and what became of them."""

    first: int
    entries: tuple[bytes, ...]
    leaves: list[bytes]
    #: The first entry's prev.
    prev: bytes
    #: Where the new ones of them went, the size there before, and their number.
    branch: Branch | None = None
    before: int = 0
    added: int = 0
    #: False for entries behind a gap.
    anchored: bool = True
    #: (seq, body) of each key entry.
    statements: tuple[tuple[int, list[Any]], ...] = ()

    @property
    def end(self) -> int:
        """The seq behind the last entry."""
        return self.first + len(self.entries)

    def without(self, count: int) -> Run:
        """The run less its first *count* entries, which are fewer than all."""
        prev = self.leaves[count - 1] if count else self.prev
        return Run(
            first=self.first + count,
            entries=self.entries[count:],
            leaves=self.leaves[count:],
            prev=prev,
            statements=tuple(said for said in self.statements if said[0] >= self.first + count),
        )


def span(start: int, end: int) -> str:
    """Entries *start* up to, not including, *end*, in words."""
    return f"entry {start}" if end - start == 1 else f"entries {start} to {end - 1}"


def another_log(found: str, wanted: str | None) -> str:
    """What to say of another log's message; a log that had to be closed goes on under ``ORIGIN/epoch-N``."""
    text = f"it is of the log {found[:80]!r}, not of {wanted!r}"
    if found.startswith(f"{wanted}/epoch-"):
        return f"{text}: the gateway closed that log for cause and began this one; follow it with its own --vkey"
    return text


def check_genesis(data: bytes) -> Entry:
    """The retained genesis entry, as it claims to be. Raises RefusedError."""
    try:
        entry = decode(data)
        if entry.kind is Kind.GENESIS and not entry.seq:
            check_origin(entry.body[0])
            return entry
        fault = f"entry {entry.seq}, {entry.kind.text}, is none"
    except MalformedError as error:
        fault = str(error)
    raise RefusedError("malformed", 0, f"the retained genesis entry: {fault}")


def check_run(message: Message) -> Run:
    """The message's entries. Raises RefusedError."""
    leaves: list[bytes] = []
    statements: list[tuple[int, list[Any]]] = []
    first_prev = NO_PREV
    for seq, data in enumerate(message.entries, message.first_seq):
        try:
            _, kind, said, prev, *_, body = parse(data)
        except MalformedError as error:
            raise RefusedError("malformed", seq, f"entry {seq}: {error}") from error
        if said != seq:
            raise RefusedError("bad-chain", seq, f"the entry in the place of {seq} says that it is {said}")
        if leaves and prev != leaves[-1]:
            raise RefusedError("bad-chain", seq, f"entry {seq} does not follow the entry before it in the same message")
        if (seq == 0) != (kind == Kind.GENESIS) or (seq == 0 and prev != NO_PREV):
            raise RefusedError("bad-chain", seq, f"entry {seq}: a log begins with its genesis entry, and has no other")
        if seq == 0 and body[0] != message.origin:
            raise RefusedError("wrong-origin", 0, f"the genesis entry is of the log {body[0][:80]!r}")
        if kind == Kind.KEY:
            statements.append((seq, body))
        first_prev = first_prev if leaves else prev
        leaves.append(leaf_hash(data))
    return Run(
        first=message.first_seq,
        entries=message.entries,
        leaves=leaves,
        prev=first_prev,
        statements=tuple(statements),
    )
