"""Ways in which one thing could be said twice, where the contract would take it twice: the event form on real nodes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.job import Held, Intent
from gateway.chain.ledger import FINAL, SUPERSEDED
from gateway.chain.rpc import RpcSettings
from gateway.errors import EndpointsDisagree
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_site import QUICK, ChainSite, Crash, Opened, anchored, crashing
from tests.lying_endpoint import LyingEndpoint, tell


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    (tmp_path / "board").mkdir()
    return ChainSite(tmp_path / "board", node, growing=False)


async def anchor(site: ChainSite, size: int) -> Opened:
    site.notes.size = size
    opened = site.open()
    assert await opened.anchor()
    await opened.settle()
    return opened


async def test_a_state_directory_from_a_backup_does_not_anchor_again(site: ChainSite, tmp_path: Path) -> None:
    """The kept bundles tell less than the chain does: the chain's events behind them count."""
    await anchor(site, 4)
    shutil.copytree(site.folder, tmp_path / "backup")
    await anchor(site, 9)
    shutil.rmtree(site.folder)
    shutil.copytree(tmp_path / "backup", site.folder)
    assert not await site.open().anchor()
    site.notes.size = 7
    with pytest.raises(Held, match=r"at size 9, this log has 7") as caught:
        await site.open().anchor()
    assert caught.value.state == "chain-ahead"
    await anchor(site, 12)
    assert await anchored(site) == [4, 9, 12]


async def test_another_board_with_the_same_key_and_log_is_noticed(site: ChainSite, tmp_path: Path) -> None:
    """A copy of the board anchors in between: this one, which knows nothing of it, does not say the same."""
    opened = await anchor(site, 4)
    other = ChainSite.__new__(ChainSite)
    other.__dict__.update(vars(site) | {"folder": tmp_path / "copy"})
    shutil.copytree(site.folder, other.folder)
    await anchor(other, 9)
    assert not await opened.anchor()
    assert await anchored(site) == [4, 9]


async def test_a_ledger_that_was_lost_while_its_transaction_waited(site: ChainSite, node: Anvil) -> None:
    """What waits may be the very same: it gets its time, and then the chain is looked at again."""
    node.rpc("evm_setAutomine", False)
    site.notes.size = 4
    assert await site.open().anchor()
    shutil.rmtree(site.folder / "chain")
    (site.folder / "chain.json").unlink()
    opened = site.open()
    with pytest.raises(Held, match="waits under nonce 0 that was not sent from here"):
        await opened.anchor()
    node.mine()
    for _ in range(3):
        await opened.anchor()
        node.mine()
    assert opened.ledger.next_nonce is None
    assert await anchored(site) == [4]


async def submit_again(opened: Opened, intent: Intent) -> None:
    await opened.sender.submit("anchor", intent)
    await opened.settle()


@pytest.mark.parametrize("growing", [True, False], ids=["growing", "event"])
async def test_what_is_final_is_not_said_again_where_its_receipt_is_not_told(
    site: ChainSite, node: Anvil, growing: bool
) -> None:
    """Nodes forget old receipts; the block that held it is still there, so it was said."""
    site.growing, site.notes.size = growing, 4
    with LyingEndpoint(node) as end:
        site.nodes = (end,)  # type: ignore[assignment]
        opened = site.open()
        intent = await opened.job.due()
        assert intent is not None
        await submit_again(opened, intent)
        end.lies["eth_getTransactionReceipt"] = tell(None)
        with pytest.raises(Held, match="it is not said again") as caught:
            await submit_again(opened, intent)
        assert caught.value.state == "receipt-away"
        end.lies = {}
        await submit_again(opened, intent)
    assert node.nonce(site.address) == 1
    assert len(site.settled) == 2


async def test_what_a_deep_reorganisation_and_a_stranger_took_is_said_anew(site: ChainSite, node: Anvil) -> None:
    """The block that held it is there no more, and its nonce is another's now."""
    opened = await anchor(site, 4)
    (record,) = opened.ledger.ended
    node.reorg(node.head - record.outcome.block_number + 1)  # type: ignore[union-attr]
    node.rpc("anvil_impersonateAccount", site.address)
    node.rpc("eth_sendTransaction", {"from": site.address, "to": "0x" + "11" * 20, "value": "0x1"})
    node.mine()
    again = site.open()
    statement = Intent(key=record.key, call=record.call)
    await submit_again(again, statement)
    assert await anchored(site) == [4]
    assert [kept.nonce for kept in again.ledger.ended] == [0, 1]


def away(_params: list[Any], _truth: Any) -> Any:
    raise RuntimeError("the connection ends here")


@pytest.mark.parametrize("waited", [False, True], ids=["at once", "behind an hour"])
async def test_a_nonce_is_not_given_up_while_one_is_away_who_may_know_better(
    site: ChainSite, node: Anvil, waited: bool
) -> None:
    """It is in a block, one hides its receipt, and the other is away: that one is waited for, though not for ever."""
    site.limits = replace(QUICK, replace_s=0 if waited else QUICK.replace_s)
    site.notes.size = 4
    now_s = [0.0]
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=False)).anchor()
    with LyingEndpoint(node) as honest, LyingEndpoint(node) as hides:
        client = ChainClient(CHAIN_ID, [RpcSettings(url=end.url) for end in (honest, hides)], clock=lambda: now_s[0])
        opened = site.open(client)
        honest.lies["eth_getTransactionReceipt"], hides.lies["eth_getTransactionReceipt"] = away, tell(None)
        if waited:
            await opened.sender.step()
            assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [SUPERSEDED]
            client.close()
            return
        with pytest.raises(Held, match=f"waiting for {honest.label}, which may know more") as caught:
            await opened.sender.step()
        assert caught.value.state == "nonce-taken"
        honest.lies, now_s[0] = {}, 1000.0
        with pytest.raises(EndpointsDisagree, match="that it is in no block"):
            await opened.sender.step()
        hides.lies = {}
        await opened.settle()
        client.close()
    assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [FINAL]
    assert await anchored(site) == [4]


async def test_one_that_must_agree_is_not_given_up_by_one_alone(site: ChainSite, node: Anvil) -> None:
    """With ``agree: 2`` an end point that is left alone cannot make us say a thing again."""
    site.notes.size = 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    with LyingEndpoint(node) as liar, LyingEndpoint(node) as dead:
        client = ChainClient(CHAIN_ID, [RpcSettings(url=end.url) for end in (liar, dead)], agree_min=2)
        dead.statuses = [(500, b"", {})]
        liar.lies["eth_getTransactionCount"] = tell("0x7")
        opened = site.open(client)
        with pytest.raises(Exception, match="2 endpoints of chain 246 must tell the same"):
            await opened.sender.step()
        client.close()
    assert len(opened.ledger.live) == 1


@pytest.mark.parametrize("again", [False, True], ids=["gone", "in another block"])
async def test_a_reorganisation_while_the_receipt_is_looked_at(site: ChainSite, node: Anvil, again: bool) -> None:
    """It was deep enough a moment ago, and is in no block or in a new one now: it is looked at again."""
    site.limits = replace(QUICK, confirmations=3)
    site.notes.size = 4
    client = site.client()
    opened, real = site.open(client), client.agreed_receipt
    await opened.anchor()
    node.mine(2)

    async def reorganised(transaction: bytes) -> Any:
        client.agreed_receipt = real  # type: ignore[method-assign]
        (record,) = opened.ledger.live
        node.reorg(3)
        if again:
            node.rpc("evm_setAutomine", False)
            node.rpc("eth_sendRawTransaction", "0x" + record.attempts[0].signed.raw.hex())
            node.mine()
        return await real(transaction)

    client.agreed_receipt = reorganised  # type: ignore[method-assign]
    await opened.sender.step()
    assert site.settled == []
    assert opened.sender.under_way is not None
    for _ in range(4):
        await opened.sender.step()
        node.mine()
    await opened.settle()
    assert await anchored(site) == [4]
