"""What a chain tells and is asked, as values: amounts in wei, fees in wei for one unit of gas, times in unix seconds.

Hashes, topics and data are bytes; an address is ``0x`` and 40 hex digits in lower case, as nodes tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

WEI_PER_GWEI = 10**9
WEI_PER_COIN = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of a contract; without *to* it makes one."""

    to: str | None
    data: bytes
    #: Wei that go with it.
    value: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The head of a block."""

    number: int
    hash: bytes
    parent: bytes
    time_s: int
    #: Wei for one unit of gas that is burnt (EIP-1559); None on a chain that has no such rule.
    base_fee: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One event that a contract emitted."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction: bytes
    #: Its place among all events of its block.
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a transaction that is in a block."""

    transaction: bytes
    block_number: int
    block_hash: bytes
    #: False where it was reverted: it has cost its gas and did nothing.
    succeeded: bool
    gas_used: int
    #: Wei for one unit of gas that were paid.
    gas_price: int
    #: The contract that it made, if it made one.
    contract: str | None
    logs: tuple[LogRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeHint:
    """What a node says that a transaction costs now, each in wei for one unit of gas."""

    #: Of the newest block; None on a chain without EIP-1559.
    base_fee: int | None
    priority_fee: int
    gas_price: int
