"""What is offered for a transaction: never more than the cap, and enough more than before to replace an attempt.

The fee of a block is its base fee, which changes by at most an eighth from one block to the next (EIP-1559), and what
who makes the block gets. Twice the base fee is therefore enough for six blocks that are all full. A node takes a
replacement only if both fees are an eighth higher (geth, nethermind, anvil: 10 or 12.5 %).
"""

from __future__ import annotations

from gateway.chain.transaction import Fees
from gateway.chain.values import WEI_PER_GWEI, FeeHint


def asked(hint: FeeHint) -> int:
    """What the chain asks for a unit of gas now."""
    return hint.gas_price if hint.base_fee is None else hint.base_fee + hint.priority_fee


def offer(hint: FeeHint, fee_cap: int) -> Fees | None:
    """The fees for a new transaction; None where the chain asks more than *fee_cap* wei for a unit of gas."""
    if asked(hint) > fee_cap:
        return None
    if hint.base_fee is None:
        return Fees(fee_max=hint.gas_price, priority_max=None)
    wanted = 2 * hint.base_fee + hint.priority_fee
    return Fees(fee_max=min(wanted, fee_cap), priority_max=hint.priority_fee)


def raised(before: Fees, hint: FeeHint, fee_cap: int) -> Fees | None:
    """The fees of an attempt that may replace one with *before*; None where the cap does not allow that."""
    least = _eighth_more(before.fee_max)
    if before.priority_max is None:
        price = max(least, hint.gas_price)
        return Fees(fee_max=price, priority_max=None) if price <= fee_cap else None
    priority = max(_eighth_more(before.priority_max), hint.priority_fee)
    fee = max(least, min(2 * (hint.base_fee or 0) + priority, fee_cap), priority)
    return Fees(fee_max=fee, priority_max=priority) if fee <= fee_cap else None


def gwei(wei: int) -> str:
    """An amount for people, exact: ``1.5 gwei``."""
    whole, rest = divmod(wei, WEI_PER_GWEI)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") + " gwei"


def coins(wei: int) -> str:
    """An amount for people, exact: ``0.025``."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def _eighth_more(wei: int) -> int:
    return wei + wei // 8 + 1
