"""The tree, its frontier and its proofs, against the definitions of RFC 9162 section 2.1 written out naively."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log.tree import (
    EMPTY_ROOT,
    Frontier,
    HashStore,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_root,
    root_from_inclusion,
    verify_consistency,
    verify_inclusion,
)

#: Leaves and roots of RFC 6962 trees as certificate transparency's own test data has them (trees of 0 to 8 leaves).
KNOWN_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
KNOWN_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def _leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def _split(count: int) -> int:
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def _naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return sha256(b"\1" + _naive_root(leaves[:middle]) + _naive_root(leaves[middle:])).digest()


def _naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*_naive_path(index, leaves[:middle]), _naive_root(leaves[middle:])]
    return [*_naive_path(index - middle, leaves[middle:]), _naive_root(leaves[:middle])]


def _naive_subproof(old: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [_naive_root(leaves)]
    middle = _split(len(leaves))
    if old <= middle:
        return [*_naive_subproof(old, leaves[:middle], whole=whole), _naive_root(leaves[middle:])]
    return [*_naive_subproof(old - middle, leaves[middle:], whole=False), _naive_root(leaves[:middle])]


def test_the_roots_of_known_trees_come_out() -> None:
    """Trees over the eight leaves that all implementations test with have the roots that all publish."""
    tree = Frontier()
    for size, leaf in enumerate([*KNOWN_LEAVES, "end"]):
        assert tree.root().hex() == KNOWN_ROOTS.get(size, tree.root().hex())
        if leaf != "end":
            tree.append(leaf_hash(bytes.fromhex(leaf)))
    assert tree.root().hex() == KNOWN_ROOTS[8]
    assert EMPTY_ROOT.hex() == KNOWN_ROOTS[0]


@pytest.mark.parametrize("size", [*range(70), 255, 256, 257, 511, 512, 513, 1000])
def test_every_way_to_the_root_agrees_with_the_definition(size: int) -> None:
    """append, extend, the store and a restored frontier give the root of the recursive definition."""
    leaves = _leaves(size)
    one_by_one, at_once = Frontier(), Frontier()
    for leaf in leaves:
        one_by_one.append(leaf)
    at_once.extend(leaves)
    store = HashStore(leaves)
    restored = Frontier.restore(size, one_by_one.hashes())
    roots = {one_by_one.root(), at_once.root(), store.root(), restored.root(), at_once.copy().root()}
    assert roots == {_naive_root(leaves)}
    assert one_by_one.size == at_once.size == store.size == restored.size == size


@given(st.lists(st.integers(0, 600), max_size=6))
def test_extending_in_any_portions_is_appending_one_by_one(portions: list[int]) -> None:
    """Where the runs of 256 begin and end makes no difference."""
    leaves = iter(_leaves(sum(portions)))
    expected = Frontier()
    for leaf in _leaves(sum(portions)):
        expected.append(leaf)
    tree = Frontier()
    for portion in portions:
        tree.extend([next(leaves) for _ in range(portion)])
    assert tree.hashes() == expected.hashes()


def test_a_copy_grows_on_its_own() -> None:
    """Appending to a copy leaves the original as it was."""
    tree = Frontier()
    tree.extend(_leaves(5))
    before = tree.root()
    tree.copy().append(leaf_hash(b"x"))
    assert (tree.root(), tree.size) == (before, 5)


@pytest.mark.parametrize(
    ("size", "hashes"), [(3, 1), (0, 1), (1, 0), (-1, 0), (2**63 + 1, 2)], ids=lambda value: str(value)
)
def test_a_frontier_of_wrong_shape_is_refused(size: int, hashes: int) -> None:
    """The number of hashes must be the number of complete subtrees."""
    with pytest.raises(MalformedError):
        Frontier.restore(size, [bytes(32)] * hashes)


def test_a_frontier_of_short_hashes_is_refused() -> None:
    """Each hash has 32 bytes."""
    with pytest.raises(MalformedError):
        Frontier.restore(1, [bytes(31)])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 33])
def test_every_inclusion_proof_is_the_defined_one_and_verifies(size: int) -> None:
    """From the store and from a stream, for each leaf."""
    leaves = _leaves(size)
    store = HashStore(_leaves(40))
    for index in range(size):
        proof = inclusion_proof(store.node, index, size)
        assert proof == _naive_path(index, leaves)
        verify_inclusion(leaves[index], index, size, proof, _naive_root(leaves))


@pytest.mark.parametrize("new", [1, 2, 3, 7, 8, 13, 33])
def test_every_consistency_proof_is_the_defined_one_and_verifies(new: int) -> None:
    """From the store and from a stream, for each older size."""
    leaves = _leaves(new)
    store = HashStore(_leaves(40))
    for old in range(1, new + 1):
        proof = consistency_proof(store.node, old, new)
        assert proof == _naive_subproof(old, leaves, whole=True)
        verify_consistency(old, new, proof, _naive_root(leaves[:old]), _naive_root(leaves))


def test_a_proof_with_any_bit_changed_is_refused() -> None:
    """Every byte of every hash of an inclusion and a consistency proof counts."""
    leaves = _leaves(13)
    root, store = _naive_root(leaves), HashStore(leaves)
    inclusion, consistency = inclusion_proof(store.node, 5, 13), consistency_proof(store.node, 6, 13)
    for number in range(len(inclusion) * 32):
        changed = _flip(inclusion, number)
        with pytest.raises(TamperError):
            verify_inclusion(leaves[5], 5, 13, changed, root)
    for number in range(len(consistency) * 32):
        changed = _flip(consistency, number)
        with pytest.raises(TamperError):
            verify_consistency(6, 13, changed, _naive_root(leaves[:6]), root)


def _flip(hashes: list[bytes], number: int) -> list[bytes]:
    data = bytearray(b"".join(hashes))
    data[number] ^= 1 << number % 8
    return [bytes(data[start : start + 32]) for start in range(0, len(data), 32)]


def test_a_proof_for_another_place_or_of_another_length_is_refused() -> None:
    """The index cannot be exchanged, nor the size for one of another shape, and no hash left out or added.

    Sizes 9 to 16 share the path of leaf 5: that is why root and size are signed together.
    """
    leaves = _leaves(13)
    root, proof = _naive_root(leaves), _naive_path(5, leaves)
    wrong = [(index, 13, proof) for index in range(-1, 14) if index != 5]
    wrong += [(5, size, proof) for size in (*range(9), *range(17, 40))]
    wrong += [(5, 13, proof[:-1]), (5, 13, [*proof, bytes(32)]), (5, 13, [*proof[:-1], b"short"])]
    for index, size, hashes in wrong:
        with pytest.raises(GatewayError):
            verify_inclusion(leaves[5], index, size, hashes, root)


def test_a_forked_log_has_no_consistency_proof() -> None:
    """Two trees that differ below the older size cannot be joined by any proof from either."""
    honest, forked = _leaves(20), _leaves(20)
    forked[3] = leaf_hash(b"another")
    for proof in (consistency_proof(HashStore(tree).node, 10, 20) for tree in (honest, forked)):
        with pytest.raises(TamperError):
            verify_consistency(10, 20, proof, _naive_root(honest[:10]), _naive_root(forked))


def test_a_proof_from_the_empty_tree_is_refused() -> None:
    """It would hold for every log, so it proves nothing."""
    with pytest.raises(MalformedError):
        verify_consistency(0, 5, [], EMPTY_ROOT, _naive_root(_leaves(5)))


def test_a_node_that_is_not_complete_is_not_given() -> None:
    """The store answers for complete subtrees only."""
    store = HashStore(_leaves(5))
    assert store.node(2, 0) == _naive_root(_leaves(4))
    with pytest.raises(IndexError):
        store.node(2, 1)
    with pytest.raises(IndexError):
        store.node(0, -1)


def test_large_sizes_keep_their_exact_shape() -> None:
    """Proof lengths at sizes near 2^63, where a float would round."""
    rng = random.Random(9162)
    for _ in range(50):
        size = rng.randrange(2**62, 2**63)
        index = rng.randrange(size)
        root = root_from_inclusion(bytes(32), index, size, [bytes(32)] * _path_length(index, size))
        assert len(root) == 32


def _path_length(index: int, size: int) -> int:
    """RFC 9162 section 2.1.3.2: levels where the leaf has a sibling."""
    length, node, last = 0, index, size - 1
    while last:
        length += bool(node & 1 or node < last)
        node, last = node >> 1, last >> 1
    return length


def test_range_root_needs_only_complete_subtrees() -> None:
    """An aligned range in the middle has the root of its own leaves."""
    leaves = _leaves(32)
    assert range_root(HashStore(leaves).node, 16, 27) == _naive_root(leaves[16:27])
    assert node_hash(leaves[0], leaves[1]) == _naive_root(leaves[:2])
