"""The events of a renting contract of the Universal Sharing Network (the ABI that ew-link-bond ships).

::

    LogRented(bytes32 indexed fixFilter, bytes32 indexed id, address controller, uint64 rentedFrom,
              uint64 rentedUntil, bool noReturn, uint128 amount, address token, uint128 properties)
    LogReturned(bytes32 indexed fixFilter, bytes32 indexed id, address controller, uint64 rentedFrom,
                uint64 rentedUntil, uint128 paidBack)

*id* is the object, times are unix seconds. With *noReturn* it cannot be returned before its time is over.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.chain import abi
from gateway.chain.events import EventFilter
from gateway.chain.values import LogRecord
from gateway.errors import MalformedError

RENTED = "LogRented(bytes32,bytes32,address,uint64,uint64,bool,uint128,address,uint128)"
RETURNED = "LogReturned(bytes32,bytes32,address,uint64,uint64,uint128)"
_INDEXED = 2
_TOPICS = 1 + _INDEXED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """Somebody rented the object."""

    controller: str
    from_s: int
    until_s: int
    no_return: bool
    #: What was paid, in units of *token*; the zero address stands for the chain's coin.
    amount: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Somebody returned it."""

    controller: str
    from_s: int
    until_s: int
    #: What was paid back.
    paid_back: int


def rents_of(contract: str, object_id: bytes) -> EventFilter:
    """The events of one object."""
    return EventFilter.of(contract, (RENTED, RETURNED), (None, object_id))


def decode(event: LogRecord) -> Rented | Returned:
    """What *event* says. Raises MalformedError where it is none of the two, or not in their form."""
    signature = next((name for name in (RENTED, RETURNED) if event.topics[:1] == (abi.topic(name),)), None)
    if signature is None or len(event.topics) != _TOPICS:
        raise MalformedError(f"event {event.index} of block {event.block_number} is no LogRented and no LogReturned")
    values = abi.decode(abi.types_of(signature)[_INDEXED:], event.data)
    if signature == RENTED:
        controller, from_s, until_s, no_return, amount, token, _ = values
        return Rented(
            controller=controller, from_s=from_s, until_s=until_s, no_return=no_return, amount=amount, token=token
        )
    controller, from_s, until_s, paid_back = values
    return Returned(controller=controller, from_s=from_s, until_s=until_s, paid_back=paid_back)
