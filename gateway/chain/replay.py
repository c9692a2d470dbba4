"""Reads the events of a contract once, from one block to another, in ranges that the nodes take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from gateway.chain.events import EventClient, Topics
from gateway.chain.refusals import LogsRefused
from gateway.chain.span import Span
from gateway.chain.values import LogRecord


async def replay(
    client: EventClient,
    address: str,
    topics: Topics,
    first: int,
    last: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> AsyncIterator[LogRecord]:
    """Each event of blocks *first* to *last*, in the chain's order; *progress* is told the blocks that are done.

    Never more than one range of them is in memory. Raises ChainUnavailable.
    """
    span, at = Span(), first
    while at <= last:
        size = min(span.size, last - at + 1)
        try:
            records = await client.logs(address, topics, at, at + size - 1)
        except LogsRefused:
            if not span.refused(size):
                raise
            continue
        span.answered(size, len(records))
        for record in records:
            yield record
        at += size
        progress(at - first)
