"""Nonces that somebody else used, holds or left out: the same thing is still said once. On real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.job import Held
from gateway.chain.ledger import FINAL, SUPERSEDED
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import Call
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.chain_site import QUICK, ChainSite, Crash, anchored, crashing

GWEI = 10**9


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    return ChainSite(tmp_path, node)


async def _foreign(site: ChainSite, node: Anvil, nonce: int) -> None:
    """The same key, used by somebody else."""
    call = Call(to=site.contract, data=b"", value=0)
    fees = Fees(fee_max=90 * GWEI, priority_max=50 * GWEI)
    call = replace(call, to="0x" + "11" * 20)
    signed = site.account().sign(Transaction(chain_id=CHAIN_ID, nonce=nonce, fees=fees, gas=21_000, call=call))
    node.rpc("eth_sendRawTransaction", "0x" + signed.raw.hex())


async def test_a_nonce_that_somebody_else_used_is_given_up_and_the_anchor_follows(site: ChainSite, node: Anvil) -> None:
    """The record ends as superseded only when that is as deep as counts; then the same thing is said anew."""
    site.limits = replace(QUICK, confirmations=2)
    site.notes.size = 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    await _foreign(site, node, 0)
    opened = site.open()
    await opened.sender.step()
    assert opened.sender.under_way is not None
    node.mine(2)
    await opened.sender.step()
    assert opened.sender.under_way is None
    assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [SUPERSEDED]
    assert await opened.anchor()
    node.mine(2)
    await opened.settle()
    assert await anchored(site) == [4]


async def test_a_nonce_that_a_chain_which_went_back_has_free_again_is_used(site: ChainSite, node: Anvil) -> None:
    """The stranger's transaction is gone with its block: what was given up for it is forgotten."""
    state = node.save(site.folder / "old")
    site.notes.size = 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    await _foreign(site, node, 0)
    opened = site.open()
    await opened.settle()
    assert [record.outcome and record.outcome.kind for record in opened.ledger.ended] == [SUPERSEDED]
    node.restart(state)
    site.notes.size = 9
    assert await opened.anchor()
    await opened.settle()
    assert [(record.nonce, record.outcome and record.outcome.kind) for record in site.ledger().ended] == [(0, FINAL)]
    assert await anchored(site) == [9]


async def test_a_foreign_transaction_that_waits_is_not_pushed_aside(site: ChainSite, node: Anvil) -> None:
    """It was signed with this key by somebody: it gets its time."""
    node.rpc("evm_setAutomine", False)
    await _foreign(site, node, 0)
    site.notes.size = 4
    opened = site.open()
    with pytest.raises(Held, match="waits under nonce 0 that was not sent from here") as caught:
        await opened.anchor()
    assert caught.value.state == "unknown-pending"
    node.mine()
    # What waited is in a block: it might have been this very anchor, so the job looks again first.
    assert await opened.anchor()
    assert opened.sender.under_way is None
    assert await opened.anchor()
    node.mine()
    await opened.settle()
    assert await anchored(site) == [4]


async def test_a_hole_in_the_nonces_is_filled(site: ChainSite, node: Anvil) -> None:
    """A chain that is behind the ledger, whose records are older than what is kept: empty transactions come first."""
    site.notes.size = 4
    with pytest.raises(Crash):
        await site.open(crashing(site.client(), "send", before=True)).anchor()
    ledger = site.ledger()
    (record,) = ledger.live
    call, fees = record.call, record.attempts[0].fees
    late = site.account().sign(Transaction(chain_id=CHAIN_ID, nonce=2, fees=fees, gas=record.gas, call=call))
    ledger.put(record.superseded())
    ledger.forget(0)
    attempts = (replace(record.attempts[0], signed=late),)
    ledger.put(replace(record, nonce=2, attempts=attempts))
    opened = site.open()
    await opened.settle()
    assert await anchored(site) == [4]
    assert [kept.key for kept in opened.ledger.ended][:2] == ["fill 0", "fill 1"]
    assert node.nonce(site.address) == 3
