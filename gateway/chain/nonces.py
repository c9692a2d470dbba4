"""The nonces of one account, as the nodes tell them and as the ledger expects them.

Two nodes may be a block apart, so the nonce that fits the ledger counts. What a node tells too low costs time only: the
transaction with that nonce is refused. What it tells too high could make the ledger give up what is still to be taken,
and say it a second time: so a nonce is gone only when all nodes say so, at a block that is deep enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from gateway.chain.client import ChainClient
from gateway.chain.job import Held
from gateway.chain.ledger import Ledger

#: How far a nonce may be ahead of what is known; as many are filled with empty transactions at most.
GAP_MAX = 64
#: As many times as long as a transaction waits for its replacement: so long a foreign one is waited for.
_FOREIGN = 5
#: So long an end point is waited for that is away, and may know what became of a nonce.
_AWAY = 30


class Since:
    """For how long something has been so, by the loop's clock, as far as it was asked for."""

    def __init__(self) -> None:
        #: What was asked for last; None for nothing.
        self.what: Hashable = None
        self._since_s = 0.0

    def seconds(self, what: Hashable) -> float:
        """Since *what* was asked for first, without anything else in between."""
        now_s = asyncio.get_running_loop().time()
        if what != self.what:
            self.what, self._since_s = what, now_s
        return now_s - self._since_s

    def forget(self) -> None:
        """It is so no more."""
        self.what = None


class Nonces:
    """All methods that ask raise ChainUnavailable, and Held where nothing can be concluded now."""

    def __init__(self, client: ChainClient, address: str, ledger: Ledger, wait_s: float) -> None:
        """*wait_s* is how long an own transaction waits for its replacement."""
        self._client, self._ledger, self._wait_s = client, ledger, wait_s
        self._shown, self._address = address, address.lower()
        self._foreign, self._gone, self._ahead = Since(), Since(), Since()

    async def newest(self) -> int:
        """The nonce that is next in the newest block, as all nodes tell it, or else as the ledger expects it."""
        told = set(await self._client.nonces(self._address))
        expected = self._ledger.next_nonce
        live = {record.nonce for record in self._ledger.live}
        if len(told) > 1 and not (fitting := told & (live | {expected})):
            raise Held("nonce-unknown", f"nodes tell different nonces of {self._shown}: {sorted(told)}")
        # Where several fit, the lowest: at worst a node says that it is used already.
        return min(fitting) if len(told) > 1 else told.pop()

    async def next(self, revive: Callable[[int], Awaitable[bool]]) -> int | None:
        """The nonce for a new transaction; None where something else comes first, and the job is to be asked again.

        *revive* is called where the chain went back, and tells whether that brought something back.
        """
        nonce, expected = await self.newest(), self._ledger.next_nonce
        if expected is not None and nonce < expected:
            if await revive(nonce):
                return None
            await asyncio.to_thread(self._ledger.forget, nonce)
        else:
            self._require_near(nonce, expected)
        waited = self._foreign.what is not None
        if await self._client.nonce(self._address, pending=True) > nonce:
            self._wait_for_foreign(nonce)
        else:
            self._foreign.forget()
            if waited:
                # What waited may be in a block now, and our own words, from a ledger that was lost.
                return None
        return nonce

    def _require_near(self, nonce: int, expected: int | None) -> None:
        """Others may use the account, too, but not by the dozen between two looks. Raises Held, for an hour at most."""
        if expected is None or nonce <= expected + GAP_MAX:
            self._ahead.forget()
        elif self._ahead.seconds(expected) < _AWAY * self._wait_s:
            words = f"{self._shown}: the chain is at nonce {nonce}, the ledger expects {expected}"
            raise Held("nonce-ahead", f"{words}; is the key in use elsewhere, or the end point wrong?")

    def _wait_for_foreign(self, nonce: int) -> None:
        """A transaction of this account waits that the ledger does not know: it gets its time, then is replaced."""
        if self._foreign.seconds(nonce) < _FOREIGN * self._wait_s:
            message = f"a transaction of {self._shown} waits under nonce {nonce} that was not sent from here"
            raise Held("unknown-pending", message)

    async def is_gone(self, nonce: int, block: int) -> bool:
        """Whether the nonce was used up in *block* already, and is now, as all tell who must."""
        if await self._client.nonce(self._address) <= nonce:
            return False
        told = await self._client.nonces(self._address, block=block)
        if min(told) <= nonce:
            return False
        self.require_all(nonce, len(told))
        return True

    def require_all(self, nonce: int, heard: int | None = None) -> None:
        """Nobody who may know what took *nonce* is away: as many were *heard*. Raises Held, for an hour at most."""
        ends = self._client.describe()
        away = [told["url"] for told in ends if told["state"] != "ready"]
        if heard is not None and heard < len(ends):
            away = away or [f"{len(ends) - heard} of {len(ends)} end points"]
        if away and self._gone.seconds(nonce) < _AWAY * self._wait_s:
            words = f"something else seems to have taken nonce {nonce} of {self._shown}"
            raise Held("nonce-taken", f"{words}; waiting for {', '.join(away)}, which may know more")
