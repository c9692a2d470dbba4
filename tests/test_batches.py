"""Batches for the Notary: upstream's root, any one reading proved, none left out unseen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.chain.notary.batch_fields import (
    LINK_KEY,
    Link,
    Stated,
    keys_of,
    proved_link,
    proved_reading,
    reading_of,
)
from gateway.chain.notary.batches import check_chain, make_batch
from gateway.chain.notary.precise import Proof, tree, verify
from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.reading import PointReading, Scaled, Status
from tests.precise_oracle import Oracle, filled_salts, running_oracle
from tests.reading_batches import GOLDEN, chain, counting, golden, reading


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as found:
        yield found


def test_a_first_batch_has_the_root_that_upstream_gives_it() -> None:
    """Byte for byte: it is the plain array."""
    batch = golden()
    assert batch.root == GOLDEN
    assert (batch.sequence, batch.keys) == (0, ("0", "1", "2"))
    with pytest.raises(ConfigError):
        batch.link_proof()


def test_a_reading_of_zero_is_proved(oracle: Oracle) -> None:
    """To the library, too."""
    batch = golden()
    proof = batch.proof(1)
    assert proved_reading(proof) == (1, Stated(timestamp=1625004000, value=0))
    assert verify(batch.root, proof, batch.keys)
    assert oracle.verify(batch.root, json.loads(proof.to_json()))


def test_the_library_makes_the_same_root_of_a_linked_batch(oracle: Oracle) -> None:
    """It spreads the array into an object and adds the link; it takes the proof of each reading, and of the link."""
    for batch in chain([1, 2, 3, 7, 12, 4]):
        document: dict[str, Any] = {str(at): found.field for at, found in enumerate(batch.readings)}
        if batch.previous is not None:
            document["previous"] = {"device": "main", **batch.previous.field}
        theirs = oracle.build(document, list(batch.salts))
        assert theirs["root"] == "0x" + batch.root.hex()
        proofs = [batch.proof(at) for at in range(len(batch.readings))]
        proofs += [batch.link_proof()] if batch.previous else []
        for proof in proofs:
            assert oracle.verify(batch.root, json.loads(proof.to_json()))
            assert verify(batch.root, proof, batch.keys)


def test_the_link_leaves_the_leaves_of_readings_as_they_are() -> None:
    """The same key, value, salt and hash as in upstream's array."""
    _, batch = chain([2, 5])
    linked = {leaf.key: leaf for leaf in batch.tree().leaves}
    salts = [leaf.salt for leaf in batch.tree().leaves if leaf.key != LINK_KEY]
    assert all(leaf == linked[leaf.key] for leaf in tree([found.field for found in batch.readings], salts).leaves)


def test_the_link_says_whose_batch_came_before_and_of_how_many_readings() -> None:
    """With it a stranger can check the places of the readings of that batch."""
    first, second = chain([5, 2])
    device, link = proved_link(second.link_proof())
    assert (device, link) == ("main", Link(sequence=0, readings=5, root=first.root))
    keys = keys_of(link.readings, linked=link.sequence > 0)
    assert all(verify(link.root, first.proof(at), keys) for at in range(5))
    assert not verify(link.root, first.proof(3), keys_of(6, linked=False))
    assert not verify(link.root, second.proof(0))


def test_a_reading_of_the_batch_before_is_not_under_the_root() -> None:
    """A batch vouches for its own readings only."""
    first, second = chain([4, 4])
    assert not any(verify(second.root, first.proof(at)) for at in range(4))


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_batch_left_out_breaks_the_chain(at: int) -> None:
    """But for the last, which nobody can miss yet, and the first, from which a chain may have been taken over."""
    batches = chain([3, 1, 2, 4])
    check_chain(batches)
    check_chain([])
    rest = batches[:at] + batches[at + 1 :]
    if at in (0, 3):
        check_chain(rest)
        return
    with pytest.raises(TamperError, match=f"batch {at + 1} of main does not follow batch {at - 1}") as caught:
        check_chain(rest)
    assert caught.value.seq == batches[at + 1].readings[0].seq


def test_a_chain_is_of_one_device_and_of_growing_entries() -> None:
    """Another meter's batch is no successor, nor are readings that were stated already."""
    first, second = chain([2, 2])
    other = make_batch("other", second.readings, first.link, counting())
    with pytest.raises(TamperError, match="batch 1 of other does not follow batch 0 of main"):
        check_chain([first, other])
    again = make_batch("main", first.readings[1:], first.link, counting())
    with pytest.raises(TamperError, match="begins with entry 1; batch 0 of main ended with 1"):
        check_chain([first, again])


def test_what_proves_something_else_is_neither_reading_nor_link() -> None:
    """Proofs of other records."""
    salts = filled_salts(1)
    root = "0x" + "ab" * 32
    fields: list[tuple[str, Any, Callable[[Proof], object]]] = [
        ("energy", {"timestamp": 1, "value": "1"}, proved_reading),
        ("0", {"value": "1", "timestamp": 1}, proved_reading),
        ("0", {"timestamp": 1, "value": 1}, proved_reading),
        ("0", {"timestamp": True, "value": "1"}, proved_reading),
        ("0", {"timestamp": 1, "value": "01"}, proved_reading),
        ("0", {"timestamp": -1, "value": "1"}, proved_reading),
        ("0", {"timestamp": 1, "value": "1", "more": 1}, proved_reading),
        ("0", 1000, proved_reading),
        ("0", {"device": "main", "sequence": 0, "readings": 1, "root": root}, proved_link),
        (LINK_KEY, {"device": 1, "sequence": 0, "readings": 1, "root": root}, proved_link),
        (LINK_KEY, {"device": "main", "sequence": -1, "readings": 1, "root": root}, proved_link),
        (LINK_KEY, {"device": "main", "sequence": 0, "readings": 0, "root": root}, proved_link),
        (LINK_KEY, {"device": "main", "sequence": 0, "readings": 1, "root": root[2:]}, proved_link),
        (LINK_KEY, root, proved_link),
    ]
    for key, value, read in fields:
        with pytest.raises(MalformedError):
            read(tree({key: value}, salts).proof(key))


def test_a_broken_source_of_salts_is_noticed() -> None:
    """Salts that repeat would let readings be guessed."""
    with pytest.raises(ConfigError, match="random source"):
        make_batch("main", golden().readings, None, bytes)


@pytest.mark.parametrize(
    ("value", "unit", "stated"),
    [
        ((0, 0), "kWh", 0),
        ((12345, -1), "Wh", 1234),
        ((12345, -4), "kWh", 1234),
        ((7, 3), "kWh", 7_000_000),
        ((-5, -1), "Wh", -1),
    ],
)
def test_a_point_is_stated_in_whole_watt_hours(value: tuple[int, int], unit: str, stated: int) -> None:
    """Rounded down, as the time is; a total of zero is one."""
    scaled = Scaled(mantissa=value[0], exponent=value[1])
    point = PointReading(status=Status.OK, raw=b"", value=scaled)
    assert reading_of(seq=4, wall_ms=1_625_000_400_999, point=point, unit=unit) == reading(1_625_000_400, stated, 4)
    with pytest.raises(ConfigError, match="no energy"):
        reading_of(seq=4, wall_ms=0, point=point, unit="V")
    with pytest.raises(ConfigError, match="1970"):
        reading_of(seq=4, wall_ms=-1, point=point, unit=unit)


def test_what_is_not_ok_is_not_stated() -> None:
    """No value, or one that is suspect."""
    for status in set(Status) - {Status.OK}:
        value = Scaled(mantissa=1, exponent=0) if status.has_value else None
        assert reading_of(seq=0, wall_ms=0, point=PointReading(status=status, raw=b"", value=value), unit="Wh") is None
