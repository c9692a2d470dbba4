"""Which key a log is signed with now: what a start must know before it writes anything.

The newest checkpoint tells: its first line under the log's name is the valid key's, one of the key before may follow.
Rotations behind that checkpoint tell more: a power cut can come between a rotation and the checkpoint after it. Where
nothing is signed yet, the first entry names the keys, or nobody is named and any key may begin. The first entry also
names the key in hardware, if there is one. So no start reads more than that and what is not signed yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import MalformedError, PrunedError, TamperError
from gateway.log.entry import Kind, decode
from gateway.log.note import open_note, parse_checkpoint, split_note
from gateway.log.vkey import VerifierKey

if TYPE_CHECKING:
    from gateway.log.durable_log import DurableEntries
    from gateway.log.key_history import KeyHistory
    from gateway.log.key_statement import Rotation, Statement

_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeys:
    """What a log says of its keys; *name* is what its keys are called."""

    name: str
    note: bytes | None
    #: The verifier keys that the first entry names.
    named: tuple[str, ...]
    #: The rotation behind the newest checkpoint, if there is one: the last of them.
    rotation: Rotation | None

    @property
    def hardware(self) -> str | None:
        """The verifier key, named second, that signs every checkpoint beside the first one."""
        return self.named[1] if len(self.named) > 1 else None

    def is_current(self, key: VerifierKey) -> bool:
        """Whether the next checkpoint is *key*'s to sign."""
        if self.rotation is not None:
            return key == self.rotation.new
        if self.note is not None:
            return signed_first(self.note, key)
        return not self.named or key.text in self.named

    def fits_hardware(self, key: VerifierKey | None) -> bool:
        """Whether *key* is the log's hardware key; None: whether it has none. It stays what it was at the beginning."""
        if self.hardware is not None or self.named:
            return self.hardware == (None if key is None else key.text)
        # Begun while the key stores were away: a checkpoint tells, if there is one.
        return key is None or self.note is None or _has_signed(self.note, key)


def signed_first(note: bytes, key: VerifierKey) -> bool:
    """Whether the note's first signature under the key's name is by *key*, and good."""
    _, lines = split_note(note)
    own = [line.key_id for line in lines if line.name == key.name]
    return own[:1] == [key.key_id] and _has_signed(note, key)


def _has_signed(note: bytes, key: VerifierKey) -> bool:
    try:
        return open_note(note, [key]) == [key]
    except TamperError:
        return False


def read_log_keys(log: DurableEntries, name: str) -> LogKeys:
    """What *log* says. Raises TamperError where a statement that no checkpoint covers yet does not hold."""
    note = log.newest_checkpoint
    named = _named(log)
    since = parse_checkpoint(note).size if note is not None else 0
    found = LogKeys(name=name, note=note, named=named, rotation=None)
    for rotation in _rotations(log, since):
        # Imported late, as below: most starts meet no rotation.
        from gateway.log.key_history import KeyHistory

        # The old key must be the one that the log has there, and both must have signed.
        KeyHistory(log.origin, [rotation.old]).apply(rotation)
        if not found.is_current(rotation.old):
            raise TamperError(f"entry {rotation.seq} is a rotation from a key that is not the log's", seq=rotation.seq)
        found = LogKeys(name=name, note=note, named=named, rotation=rotation)
    return found


def was_key(log: DurableEntries, key: VerifierKey) -> bool:
    """Whether *key* was a key of this log once: named, or taken up by a rotation. Reads the whole log."""
    return key.text in _named(log) or any(key in (said.old, said.new) for said in _rotations(log, 0))


def history_of(origin: str, entries: Iterable[tuple[int, bytes]]) -> KeyHistory:
    """The keys of a log from its entries, each with its seq; only the first one and key entries count.

    Raises TamperError for a statement that does not hold.
    """
    from gateway.log.key_history import KeyHistory, named_keys
    from gateway.log.key_statement import Rotation

    history = KeyHistory(origin, ())
    for seq, data in entries:
        if seq == 0:
            history = KeyHistory(origin, (), named_keys(origin, decode(data).body[4]))
        elif data[2] == Kind.KEY:
            statement = _statement(data, seq)
            if not history.lines and isinstance(statement, Rotation):
                # The key was away when the log began, so it names none.
                history = KeyHistory(origin, (), [statement.old])
            history.apply(statement)
    return history


def statements(log: DurableEntries, since: int = 0) -> Iterator[Statement]:
    """The statements in the key entries from *since* on. Raises TamperError for one that cannot be read."""
    seq = since
    while seq < log.durable_size:
        try:
            batch = log.read(seq, max_entries=_BATCH)
        except PrunedError as error:
            # A key entry is never pruned.
            seq = error.next_seq
            continue
        for data in batch:
            # The kind is the third byte of every entry: most need not be decoded.
            if data[2] == Kind.KEY:
                yield _statement(data, seq)
            seq += 1


def _statement(data: bytes, seq: int) -> Statement:
    from gateway.log.key_statement import statement_in

    try:
        return statement_in(decode(data).body, seq)
    except MalformedError as error:
        raise TamperError(f"entry {seq}: {error}", seq=seq) from error


def _named(log: DurableEntries) -> tuple[str, ...]:
    first = log.read(0, 1)
    return tuple(decode(first[0]).body[4]) if first else ()


def _rotations(log: DurableEntries, since: int) -> Iterator[Rotation]:
    for said in statements(log, since):
        from gateway.log.key_statement import Rotation

        if isinstance(said, Rotation):
            yield said
