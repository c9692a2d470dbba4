"""Sends what the owner of an identity has signed, and pays for it: one transaction, and what came of it.

The order keeps the relayer from paying for what cannot succeed, and a second run from paying twice::

    nonce       of the owner in the registry: below the envelope's, one before it is missing; above, this one or another
                of the same number was sent, and the history tells which
    owner       of the identity: whoever signed must be that now
    estimate    the registry runs it for nothing; a revert ends it here
    fees        within the cap, and the account has them
    waiting     a transaction of the account that is in no block yet may be this one, from a run that was cut short
    send        a crash behind it: the next run finds it waiting, or the owner's nonce taken; the registry takes each
                nonce once, so nothing is changed twice
    receipt     waited for, and told; a transaction that stays out is never replaced here
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.chain.account import Account
from gateway.chain.client import ChainClient
from gateway.chain.fees import coins, gwei, offer
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import Call, Receipt
from gateway.errors import CallReverted, ChainUnavailable, ConfigError
from gateway.identity.history import nonce_of, owner_of, read_history
from gateway.identity.meta import SignedChange
from gateway.identity.registry import AttributeChanged, Change, DelegateChanged, OwnerChanged

#: More than the largest attribute takes.
GAS_MAX = 700_000
POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What came of it."""

    #: ``relayed``; or ``already``, where the registry had it before.
    outcome: str
    block: int
    #: None where nothing was sent.
    transaction: bytes | None
    gas_used: int
    #: Wei that were paid.
    paid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """What may be paid, and how long the receipt is waited for."""

    #: Wei for one unit of gas.
    fee_cap: int
    wait_s: float = 120.0


async def relay(
    client: ChainClient,
    account: Account,
    signed: SignedChange,
    limits: RelayLimits,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Relayed:
    """Sends *signed* and waits for its receipt.

    Raises ConfigError where it cannot be sent as it is or costs too much, CallReverted where the registry refuses it,
    ChainUnavailable, TransactionRefused and SignerError where it may be tried again.
    """
    before = await _already(client, signed)
    if before is not None:
        return Relayed(outcome="already", block=before, transaction=None, gas_used=0, paid=0)
    transaction = await _transaction(client, account, signed.call, limits.fee_cap)
    sent = await asyncio.to_thread(account.sign, transaction)
    await client.send(sent.raw)
    receipt = await _receipt(client, sent.hash, limits.wait_s, sleep)
    if not receipt.succeeded:
        raise CallReverted(f"transaction 0x{sent.hash.hex()}: the registry refused it, after all; its gas is paid")
    return Relayed(
        outcome="relayed",
        block=receipt.block_number,
        transaction=sent.hash,
        gas_used=receipt.gas_used,
        paid=receipt.gas_used * receipt.gas_price,
    )


async def _already(client: ChainClient, signed: SignedChange) -> int | None:
    """The block that has the change; None where it is the owner's next. Raises ConfigError where it is neither."""
    change = signed.change
    if not await client.code(change.registry.address):
        raise ConfigError(f"registry {change.registry.address}: there is no contract on chain {client.chain_id}")
    nonce = await nonce_of(client, change.registry, signed.signer)
    if nonce < change.nonce:
        raise ConfigError(f"nonce {change.nonce}: is not the owner's next, {nonce} is; relay the change before first")
    if nonce > change.nonce:
        history = await read_history(client, change.registry, change.identity)
        for dated in reversed(history.changes):
            if _is_said(dated.change, change.function, change.values):
                return dated.block
        raise ConfigError(f"nonce {change.nonce}: was used for another change; {nonce} is next, have it signed again")
    owner = await owner_of(client, change.registry, change.identity)
    if owner != signed.signer:
        raise ConfigError(f"{change.identity}: belongs to {owner}, who did not sign this; have it signed by that key")
    return None


def _is_said(found: Change, function: str, values: tuple[Any, ...]) -> bool:
    """Whether that event is of such a change, as far as events tell: adding a delegate looks like taking it away."""
    if isinstance(found, OwnerChanged):
        return function == "changeOwner" and found.owner == values[0]
    if isinstance(found, DelegateChanged):
        return function.endswith("Delegate") and (found.kind, found.delegate) == values[:2]
    revoked = isinstance(found, AttributeChanged) and found.valid_to_s == 0
    return function == ("revokeAttribute" if revoked else "setAttribute") and (found.name, found.value) == values[:2]


async def _transaction(client: ChainClient, account: Account, call: Call, fee_cap: int) -> Transaction:
    gas = await client.estimate(call, account.address)
    gas += gas // 5
    if gas > GAS_MAX:
        raise ConfigError(f"the change takes {gas} gas, more than {GAS_MAX}, which no change of an identity does")
    hint = await client.fees()
    fees = offer(hint, fee_cap)
    if fees is None:
        asked = hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee
        raise ChainUnavailable(f"a unit of gas costs {gwei(asked)} now, the cap is {gwei(fee_cap)}: wait, or raise it")
    return await _funded(client, account, call, gas, fees)


async def _funded(client: ChainClient, account: Account, call: Call, gas: int, fees: Fees) -> Transaction:
    nonce = await client.nonce(account.address)
    waiting = await client.nonce(account.address, pending=True) - nonce
    if waiting > 0:
        raise ChainUnavailable(
            f"account {account.address}: {waiting} of its transactions wait for a block, perhaps this one; run this "
            "again when they are there, and use an account that nothing else uses"
        )
    transaction = Transaction(chain_id=client.chain_id, nonce=nonce, fees=fees, gas=gas, call=call)
    balance = await client.balance(account.address)
    if balance < transaction.cost_max:
        raise ConfigError(
            f"account {account.address}: has {coins(balance)} coins, and this may cost {coins(transaction.cost_max)}; "
            "send it some"
        )
    return transaction


async def _receipt(
    client: ChainClient, transaction: bytes, wait_s: float, sleep: Callable[[float], Awaitable[None]]
) -> Receipt:
    for _ in range(1 + int(wait_s / POLL_S)):
        receipt = await client.agreed_receipt(transaction)
        if receipt is not None:
            return receipt
        await sleep(POLL_S)
    raise ChainUnavailable(
        f"transaction 0x{transaction.hex()}: was sent, and is in no block after {wait_s:g} s; run this again later: it "
        "sends nothing where the change has arrived"
    )
