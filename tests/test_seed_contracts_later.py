"""The contracts of the tests behave as stated: Origin's release C, notary, DID registry and renting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from coincurve import PrivateKey

from gateway.chain.abi import decode, encode_call, topic
from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.contract import AnchorContract, Right, Statement, log_of
from gateway.signing.evm import address, keccak256
from tests.chain_nodes import Anvil
from tests.contracts import OnChain, compiled, gas, people_on, records
from tests.registries import FILE, SAVE_A, SAVE_C, did, enrolled_a, refused, told

OBJECT = keccak256(b"a charging point")
NOTHING = "0x" + 40 * "0"
RENT, RETURN = "rent(bytes32,uint32,address)", "returnObject(bytes32)"
RENTED = "LogRented(bytes32,bytes32,address,uint64,uint64,bool,uint128,address,uint128)"
RETURNED = "LogReturned(bytes32,bytes32,address,uint64,uint64,uint128)"


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture(scope="module")
def people(node: Anvil) -> list[str]:
    return people_on(node)


@pytest.fixture
def c(node: Anvil, people: list[str]) -> OnChain:
    """With device 0 of the first of the people."""
    chain = OnChain.deploy(node, compiled("OriginC")[1])
    (event,) = records(did(chain, "createDevice(address,address)", [people[0], people[1]]))
    assert event.topics == (topic("LogDeviceCreated(address,uint256)"), bytes(32))
    return chain


@pytest.fixture
def dids(node: Anvil) -> OnChain:
    return OnChain.deploy(node, compiled("EthereumDIDRegistry")[1])


@pytest.fixture
def renting(node: Anvil) -> OnChain:
    return OnChain.deploy(node, compiled("Renting")[1])


def block_time(node: Anvil) -> int:
    return int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def test_release_c_takes_a_time_that_is_at_most_a_minute_ahead(c: OnChain, people: list[str], node: Anvil) -> None:
    """And any older one; 0 is the block's. Both end in the event and in the list."""
    for total, ahead in ((10, None), (20, 60), (30, -1_000_000_000)):
        now = block_time(node) + 5
        node.rpc("evm_setNextBlockTimestamp", now)
        given = 0 if ahead is None else now + ahead
        (event,) = records(did(c, SAVE_C, [0, total, given], people[0]))
        assert decode(["uint256", "uint256", "uint256"], event.data) == [total - 10, total, given or now]
    (reads,) = told(c, "getSmartMeterReadsForDevice(uint256)", [0], "(uint256,uint256)[]")
    assert [energy for energy, _ in reads] == [10, 10, 10]
    assert told(c, "getDevice(uint256)", [0], "(address,address,uint256)") == [(people[0], people[1], 30)]
    now = block_time(node) + 5
    node.rpc("evm_setNextBlockTimestamp", now)
    assert c.send(encode_call(SAVE_C, [0, 40, now + 61]), people[0])["status"] == "0x0"
    text = "a timestamp cannot be higher than current block time plus 1 min"
    assert refused(c, SAVE_C, [0, 40, block_time(node) + 10_000], people[0]) == text


def test_release_c_refuses_a_foreign_sender_and_a_total_that_did_not_rise(c: OnChain, people: list[str]) -> None:
    """Its text for the second has a space that release B's has not."""
    did(c, SAVE_C, [0, 10, 0], people[0])
    assert refused(c, SAVE_C, [0, 20, 0], people[1]) == "saveSmartMeterRead: wrong sender"
    for total in (0, 9, 10):
        assert refused(c, SAVE_C, [0, total, 0], people[0]) == "saveSmartMeterRead: meter read too low"
    assert refused(c, SAVE_C, [1, 20, 0], people[0]) == ""


def test_the_notary_lets_anybody_say_anything_and_keeps_nothing(node: Anvil, people: list[str]) -> None:
    """The operator in the event is the sender; the same proof can be there twice."""
    notary = OnChain.deploy(node, compiled("Notary")[1])
    for sender in (people[0], people[1], people[0]):
        (event,) = records(did(notary, "store(bytes32)", [FILE], sender))
        assert event.topics[1:] == (bytes(12) + bytes.fromhex(sender[2:]), FILE)
        assert event.data == b""


def signed(key: PrivateKey, registry: str, nonce: int, identity: str, call: bytes) -> list[Any]:
    """v, r and s over the hash that ERC-1056 wants."""
    head = b"\x19\x00" + bytes.fromhex(registry[2:]) + nonce.to_bytes(32, "big") + bytes.fromhex(identity[2:])
    found = key.sign_recoverable(keccak256(head + call), hasher=None)
    return [27 + found[64], found[:32], found[32:64]]


def test_an_identity_is_its_own_owner_until_that_changes(dids: OnChain, people: list[str]) -> None:
    """Then the former one may no longer change anything."""
    me, heir, stranger = people[:3]
    assert told(dids, "identityOwner(address)", [me], "address") == [me]
    change = "changeOwner(address,address)"
    assert refused(dids, change, [me, stranger], stranger) == "bad_actor"
    (event,) = records(did(dids, change, [me, heir], me))
    assert decode(["address", "uint256"], event.data) == [heir, 0]
    assert told(dids, "identityOwner(address)", [me], "address") == [heir]
    assert refused(dids, change, [me, me], me) == "bad_actor"


def test_each_change_names_the_block_of_the_one_before(dids: OnChain, people: list[str], node: Anvil) -> None:
    """Walked backwards from ``changed``; a revoked delegate ends now, a revoked attribute at 0."""
    me, delegate = people[:2]
    kind, name = b"veriKey".ljust(32, b"\0"), b"did/pub/Secp256k1/veriKey/hex".ljust(32, b"\0")
    delegated = [
        ("addDelegate(address,bytes32,address,uint256)", [me, kind, delegate, 100], 100),
        ("revokeDelegate(address,bytes32,address)", [me, kind, delegate], 0),
    ]
    before = 0
    for signature, values, validity in delegated:
        (event,) = records(did(dids, signature, values, me))
        valid_to = block_time(node) + validity
        assert decode(["bytes32", "address", "uint256", "uint256"], event.data) == [kind, delegate, valid_to, before]
        valid = told(dids, "validDelegate(address,bytes32,address)", [me, kind, delegate], "bool")
        assert valid == [validity > 0]
        before = event.block_number
    attributes = [
        ("setAttribute(address,bytes32,bytes,uint256)", [me, name, b"\x02key", 100], True),
        ("revokeAttribute(address,bytes32,bytes)", [me, name, b"\x02key"], False),
    ]
    for signature, values, lasting in attributes:
        (event,) = records(did(dids, signature, values, me))
        valid_to = block_time(node) + 100 if lasting else 0
        assert decode(["bytes32", "bytes", "uint256", "uint256"], event.data) == [name, b"\x02key", valid_to, before]
        before = event.block_number
    assert told(dids, "changed(address)", [me], "uint256") == [before]


def test_a_signed_change_needs_no_coins_and_counts_once(dids: OnChain, people: list[str]) -> None:
    """All five functions, paid by a stranger; the same signature again, or another key's, is refused."""
    key, other = PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32)
    me = address(key.public_key.format(compressed=False)).lower()
    heir = address(other.public_key.format(compressed=False)).lower()
    name, value, words = FILE, b"some bytes", (86_400).to_bytes(32, "big")
    account = bytes.fromhex(heir[2:])
    changes = [
        ("setAttribute", "bytes32,bytes,uint256", [name, value, 86_400], name + value + words),
        ("revokeAttribute", "bytes32,bytes", [name, value], name + value),
        ("addDelegate", "bytes32,address,uint256", [name, heir, 86_400], name + account + words),
        ("revokeDelegate", "bytes32,address", [name, heir], name + account),
        ("changeOwner", "address", [heir], account),
    ]
    for nonce, (function, types, values, packed) in enumerate(changes):
        form = f"{function}Signed(address,uint8,bytes32,bytes32,{types})"
        call = function.encode() + packed
        good = [me, *signed(key, dids.address, nonce, me, call), *values]
        for wrong in (
            [me, *signed(other, dids.address, nonce, me, call), *values],
            [me, *signed(key, dids.address, nonce + 1, me, call), *values],
            [me, *signed(key, heir, nonce, me, call), *values],
        ):
            assert refused(dids, form, wrong, people[3]) == "bad_signature"
        did(dids, form, good, people[3])
        assert told(dids, "nonce(address)", [me], "uint256") == [nonce + 1]
        assert refused(dids, form, good, people[3]) == "bad_signature"
    assert told(dids, "identityOwner(address)", [me], "address") == [heir]


def test_an_object_is_rented_to_one_at_a_time_and_returned_by_him(
    renting: OnChain, people: list[str], node: Anvil
) -> None:
    """Both events have the object in their second topic, behind a filter that is zero here; the rest is paid back."""
    tenant, stranger = people[:2]
    rent = encode_call(RENT, [OBJECT, 3600, NOTHING])
    assert refused(renting, RETURN, [OBJECT], tenant) == "not rented"
    (event,) = records(renting.send(rent, tenant, value=3600))
    start = block_time(node)
    assert event.topics == (topic(RENTED), bytes(32), OBJECT)
    types = ["address", "uint64", "uint64", "bool", "uint128", "address", "uint128"]
    assert decode(types, event.data) == [tenant, start, start + 3600, False, 3600, NOTHING, 0]
    assert renting.send(rent, stranger, value=3600)["status"] == "0x0"
    assert refused(renting, RETURN, [OBJECT], stranger) == "controller"
    state = "getRentingState(bytes32,address)"
    now = told(renting, state, [OBJECT, tenant], "bool,bool,bool,address,uint64,uint64,uint128")
    assert now == [True, False, True, tenant, start + 3600, start, 0]
    node.rpc("evm_setNextBlockTimestamp", start + 1000)
    (event,) = records(did(renting, RETURN, [OBJECT], tenant))
    assert event.topics == (topic(RETURNED), bytes(32), OBJECT)
    assert decode(["address", "uint64", "uint64", "uint128"], event.data) == [tenant, start, start + 1000, 2600]
    assert node.balance(renting.address) == 1000
    assert told(renting, "getStateCount(bytes32)", [OBJECT], "uint256") == [1]
    kept = told(renting, "getState(bytes32,uint256)", [OBJECT, 0], "address,uint64,uint64,uint128")
    assert kept == [tenant, start, start + 1000, 0]
    assert renting.send(rent, stranger, value=3600)["status"] == "0x1"


def test_the_renting_contract_emits_whatever_a_test_wants(renting: OnChain, people: list[str]) -> None:
    """Foreign filters, objects and times: a listener must not rely on what the stub's own rules would give."""
    tenant = people[0]
    values = [FILE, OBJECT, tenant, 5, 6, True, 7, people[1], 8]
    (event,) = records(did(renting, f"emit{RENTED.removeprefix('Log')}", values))
    assert event.topics == (topic(RENTED), FILE, OBJECT)
    types = ["address", "uint64", "uint64", "bool", "uint128", "address", "uint128"]
    assert decode(types, event.data) == values[2:]
    (event,) = records(did(renting, f"emit{RETURNED.removeprefix('Log')}", [*values[:5], 9]))
    assert event.topics == (topic(RETURNED), FILE, OBJECT)
    assert decode(["address", "uint64", "uint64", "uint128"], event.data) == [tenant, 5, 6, 9]


def test_what_each_way_to_a_chain_costs(node: Anvil, people: list[str]) -> None:
    """In one run: an announcement about what the notary costs, a growing anchor less than a reading of release A."""
    meter, relayer = people[:2]
    anchors = OnChain.deploy(node, load().bytecode)
    calls = AnchorContract(address=anchors.address)
    origin = "example.org/roof-7"
    log = log_of(meter, origin)
    stated = [
        Statement(size=1_000_000 + step, root=keccak256(bytes([step])), cid=keccak256(bytes([9, step])))
        for step in range(4)
    ]
    notary = OnChain.deploy(node, compiled("Notary")[1])
    assets = enrolled_a(OnChain.deploy(node, compiled("OriginA")[1]), people, "Producing")
    cost = {"announce": gas(anchors.send(calls.announce(origin, stated[0]), meter))}
    cost["first anchor"] = gas(anchors.send(calls.anchor(origin, stated[1]), meter))
    cost["anchor"] = gas(anchors.send(calls.anchor(origin, stated[2]), meter))
    anchors.send(calls.set_right(log, relayer, Right.ANY), meter)
    cost["submit"] = gas(anchors.send(calls.submit(log, stated[3]), relayer))
    cost["notary"] = gas(did(notary, "store(bytes32)", [stated[0].root], meter))
    for name, total in (("first reading", 2500), ("reading", 5000)):
        cost[name] = gas(did(assets, SAVE_A, [0, total, False, FILE, 30 + total, False], meter))
    assert cost["notary"] < cost["announce"] < cost["notary"] + 1_700, cost
    assert cost["anchor"] < cost["submit"] < cost["reading"] < cost["first anchor"] < cost["first reading"], cost
    assert cost["announce"] <= 25_000, cost
    assert cost["submit"] <= 38_000, cost
