"""Inclusion proofs on the chain: what our tree proves the contract accepts, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.contract import AnchorContract, Statement, decode_number, log_of
from gateway.log.tree import (
    MAX_SIZE,
    HashStore,
    inclusion_proof,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    root_from_inclusion,
)
from tests.chain_nodes import Anvil
from tests.contracts import OnChain, gas

SIZES = 40
ENTRIES = [random.Random(number).randbytes(number * 7 % 300) for number in range(SIZES)]
TREE = HashStore(map(leaf_hash, ENTRIES))


@pytest.fixture(scope="module")
def chain() -> Iterator[OnChain]:
    with Anvil() as node:
        yield OnChain.deploy(node, load().bytecode)


@pytest.fixture
def calls(chain: OnChain) -> AnchorContract:
    return AnchorContract(address=chain.address)


def stated(size: int) -> Statement:
    return Statement(size=size, root=TREE.root(size))


def damaged(rng: random.Random, proof: list[bytes]) -> Iterator[list[bytes]]:
    """One bit changed in one hash, one hash too few at either end, one too many at either end, two exchanged."""
    yield [*proof, rng.randbytes(32)]
    yield [rng.randbytes(32), *proof]
    yield [*proof, bytes(32)]
    if proof:
        yield proof[1:]
        yield proof[:-1]
        place, bit = rng.randrange(len(proof)), 1 << rng.randrange(256)
        flipped = (int.from_bytes(proof[place], "big") ^ bit).to_bytes(32, "big")
        yield [*proof[:place], flipped, *proof[place + 1 :]]
    if len(proof) > 1:
        yield proof[::-1]


@pytest.mark.parametrize("size", range(1, SIZES + 1))
def test_every_entry_of_every_small_tree_is_proved(chain: OnChain, calls: AnchorContract, size: int) -> None:
    """With the proof that ``gateway.log.tree`` makes, and with no other entry's."""
    for index in range(size):
        proof = inclusion_proof(TREE.node, index, size)
        right = calls.verify_inclusion_in(stated(size), index, ENTRIES[index], proof)
        assert decode_number(chain.read(right)) == 1
        other = (index + 1) % SIZES
        for wrong in (
            calls.verify_inclusion_in(stated(size), index, ENTRIES[other], proof),
            calls.verify_inclusion_in(stated(size), other, ENTRIES[index], proof),
        ):
            assert decode_number(chain.read(wrong)) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 24, 39])
def test_a_damaged_proof_is_refused(chain: OnChain, calls: AnchorContract, size: int) -> None:
    """Changed, shortened, lengthened, reordered; at another index, beyond the size, and under another root."""
    rng = random.Random(size)
    for index in range(size):
        proof = inclusion_proof(TREE.node, index, size)
        for wrong in damaged(rng, proof):
            call = calls.verify_inclusion_in(stated(size), index, ENTRIES[index], wrong)
            assert decode_number(chain.read(call)) == 0
        for place in (size, index + size, (1 << 64) - 1):
            call = calls.verify_inclusion_in(stated(size), place, ENTRIES[index], proof)
            assert decode_number(chain.read(call)) == 0
        other = Statement(size=size, root=rng.randbytes(32))
        assert decode_number(chain.read(calls.verify_inclusion_in(other, index, ENTRIES[index], proof))) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 24])
def test_a_proof_of_another_length_is_refused_even_where_it_leads_to_the_root(
    chain: OnChain, calls: AnchorContract, size: int
) -> None:
    """A root over the tree, or one within it, is no root of a tree of that size."""
    above = bytes(range(32))
    longer = Statement(size=size, root=node_hash(above, TREE.root(size)))
    for index in range(size):
        proof = inclusion_proof(TREE.node, index, size)
        call = calls.verify_inclusion_in(longer, index, ENTRIES[index], [*proof, above])
        assert decode_number(chain.read(call)) == 0
        within = Statement(size=size, root=leaf_hash(ENTRIES[index]))
        call = calls.verify_inclusion_in(within, index, ENTRIES[index], [])
        assert decode_number(chain.read(call)) == (size == 1)


def test_a_hash_of_two_nodes_is_not_taken_for_an_entry(chain: OnChain, calls: AnchorContract) -> None:
    """The two hashes that make up a node are no entry, since a leaf is hashed with another first byte."""
    pair = TREE.node(0, 0) + TREE.node(0, 1)
    call = calls.verify_inclusion_in(stated(4), 0, pair, [TREE.node(1, 1)])
    assert decode_number(chain.read(call)) == 0


def test_nothing_is_in_the_empty_tree(chain: OnChain, calls: AnchorContract) -> None:
    """Nor in a log that nobody opened."""
    empty = Statement(size=0, root=TREE.root(0))
    assert decode_number(chain.read(calls.verify_inclusion_in(empty, 0, b"", []))) == 0
    unknown = log_of(chain.node.dev, "example.org/unknown")
    assert decode_number(chain.read(calls.verify_inclusion(unknown, 0, b"", []))) == 0


def test_large_trees_of_any_shape_are_followed_alike(chain: OnChain, calls: AnchorContract) -> None:
    """Random places in trees of up to 2^63 entries: our verifier and the contract come to the same root."""
    rng = random.Random(9162)
    for _ in range(60):
        size = rng.choice([rng.randrange(1, MAX_SIZE + 1), (1 << rng.randrange(1, 64)) + rng.randrange(-1, 2)])
        size = max(1, min(size, MAX_SIZE))
        index = rng.choice([0, size - 1, rng.randrange(size)])
        proof = [rng.randbytes(32) for _ in inclusion_ranges(index, size)]
        entry = rng.randbytes(rng.randrange(400))
        root = root_from_inclusion(leaf_hash(entry), index, size, proof)
        call = calls.verify_inclusion_in(Statement(size=size, root=root), index, entry, proof)
        assert decode_number(chain.read(call)) == 1, (size, index)


def test_an_entry_is_proved_under_what_the_log_was_last_anchored_at(chain: OnChain, calls: AnchorContract) -> None:
    """The proof for an older size holds no longer there, and does under the older anchor's root."""
    origin, log = "example.org/roof", log_of(chain.node.dev, "example.org/roof")
    for size in (20, 33):
        chain.send(calls.anchor(origin, stated(size)))
        proof = inclusion_proof(TREE.node, 5, size)
        assert decode_number(chain.read(calls.verify_inclusion(log, 5, ENTRIES[5], proof))) == 1
    older = inclusion_proof(TREE.node, 5, 20)
    assert decode_number(chain.read(calls.verify_inclusion(log, 5, ENTRIES[5], older))) == 0
    assert decode_number(chain.read(calls.verify_inclusion_in(stated(20), 5, ENTRIES[5], older))) == 1


@pytest.mark.parametrize(("hashes", "gas_max"), [(10, 38_000), (17, 46_000)])
def test_what_a_proof_costs_in_a_transaction(chain: OnChain, calls: AnchorContract, hashes: int, gas_max: int) -> None:
    """For contracts that pay by meter readings: an entry of 76 bytes in a log of a thousand, and of 131,072."""
    rng = random.Random(hashes)
    size, entry = 1 << hashes, rng.randbytes(76)
    proof = [rng.randbytes(32) for _ in range(hashes)]
    root = root_from_inclusion(leaf_hash(entry), 5, size, proof)
    call = calls.verify_inclusion_in(Statement(size=size, root=root), 5, entry, proof)
    assert gas(chain.send(call)) <= gas_max
