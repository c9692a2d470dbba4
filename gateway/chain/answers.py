"""What nodes answer, read strictly (execution-apis, "JSON-RPC Specification"; EIP-1474): the exact form, or an error.

=========  ===========================================================================================================
quantity   ``0x`` and hex digits without leading zeros; zero is ``0x0``; below 2^256, block numbers below 2^64
data       ``0x`` and two hex digits for each byte
hash       data of 32 bytes
address    data of 20 bytes; given in lower case
=========  ===========================================================================================================

What a node adds to the fields used here is not looked at. Each function raises MalformedError with the field, the fault
and the value; who asked adds which endpoint it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.chain.values import Block, LogRecord, Receipt
from gateway.errors import MalformedError

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_TOPICS_MAX = 4
#: Topics that an event must have, place by place: one, any of several, or whatever it is.
Topics = Sequence[bytes | Sequence[bytes] | None]


def quantity(value: object, what: str, bits: int = 256) -> int:
    """A number, 0 or more, below 2^*bits*."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _wrong(value, what, "a quantity")
    number = int(value, 16)
    if number >> bits:
        raise _wrong(value, what, f"a quantity of at most {bits} bits")
    return number


def data(value: object, what: str, size: int | None = None) -> bytes:
    """Bytes, *size* of them where that is given."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise _wrong(value, what, "hex data")
    found = bytes.fromhex(value[2:])
    if size is not None and len(found) != size:
        raise _wrong(value, what, f"{size} bytes")
    return found


def address(value: object, what: str) -> str:
    """``0x`` and 40 hex digits in lower case."""
    return "0x" + data(value, what, 20).hex()


def block(value: object) -> Block | None:
    """The head of a block; None where there is none."""
    if value is None:
        return None
    head = _object(value, "block")
    fee = head.get("baseFeePerGas")
    return Block(
        number=_number(head, "number"),
        hash=_hash(head, "hash"),
        parent=_hash(head, "parentHash"),
        time_s=_number(head, "timestamp"),
        base_fee=None if fee is None else quantity(fee, "baseFeePerGas"),
    )


def receipt(value: object, transaction: bytes) -> Receipt | None:
    """What became of *transaction*; None where it is in no block."""
    if value is None:
        return None
    told = _object(value, "receipt")
    found = Receipt(
        transaction=_hash(told, "transactionHash"),
        block_number=_number(told, "blockNumber"),
        block_hash=_hash(told, "blockHash"),
        succeeded=_succeeded(told.get("status")),
        gas_used=_number(told, "gasUsed"),
        gas_price=quantity(told.get("effectiveGasPrice"), "effectiveGasPrice"),
        contract=None if told.get("contractAddress") is None else address(told["contractAddress"], "contractAddress"),
        logs=tuple(_logs(told.get("logs"))),
    )
    if found.transaction != transaction:
        raise _wrong(told["transactionHash"], "transactionHash", f"0x{transaction.hex()}, which was asked for")
    for log in found.logs:
        if (log.transaction, log.block_hash) != (transaction, found.block_hash):
            raise MalformedError(f"event {log.index} in the receipt belongs to another transaction or block")
    return found


def logs(value: object, contract: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
    """Events of *contract* with *topics* in the blocks *first* to *last*, in the chain's order, and nothing else."""
    found = _logs(value)
    before = (-1, -1)
    for log in found:
        place = (log.block_number, log.index)
        if not first <= log.block_number <= last:
            raise MalformedError(f"an event is in block {log.block_number}; asked for were {first} to {last}")
        if log.address != contract.lower() or not _matches(log, topics):
            raise MalformedError(f"event {log.index} of block {log.block_number} is not one that was asked for")
        if place <= before:
            raise MalformedError(f"event {log.index} of block {log.block_number} comes twice or out of order")
        before = place
    return found


def known_transaction(value: object, transaction: bytes) -> bool:
    """Whether the node has *transaction*, waiting or in a block."""
    if value is None:
        return False
    if _hash(_object(value, "transaction"), "hash") != transaction:
        raise MalformedError("the transaction is another one than was asked for")
    return True


def topics_asked(topics: Topics) -> list[Any]:
    """*topics* as ``eth_getLogs`` takes them."""

    def written(topic: bytes | Sequence[bytes] | None) -> Any:
        if topic is None:
            return None
        return "0x" + topic.hex() if isinstance(topic, bytes) else ["0x" + one.hex() for one in topic]

    return [written(topic) for topic in topics]


def _matches(log: LogRecord, topics: Topics) -> bool:
    if len(log.topics) < len(topics):
        return False
    for told, asked in zip(log.topics, topics, strict=False):
        if asked is not None and told != asked and (isinstance(asked, bytes) or told not in asked):
            return False
    return True


def _logs(value: object) -> list[LogRecord]:
    if not isinstance(value, list):
        raise _wrong(value, "logs", "a list")
    return [_log(_object(one, "event")) for one in value]


def _log(told: dict[str, Any]) -> LogRecord:
    topics = told.get("topics")
    if not isinstance(topics, list) or len(topics) > _TOPICS_MAX:
        raise _wrong(topics, "topics", f"a list of at most {_TOPICS_MAX}")
    if told.get("removed"):
        raise MalformedError("an event is marked as removed from the chain")
    return LogRecord(
        address=address(told.get("address"), "address"),
        topics=tuple(data(topic, "topic", 32) for topic in topics),
        data=data(told.get("data"), "data"),
        block_number=_number(told, "blockNumber"),
        block_hash=_hash(told, "blockHash"),
        transaction=_hash(told, "transactionHash"),
        index=_number(told, "logIndex"),
    )


def _succeeded(status: object) -> bool:
    if status not in ("0x0", "0x1"):
        raise _wrong(status, "status", "0x0 or 0x1")
    return status == "0x1"


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(value, what, "an object")
    return value


def _number(told: dict[str, Any], name: str) -> int:
    return quantity(told.get(name), name, 64)


def _hash(told: dict[str, Any], name: str) -> bytes:
    return data(told.get(name), name, 32)


def _wrong(value: object, what: str, wanted: str) -> MalformedError:
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:80] + "…"
    return MalformedError(f"{what} {shown} is not {wanted}")
