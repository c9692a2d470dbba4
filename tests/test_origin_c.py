"""Release C: energy and the time of the reading, which the contract takes up to a minute ahead of its own; on anvil."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.job import Held
from gateway.chain.origin.calls import save_c
from gateway.chain.origin.enrol import Release
from gateway.chain.origin.job import AGREES
from gateway.log.entry import decode
from tests.chain_nodes import Anvil
from tests.origin_side import OriginSide


@pytest.fixture
def node() -> Iterator[Anvil]:
    """Its clock is the log's."""
    with Anvil(genesis_s=1_760_000_000) as running:
        yield running


async def test_each_total_is_told_with_the_time_of_its_reading(tmp_path: Path, node: Anvil) -> None:
    """In whole seconds; what did not rise and outages are not told; a restart repeats nothing."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    run, told = side.start(), []
    for number, total in enumerate((1000, 1000, 1002, None, 1003)):
        if number == 2:
            run = await side.restart()
        appended = side.log.fail() if total is None else side.log.read(total)
        if await run.say() is not None:
            told.append(decode(appended.data))
        assert await run.say() is None
    assert [(read.new_wh, read.timestamp_s) for read in await side.reads()] == [
        (total, entry.moment.wall_ms // 1000) for total, entry in zip((1000, 1002, 1003), told, strict=True)
    ]
    assert (run.job.standing, run.refusals) == (AGREES, [])
    audit = await side.audit()
    assert (audit.first_difference, audit.agreeing) == (None, 3)
    side.close()


async def test_a_time_ahead_of_the_chain_waits(tmp_path: Path, node: Anvil) -> None:
    """Up to a minute is allowed; more is said, and costs nothing."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    run = side.start()
    side.log.skip(100_000)
    side.log.read(1000)
    with pytest.raises(Held, match=r"the board's clock is \d+ s ahead of the chain's; 60 are allowed: check the clock"):
        await run.say()
    node.rpc("evm_increaseTime", 100_000)
    node.mine()
    assert await run.say() is not None
    assert node.nonce(side.board.address) == 1
    side.close()


async def test_a_clock_that_was_set_back_tells_nothing_that_seems_older(tmp_path: Path, node: Anvil) -> None:
    """Until it has passed the time told last."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    run = side.start()
    side.log.read(1000)
    assert await run.say() is not None
    side.log.skip(-3)
    side.log.read(1001)
    with pytest.raises(Held, match="a time before that of the reading told last"):
        await run.say()
    side.log.skip(5)
    side.log.read(1002)
    assert await run.say() is not None
    side.close()


async def test_another_time_than_the_readings_is_a_difference(tmp_path: Path, node: Anvil) -> None:
    """A true total told for another hour is worth something to somebody."""
    side = await OriginSide.open(tmp_path, node, Release.C)
    run = side.start()
    side.log.read(1000)
    await run.say()
    side.log.read(1002)
    side.forge(save_c(side.asset, 1002, 1_750_000_000))
    audit = await side.audit()
    assert audit.first_difference is not None
    assert audit.first_difference.kind == "time"
    side.close()
