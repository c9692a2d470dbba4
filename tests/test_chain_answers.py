"""What nodes answer is taken in its exact form only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.chain import answers
from gateway.errors import MalformedError

ONE, TWO = "0x" + "11" * 32, "0x" + "22" * 32
CONTRACT = "0x" + "Ab" * 20
EVENT: dict[str, Any] = {
    "address": CONTRACT,
    "topics": [ONE, TWO],
    "data": "0x2a",
    "blockNumber": "0x5",
    "blockHash": TWO,
    "transactionHash": ONE,
    "logIndex": "0x0",
    "removed": False,
}
RECEIPT: dict[str, Any] = {
    "transactionHash": ONE,
    "blockNumber": "0x5",
    "blockHash": TWO,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x7",
    "contractAddress": None,
    "logs": [EVENT],
}
BLOCK: dict[str, Any] = {"number": "0x5", "hash": TWO, "parentHash": ONE, "timestamp": "0x64", "baseFeePerGas": "0x7"}


def read_receipt(told: Any) -> object:
    return answers.receipt(told, bytes.fromhex(ONE[2:]))


def read_logs(told: Any) -> object:
    return answers.logs(told, CONTRACT, [None, [bytes(32), bytes.fromhex(TWO[2:])]], 5, 6)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_a_quantity_is_what_hex_writes(number: int) -> None:
    """And one that is longer than it may be is none."""
    assert answers.quantity(hex(number), "x") == number
    if number >> 64:
        with pytest.raises(MalformedError, match="at most 64 bits"):
            answers.quantity(hex(number), "x", 64)


@given(st.binary(max_size=80))
def test_data_is_hex_of_whole_bytes(data: bytes) -> None:
    """Of a certain length where one is due."""
    text = "0x" + data.hex()
    assert answers.data(text, "x") == answers.data(text.upper().replace("0X", "0x"), "x", len(data)) == data
    for wrong in (text + "0", text[1:], text + "zz", data, f" {text}", f"{text}\n"):
        with pytest.raises(MalformedError, match=r"^x "):
            answers.data(wrong, "x")
    with pytest.raises(MalformedError, match=f"is not {len(data) + 1} bytes"):
        answers.data(text, "x", len(data) + 1)


def test_good_answers_are_read() -> None:
    """Addresses in lower case; what else a node tells does not matter."""
    receipt = answers.receipt(RECEIPT | {"from": CONTRACT, "root": 1.5}, bytes.fromhex(ONE[2:]))
    assert receipt is not None
    assert (receipt.block_number, receipt.gas_price, receipt.contract) == (5, 7, None)
    assert (receipt.logs[0].address, receipt.logs[0].data) == (CONTRACT.lower(), b"*")
    assert read_logs([EVENT]) == list(receipt.logs)
    made = answers.receipt(RECEIPT | {"contractAddress": CONTRACT, "logs": []}, bytes.fromhex(ONE[2:]))
    assert made is not None
    assert made.contract == CONTRACT.lower()
    block = answers.block(BLOCK)
    assert block is not None
    assert (block.number, block.time_s, block.base_fee) == (5, 100, 7)
    older = answers.block({name: value for name, value in BLOCK.items() if name != "baseFeePerGas"})
    assert older is not None
    assert older.base_fee is None


#: What reads it → the good answer → fields that it must not have.
WRONG: list[tuple[Callable[[Any], object], dict[str, Any], dict[str, tuple[Any, ...]]]] = [
    (
        answers.block,
        BLOCK,
        {
            "number": (None, 5, "0x", "0x05", "5", hex(2**64), True),
            "hash": (None, ONE[:-2], ONE + "00", "0x", bytes(32)),
            "parentHash": (None, "0x00"),
            "timestamp": (None, 100, 100.5, "0x0064"),
            "baseFeePerGas": (7, "0x", "0x07", 0.5, hex(2**256)),
        },
    ),
    (
        read_receipt,
        RECEIPT,
        {
            "transactionHash": (None, TWO),
            "blockNumber": (None, hex(2**64)),
            "blockHash": (None, ONE),
            "status": (None, "0x", "0x2", 1, True, "0x01"),
            "gasUsed": (None, 21_000),
            "effectiveGasPrice": (None, 7),
            "contractAddress": ("0x", CONTRACT[:-2], 0),
            "logs": (None, {}, [EVENT | {"transactionHash": TWO}], [EVENT | {"blockHash": ONE}], ["0x"]),
        },
    ),
    (
        lambda told: read_logs([told]),
        EVENT,
        {
            "address": (None, "0x", ONE, "0x" + "11" * 20),
            "topics": (None, {}, [], [ONE], [ONE, ONE], [ONE, TWO, "0x"], [ONE, TWO, ONE, TWO, ONE]),
            "data": (None, "", "0x2", [42]),
            "blockNumber": (None, "0x4", "0x7", 5),
            "blockHash": (None,),
            "transactionHash": (None,),
            "logIndex": (None, 0, "0x00"),
            "removed": (True, "yes"),
        },
    ),
]


@pytest.mark.parametrize(("read", "good", "fields"), WRONG, ids=("block", "receipt", "event"))
def test_one_wrong_field_makes_an_answer_malformed(
    read: Callable[[Any], object], good: dict[str, Any], fields: dict[str, tuple[Any, ...]]
) -> None:
    """Whichever it is."""
    assert read(good) is not None
    for field, values in fields.items():
        for value in values:
            with pytest.raises(MalformedError):
                read(good | {field: value})
    for value in ("0x", 5, True, [good] * 2):
        with pytest.raises(MalformedError):
            read(value)


def test_events_come_once_and_in_the_chains_order() -> None:
    """By block, then by their place in it."""
    later = EVENT | {"blockNumber": "0x6"}
    third = EVENT | {"logIndex": "0x3"}
    assert len(answers.logs([EVENT, third, later], CONTRACT, [], 5, 6)) == 3
    for wrong in ([EVENT, EVENT], [third, EVENT], [later, EVENT], [EVENT, later, third]):
        with pytest.raises(MalformedError, match="twice or out of order"):
            answers.logs(wrong, CONTRACT, [], 5, 6)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_json_it_is_it_is_read_or_refused(told: Any) -> None:
    """Nothing else is raised."""
    for read in (answers.block, read_receipt, read_logs, lambda told: answers.known_transaction(told, bytes(32))):
        with contextlib.suppress(MalformedError):
            read(told)
