"""Sends the transactions of one account so that each thing is said once, and no nonce is left out.

The order is the promise, and each step waits for the one before::

    keep        what must not be lost once it is said is durable, such as the salts of a batch
    sign        nothing has left; a crash forgets the signature, and nobody has seen it
    ledger      the signed bytes are durable: from here on this nonce says this, or nothing
    send        a crash before or behind it sends the same bytes again: they have one hash, and are taken once
    receipt     a reorganisation takes it away again: then the same bytes are sent again
    settled     the receipt is deep enough and all nodes tell the same: the job is told, perhaps twice
    ended       the record is closed, and the next transaction may begin

One transaction is under way at a time. It is replaced under its own nonce, with higher fees, when it has waited too
long. Where something stands in the way the sender is *held*, says by what, and looks again later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.fees import coins, gwei, offer, raised
from gateway.chain.job import Held, Intent
from gateway.chain.ledger import ATTEMPTS_MAX, FAILED, FINAL, Attempt, Ledger, Record
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import WEI_PER_GWEI, Call, Receipt
from gateway.errors import TransactionRefused

_log = logging.getLogger(__name__)
#: How many nonces are filled with empty transactions at most.
GAP_MAX = 16
_EMPTY_GAS = 21_000
#: Replies of a node that mean: look at the nonce again, nothing is lost.
_LOOK_AGAIN = ("nonce-too-low", "nonce-gap", "known")
_TOO_CHEAP = ("underpriced", "replacement-underpriced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an account may spend, and when a transaction counts."""

    #: Blocks that a receipt must lie deep: 1 is the newest block.
    confirmations: int = 12
    #: The most that is offered for a unit of gas, in wei.
    fee_cap: int = 100 * WEI_PER_GWEI
    #: Wei that stay in the account.
    balance_min: int = 0
    #: What takes more is none of our calls: a wrong contract, or an end point that makes it up.
    gas_max: int = 3_000_000
    #: An attempt that has waited this long is replaced.
    replace_s: float = 120


#: Called with what was settled; may be called twice.
Settled = Callable[[Record, Receipt], Awaitable[None]]


class Sender:
    """One account on one chain. All methods belong to the event loop's thread."""

    def __init__(
        self,
        client: ChainClient,
        account: Account,
        ledger: Ledger,
        limits: Limits,
        settled: Settled,
    ) -> None:
        self._client, self._account, self._ledger = client, account, ledger
        self._limits, self._settled = limits, settled
        self._address = account.address.lower()
        #: Since when the newest attempt waits, by its hash; after a restart it waits anew.
        self._waiting: tuple[bytes, float] = (b"", 0.0)
        #: Why a node refused that attempt for its fees; empty where none did.
        self._too_cheap = ""
        self._unknown_since_s: float | None = None

    @property
    def under_way(self) -> Record | None:
        """What has been signed and has not ended."""
        return next(iter(self._ledger.live), None)

    async def step(self) -> None:
        """Looks after what is under way. Raises Held, ChainUnavailable, SignerError, UnavailableError."""
        for record in self._ledger.live:
            receipt = await self._receipt(record)
            if receipt is None:
                await self._look_after(record)
                return
            head = await self._client.head()
            if head.number - receipt.block_number + 1 < self._limits.confirmations:
                return
            agreed = await self._client.agreed_receipt(receipt.transaction)
            if agreed is None or agreed.block_hash != receipt.block_hash:
                # The chain was reorganised while we looked.
                return
            await self._settled(record, agreed)
            await self._put(record.ended(FINAL if agreed.succeeded else FAILED, agreed))

    async def submit(self, job: str, intent: Intent) -> None:
        """Signs and sends *intent*, unless it has been said. To be called while nothing is under way.

        Raises CallReverted where the contract would not take it, and as ``step``.
        """
        said = self._ledger.find(intent.key)
        if said is not None and said.outcome is not None and said.outcome.kind == FINAL:
            receipt = await self._client.receipt(said.outcome.transaction)
            if receipt is not None:
                await self._settled(said, receipt)
                return
        nonce = await self._next_nonce()
        if nonce is None:
            return
        gas = await self._client.estimate(intent.call, self._address)
        # A fifth more: what the contract finds may have changed until it is run.
        await self._begin(job, intent, nonce, min(gas + gas // 5, max(gas, self._limits.gas_max)))

    async def _begin(self, job: str, intent: Intent, nonce: int, gas: int) -> None:
        if gas > self._limits.gas_max:
            raise Held(
                "gas-limit",
                f"{intent.key} takes {gas} gas, the limit is {self._limits.gas_max}; is it the right contract?",
            )
        hint = await self._client.fees()
        fees = offer(hint, self._limits.fee_cap)
        if fees is None:
            asked = gwei(hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee)
            raise Held("fees-above-cap", f"the chain asks {asked}, the cap is {gwei(self._limits.fee_cap)}: waiting")
        await asyncio.to_thread(intent.keep)
        attempt = await self._signed(nonce, fees, gas, intent.call)
        record = Record(job=job, key=intent.key, nonce=nonce, call=intent.call, gas=gas, attempts=(attempt,))
        # A crash before this line forgets the signature; behind it the same bytes are sent again.
        await self._put(record)
        await self._send(record)

    async def _signed(self, nonce: int, fees: Fees, gas: int, call: Call) -> Attempt:
        transaction = Transaction(chain_id=self._client.chain_id, nonce=nonce, fees=fees, gas=gas, call=call)
        balance = await self._client.balance(self._address)
        if balance < transaction.cost_max + self._limits.balance_min:
            needed = coins(transaction.cost_max + self._limits.balance_min)
            raise Held(
                "low-balance",
                f"{self._account.address} has {coins(balance)} coins and needs {needed}: send some to that address",
            )
        return Attempt(signed=await asyncio.to_thread(self._account.sign, transaction), fees=fees)

    async def _put(self, record: Record) -> None:
        await asyncio.to_thread(self._ledger.put, record)

    async def _send(self, record: Record) -> None:
        """Sends the newest attempt; what the node says of it is looked into at the next step."""
        newest = record.attempts[-1].signed
        if self._waiting[0] != newest.hash:
            self._waiting = (newest.hash, asyncio.get_running_loop().time())
        self._too_cheap = ""
        try:
            await self._client.send(newest.raw)
        except TransactionRefused as error:
            if error.kind == "no-funds":
                raise Held("low-balance", f"{self._account.address}: {error}; send coins to that address") from error
            if error.kind in _TOO_CHEAP:
                self._too_cheap = error.kind
            elif error.kind not in _LOOK_AGAIN:
                raise

    async def _replace(self, record: Record) -> None:
        """One more attempt under the same nonce, as high above the last one as nodes want it."""
        last, hint = record.attempts[-1].fees, await self._client.fees()
        if self._too_cheap == "underpriced" and last.fee_max >= (hint.base_fee or 0) + (last.priority_max or 0):
            # The chain has become cheaper meanwhile.
            await self._send(record)
            return
        if len(record.attempts) >= ATTEMPTS_MAX:
            raise Held("stuck", f"{record.key}: {ATTEMPTS_MAX} attempts under nonce {record.nonce}, none was taken")
        fees = raised(last, hint, self._limits.fee_cap)
        if fees is None:
            offered = gwei(last.fee_max)
            raise Held("fees-above-cap", f"{record.key} waits with {offered}, and the cap allows no higher offer")
        attempt = await self._signed(record.nonce, fees, record.gas, record.call)
        record = replace(record, attempts=(*record.attempts, attempt))
        await self._put(record)
        await self._send(record)

    async def _receipt(self, record: Record) -> Receipt | None:
        """The receipt of whichever attempt was taken, the newest first."""
        for attempt in reversed(record.attempts):
            receipt = await self._client.receipt(attempt.signed.hash)
            if receipt is not None:
                return receipt
        return None

    async def _look_after(self, record: Record) -> None:
        """What is under way is in no block: sent again, replaced, or given up where its nonce is gone."""
        nonce = await self._agreed_nonce()
        if nonce > record.nonce:
            await self._give_up_if_gone(record)
        elif nonce < record.nonce:
            await self._fill(nonce, record)
        else:
            newest = record.attempts[-1].signed.hash
            if newest != self._waiting[0]:
                await self._send(record)
            elif self._too_cheap:
                await self._replace(record)
            elif not await self._client.transaction_known(newest):
                await self._send(record)
            elif asyncio.get_running_loop().time() - self._waiting[1] > self._limits.replace_s:
                await self._replace(record)

    async def _give_up_if_gone(self, record: Record) -> None:
        """Ends a record whose nonce another transaction has had for as long as counts."""
        head = await self._client.head()
        deep = max(0, head.number - self._limits.confirmations + 1)
        if min(await self._client.nonces(self._address, block=deep)) <= record.nonce:
            return
        if await self._receipt(record) is not None:
            return
        _log.warning(
            "%s: nonce %d of %s was used by another transaction; is the key in use elsewhere?",
            record.key,
            record.nonce,
            self._account.address,
        )
        await self._put(record.superseded())

    async def _fill(self, nonce: int, record: Record) -> None:
        """Sees to the nonces before *record*: what had ended is sent again, and a hole gets an empty transaction."""
        if await asyncio.to_thread(self._ledger.revive, nonce):
            _log.warning("the chain went back behind nonce %d of %s: sent again", nonce, self._account.address)
            return
        if record.nonce - nonce > GAP_MAX:
            places = f"the chain is at nonce {nonce}, the ledger at {record.nonce}"
            raise Held("nonce-gap", f"{self._account.address}: {places}; is it the chain that it was?")
        await self._begin("", Intent(key=f"fill {nonce}", call=Call(to=self._address, data=b"")), nonce, _EMPTY_GAS)

    async def _agreed_nonce(self) -> int:
        """The nonce that is next in the newest block, as all nodes tell it, or else as the ledger expects it."""
        told = set(await self._client.nonces(self._address))
        expected = self._ledger.next_nonce
        live = {record.nonce for record in self._ledger.live}
        if len(told) > 1 and not (fitting := told & (live | {expected})):
            raise Held("nonce-unknown", f"nodes tell different nonces of {self._account.address}: {sorted(told)}")
        # Where several fit, the lowest: at worst a node says that it is used already.
        return min(fitting) if len(told) > 1 else told.pop()

    async def _next_nonce(self) -> int | None:
        """The nonce for a new transaction; None when the chain went back and older ones come first."""
        nonce, expected = await self._agreed_nonce(), self._ledger.next_nonce
        if expected is not None and nonce < expected:
            if await asyncio.to_thread(self._ledger.revive, nonce):
                _log.warning("the chain went back to nonce %d of %s: sent again", nonce, self._account.address)
                return None
            await asyncio.to_thread(self._ledger.forget, nonce)
        if await self._client.nonce(self._address, pending=True) > nonce:
            self._wait_for_unknown(nonce)
        else:
            self._unknown_since_s = None
        return nonce

    def _wait_for_unknown(self, nonce: int) -> None:
        """A transaction of this account waits that the ledger does not know: it gets its time, then is replaced."""
        now_s = asyncio.get_running_loop().time()
        self._unknown_since_s = self._unknown_since_s or now_s
        if now_s - self._unknown_since_s < 5 * self._limits.replace_s:
            message = f"a transaction of {self._account.address} waits under nonce {nonce} that was not sent from here"
            raise Held("unknown-pending", message)
