"""What a meter behind HTTP is: which documents are asked for, and how they become one telegram.

A source keeps no readings between polls: what was read last is told to it, so that one that has many values can give
the next. It looks at no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from drivers.http.exchange import Request
from drivers.telegram import BrokenTelegram, Telegram


class Server(Protocol):
    """What a source needs of a port; ``drivers.http.port.HttpPort`` is one."""

    @property
    def label(self) -> str:
        """How messages name the server."""

    async def get(self, path: str) -> bytes:
        """The document at *path*. Raises MeterUnavailable, MeterProtocolError."""

    async def ask(self, request: Request) -> bytes:
        """The document that *request* is answered with; raises as ``get`` does."""

    def credentials(self) -> tuple[str, bytes]:
        """User and password, for a login that wants them elsewhere than in its header. Raises MeterUnavailable."""


class Source(Protocol):
    """One meter's documents, of one protocol."""

    async def poll(self, server: Server, now_ms: int, after_ms: int | None) -> Telegram | BrokenTelegram:
        """One telegram. *now_ms* is the present, *after_ms* the meter's time of what was read last, if it has any.

        Raises MeterUnavailable, MeterProtocolError. A telegram whose time is not after *after_ms* is no new one; the
        caller sees to that.
        """


@dataclass(frozen=True, slots=True)
class Document:
    """A source of one document, decoded on its own."""

    path: str
    decode: Callable[[bytes], Telegram | BrokenTelegram]

    async def poll(self, server: Server, now_ms: int, after_ms: int | None) -> Telegram | BrokenTelegram:  # noqa: ARG002
        """See ``Source``."""
        return self.decode(await server.get(self.path))
