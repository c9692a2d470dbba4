"""States that must end by themselves, with what a node refuses, invents or forgets: on real nodes, through a liar."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.anchors.artefact import load
from gateway.chain.job import Held
from gateway.chain.ledger import ATTEMPTS_MAX, FINAL
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import Call
from gateway.errors import EndpointsDisagree, MalformedError
from gateway.state import State
from tests.chain_nodes import CHAIN_ID, Anvil, NodeError, deploy
from tests.chain_site import QUICK, ChainSite, Crash, Opened, anchored, crashing
from tests.lying_endpoint import LyingEndpoint, refuse

GWEI = 10**9


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
def end(node: Anvil) -> Iterator[LyingEndpoint]:
    with LyingEndpoint(node) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    return ChainSite(tmp_path, node)


def through(site: ChainSite, *ends: Any) -> Opened:
    site.nodes = ends
    return site.open()


def attempts(opened: Opened) -> int:
    record = opened.sender.under_way
    return 0 if record is None else len(record.attempts)


@pytest.mark.parametrize("legacy", [False, True])
async def test_a_node_that_wants_more_than_it_says_gets_it(site: ChainSite, end: LyingEndpoint, legacy: bool) -> None:
    """Its pool's own minimum: the same fees are offered once more, and then higher ones; also without EIP-1559."""
    refusals = [0]

    def minimum(_params: list[Any], truth: Any) -> Any:
        refusals[0] += 1
        if refusals[0] <= 4:
            raise NodeError({"code": -32000, "message": "transaction underpriced"})
        return truth()

    def without_base_fee(_params: list[Any], truth: Any) -> Any:
        return {name: value for name, value in truth().items() if name != "baseFeePerGas"}

    end.lies["eth_sendRawTransaction"] = minimum
    if legacy:
        end.lies["eth_getBlockByNumber"] = without_base_fee
    site.notes.size = 4
    opened = through(site, end)
    await opened.anchor()
    await opened.settle()
    (record,) = opened.ledger.ended
    assert [attempt.fees.priority_max is None for attempt in record.attempts] == [legacy] * 3
    assert await anchored(site) == [4]


async def foreign(site: ChainSite, node: Anvil, nonce: int) -> bytes:
    """A transaction of the same key, far too dear to be replaced."""
    fees = Fees(fee_max=900 * GWEI, priority_max=900 * GWEI)
    call = Call(to="0x" + "11" * 20, data=b"")
    signed = site.account().sign(Transaction(chain_id=CHAIN_ID, nonce=nonce, fees=fees, gas=21_000, call=call))
    node.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex())
    return signed.hash


@pytest.mark.parametrize(("cap", "state"), [(3 * GWEI, "fees-above-cap"), (10**15, "stuck")])
async def test_what_was_in_the_way_goes_and_it_is_sent(site: ChainSite, node: Anvil, cap: int, state: str) -> None:
    """A stranger's transaction under the nonce cannot be outbid; when the node drops it, ours is there."""
    site.limits = replace(QUICK, fee_cap=cap)
    site.notes.size = 4
    node.rpc("evm_setAutomine", False)
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    opened = site.open()
    other = await foreign(site, node, 0)
    # No higher bid would do, however many there are.
    told: list[str] = []
    for _ in range(ATTEMPTS_MAX + 4):
        try:
            await opened.sender.step()
        except Held as held:
            told.append(held.state)
    assert set(told) == {state}
    node.drop(other)
    with pytest.raises(Held):
        await opened.sender.step()
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]


@pytest.mark.parametrize("ahead", [0, 1000], ids=["at the head", "far ahead"])
async def test_a_receipt_that_is_never_deep_enough_is_not_waited_for(
    site: ChainSite, node: Anvil, end: LyingEndpoint, ahead: int
) -> None:
    """An end point tells a receipt that moves along with the head: it is named; or one beyond it: it does not count."""
    site.limits = replace(QUICK, confirmations=12, replace_s=0)
    node.rpc("evm_setAutomine", False)
    site.notes.size = 4
    opened = through(site, end, node)

    def moving(params: list[Any], _truth: Any) -> Any:
        head = node.rpc("eth_getBlockByNumber", "latest", False)
        number = int(head["number"], 16) + ahead
        place = {"blockNumber": hex(number), "blockHash": head["hash"], "transactionHash": params[0]}
        return (
            place
            | {"status": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1", "logs": [], "type": "0x2"}
            | {
                "contractAddress": None,
                "transactionIndex": "0x0",
                "cumulativeGasUsed": "0x1",
                "from": site.address.lower(),
                "to": site.contract,
                "logsBloom": "0x" + "00" * 256,
            }
        )

    end.lies["eth_getTransactionReceipt"] = moving
    await opened.anchor()
    await opened.sender.step()
    if ahead:
        for _ in range(3):
            await opened.sender.step()
        assert attempts(opened) > 1
    else:
        with pytest.raises(EndpointsDisagree, match="that it is in no block"):
            await opened.sender.step()
    end.lies = {}
    node.mine(14)
    await opened.settle()
    assert await anchored(site, site.client()) == [4]


async def test_another_contract_in_the_config_while_one_is_under_way(site: ChainSite, node: Anvil) -> None:
    """What was begun for the old one is brought to its end, and noted where it stands; the new one gets the newest."""
    old, site.notes.size = site.contract, 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    site.contract = deploy(node, load().bytecode).lower()
    opened = site.open()
    await opened.settle()
    assert await opened.anchor()
    await opened.settle()
    kept = site.bundles().first_behind(0, site.notes.origin)
    assert kept is not None
    assert [fact.contract for fact in kept.record.anchors] == [old, site.contract]
    assert not await opened.anchor()


async def test_an_event_that_is_missing_is_told_once_and_keeps_nothing_back(site: ChainSite, node: Anvil) -> None:
    """The transaction succeeded and said nothing, as at an address without our contract: it ends all the same."""
    site.growing, site.notes.size = False, 4
    opened = site.open()
    await opened.anchor()
    await opened.settle()
    node.rpc("anvil_setCode", site.contract, "0x00")
    node.rpc("evm_setAutomine", False)
    site.notes.size = 9
    assert await opened.anchor()
    node.mine()
    with pytest.raises(MalformedError, match=f"without an event of {site.contract}"):
        await opened.settle()
    assert opened.sender.under_way is None
    assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [FINAL, FINAL]


async def test_an_address_without_a_contract_costs_nothing(site: ChainSite, node: Anvil) -> None:
    """In both forms: a call of it would succeed, and say nothing."""
    site.contract, site.notes.size = "0x" + "22" * 20, 4
    for growing in (True, False):
        site.growing = growing
        with pytest.raises(Held, match="there is no contract on chain 246; correct its address") as caught:
            await site.open().anchor()
        assert caught.value.state == "no-contract"
    assert node.nonce(site.address) == 0


async def test_a_node_that_wants_narrow_ranges_of_events_gets_them(site: ChainSite, end: LyingEndpoint) -> None:
    """And a bundle that was changed on the disk, or cannot be read, keeps no anchor back."""
    site.growing, site.notes.size = False, 4
    opened = site.open()
    await opened.anchor()
    await opened.settle()
    (note,) = (site.folder / "chain" / "bundles").glob("*.note")
    note.write_bytes(note.read_bytes() + b"x")
    site.nodes[0].mine(900)  # type: ignore[attr-defined]

    def narrow(params: list[Any], truth: Any) -> Any:
        if int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 100:
            raise NodeError({"code": -32005, "message": "block range is too wide, limited to 100"})
        return truth()

    end.lies["eth_getLogs"] = narrow
    assert not await through(site, end).anchor()
    site.notes.size = 9
    assert await site.open().anchor()
    await site.open().settle()
    end.lies = {}
    assert await anchored(site) == [4, 9]


async def test_an_account_without_coins_fills_no_disk(site: ChainSite, node: Anvil) -> None:
    """What is never said need not be kept, however often it is tried with ever newer checkpoints."""
    node.fund(site.address, 0)
    opened = site.open()
    for size in range(4, 10):
        site.notes.size = size
        with pytest.raises(Held, match="needs"):
            await opened.anchor()
    assert site.bundles().digests() == []


async def test_a_nonce_that_one_answer_tells_far_too_high_costs_nothing(
    site: ChainSite, node: Anvil, end: LyingEndpoint
) -> None:
    """Signed under it, the anchor would wait for ever, behind more holes than are filled."""
    for size in (4, 9):
        site.notes.size = size
        opened = through(site, end)
        if size == 9:
            end.lies["eth_getTransactionCount"] = lambda _params, truth: hex(int(truth(), 16) + 500)
            with pytest.raises(Held, match="the chain is at nonce 501, the ledger expects 1") as caught:
                await opened.anchor()
            assert caught.value.state == "nonce-ahead"
            end.lies = {}
        await opened.anchor()
        await opened.settle()
    assert await anchored(site) == [4, 9]


async def test_a_change_of_the_ledger_ends_before_its_task_does(site: ChainSite) -> None:
    """A reload reads the file again: nobody may still be writing it."""
    may_write, writes = threading.Event(), threading.Event()

    class Slow(State):
        def set(self, table: str, key: str, value: Any) -> None:
            writes.set()
            may_write.wait()
            super().set(table, key, value)

    opened = site.open()
    opened.ledger._store = Slow(site.folder / "chain.json")
    site.notes.size = 4
    task = asyncio.create_task(opened.anchor())
    await asyncio.to_thread(writes.wait)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    may_write.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(site.ledger().live) == 1
    await site.open().settle()
    assert await anchored(site) == [4]


async def test_a_refusal_of_another_kind_is_tried_again(site: ChainSite, end: LyingEndpoint) -> None:
    """The same bytes, as long as it takes."""
    end.lies["eth_sendRawTransaction"] = refuse("the pool is closed for lunch")
    site.notes.size = 4
    opened = through(site, end)
    for _ in range(2):
        with pytest.raises(Exception, match="closed for lunch"):
            await (opened.anchor() if opened.sender.under_way is None else opened.sender.step())
    end.lies = {}
    await opened.settle()
    assert await anchored(site) == [4]
