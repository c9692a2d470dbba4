"""The walk through an identity's events: all of them, from whoever tells the truth, and no end of them from nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import ChainUnavailable, MalformedError
from gateway.identity import history as history_module
from gateway.identity.history import read_history
from gateway.identity.registry import NOBODY, AttributeChanged, DelegateChanged, OwnerChanged
from tests.chain_nodes import Anvil
from tests.contracts import people_on
from tests.identity_side import (
    EWC,
    HOUR_S,
    SOMEBODY,
    Told,
    attribute,
    client_of,
    delegate,
    direct,
    padded,
    record,
    registry_on,
)

OTHER = "0x" + "11" * 20
NAME = "did/svc/Hub"
#: Blocks 3, 8 (two changes) and 9.
RECORDS = [
    record(attribute(NAME, b"1", previous=0), 3),
    record(attribute(NAME, b"2", previous=3), 8, 4),
    record(delegate("veriKey", OTHER, previous=8), 8, 7),
    record(attribute(NAME, b"3", previous=8), 9),
]


async def test_all_changes_are_read_the_oldest_first() -> None:
    """One question for each block that has any, also where one block has several, in whatever order it tells them."""
    told = Told([RECORDS[2], *RECORDS[:2], RECORDS[3]])
    found = await read_history(told, EWC, SOMEBODY)
    assert [dated.block for dated in found.changes] == [3, 8, 8, 9]
    assert [getattr(dated.change, "value", None) for dated in found.changes] == [b"1", b"2", None, b"3"]
    assert told.asked == [9, 8, 3]
    assert (found.as_of, found.owner) == (told.block, SOMEBODY)


async def test_an_identity_without_a_change_has_none() -> None:
    told = Told([])
    assert not (await read_history(told, EWC, SOMEBODY)).changes
    assert told.asked == []


async def test_an_event_that_is_gone_is_noticed() -> None:
    """The whole block: the node may keep no history so old. One of two: the rest does not continue."""
    with pytest.raises(ChainUnavailable, match="changed in block 3, of which the node tells no event"):
        await read_history(Told(RECORDS[1:]), EWC, SOMEBODY)
    told = Told([RECORDS[0], RECORDS[2], RECORDS[3]])
    with pytest.raises(MalformedError, match="do not continue each other"):
        await read_history(told, EWC, SOMEBODY)


@pytest.mark.parametrize(
    "false",
    [
        [record(attribute(NAME, b"1", previous=3), 3)],
        [record(attribute(NAME, b"1", previous=4), 3)],
        [record(attribute(NAME, b"1", previous=0), 3), record(attribute(NAME, b"2", previous=0), 3, 1)],
        [record(attribute(NAME, b"1", previous=0), 3), record(attribute(NAME, b"2", previous=2), 3, 1)],
        [replace(RECORDS[0], topics=(b"\7" * 32, RECORDS[0].topics[1]))],
        [replace(RECORDS[0], topics=(*RECORDS[0].topics, bytes(32)))],
        [replace(RECORDS[0], data=RECORDS[0].data[:-1])],
        [replace(RECORDS[0], data=RECORDS[0].data + bytes(32))],
    ],
)
async def test_events_that_no_registry_emits_are_not_believed(false: list[object]) -> None:
    """In circles, forward, twice from one block, of another kind, cut short."""
    told = Told(false)  # type: ignore[arg-type]
    with pytest.raises(MalformedError):
        await read_history(told, EWC, SOMEBODY)
    assert len(told.asked) == 1


async def test_the_owner_must_be_who_the_events_say() -> None:
    """Given away, given back, given to nobody, which the registry takes for the identity itself."""
    given = [record(OwnerChanged(owner=OTHER, previous=0), 3)]
    assert (await read_history(Told(given, owner=OTHER), EWC, SOMEBODY)).owner == OTHER
    with pytest.raises(MalformedError, match=r"belongs to .*, while its events say"):
        await read_history(Told(given), EWC, SOMEBODY)
    with pytest.raises(MalformedError, match="belongs to"):
        await read_history(Told(RECORDS, owner=OTHER), EWC, SOMEBODY)
    for owner in (SOMEBODY, NOBODY):
        back = [*given, record(OwnerChanged(owner=owner, previous=3), 5)]
        assert (await read_history(Told(back), EWC, SOMEBODY)).owner == SOMEBODY


async def test_a_block_that_is_not_there_yet_is_not_believed() -> None:
    told = Told(RECORDS)
    told.changed = told.block.number + 1
    with pytest.raises(MalformedError, match="and the chain ends with"):
        await read_history(told, EWC, SOMEBODY)


async def test_a_history_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks and in changes; what is just within the limits is read."""
    monkeypatch.setattr(history_module, "BLOCKS_MAX", 20)
    monkeypatch.setattr(history_module, "CHANGES_MAX", 30)
    long = [record(attribute(NAME, b"x", previous=block - 1), block) for block in range(1, 22)]
    assert len((await read_history(Told(long[:20]), EWC, SOMEBODY)).changes) == 20
    told = Told(long)
    with pytest.raises(MalformedError, match="more than a device's"):
        await read_history(told, EWC, SOMEBODY)
    assert len(told.asked) == 20
    wide = [record(attribute(NAME, b"x", previous=bool(place) * 4), 4, place) for place in range(31)]
    assert len((await read_history(Told(wide[:30]), EWC, SOMEBODY)).changes) == 30
    with pytest.raises(MalformedError, match="more than a device's"):
        await read_history(Told(wide), EWC, SOMEBODY)


async def test_where_there_is_no_registry_nothing_is_read() -> None:
    """A contract that answers anything else, or an account without one."""
    none = pytest.raises(MalformedError, match=r"its answer to identityOwner is none .*is there a registry\?")
    with Anvil() as node, none:
        await read_history(client_of(node), EWC, SOMEBODY)


async def test_a_real_chain_tells_all_changes_of_a_block() -> None:
    """Six of two identities in one block and one before, each with its own history."""
    with Anvil() as node:
        one, two, *_ = people_on(node)
        registry = registry_on(node)
        node.rpc("evm_setAutomine", False)

        def change(identity: str, function: str, *values: object) -> None:
            call = {"from": identity, "to": EWC.address, "data": "0x" + direct(function, identity, *values).hex()}
            node.rpc("eth_sendTransaction", {**call, "gas": hex(300_000)})

        change(one, "setAttribute", padded(NAME), b"first", HOUR_S)
        node.mine()
        for value in (b"a", b"b"):
            change(one, "setAttribute", padded(NAME), value, HOUR_S)
            change(two, "setAttribute", padded(NAME), value, HOUR_S)
        change(one, "addDelegate", padded("veriKey"), OTHER, HOUR_S)
        change(one, "changeOwner", OTHER)
        node.mine()
        found = await read_history(client_of(node), EWC, one)
        assert found.owner == OTHER
        head = node.head
        kinds = [(dated.block - head, type(dated.change)) for dated in found.changes]
        assert kinds[:3] == [(-1, AttributeChanged), (0, AttributeChanged), (0, AttributeChanged)]
        assert kinds[3:] == [(0, DelegateChanged), (0, OwnerChanged)]
        assert len((await read_history(client_of(node), EWC, two)).changes) == 2
        assert registry.address == EWC.address
