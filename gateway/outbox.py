"""One outbox per sink: sends the log from a durable cursor, in order, at least once, and never keeps a second copy.

The cursor is the seq of the next entry the far side has not confirmed, kept by sink name and origin; another origin
starts at 0. It moves only when the sink's ``deliver`` returned for the message at the head, so a crash at any line
below leaves at worst entries that are sent again, which (origin, seq) lets a receiver recognise. It is saved every ten
seconds, sooner during a catch-up, and at the end: a lost save, too, costs only repeats.

In flight are at most ``sink.window`` messages; a failure forgets them all and begins again at the cursor after a
jittered, growing pause. Sending has no timer: an entry leaves when it is durable, and what became durable while the
window was full leaves together. A checkpoint travels with entries it covers, or, when those are gone already, in a
message without entries; so it may state a size below the first seq of its message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import GatewayError, SinkUnavailable

#: Entries and bytes of one message: a read of the log that holds up the event loop for about a millisecond.
MESSAGE_ENTRIES = 256
MESSAGE_BYTES = 32 * 1024
#: What a message adds to its entries: heads, origin and checkpoint (``gateway/channel.py``).
OVERHEAD_BYTES = 20 * 1024

_log = logging.getLogger(__name__)


class LogReader(Protocol):
    """What an outbox sees of the log: durable entries only. ``gateway/log/log.py`` is one."""

    @property
    def origin(self) -> str:
        """The log's name."""

    @property
    def durable_size(self) -> int:
        """Entries that survive a power cut; only these may leave."""

    @property
    def newest_checkpoint(self) -> bytes | None:
        """The newest durable signed note; its second line is the size."""

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        """Durable entries from seq *start* on; empty at the end. Costs the same per entry at any depth."""

    def checkpoint_covering(self, first_seq: int, end_seq: int) -> bytes | None:
        """The newest durable note known with *first_seq* < size ≤ *end_seq*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutMessage:
    """One message on its way; the sink encodes it with ``gateway.channel.encode_message``."""

    origin: str
    first_seq: int
    entries: tuple[bytes, ...]
    checkpoint: bytes | None

    @property
    def end_seq(self) -> int:
        """The seq after the last entry."""
        return self.first_seq + len(self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a sink shows at the far side before the first message, and leaves there if the link breaks."""

    origin: str
    #: Entry 0, its own bytes.
    genesis: bytes
    #: The newest signed note.
    checkpoint: bytes | None
    #: Retained values by topic suffix: ``status`` and ``meter/NAME/status``, JSON.
    retained: Mapping[str, bytes]
    #: What ``status`` becomes when the link breaks, and after ``close``.
    will: bytes


#: Called once by a sink whose connection ended without ``close``.
Lost = Callable[[SinkUnavailable], None]


class Sink(Protocol):
    """A way to one far side. The contract test is ``tests/contract_sink.py``."""

    @property
    def name(self) -> str:
        """The channel's name in the config."""

    @property
    def window(self) -> int:
        """Calls of ``deliver`` that may be pending at once, at least 1; may change with each ``connect``."""

    @property
    def message_bytes(self) -> int:
        """Largest encoded message that the far side takes; may change with each ``connect``."""

    async def connect(self, hello: Hello, lost: Lost) -> None:
        """Opens the way, dropping any older one, and publishes *hello* as retained values.

        Raises SinkUnavailable, within a deadline of its own. After it returned, *lost* is called at most once, when
        the connection ends otherwise than by ``close`` or another ``connect``; pending calls fail as well.
        """

    async def deliver(self, message: OutMessage) -> None:
        """Sends *message*, and returns when the far side has confirmed this very message.

        Messages are sent in the order of the calls. Raises SinkUnavailable when there will be no confirmation; the
        message may then have arrived or not.
        """

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        """Replaces one retained value: ``checkpoint``, ``status`` or ``meter/NAME/status``.

        Raises SinkUnavailable when it could not.
        """

    async def close(self) -> None:
        """Leaves ``status`` as the hello's will says and ends the connection, within a deadline of its own.

        Never raises; may be called at any time, also twice, also without a connection.
        """


class CursorStore(Protocol):
    """Where cursors live; ``gateway/state.py`` is one."""

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""

    def set(self, table: str, key: str, value: Any) -> None:
        """On return the value is durable. Blocks. Raises UnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """How delivery through one sink is going."""

    name: str
    #: ``connecting``, ``connected``, ``backing-off`` or ``stopped``.
    state: str
    #: The last seq the far side confirmed; -1 for none.
    acked_seq: int
    #: Durable entries that the far side has not confirmed.
    backlog: int
    #: The last failure, in words; empty when none since the last confirmation.
    last_error: str
    #: Seconds since the far side confirmed anything; None if it never did.
    last_ack_age_s: float | None
    #: The size of the newest checkpoint the far side confirmed; 0 for none.
    checkpoint_size: int
