"""RLP, the contract ABI and transactions: the same bytes as eth-abi, rlp and eth-account, and nothing else is read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.keys.file import create_file_key
from gateway.chain import abi, rlp
from gateway.chain.account import Account
from gateway.chain.transaction import Fees, Transaction, nonce_of, transaction_hash
from gateway.chain.values import Call
from gateway.durable import create_exclusively
from gateway.errors import ConfigError, KeyUnfit, MalformedError
from gateway.signing import Algorithm, KeyRequest, Purpose
from tests.eth_check import ask, hexed

ITEMS: Any = st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=6), max_leaves=12)
TO = "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
SIMPLE = ["uint256", "uint8", "int64", "int256", "bool", "address", "bytes32", "bytes4", "bytes", "string"]


def _value(rng: random.Random, kind: str) -> Any:
    """A random value of a type, edges among them."""
    if kind.endswith("[]"):
        return [_value(rng, kind[:-2]) for _ in range(rng.randrange(4))]
    if kind.endswith("[2]"):
        return [_value(rng, kind[:-3]) for _ in range(2)]
    if kind.startswith("("):
        return [_value(rng, part) for part in kind[1:-1].split(",")]
    if kind.startswith(("uint", "int")):
        bits = int(kind.removeprefix("u").removeprefix("int"))
        low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return rng.choice((low, high, 0, rng.randint(low, high)))
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "address":
        return "0x" + rng.randbytes(20).hex()
    if kind == "string":
        return rng.choice(("", "roof-7", "Zähler " * 9))
    return rng.randbytes(int(kind[5:]) if kind[5:] else rng.choice((0, 1, 31, 32, 33, 100)))


def _types(rng: random.Random) -> list[str]:
    shapes = ["{0}", "{0}[]", "{0}[2]", "({0},{1})", "({0},{1})[]", "{0}[2][]"]
    return [rng.choice(shapes).format(rng.choice(SIMPLE), rng.choice(SIMPLE)) for _ in range(rng.randrange(1, 6))]


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_the_abi_is_that_of_eth_abi() -> None:
    """Two hundred random rows of types, nested ones too: the same bytes, and they are read back."""
    rng = random.Random(6)
    rows = [(types, [_value(rng, kind) for kind in types]) for types in (_types(rng) for _ in range(200))]
    for (types, values), foreign in zip(
        rows, ask([["abi", types, hexed(values)] for types, values in rows]), strict=True
    ):
        ours = abi.encode(types, values)
        assert ours.hex() == foreign, types
        assert _listed(abi.decode(types, ours)) == values


def test_rlp_is_that_of_rlp() -> None:
    """Byte strings and lists of all head lengths."""
    items: list[Any] = [b"", b"\0", b"\x7f", b"\x80", b"a" * 55, b"a" * 56, b"a" * 256, b"a" * 70_000, []]
    items += [[b"a"] * 55, [b"a"] * 56, [[], [[b"x"], b""], [[[b"y" * 60]]]]]
    assert [rlp.encode(item).hex() for item in items] == ask([["rlp", hexed(item)] for item in items])


@given(ITEMS)
def test_rlp_is_read_back(item: Any) -> None:
    """decode is the exact inverse of encode."""
    assert rlp.decode(rlp.encode(item)) == item


@given(st.binary(max_size=80))
def test_rlp_takes_nothing_else(data: bytes) -> None:
    """Whatever is accepted is what encode would have written."""
    try:
        item = rlp.decode(data)
    except MalformedError:
        return
    assert rlp.encode(item) == data


@given(st.binary(max_size=320), st.sampled_from([["uint8", "bytes"], ["bool[]", "string"], ["(int64,bytes4)[]"]]))
def test_the_abi_takes_nothing_else(data: bytes, types: list[str]) -> None:
    """Also when the words are small, as offsets are."""
    small = bytes(value if at % 32 == 31 else 0 for at, value in enumerate(data))
    for given_bytes in (data, small):
        try:
            values = abi.decode(types, given_bytes)
        except MalformedError:
            continue
        assert abi.encode(types, values) == given_bytes


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256), ("uint8", -1), ("int8", 128), ("uint256", True), ("uint256", "1"), ("uint256", 1.0),
        ("bool", 1), ("address", "0x12"), ("address", b"\0" * 20), ("bytes32", b"\0" * 31), ("bytes", "text"),
        ("string", b"bytes"), ("uint8[2]", [1]), ("(uint8,uint8)", [1]), ("uint8[]", 5),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: str, value: Any) -> None:
    """Nothing is cut, wrapped or converted; the message names the value and the type."""
    with pytest.raises(ConfigError, match="ABI: "):
        abi.encode([kind], [value])


@pytest.mark.parametrize("kind", ["uint7", "uint264", "int0", "bytes33", "bytes0", "float", "uint256 x", ""])
def test_there_is_no_such_type(kind: str) -> None:
    """A typing error in a signature would call another function."""
    with pytest.raises(ConfigError):
        abi.encode([kind], [0])


def test_a_lying_count_costs_no_memory() -> None:
    """An answer that claims a million empty arrays, or sixty-four nested ones, is refused at its head."""
    claim = (32).to_bytes(32, "big") + (2**40).to_bytes(32, "big")
    with pytest.raises(MalformedError, match="an array of"):
        abi.decode(["uint256[0][]"], claim)


def test_selectors_and_topics_are_those_everybody_knows() -> None:
    """ERC-20's transfer, and its event."""
    assert abi.selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert abi.topic("Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")


def _account(folder: Path, algorithm: Algorithm = Algorithm.ECDSA_SECP256K1) -> tuple[Account, str]:
    purpose = Purpose.TRANSACTION if algorithm is Algorithm.ECDSA_SECP256K1 else Purpose.CHECKPOINT
    request = KeyRequest(uri="file:k.pem", base=folder, purpose=purpose, create=True, algorithm=algorithm)
    key = create_file_key(request, create_exclusively)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private: Any = load_pem_private_key((folder / "k.pem").read_bytes(), None)
    return Account(key), hex(private.private_numbers().private_value)


def _transactions() -> list[Transaction]:
    rng, found = random.Random(7), []
    for chain_id in (1, 246, 73799):
        for priority in (None, 0, 10**9):
            call = Call(
                to=rng.choice((TO, None)), data=rng.randbytes(rng.choice((0, 1, 68, 300))), value=rng.choice((0, 5))
            )
            fees = Fees(fee_max=rng.randrange(10**9, 10**11), priority_max=priority)
            gas, nonce = rng.randrange(21_000, 10**6), rng.choice((0, 1, 300))
            found.append(Transaction(chain_id=chain_id, nonce=nonce, fees=fees, gas=gas, call=call))
    return found


def _fields(transaction: Transaction) -> dict[str, Any]:
    fees = transaction.fees
    paid = {"gasPrice": fees.fee_max}
    if fees.priority_max is not None:
        paid = {"maxFeePerGas": fees.fee_max, "maxPriorityFeePerGas": fees.priority_max, "type": 2}
    to = {} if transaction.call.to is None else {"to": bytes.fromhex(transaction.call.to[2:]).hex()}
    common = {"chainId": transaction.chain_id, "nonce": transaction.nonce, "gas": transaction.gas}
    return common | paid | to | {"value": transaction.call.value, "data": "0x" + transaction.call.data.hex()}


def test_both_kinds_are_signed_as_eth_account_does(tmp_path: Path) -> None:
    """The sender that eth-account recovers is ours, and what it signs of the same fields differs in r and s only."""
    account, private = _account(tmp_path)
    transactions = _transactions()
    signed = [account.sign(transaction) for transaction in transactions]
    senders = ask([["recover", "0x" + one.raw.hex()] for one in signed])
    assert senders == [account.address] * len(transactions)
    fields = [_fields(transaction) for transaction in transactions]
    for field in fields:
        if "to" in field:
            field["to"] = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
    for ours, theirs, transaction in zip(
        signed, ask([["transaction", one, private] for one in fields]), transactions, strict=True
    ):
        items, foreign = (rlp.decode(raw[raw[0] == 2 :]) for raw in (ours.raw, bytes.fromhex(theirs)))
        unsigned = -3 if transaction.fees.priority_max is not None else 6
        assert items[:unsigned] == foreign[:unsigned]
        assert nonce_of(ours.raw) == transaction.nonce
        assert transaction_hash(ours.raw) == ours.hash


def test_a_transaction_without_its_chain_is_never_made() -> None:
    """It could be repeated on another chain; fees that contradict each other are refused as well."""
    fees = Fees(fee_max=1, priority_max=1)
    with pytest.raises(ConfigError, match="chain id 0"):
        Transaction(chain_id=0, nonce=0, fees=fees, gas=21_000, call=Call(to=TO, data=b""))
    with pytest.raises(ConfigError, match="priority fee of 2"):
        Transaction(chain_id=246, nonce=0, fees=Fees(fee_max=1, priority_max=2), gas=1, call=Call(to=TO, data=b""))


def test_a_key_of_another_curve_has_no_account(tmp_path: Path) -> None:
    """The message says what makes the right one."""
    with pytest.raises(KeyUnfit, match=r"p256 has no account on a chain; .*--purpose transaction"):
        _account(tmp_path, Algorithm.ECDSA_P256)
