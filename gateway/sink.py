"""What a sink owes the outbox: one way to one far side, which confirms each message or says that it did not.

A sink knows no log, no cursor and no role. It sends what it is given, in the order it is given, and keeps nothing once
a connection has ended: whatever was not confirmed comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.channel import Message
from gateway.errors import SinkUnavailable

#: Called once by a sink whose connection ended without ``close``.
Lost = Callable[[SinkUnavailable], None]


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

    async def deliver(self, message: Message) -> None:
        """Sends *message*, and returns when the far side has confirmed this very message.

        Messages are sent in the order in which the calls began. Raises SinkUnavailable when there will be no
        confirmation; the message may then have arrived or not.
        """

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        """Replaces one retained value: ``checkpoint``, ``status`` or ``meter/NAME/status``.

        Raises SinkUnavailable when the far side did not confirm it.
        """

    async def close(self) -> None:
        """Leaves ``status`` as the hello's will says and ends the connection, within a deadline of its own.

        Never raises; may be called at any time, also twice, also without a connection.
        """
