"""Sends the transactions of one account so that each thing is said once, and no nonce is left out.

The order is the promise, and each step waits for the one before::

    sign        nothing has left; a crash forgets the signature, and nobody has seen it
    keep        what must not be lost once it is said is durable, such as the salts of a batch
    ledger      the signed bytes are durable: from here on this nonce says this, or nothing
    send        a crash before or behind it sends the same bytes again: they have one hash, and are taken once
    receipt     a reorganisation takes it away again: then the same bytes are sent again
    settled     the receipt is deep enough and all nodes tell the same: the job is told, perhaps twice
    ended       the record is closed, and the next transaction may begin

One transaction is under way at a time. It is replaced under its own nonce, with higher fees, when it has waited too
long. Where something stands in the way the sender is *held*, says by what, and looks again later: no such state needs
anybody to end it, but for coins, a key, or an end point that contradicts another one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.fees import asked, coins, gwei, offer, raised
from gateway.chain.job import Held, Intent
from gateway.chain.ledger import ATTEMPTS_MAX, FAILED, FINAL, Attempt, Ledger, Outcome, Record
from gateway.chain.nonces import GAP_MAX, Nonces, Since
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import WEI_PER_GWEI, Call, Receipt
from gateway.errors import GatewayError, TransactionRefused, UnavailableError

T = TypeVar("T")

_log = logging.getLogger(__name__)
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
        self._nonces = Nonces(client, account.address, ledger, limits.replace_s)
        #: Since when the newest attempt waits, and since when a record has a receipt; after a restart they wait anew.
        self._waiting, self._received = Since(), Since()
        #: Why a node refused that attempt for its fees; empty where none did.
        self._too_cheap = ""
        #: The attempt that was too cheap for a while, and was sent again.
        self._sent_again = b""

    @property
    def under_way(self) -> Record | None:
        """What has been signed and has not ended."""
        return next(iter(self._ledger.live), None)

    async def step(self) -> None:
        """Looks after what is under way. Raises Held, ChainUnavailable, SignerError, UnavailableError."""
        for record in self._ledger.live:
            receipt = await self._receipt(record)
            if receipt is None:
                self._received.forget()
                await self._look_after(record)
                return
            if not await self._end(record, receipt):
                return

    async def _end(self, record: Record, receipt: Receipt) -> bool:
        """Closes *record* where its *receipt* counts."""
        depth = (await self._client.head()).number - receipt.block_number + 1
        deep, late = depth >= self._limits.confirmations, self._received.seconds(record.nonce) > self._limits.replace_s
        # One end point's word, until it is deep enough; but whoever invents a receipt shall not have us wait for ever.
        agreed = await self._client.agreed_receipt(receipt.transaction) if deep or late else None
        if late and depth < 1:
            await self._look_after(record)
        if not deep or agreed is None or agreed.block_hash != receipt.block_hash:
            # Not yet, or the chain was reorganised while we looked.
            return False
        trouble = None
        try:
            await self._settled(record, agreed)
        except UnavailableError:
            raise
        except GatewayError as error:
            # It is on the chain, whatever the job thinks of that.
            trouble = error
        await self._to_its_end(self._ledger.put, record.ended(FINAL if agreed.succeeded else FAILED, agreed))
        if trouble is not None:
            raise trouble
        return True

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
            await self._require_gone(said.key, said.outcome)
        nonce = await self._nonces.next(self._revive)
        if nonce is None:
            return
        gas = await self._client.estimate(intent.call, self._address)
        # A fifth more: what the contract finds may have changed until it is run.
        await self._begin(job, intent, nonce, min(gas + gas // 5, max(gas, self._limits.gas_max)))

    async def _require_gone(self, key: str, outcome: Outcome) -> None:
        """A receipt that is not told is none that is not there: not all nodes keep old ones."""
        block = await self._client.block(outcome.block_number)
        if block is not None and block.hash == outcome.block_hash:
            words = (
                f"{key} is in block {outcome.block_number}, and no end point tells its receipt: it is not said again"
            )
            raise Held("receipt-away", words)

    async def _begin(self, job: str, intent: Intent, nonce: int, gas: int) -> None:
        if gas > self._limits.gas_max:
            raise Held(
                "gas-limit",
                f"{intent.key} takes {gas} gas, the limit is {self._limits.gas_max}; is it the right contract?",
            )
        hint = await self._client.fees()
        fees = offer(hint, self._limits.fee_cap)
        if fees is None:
            words = f"the chain asks {gwei(asked(hint))}, the cap is {gwei(self._limits.fee_cap)}: waiting"
            raise Held("fees-above-cap", words)
        attempt = await self._signed(nonce, fees, gas, intent.call)
        # Not before: an account without coins shall not fill the disk with what is never said.
        await self._to_its_end(intent.keep)
        record = Record(job=job, key=intent.key, nonce=nonce, call=intent.call, gas=gas, attempts=(attempt,))
        # A crash before this line forgets the signature; behind it the same bytes are sent again.
        await self._to_its_end(self._ledger.put, record)
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
        return Attempt(signed=await self._to_its_end(self._account.sign, transaction), fees=fees)

    async def _to_its_end(self, change: Callable[..., T], *values: object) -> T:
        """Runs *change* in a thread, and waits for its end also where this task is ended meanwhile.

        Or it would go on behind the end, write over what the next start has written, or sign with a key that is closed.
        """
        running = asyncio.ensure_future(asyncio.to_thread(change, *values))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def _send(self, record: Record) -> None:
        """Sends the newest attempt; what the node says of it is looked into at the next step."""
        newest = record.attempts[-1].signed
        self._waiting.seconds(newest.hash)
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
        newest, hint = record.attempts[-1], await self._client.fees()
        if (
            self._too_cheap == "underpriced"
            and self._sent_again != newest.signed.hash
            and newest.fees.fee_max >= asked(hint)
        ):
            # The chain has become cheaper meanwhile, or else this node wants more than it says: then it is raised.
            self._sent_again = newest.signed.hash
            await self._send(record)
            return
        fees = None if len(record.attempts) >= ATTEMPTS_MAX else raised(newest.fees, hint, self._limits.fee_cap)
        if fees is None:
            # What was in the way may be gone.
            await self._send(record)
            if len(record.attempts) >= ATTEMPTS_MAX:
                raise Held("stuck", f"{record.key}: {ATTEMPTS_MAX} attempts under nonce {record.nonce}, none was taken")
            offered = gwei(newest.fees.fee_max)
            raise Held("fees-above-cap", f"{record.key} waits with {offered}, and the cap allows no higher offer")
        attempt = await self._signed(record.nonce, fees, record.gas, record.call)
        record = replace(record, attempts=(*record.attempts, attempt))
        await self._to_its_end(self._ledger.put, record)
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
        nonce = await self._nonces.newest()
        if nonce > record.nonce:
            await self._give_up_if_gone(record)
        elif nonce < record.nonce:
            await self._fill(nonce, record)
        else:
            newest = record.attempts[-1].signed.hash
            if self._waiting.what != newest:
                await self._send(record)
            elif self._too_cheap:
                await self._replace(record)
            elif not await self._client.transaction_known(newest):
                await self._send(record)
            elif self._waiting.seconds(newest) > self._limits.replace_s:
                await self._replace(record)

    async def _give_up_if_gone(self, record: Record) -> None:
        """Ends a record whose nonce another transaction has had for as long as counts."""
        head = await self._client.head()
        if not await self._nonces.is_gone(record.nonce, max(0, head.number - self._limits.confirmations + 1)):
            return
        if await self._receipt(record) is not None:
            return
        self._nonces.require_all(record.nonce)
        _log.warning(
            "%s: nonce %d of %s was used by another transaction; is the key in use elsewhere?",
            record.key,
            record.nonce,
            self._account.address,
        )
        await self._to_its_end(self._ledger.put, record.superseded())

    async def _fill(self, nonce: int, record: Record) -> None:
        """Sees to the nonces before *record*: what had ended is sent again, and a hole gets an empty transaction."""
        if await self._revive(nonce):
            return
        if record.nonce - nonce > GAP_MAX:
            places = f"the chain is at nonce {nonce}, the ledger at {record.nonce}"
            remedy = "if that chain was begun anew, remove its file in the state directory"
            raise Held("nonce-gap", f"{self._account.address}: {places}; {remedy}")
        await self._begin("", Intent(key=f"fill {nonce}", call=Call(to=self._address, data=b"")), nonce, _EMPTY_GAS)

    async def _revive(self, nonce: int) -> bool:
        """Whether something that had ended is under way again, since the chain went back to *nonce*."""
        revived = await self._to_its_end(self._ledger.revive, nonce)
        if revived:
            _log.warning("the chain went back to nonce %d of %s: sent again", nonce, self._account.address)
        return bool(revived)
