"""Transactions that are said once, whatever happens between signing, sending and the receipt: on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.chain.job import Held
from gateway.errors import CallReverted, ChainUnavailable
from tests.chain_nodes import CHAIN_ID, WEI_PER_COIN, Anvil, ChainNode, Ganache
from tests.chain_site import QUICK, ChainSite, Crash, Opened, anchored, crashing

GWEI = 10**9


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    return ChainSite(tmp_path, node)


@pytest.mark.parametrize("kind", [Anvil, Ganache])
@pytest.mark.parametrize("growing", [True, False], ids=["growing", "event"])
async def test_the_newest_checkpoint_is_anchored_once(tmp_path: Path, kind: type[ChainNode], growing: bool) -> None:
    """On both nodes, in both forms, also across restarts; the bundle tells where it stands."""
    with kind() as running:
        site = ChainSite(tmp_path, running, growing=growing)
        for size in (3, 7, 12):
            site.notes.size = size
            opened = site.open()
            assert await opened.anchor()
            await opened.settle()
            assert not await opened.anchor()
        assert not await site.open().anchor()
        assert await anchored(site) == [3, 7, 12]
        kept = site.bundles().first_behind(5, site.notes.origin)
        assert kept is not None
        assert [(fact.size, fact.chain_id, fact.contract) for fact in kept.record.anchors] == [
            (7, CHAIN_ID, site.contract)
        ]


async def test_an_empty_state_directory_reads_back_what_was_announced(site: ChainSite) -> None:
    """Without ledger and bundles the contract's own events say what was anchored last."""
    site.growing, site.notes.size = False, 5
    opened = site.open()
    await opened.anchor()
    await opened.settle()
    for file in (site.folder / "chain").rglob("*"):
        if file.is_file():
            file.unlink()
    (site.folder / "chain.json").unlink()
    assert not await site.open().anchor()
    assert await anchored(site) == [5]


async def _anchor_and_settle(opened: Opened) -> None:
    await opened.anchor()
    await opened.settle()


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("method", ["balance", "send", "receipt", "agreed_receipt"])
async def test_a_crash_at_each_step_anchors_once(site: ChainSite, method: str, before: bool) -> None:
    """It did not happen, or it happened and nobody was told: one transaction, one nonce, and the next one follows."""
    site.notes.size = 4
    with pytest.raises(Crash):
        await _anchor_and_settle(site.open(crashing(site.client(), method, before=before)))
    again = site.open()
    await again.settle()
    await again.anchor()
    await again.settle()
    site.notes.size = 9
    await again.anchor()
    await again.settle()
    assert await anchored(site) == [4, 9]
    assert site.nodes[0].nonce(site.address) == 2
    assert [record.nonce for record in again.ledger.ended] == [0, 1]


async def test_a_crash_between_telling_and_closing_tells_twice_and_sends_once(site: ChainSite) -> None:
    """The job hears of it again; it keeps the same bundle."""
    site.notes.size = 4
    opened = site.open()
    await opened.anchor()
    real = opened.ledger.put

    def dying(record: object) -> None:
        raise Crash

    opened.ledger.put = dying  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await opened.settle()
    assert real
    again = site.open()
    await again.settle()
    assert len(site.settled) == 2
    assert len(set(site.settled)) == 1
    assert await anchored(site) == [4]


async def test_a_transaction_that_waits_is_replaced_under_its_nonce(site: ChainSite, node: Anvil) -> None:
    """Both fees rise by an eighth; only one of the attempts is taken, and whichever it is, it is found."""
    node.rpc("evm_setAutomine", False)
    site.limits = replace(QUICK, replace_s=0)
    site.notes.size = 4
    opened = site.open()
    await opened.anchor()
    await opened.sender.step()
    await opened.sender.step()
    record = opened.sender.under_way
    assert record is not None
    fees = [attempt.fees for attempt in record.attempts]
    assert len(fees) == 3
    assert all(new.fee_max * 8 > old.fee_max * 9 for old, new in pairwise(fees))
    node.mine()
    await site.open().settle()
    assert await anchored(site) == [4]
    assert node.nonce(site.address) == 1


async def test_a_fee_that_became_too_low_is_raised(site: ChainSite, node: Anvil) -> None:
    """The base fee rose above what was offered before the transaction reached the node."""
    site.notes.size = 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * GWEI))
    node.mine()
    opened = site.open()
    await opened.settle()
    assert await anchored(site) == [4]
    (record,) = opened.ledger.ended
    assert len(record.attempts) > 1


async def test_above_the_cap_nothing_is_signed(site: ChainSite, node: Anvil) -> None:
    """It waits with the figures, and goes on when the chain is cheaper."""
    site.limits = replace(QUICK, fee_cap=3 * GWEI)
    site.notes.size = 4
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * GWEI))
    node.mine()
    opened = site.open()
    with pytest.raises(Held, match=r"the chain asks .* gwei, the cap is 3 gwei") as caught:
        await opened.anchor()
    assert caught.value.state == "fees-above-cap"
    assert opened.ledger.next_nonce is None
    node.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    node.mine()
    assert await opened.anchor()
    await opened.settle()
    assert await anchored(site) == [4]


async def test_an_empty_account_is_told_with_its_address(site: ChainSite, node: Anvil) -> None:
    """Nothing is signed that cannot be paid; the reserve counts."""
    site.limits = replace(QUICK, balance_min=WEI_PER_COIN)
    site.notes.size = 4
    node.fund(site.address, WEI_PER_COIN)
    opened = site.open()
    with pytest.raises(Held, match=f"{site.address} has 1 coins and needs 1\\.0+") as caught:
        await opened.anchor()
    assert caught.value.state == "low-balance"
    node.fund(site.address, 2 * WEI_PER_COIN)
    assert await opened.anchor()
    await opened.settle()
    assert await anchored(site) == [4]


async def test_a_shallow_reorganisation_is_waited_out(tmp_path: Path, node: Anvil) -> None:
    """A receipt that is not deep enough counts for nothing: when its block goes, the same bytes are sent again."""
    site = ChainSite(tmp_path, node, limits=replace(QUICK, confirmations=3))
    site.notes.size = 4
    opened = site.open()
    await opened.anchor()
    await opened.sender.step()
    assert site.settled == []
    node.reorg(1)
    assert await anchored(site) == []
    for _ in range(3):
        await opened.sender.step()
        node.mine()
    await opened.settle()
    assert await anchored(site) == [4]
    assert len(opened.ledger.ended[0].attempts) == 1
    assert len(site.settled) == 1


async def test_a_node_that_restarts_from_an_older_state_is_told_again(site: ChainSite, node: Anvil) -> None:
    """What had counted is gone: the ledger sends the same bytes in their order, and then goes on."""
    state = node.save(site.folder / "old")
    for size in (4, 9):
        site.notes.size = size
        opened = site.open()
        await opened.anchor()
        await opened.settle()
    hashes = [record.attempts[0].signed.hash for record in opened.ledger.ended]
    node.restart(state)
    assert await anchored(site) == []
    site.notes.size = 20
    opened = site.open()
    for _ in range(6):
        await opened.settle()
        await opened.anchor()
    await opened.settle()
    assert await anchored(site) == [4, 9, 20]
    assert [node.receipt(one) is not None for one in hashes] == [True, True]


async def test_a_contract_that_refuses_is_not_paid_for(site: ChainSite, node: Anvil) -> None:
    """What would revert is found by the estimate; the job says why in the contract's own words."""
    site.notes.size = 9
    opened = site.open()
    await opened.anchor()
    await opened.settle()
    site.notes.size = 4
    job = site.job(opened.client)
    with pytest.raises(Held, match=r"the chain has .* at size 9, this log has 4") as caught:
        await job.due()
    assert caught.value.state == "chain-ahead"
    job._seen = opened.job._seen and replace(opened.job._seen, size=0)
    intent = await job.due()
    assert intent is not None
    with pytest.raises(CallReverted) as refused:
        await opened.sender.submit("anchor", intent)
    with pytest.raises(Held, match="the log is anchored at size 9; 4 is not above it"):
        await job.refused(intent.key, refused.value)
    assert node.nonce(site.address) == 1


async def test_another_chain_gets_nothing(tmp_path: Path) -> None:
    """The end point tells chain id 1: it is not asked for more, and nothing is signed."""
    with Anvil() as node:
        site = ChainSite(tmp_path, node)
    with Anvil(chain_id=1) as other:
        site.nodes = (other,)
        site.notes.size = 4
        with pytest.raises(ChainUnavailable, match=r"chain id 1.*246"):
            await site.open().anchor()
        assert site.ledger().next_nonce is None


async def test_a_node_that_is_away_costs_nothing_and_comes_back(site: ChainSite, node: Anvil) -> None:
    """Killed while the transaction waits, and started again from what it had written before: it is sent again."""
    state = node.save(site.folder / "before")
    site.notes.size = 4
    opened: Opened = site.open()
    await opened.anchor()
    node.kill()
    with pytest.raises(ChainUnavailable):
        await opened.sender.step()
    node.state = state
    node.start()
    await site.open().settle()
    assert await anchored(site) == [4]


async def test_a_fifth_more_gas_is_allowed_than_estimated(site: ChainSite) -> None:
    """What the contract finds may have changed until the block is made; up to the limit, where that is less."""
    for size, gas_max in ((4, QUICK.gas_max), (9, 36_000)):
        site.limits, site.notes.size = replace(QUICK, gas_max=gas_max), size
        opened = site.open()
        intent = await opened.job.due()
        assert intent is not None
        gas = await opened.client.estimate(intent.call, site.address)
        await opened.sender.submit("anchor", intent)
        await opened.settle()
        assert opened.ledger.ended[-1].gas == min(gas + gas // 5, gas_max)
    site.limits, site.notes.size = replace(QUICK, gas_max=30_000), 12
    with pytest.raises(Held, match=r"takes .* gas, the limit is 30000") as caught:
        await site.open().anchor()
    assert caught.value.state == "gas-limit"
