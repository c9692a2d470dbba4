"""What nodes reply to a transaction and tell of its nonce, and what is made of that: on real nodes, or lied to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.job import Held
from gateway.chain.ledger import SUPERSEDED
from gateway.chain.rpc import RpcSettings
from tests.chain_nodes import CHAIN_ID, Anvil, NodeError
from tests.chain_site import QUICK, ChainSite, Crash, Opened, anchored, crashing
from tests.lying_endpoint import LyingEndpoint, later, refuse, tell
from tests.test_chain_stuck import attempts, foreign, through

GWEI = 10**9
SEND, COUNT = "eth_sendRawTransaction", "eth_getTransactionCount"


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        running.rpc("evm_setAutomine", False)
        running.mining = False
        yield running


@pytest.fixture
def end(node: Anvil) -> Iterator[LyingEndpoint]:
    with LyingEndpoint(node) as running:
        yield running


@pytest.fixture
def other(node: Anvil) -> Iterator[LyingEndpoint]:
    with LyingEndpoint(node) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    made = ChainSite(tmp_path, node, growing=False)
    made.notes.size = 4
    return made


def first(count: int, text: str) -> Any:
    """The first *count* times that error, and then the truth."""
    calls = itertools.count()

    def lie(_params: list[Any], truth: Any) -> Any:
        if next(calls) < count:
            raise NodeError({"code": -32000, "message": text})
        return truth()

    return lie


async def signed_only(site: ChainSite) -> None:
    """It is in the ledger, and nobody has been told."""
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()


def restless(*ends: LyingEndpoint) -> ChainClient:
    """A client without pauses behind failures."""
    ticks = itertools.count()
    return ChainClient(CHAIN_ID, [RpcSettings(url=one.url) for one in ends], clock=lambda: next(ticks) * 1000.0)


async def test_what_was_too_cheap_for_a_moment_is_not_raised_once_it_is_taken(
    site: ChainSite, node: Anvil, end: LyingEndpoint
) -> None:
    """Refused once, sent again, taken: it waits as any other."""
    end.lies[SEND] = first(1, "transaction underpriced")
    opened = through(site, end)
    await opened.anchor()
    for _ in range(3):
        await opened.sender.step()
    assert (attempts(opened), end.count(SEND)) == (1, 2)
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]


async def test_what_is_below_the_base_fee_is_raised_at_once(site: ChainSite, node: Anvil, end: LyingEndpoint) -> None:
    """Where it is plain that it cannot be taken, it is not sent again as it was."""
    await signed_only(site)
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * GWEI))
    node.mine()
    opened = through(site, end)
    for _ in range(2):
        await opened.sender.step()
    assert (attempts(opened), end.count(SEND)) == (2, 2)


async def test_an_account_that_ran_dry_behind_the_signature(site: ChainSite, node: Anvil) -> None:
    """The node says so when it is sent; with coins it goes on."""
    await signed_only(site)
    node.fund(site.address, 0)
    opened = site.open()
    with pytest.raises(Held, match="send coins to that address") as caught:
        await opened.sender.step()
    assert caught.value.state == "low-balance"
    node.fund(site.address)
    await opened.sender.step()
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]


@pytest.mark.parametrize("words", ["nonce too high", "nonce too low", "already known"])
async def test_a_node_that_is_a_block_apart_is_looked_at_again(
    site: ChainSite, node: Anvil, end: LyingEndpoint, words: str
) -> None:
    """What it says of the nonce is no trouble: the next look decides."""
    end.lies[SEND] = first(1, words)
    opened = through(site, end)
    await opened.anchor()
    await opened.sender.step()
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]


async def test_an_older_attempt_that_is_taken_is_found(site: ChainSite, node: Anvil) -> None:
    """The replacement was signed, and nobody was told of it, when the block came."""
    site.limits = replace(QUICK, replace_s=0)
    await site.open().anchor()
    dying = site.open(crashing(site.client(), "send", before=True))
    dying.sender._waiting.seconds(dying.ledger.live[0].attempts[0].signed.hash)
    with pytest.raises(Crash):
        await dying.sender.step()
    node.mine()
    opened = site.open()
    assert attempts(opened) == 2
    await opened.settle()
    (record,) = opened.ledger.ended
    assert record.outcome is not None
    assert record.outcome.transaction == record.attempts[0].signed.hash
    assert await anchored(site) == [4]


async def test_a_start_sends_what_is_under_way_again(site: ChainSite, end: LyingEndpoint) -> None:
    """That an end point has it is only its word."""
    await through(site, end).anchor()
    opened = through(site, end)
    for _ in range(3):
        await opened.sender.step()
    assert end.count(SEND) == 2


async def test_what_is_under_way_when_the_chain_goes_back_waits_for_what_is_before_it(
    site: ChainSite, node: Anvil
) -> None:
    """The older one is sent again, with its own bytes; no empty transaction takes its nonce."""
    state = node.save(site.folder / "old")
    opened = site.open()
    await opened.anchor()
    node.mine()
    await opened.settle()
    site.notes.size = 9
    await signed_only(site)
    node.restart(state)
    opened = site.open()
    for _ in range(8):
        await opened.sender.step()
        node.mine()
    await opened.settle()
    assert await anchored(site) == [4, 9]
    assert [record.nonce for record in opened.ledger.ended] == [0, 1]


async def test_a_chain_that_was_begun_anew_is_told_with_the_remedy(site: ChainSite) -> None:
    """It lacks more than is kept: filling all that would cost more than it is worth."""
    await signed_only(site)
    ledger = site.ledger()
    (record,) = ledger.live
    ledger.put(record.superseded())
    ledger.forget(0)
    ledger.put(replace(record, nonce=100))
    with pytest.raises(Held, match=r"at nonce 0, the ledger at 100; .* remove its file") as caught:
        await site.open().sender.step()
    assert caught.value.state == "nonce-gap"


async def test_the_nonce_that_fits_the_ledger_counts(
    site: ChainSite, node: Anvil, end: LyingEndpoint, other: LyingEndpoint
) -> None:
    """One end point tells anything: it hinders neither what is under way nor what comes next."""
    opened = through(site, end, other)
    await opened.anchor()
    end.lies[COUNT] = later
    node.drop(opened.ledger.live[0].attempts[0].signed.hash)
    await opened.sender.step()
    end.lies[COUNT] = tell("0x7")
    node.mine()
    await opened.settle()
    site.notes.size = 9
    end.lies[COUNT] = lambda params, truth: "0x9" if params[1] == "latest" else truth()
    assert await opened.anchor()
    node.mine()
    end.lies = {}
    await opened.settle()
    assert await anchored(site) == [4, 9]


async def test_a_nonce_is_gone_when_all_say_so_of_the_block_that_counts(
    site: ChainSite, node: Anvil, end: LyingEndpoint, other: LyingEndpoint
) -> None:
    """One of them has another past: it is not given up."""
    await signed_only(site)
    await foreign(site, node, 0)
    node.mine(3)
    site.limits = replace(QUICK, confirmations=3)
    opened, deep = through(site, end, other), hex(node.head - 2)
    other.lies[COUNT] = lambda params, truth: "0x0" if params[1] == deep else truth()
    await opened.sender.step()
    assert opened.sender.under_way is not None
    other.lies = {}
    await opened.sender.step()
    assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [SUPERSEDED]


async def test_who_is_not_heard_may_know_better(
    site: ChainSite, node: Anvil, end: LyingEndpoint, other: LyingEndpoint
) -> None:
    """The liar tells a nonce too high; the honest one, in good order, tells nothing: that is no agreement."""
    await signed_only(site)
    end.lies[COUNT], other.lies[COUNT] = later, refuse("missing trie node")
    opened = site.open(restless(end, other))
    with pytest.raises(Held, match="waiting for 1 of 2 end points, which may know more"):
        await opened.sender.step()
    other.lies = {}
    end.lies = {}
    await opened.sender.step()
    node.mine()
    await opened.settle()
    opened.close()
    assert await anchored(site) == [4]


async def test_who_is_away_when_receipts_are_asked_for_may_have_one(
    site: ChainSite, node: Anvil, end: LyingEndpoint, other: LyingEndpoint
) -> None:
    """It is in a block; the one that says so is cut off each time, and tells the nonce in between."""

    def cut(_params: list[Any], _truth: Any) -> Any:
        raise RuntimeError("the connection ends here")

    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=False)).anchor()
    node.mine()
    end.lies["eth_getTransactionReceipt"], other.lies["eth_getTransactionReceipt"] = cut, tell(None)
    opened = site.open(restless(end, other))
    with pytest.raises(Held, match=f"waiting for {end.label}, which may know more"):
        await opened.sender.step()
    end.lies, other.lies = {}, {}
    await opened.settle()
    opened.close()
    assert await anchored(site) == [4]


async def test_a_stranger_that_waits_for_ever_is_outbid(site: ChainSite, node: Anvil) -> None:
    """Behind its time, here none at all."""
    site.limits = replace(QUICK, replace_s=0)
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(2 * GWEI))
    node.mine()
    await _cheap(site, node)
    opened: Opened = site.open()
    assert await opened.anchor()
    for _ in range(3):
        await opened.sender.step()
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]
    assert node.nonce(site.address) == 1


async def _cheap(site: ChainSite, node: Anvil) -> None:
    """A transaction of the same key that barely pays."""
    node.rpc("anvil_impersonateAccount", site.address)
    price = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": "0x1"}
    node.rpc("eth_sendTransaction", {"from": site.address, "to": "0x" + "11" * 20, "gas": "0x5208"} | price)
