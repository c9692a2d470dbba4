"""Which message comes next at a position of the log: pure decisions over what is durable.

A checkpoint travels with entries it covers, or, when those are gone already, in a message without entries; so it may
state a size at or below the first seq of its message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gateway.channel import Message
from gateway.errors import PrunedError
from gateway.log.durable_log import DurableEntries

#: Entries and bytes of one message: reading, packing and sending it holds up the event loop for about a millisecond.
MESSAGE_ENTRIES = 256
MESSAGE_BYTES = 32 * 1024
#: Room for what a message adds to its entries: heads, origin and checkpoint (``gateway/channel.py``).
OVERHEAD_BYTES = 4 * 1024


class LogReader(DurableEntries, Protocol):
    """What delivery sees of the log: what is durable. ``gateway/log/log.py`` is one."""

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        """The newest durable note known with *first_seq* < size ≤ *end_seq*."""


def next_message(log: LogReader, position: int, sent_note: bytes | None, limit: int) -> Message | None:
    """What comes next at *position* when *sent_note* is the last checkpoint sent; None when all is sent.

    Entries fill the message up to *limit* encoded bytes; a single entry may go beyond.
    """
    note = log.newest_checkpoint
    if note is not None and note != sent_note and checkpoint_size(note) <= position:
        return Message(origin=log.origin, first_seq=position, entries=(), checkpoint=note)
    return _entries_from(log, position, log.durable_size, limit)


def resend(log: LogReader, from_seq: int, to_seq: int, limit: int) -> Iterator[Message]:
    """The messages with the entries from *from_seq* up to *to_seq*, each read when it is asked for.

    There is none for entries that were pruned.
    """
    position = from_seq
    while True:
        try:
            message = _entries_from(log, position, min(to_seq, log.durable_size), limit)
        except PrunedError as error:
            position = error.next_seq
            continue
        if message is None:
            return
        yield message
        position = message.end_seq


def checkpoint_size(note: bytes) -> int:
    """The tree size that a note of the gateway's own log states (C2SP tlog-checkpoint: its second line)."""
    return int(note.split(b"\n", 2)[1])


def _entries_from(log: LogReader, position: int, stop: int, limit: int) -> Message | None:
    if position >= stop:
        return None
    room = max(1, limit - OVERHEAD_BYTES)
    entries = log.read(position, stop, max_entries=MESSAGE_ENTRIES, max_bytes=min(MESSAGE_BYTES, room))
    # A read ends with the entry that reaches max_bytes, which may be too much for the far side. Otherwise it stays: the
    # log goes on cheaply only where a read ended.
    if len(entries) > 1 and sum(map(len, entries)) > room:
        entries = entries[:-1]
    if not entries:
        return None
    note = log.checkpoint_covering(position, position + len(entries))
    return Message(origin=log.origin, first_seq=position, entries=tuple(entries), checkpoint=note)
