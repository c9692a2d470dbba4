"""A chain, asked through one endpoint or several: one that is away is replaced, and one that lies is found out.

An endpoint can tell anything. With a second one that does not, this is what comes of it:

==========================  =========================================================================================
a lie                       what happens
==========================  =========================================================================================
another chain               its chain id tells it, before anything else is asked; one that copies the id has other
                            blocks, and ``EndpointsDisagree`` tells both hashes
a receipt that is not       ``receipt`` believes it, ``agreed_receipt`` does not: whoever has that block must have
                            the receipt too. So nothing counts as done by one endpoint's word
a receipt hidden            ``receipt`` asks the next one
a transaction taken and     ``send`` hands it to all; and that one is known, too, is only believed until it has waited
dropped                     too long, when its replacement goes to all
a head too high             ``head`` is the lowest one: what is deep enough is so for all. Far apart, they contradict
a head too low              confirmations come later; far behind, or not of the present, it is left aside or told
a nonce, a balance, what    asked of all for one and the same block, which all must have: they contradict. The pending
a contract says             nonce is the lowest one told, so that no gap comes of it; ``nonces`` is what each tells
events left out or added    the same, event by event
fees too high               the lowest price and the lowest priority fee are taken, the base fee is of the agreed block
fees too low                the transaction waits, and is replaced
gas too low or too high     the highest estimate is taken, but not where it is twice the lowest: they contradict
==========================  =========================================================================================

With a single endpoint, or where all others are away, its word is what there is: ``agree_min`` of 2 waits instead.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from gateway.chain.answers import Topics
from gateway.chain.endpoint import LATEST, Endpoint
from gateway.chain.panel import Panel, contradiction
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import Block, Call, FeeHint, LogRecord, Receipt
from gateway.errors import CallReverted, ChainUnavailable, ConfigError, TransactionRefused


class ChainClient:
    """One chain. All methods that ask raise ChainUnavailable; EndpointsDisagree is one."""

    def __init__(
        self,
        chain_id: int,
        endpoints: Sequence[RpcSettings],
        *,
        agree_min: int = 1,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Asks nobody yet. Raises ConfigError for endpoints that cannot be asked."""
        if not endpoints or not 1 <= agree_min <= len(endpoints):
            raise ConfigError(f"chain {chain_id}: of {len(endpoints)} endpoints {agree_min} cannot agree; add some")
        self.chain_id = chain_id
        self._endpoints = [Endpoint(settings, chain_id, clock, now_s) for settings in endpoints]
        self._panel = Panel(chain_id, self._endpoints, agree_min)

    def describe(self) -> list[dict[str, Any]]:
        """Each endpoint for ``status``: url (scheme, host and port), state, error, head, note."""
        return [endpoint.describe() for endpoint in self._endpoints]

    def close(self) -> None:
        """Closes the connections that are kept."""
        for endpoint in self._endpoints:
            endpoint.close()

    async def head(self) -> Block:
        """The newest block that all endpoints of the present have reached."""
        return min((block for _, block in await self._panel.heads()), key=lambda block: block.number)

    async def block(self, number: int) -> Block | None:
        """That block, as all tell it; None where the chain is not as long."""
        reaching = await self._panel.reaching(number)
        if not reaching:
            return None
        told = await self._panel.all(lambda endpoint: endpoint.block(number), reaching)
        return self._panel.same(f"block {number}", told)

    async def nonce(self, address: str, *, pending: bool = False) -> int:
        """How many transactions the account has in blocks; with *pending*, the lowest that is told of those waiting."""
        if pending:
            return min(nonce for _, nonce in await self._panel.all(lambda endpoint: endpoint.nonce(address, "pending")))
        return await self._panel.agreed(f"the nonce of {address}", lambda endpoint, at: endpoint.nonce(address, at))

    async def nonces(self, address: str, *, block: int | None = None) -> list[int]:
        """What each endpoint tells of ``nonce``, at its newest block or at *block*; at least one."""
        at = LATEST if block is None else hex(block)
        return [nonce for _, nonce in await self._panel.all(lambda endpoint: endpoint.nonce(address, at))]

    async def balance(self, address: str) -> int:
        """Wei."""
        return await self._panel.agreed(f"the balance of {address}", lambda endpoint, at: endpoint.balance(address, at))

    async def code(self, address: str) -> bytes:
        """The program of a contract; empty where there is none."""
        return await self._panel.agreed(f"the code of {address}", lambda endpoint, at: endpoint.code(address, at))

    async def fees(self) -> FeeHint:
        """What a transaction costs now, as far as endpoints can say."""
        pin = await self._panel.pinned()
        base_fee = pin.block.base_fee

        async def ask(endpoint: Endpoint) -> FeeHint:
            price = await endpoint.gas_price()
            priority = await endpoint.priority_fee()
            if priority is None:
                priority = max(0, price - (base_fee or 0))
            return FeeHint(base_fee=base_fee, priority_fee=priority, gas_price=price)

        hints = [hint for _, hint in await self._panel.all(ask, pin.endpoints)]
        return FeeHint(
            base_fee=base_fee,
            priority_fee=min(hint.priority_fee for hint in hints),
            gas_price=min(hint.gas_price for hint in hints),
        )

    async def estimate(self, call: Call, sender: str) -> int:
        """The gas that a transaction takes. Raises CallReverted."""
        pin = await self._panel.pinned()

        async def ask(endpoint: Endpoint) -> int | CallReverted:
            try:
                return await endpoint.estimate(call, sender, pin.at)
            except CallReverted as error:
                return error

        told = await self._panel.all(ask, pin.endpoints)
        reverts = [(endpoint, revert) for endpoint, revert in told if isinstance(revert, CallReverted)]
        amounts = sorted(((gas, endpoint) for endpoint, gas in told if isinstance(gas, int)), key=lambda one: one[0])
        what = f"the gas that a call of {call.to} takes"
        if reverts and amounts:
            raise contradiction(what, (reverts[0][0], "a revert"), amounts[0][::-1])
        if reverts:
            raise reverts[0][1]
        # Nodes search for it in steps, so they may differ a little.
        if amounts[-1][0] > 2 * amounts[0][0]:
            raise contradiction(what, amounts[0][::-1], amounts[-1][::-1])
        return amounts[-1][0]

    async def read(self, call: Call, *, sender: str | None = None, block: int | None = None) -> bytes:
        """What a contract returns, at the newest block or at *block*. Raises CallReverted."""

        async def ask(endpoint: Endpoint, at: str) -> bytes | CallReverted:
            try:
                return await endpoint.read(call, sender, at)
            except CallReverted as error:
                return error

        what = f"what the contract {call.to} says"
        if block is None:
            found = await self._panel.agreed(what, ask)
        else:
            told = await self._panel.all(lambda endpoint: ask(endpoint, hex(block)), await self._reaching(block))
            found = self._panel.same(what, told)
        if isinstance(found, CallReverted):
            raise found
        return found

    async def send(self, raw: bytes) -> None:
        """Hands a signed transaction to all; one that takes it, or has it, is enough. Raises TransactionRefused."""

        async def ask(endpoint: Endpoint) -> TransactionRefused | None:
            try:
                await endpoint.send(raw)
            except TransactionRefused as error:
                return error
            return None

        refusals = [refusal for _, refusal in await self._panel.all(ask)]
        if None not in refusals and refusals[0] is not None:
            raise refusals[0]

    async def transaction_known(self, transaction: bytes) -> bool:
        """Whether an endpoint has it, waiting or in a block."""
        return await self._panel.any(lambda endpoint: endpoint.knows(transaction))

    async def receipt(self, transaction: bytes) -> Receipt | None:
        """What became of it, by one endpoint's word; None where all say that it is in no block."""
        return await self._panel.any(lambda endpoint: endpoint.receipt(transaction))

    async def agreed_receipt(self, transaction: bytes) -> Receipt | None:
        """What became of it, as all tell it whose chain is long enough; None where it is in no block."""
        heads = dict(await self._panel.heads())
        told = await self._panel.all(lambda endpoint: endpoint.receipt(transaction), list(heads))
        found = next((receipt for _, receipt in told if receipt is not None), None)
        if found is None:
            return None
        able = [one for one in told if one[1] is not None or heads[one[0]].number >= found.block_number]
        return self._panel.same(f"transaction 0x{transaction.hex()}", able, _receipt_shown)

    async def logs(self, address: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
        """The events in blocks *first* to *last*, ascending, as all tell them. Raises LogsRefused: ask for fewer."""
        reaching = await self._reaching(last)
        (one, events), *others = await self._panel.all(
            lambda endpoint: endpoint.logs(address, topics, first, last), reaching
        )
        for other, more in others:
            if difference := _difference(events, more):
                raise contradiction(f"events of blocks {first} to {last}", (one, difference[0]), (other, difference[1]))
        self._panel.same(f"events of blocks {first} to {last}", [(one, None), *((other, None) for other, _ in others)])
        return events

    async def _reaching(self, number: int) -> list[Endpoint]:
        reaching = await self._panel.reaching(number)
        if not reaching:
            raise ChainUnavailable(f"chain {self.chain_id}: no endpoint that answers has reached block {number}")
        return reaching


def _receipt_shown(receipt: Receipt | None) -> str:
    """What of a receipt must be the same everywhere."""
    if receipt is None:
        return "that it is in no block"
    events = hashlib.sha256(repr([_event_shown(event) for event in receipt.logs]).encode()).hexdigest()[:16]
    status = "succeeded" if receipt.succeeded else "was reverted"
    place = f"block {receipt.block_number} (0x{receipt.block_hash.hex()})"
    return f"that it {status} in {place} for {receipt.gas_used} gas, with events {events}"


def _difference(some: Sequence[LogRecord], others: Sequence[LogRecord]) -> tuple[str, str] | None:
    """The first event that is not the same; None where all are. Not all nodes count the events of a block alike."""
    for one, other in zip_longest(some, others):
        shown = _event_shown(one), _event_shown(other)
        if shown[0] != shown[1]:
            return shown
    return None


def _event_shown(event: LogRecord | None) -> str:
    if event is None:
        return "no further event"
    said = hashlib.sha256(b"".join([bytes([len(event.topics)]), *event.topics, event.data])).hexdigest()[:16]
    block, transaction = f"block {event.block_number} (0x{event.block_hash.hex()})", f"0x{event.transaction.hex()}"
    return f"event {said} of {event.address} in {block} by {transaction}"
