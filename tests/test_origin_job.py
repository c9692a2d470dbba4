"""The jobs on Origin keep the contract of jobs, each release on a real node; what they remember is read again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.chain.origin.calls import Release
from gateway.chain.origin.memory import Memory, Saying, load, save
from gateway.reading import Scaled
from gateway.state import State
from tests.chain_nodes import Anvil
from tests.contract_job import JobContract
from tests.origin_side import OriginSide


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil(genesis_s=1_760_000_000) as running:
        yield running


class _Counting(OriginSide):
    """Each happening is a reading of one Wh more."""

    def happen(self) -> None:
        self.wh = getattr(self, "wh", 0) + 1
        self.log.read(self.wh)

    async def said(self) -> list[object]:
        return list(await self.reads())


@pytest.fixture(params=[Release.A, Release.B, Release.C])
async def side(tmp_path: Path, node: Anvil, request: pytest.FixtureRequest) -> AsyncIterator[_Counting]:
    side = await _Counting.open(tmp_path, node, request.param)
    yield side
    side.close()


class TestOriginJob(JobContract):
    """All of it."""


async def test_a_chain_that_went_back_is_told_again(side: _Counting) -> None:
    """What it forgot is sent again by the ledger, in its order; then the job goes on, and the audit agrees."""
    run, node = side.start(), side.board.node
    side.happen()
    await run.say()
    snapshot = node.rpc("evm_snapshot")
    for _ in range(2):
        side.happen()
        await run.say()
    assert node.rpc("evm_revert", snapshot)
    assert len(await side.said()) == 1
    side.happen()
    for _ in range(4):
        await run.say()
    assert [read.new_wh for read in await side.reads()] == [1, 2, 3, 4]
    audit = await side.audit()
    assert (audit.first_difference, audit.agreeing) == (None, 4)


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    """Field by field; what is no such thing is nothing."""
    state = State(tmp_path / "state.json")
    last = Saying(
        key="k", origin="o", seq=4, wall_ms=5, total_wh=6, down=True, hash="h", following="f", before=(1, "b")
    )
    offered = Saying(
        key="l", origin="o", seq=7, wall_ms=8, total_wh=2**255, hash="", co2=Scaled(mantissa=15, exponent=-1)
    )
    for memory in (Memory(), Memory(last=last), Memory(last=last, offered=offered), Memory(offered=offered)):
        save(state, "job", memory)
        assert load(State(tmp_path / "state.json"), "job") == memory
    assert offered.co2_total == 1
    assert load(state, "other") == Memory()
    state.set("origin", "job", {"last": {"key": "k"}, "offered": None})
    assert load(state, "job") == Memory()
