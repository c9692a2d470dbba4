"""What is pushed to a chain again and again, as the sender sees it: it asks each job for its next transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, UnavailableError


class Held(UnavailableError):  # noqa: N818  (a state of the world)
    """Nothing can be sent now; ``state`` is the word for status."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state


def _nothing() -> None:
    """Nothing has to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing that shall be said on a chain, once."""

    #: Names what is said, such as ``anchor ORIGIN 4711``: the same thing has the same key for ever, also after a crash.
    key: str
    call: Call
    #: Makes durable what must not be lost once this is said. Blocks; called in a thread before it is sent, perhaps
    #: more than once. Raises UnavailableError.
    keep: Callable[[], None] = _nothing


class Job(Protocol):
    """One subject of an account, such as the log's anchors. The contract test is ``tests/contract_job.py``.

    A job keeps no transaction: those are the ledger's. What it must remember, it remembers durably in ``settled``, or
    reads back from the chain.
    """

    @property
    def name(self) -> str:
        """How messages and ``status`` call it; unique in its chain."""

    async def due(self) -> Intent | None:
        """What is to be sent now; None when there is nothing, or not yet.

        Asked again and again, and only while nothing of the account is under way. Raises ChainUnavailable when the
        chain must be read and cannot be, and Held where the job itself must wait, with what for.
        """

    async def settled(self, key: str, receipt: Receipt) -> None:
        """The transaction of *key* has succeeded and is deep enough. May be told twice, also after a restart."""

    async def refused(self, key: str, error: CallReverted) -> None:
        """The contract does not take it: found before it was sent, or by a receipt that says so.

        The sender does not send it again by itself: ``due`` decides what comes next. May raise Held with the
        contract's own reason in words.
        """
