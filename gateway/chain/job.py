"""What is pushed to a chain again and again, as the sender sees it: it asks each job for its next transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing that shall be said on a chain, once."""

    #: Names what is said, such as ``anchor ORIGIN 4711``: the same thing has the same key for ever, also after a crash.
    key: str
    call: Call


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
        chain must be read and cannot be.
        """

    async def settled(self, key: str, receipt: Receipt) -> None:
        """The transaction of *key* has succeeded and is deep enough. May be told twice, also after a restart."""

    async def refused(self, key: str, error: CallReverted) -> None:
        """The contract does not take it: found before it was sent, or by a receipt that says so.

        The sender does not send it again by itself: ``due`` decides what comes next.
        """
