"""The anchor contract on a real node with the Energy Web Chain's rules: who may do what, and what grows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

import pytest

from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.contract import (
    AnchorContract,
    Anchored,
    Happened,
    Last,
    Right,
    Statement,
    decode_event,
    decode_last,
    decode_number,
    decode_refusal,
    log_of,
    origin_hash,
)
from gateway.chain.values import Call
from tests.chain_nodes import Anvil, Ganache, NodeError
from tests.contracts import OnChain, gas, people_on, records

NOBODY = "0x" + 40 * "0"
ORIGINS = count(1)


@pytest.fixture(scope="module")
def chain() -> Iterator[OnChain]:
    """One contract for all tests of this file; each has origins of its own."""
    with Anvil() as node:
        yield OnChain.deploy(node, load().bytecode)


@pytest.fixture
def calls(chain: OnChain) -> AnchorContract:
    return AnchorContract(address=chain.address)


@pytest.fixture
def people(chain: OnChain) -> list[str]:
    """Owner, relayer, heir and stranger."""
    return people_on(chain.node)


@pytest.fixture
def origin() -> str:
    return f"example.org/roof-{next(ORIGINS)}"


def a_statement(size: int, seed: int = 0) -> Statement:
    """Without a zero byte in its hashes: none is dearer."""
    rng = random.Random(f"{size}/{seed}")
    root, cid = (bytes(rng.randrange(1, 256) for _ in range(32)) for _ in range(2))
    return Statement(size=size, root=root, cid=cid)


def refusal(chain: OnChain, call: Call, sender: str) -> tuple[str, tuple[object, ...]]:
    """Name and values of the error with which a transaction ends; it changes nothing and costs its gas."""
    assert chain.send(call, sender)["status"] == "0x0"
    with pytest.raises(NodeError) as caught:
        chain.read(call, sender)
    found = decode_refusal(bytes.fromhex(caught.value.data[2:]))
    assert found is not None, caught.value.data
    return found.name, found.values


def done(chain: OnChain, call: Call, sender: str) -> list[Anchored | Happened | None]:
    """The events of a transaction that succeeds."""
    receipt = chain.send(call, sender)
    assert receipt["status"] == "0x1"
    return [decode_event(record) for record in records(receipt)]


def last(chain: OnChain, calls: AnchorContract, log: bytes) -> Last:
    return decode_last(chain.read(calls.last(log)))


def test_what_is_deployed_is_the_artefacts_runtime(chain: OnChain) -> None:
    """Whoever trusts the source can compare what is at an address."""
    assert chain.node.rpc("eth_getCode", chain.address, "latest") == "0x" + load().runtime.hex()


def test_an_announcement_is_an_event_and_nothing_stored(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """It names the log of who sent it."""
    stated, log = a_statement(77), log_of(people[0], origin)
    assert done(chain, calls.announce(origin, stated), people[0]) == [Anchored(log=log, statement=stated, stored=False)]
    assert last(chain, calls, log) == Last(owner=NOBODY, size=0, root=bytes(32), block=0)


def test_the_first_anchor_opens_the_log_and_each_further_one_replaces_it(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """The block number leads to the event, which has the CID."""
    owner, log = people[0], log_of(people[0], origin)
    opened = Happened(name="Opened", log=log, values=(owner, origin_hash(origin)))
    first, second = a_statement(1), a_statement(1 << 63)
    assert done(chain, calls.anchor(origin, first), owner) == [opened, Anchored(log=log, statement=first, stored=True)]
    assert last(chain, calls, log) == Last(owner=owner, size=1, root=first.root, block=chain.node.head)
    assert done(chain, calls.anchor(origin, second), owner) == [Anchored(log=log, statement=second, stored=True)]
    assert last(chain, calls, log) == Last(owner=owner, size=1 << 63, root=second.root, block=chain.node.head)


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_log_that_does_not_grow_is_refused(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str, size: int
) -> None:
    """Neither a repeated transaction nor a log restored from an older copy changes what is there, by any form."""
    owner, log = people[0], log_of(people[0], origin)
    done(chain, calls.anchor(origin, a_statement(100)), owner)
    before = last(chain, calls, log)
    for call in (calls.anchor(origin, a_statement(size, 1)), calls.submit(log, a_statement(size, 1))):
        assert refusal(chain, call, owner) == ("NotGrowing", (100, size))
    assert last(chain, calls, log) == before


def test_an_empty_log_is_not_anchored(chain: OnChain, calls: AnchorContract, people: list[str], origin: str) -> None:
    """There is nothing to say of it, and the log is not opened by that."""
    assert refusal(chain, calls.anchor(origin, a_statement(0)), people[0]) == ("NotGrowing", (0, 0))
    assert last(chain, calls, log_of(people[0], origin)).owner == NOBODY


def test_a_stranger_who_takes_the_origin_has_another_log(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """Before the owner comes or after: nothing of it is in the owner's log, and nothing hinders him."""
    owner, stranger = people[0], people[3]
    done(chain, calls.open(origin), stranger)
    done(chain, calls.anchor(origin, a_statement(1 << 62)), stranger)
    done(chain, calls.anchor(origin, a_statement(5)), owner)
    (said,) = done(chain, calls.announce(origin, a_statement(6)), stranger)
    assert said is not None
    assert said.log == log_of(stranger, origin) != log_of(owner, origin)
    assert last(chain, calls, log_of(owner, origin)).size == 5


def test_only_the_owner_and_relayers_with_a_right_submit(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """The right is given and taken in the open; it is no right to give it on."""
    owner, relayer, _, stranger = people
    log = log_of(owner, origin)
    done(chain, calls.anchor(origin, a_statement(5)), owner)
    for sender in (relayer, stranger):
        assert refusal(chain, calls.submit(log, a_statement(6)), sender) == ("NotAllowed", (sender,))
    given = done(chain, calls.set_right(log, relayer, Right.ANY), owner)
    assert given == [Happened(name="RightSet", log=log, values=(owner, relayer, Right.ANY))]
    assert decode_number(chain.read(calls.right_of(log, relayer))) == Right.ANY
    done(chain, calls.submit(log, a_statement(6)), relayer)
    done(chain, calls.submit(log, a_statement(7)), owner)
    assert refusal(chain, calls.submit(log, a_statement(8)), stranger) == ("NotAllowed", (stranger,))
    for call in (calls.set_right(log, stranger, Right.ANY), calls.offer(log, stranger)):
        assert refusal(chain, call, relayer) == ("NotAllowed", (relayer,))
    done(chain, calls.set_right(log, relayer, Right.NONE), owner)
    assert refusal(chain, calls.submit(log, a_statement(8)), relayer) == ("NotAllowed", (relayer,))
    assert last(chain, calls, log).size == 7


def test_a_log_that_is_opened_first_can_be_anchored_by_relayers_alone(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """A log that nobody opened has no owner, and so no relayer; one that is open is not opened again."""
    owner, relayer = people[:2]
    log = log_of(owner, origin)
    assert refusal(chain, calls.submit(log, a_statement(1)), relayer) == ("NotAllowed", (relayer,))
    assert refusal(chain, calls.set_right(log, relayer, Right.ANY), owner) == ("NotAllowed", (owner,))
    done(chain, calls.open(origin), owner)
    done(chain, calls.set_right(log, relayer, Right.ANY), owner)
    done(chain, calls.submit(log, a_statement(3)), relayer)
    assert refusal(chain, calls.open(origin), owner) == ("AlreadyOpen", (log,))
    assert last(chain, calls, log).size == 3


def test_an_heir_who_accepts_owns_the_log_alone(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """The log keeps its name and its size; the former owner and his relayers lose every right."""
    owner, relayer, heir, stranger = people
    log, stated = log_of(owner, origin), a_statement(5)
    done(chain, calls.anchor(origin, stated), owner)
    block = chain.node.head
    done(chain, calls.set_right(log, relayer, Right.ANY), owner)
    assert refusal(chain, calls.offer(log, heir), heir) == ("NotAllowed", (heir,))
    assert done(chain, calls.offer(log, heir), owner) == [Happened(name="Offered", log=log, values=(heir,))]
    assert refusal(chain, calls.accept(log), stranger) == ("NotAllowed", (stranger,))
    assert last(chain, calls, log).owner == owner
    accepted = done(chain, calls.accept(log), heir)
    assert accepted == [Happened(name="HandedOver", log=log, values=(owner, heir))]
    assert last(chain, calls, log) == Last(owner=heir, size=5, root=stated.root, block=block)
    assert refusal(chain, calls.anchor(origin, a_statement(6)), owner) == ("NotAllowed", (owner,))
    for sender in (owner, relayer):
        assert refusal(chain, calls.submit(log, a_statement(6)), sender) == ("NotAllowed", (sender,))
    assert refusal(chain, calls.submit(log, a_statement(5)), heir) == ("NotGrowing", (5, 5))
    done(chain, calls.submit(log, a_statement(6)), heir)
    assert refusal(chain, calls.accept(log), heir) == ("NotAllowed", (heir,))


def test_an_offer_can_be_taken_back(chain: OnChain, calls: AnchorContract, people: list[str], origin: str) -> None:
    """And without an offer nobody accepts, not even where no log is open."""
    owner, _, heir, _ = people
    log = log_of(owner, origin)
    assert refusal(chain, calls.accept(log), heir) == ("NotAllowed", (heir,))
    done(chain, calls.open(origin), owner)
    done(chain, calls.offer(log, heir), owner)
    done(chain, calls.offer(log, NOBODY), owner)
    assert refusal(chain, calls.accept(log), heir) == ("NotAllowed", (heir,))


def test_what_anchors_cost_stays_within_the_goals(
    chain: OnChain, calls: AnchorContract, people: list[str], origin: str
) -> None:
    """Whole transactions, with sizes up to a hundred readings a second for three hundred years."""
    owner, relayer = people[:2]
    log, sizes = log_of(owner, origin), iter(range((1 << 40) - 5, 1 << 40))
    assert gas(chain.send(calls.announce(origin, a_statement(next(sizes))), owner)) <= 25_000
    assert gas(chain.send(calls.anchor(origin, a_statement(next(sizes))), owner)) <= 72_000
    assert gas(chain.send(calls.anchor(origin, a_statement(next(sizes))), owner)) <= 35_500
    done(chain, calls.set_right(log, relayer, Right.ANY), owner)
    assert gas(chain.send(calls.submit(log, a_statement(next(sizes))), relayer)) <= 37_700


def test_a_node_of_another_maker_agrees(chain: OnChain, people: list[str], origin: str) -> None:
    """Gas, events, what is stored and what is refused, on ganache."""
    owner = people[0]
    with Ganache() as node:
        other = OnChain.deploy(node, load().bytecode)
        node_owner = node.dev
        forms = [
            lambda calls: calls.announce(origin, a_statement(8)),
            lambda calls: calls.anchor(origin, a_statement(9)),
            lambda calls: calls.anchor(origin, a_statement(10)),
        ]
        for form in forms:
            here = chain.send(form(AnchorContract(address=chain.address)), owner)
            there = other.send(form(AnchorContract(address=other.address)), node_owner)
            assert gas(here) == gas(there)
            assert [found.data for found in records(here)] == [found.data for found in records(there)]
        calls, log = AnchorContract(address=other.address), log_of(node_owner, origin)
        assert last(other, calls, log).root == a_statement(10).root
        assert refusal(other, calls.anchor(origin, a_statement(10)), node_owner) == ("NotGrowing", (10, 10))


def test_the_contract_takes_no_coins(chain: OnChain, calls: AnchorContract, people: list[str], origin: str) -> None:
    """They would be lost."""
    for data in (b"", calls.announce(origin, a_statement(1)).data, calls.anchor(origin, a_statement(1)).data):
        call = {"from": people[0], "to": chain.address, "data": "0x" + data.hex(), "value": "0x1"}
        with pytest.raises(NodeError, match="revert"):
            chain.node.rpc("eth_call", call, "latest")


def test_a_size_beyond_64_bits_is_refused_by_every_form(chain: OnChain, calls: AnchorContract, origin: str) -> None:
    """What a log of the event says can always be decoded."""
    for call in (calls.announce(origin, a_statement(1)), calls.anchor(origin, a_statement(1))):
        with pytest.raises(NodeError, match="revert"):
            chain.read(call.data[:36] + (1 << 64).to_bytes(32, "big") + call.data[68:])
