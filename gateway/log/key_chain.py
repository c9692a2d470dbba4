"""Finds the rotations of a log's keys without reading the whole log, and without any reading where there are none.

The newest checkpoint tells whether there were any: a key that was followed never comes back, so where the log's own
lines in that checkpoint are of keys that the first entry names, no checkpoint before it is of another one.

Where there were, the headers of segments and the footers of packs tell where: each names the newest checkpoint before
it. A checkpoint of at most ``seq`` entries is the old key's, a larger one the new key's (``gateway.log.key_history``);
so a rotation stands at or behind the size of the last checkpoint by the old key, and before that of the first one by
the new key. Only entries between two neighbours of which other keys signed are read. What is found is believed only as
far as its signatures hold. Entries that hold statements are never pruned.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from gateway.errors import TamperError
from gateway.log.entry import Entry, Kind
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import Rotation
from gateway.log.log_keys import history_of
from gateway.log.note import of_origin, parse_checkpoint, split_note
from gateway.log.proving import present
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey

#: (name, key id).
_Ids = frozenset[tuple[str, bytes]]
_KIND_AT = 2


def rotations(view: LogView) -> tuple[bytes, ...]:
    """The statements that link the log's keys, in order; none where the newest checkpoint shows no change of them.

    Raises as ``rotation_history``.
    """
    note = view.newest_checkpoint
    if note is None or _signers(view.origin, note) <= _ids(_genesis(view)):
        return ()
    return tuple(said.note for said in rotation_history(view).statements if isinstance(said, Rotation))


def rotation_history(view: LogView) -> KeyHistory:
    """The keys that the log's first entry names, and what followed them as far as the newest checkpoint covers it.

    It looks at every header, so a newest checkpoint by a key that was followed does not hide the others. Revocations
    are not looked for. Raises TamperError for a statement that does not hold, and where there is no first entry.
    """
    return history_of(view.origin, _told(view))


def _told(view: LogView) -> Iterator[tuple[int, bytes]]:
    """(seq, entry) of the first entry and of the key entries up to the newest checkpoint."""
    first = _genesis(view)
    yield 0, first.data
    for (start, before), (stop, behind) in pairwise([(0, _ids(first)), *_changes(view)]):
        if before != behind:
            yield from ((seq, data) for seq, data in present(view, start, stop) if data[_KIND_AT] == Kind.KEY)


def _genesis(view: LogView) -> Entry:
    first = view.entry(0)
    if first is None or first.kind is not Kind.GENESIS:
        raise TamperError(f"the log {view.origin} does not begin with a genesis entry", seq=0)
    return first


def _ids(genesis: Entry) -> _Ids:
    return frozenset((key.name, key.key_id) for key in map(VerifierKey.parse, genesis.body[4]))


def _changes(view: LogView) -> Iterator[tuple[int, _Ids]]:
    """(size, keys that signed) of checkpoints all along the log, sizes rising."""
    last = 0
    for note in view.checkpoints():
        size = parse_checkpoint(note).size
        if size > last:
            yield size, _signers(view.origin, note)
            last = size


def _signers(origin: str, note: bytes) -> _Ids:
    """Who seems to have signed it under the log's name; witnesses have other names."""
    return frozenset((line.name, line.key_id) for line in split_note(note)[1] if of_origin(origin, line.name))
