"""Storms over one account, two of each kind: what was promised holds behind them. ``make lab-chain`` has more."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.chain.anchors.contract import AnchorContract, Statement
from gateway.chain.transaction import Fees, Transaction
from tests.chain_nodes import CHAIN_ID
from tests.chain_storm import Storm
from tests.storm_site import GWEI

ACTIONS = 70


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("liar", [False, True], ids=["one end point", "a liar beside it"])
@pytest.mark.parametrize("growing", [False, True], ids=["event", "growing"])
async def test_what_is_promised_holds_behind_a_storm(tmp_path: Path, growing: bool, liar: bool, seed: int) -> None:
    """Each size at most once, growing, no nonce left out, the newest anchored: in both forms."""
    told = await Storm(tmp_path, seed, growing=growing, liar=liar).run(ACTIONS)
    assert told.faults == []
    assert told.sizes


class Twice(Storm):
    """Somebody with the same key says something again."""

    async def _calm(self) -> None:
        await super()._calm()
        site, size = self._site, self._events()[0]
        statement = Statement(size=size, root=site.notes.log.root(size))
        call = AnchorContract(address=site.contract).announce(site.notes.origin, statement)
        fees = Fees(fee_max=90 * GWEI, priority_max=2 * GWEI)
        nonce = self._node.nonce(site.address)
        transaction = Transaction(chain_id=CHAIN_ID, nonce=nonce, fees=fees, gas=100_000, call=call)
        self._node.rpc("eth_sendRawTransaction", "0x" + site.account().sign(transaction).raw.hex())
        self._node.mine(1)


async def test_a_broken_promise_would_be_seen(tmp_path: Path) -> None:
    """The judge of the storms has eyes."""
    told = await Twice(tmp_path, 1, growing=False, liar=False).run(20)
    assert [fault.partition(":")[0] for fault in told.faults[:2]] == ["anchored twice", "sizes do not grow"]
