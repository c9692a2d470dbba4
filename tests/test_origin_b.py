"""Release B: the total must rise, the hash is a CID, the registries are found through the look-up; on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.job import Held
from gateway.chain.origin.calls import Release, Role, asset_b, read_asset_b, save_b
from gateway.chain.origin.enrol import set_active
from gateway.chain.origin.job import AGREES, DIFFERS
from gateway.chain.values import Call
from gateway.log.cid import cid_v1_raw
from tests.chain_nodes import Anvil, Ganache
from tests.origin_side import OriginSide


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


async def held(side: OriginSide) -> tuple[int, str | None]:
    answer = await side.board.client.read(Call(to=side.contract, data=asset_b(side.asset)))
    found = read_asset_b(answer)
    return found.total_wh, found.file_text


@pytest.mark.parametrize("role", Role)
async def test_readings_a_night_an_outage_and_a_restart(tmp_path: Path, node: Anvil, role: Role) -> None:
    """A total that stands still and an outage send nothing; the text is the CID of the entry told before."""
    side = await OriginSide.open(tmp_path, node, Release.B, role)
    run, told = side.start(), []
    for number, total in enumerate((0, 1000, 1000, 1000, 1007, None, 1007, 1010, 1010, 1200)):
        if number == 6:
            run = await side.restart()
        appended = side.log.gap() if total is None else side.log.read(total)
        intent = await run.say()
        assert (intent is not None) == (number in (1, 4, 7, 9)), number
        if intent is not None:
            told.append(appended)
            assert await held(side) == (total, cid_v1_raw(told[-2].data) if len(told) > 1 else "")
        assert await run.say() is None
    assert [(read.old_wh, read.new_wh) for read in await side.reads()] == [
        (0, 1000),
        (1000, 1007),
        (1007, 1010),
        (1010, 1200),
    ]
    assert side.board.node.nonce(side.board.address) == 4
    assert (run.job.standing, run.refusals, side.told) == (AGREES, [], [])
    audit = await side.audit()
    assert (audit.first_difference, audit.agreeing, audit.seq) == (None, 4, told[-1].seq)
    side.close()


async def test_a_night_asks_the_chain_nothing(tmp_path: Path, node: Anvil) -> None:
    """A total that was told already is known here."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    run, looks = side.start(), []
    look = run.job._registry.look

    async def counted() -> object:
        looks.append(1)
        return await look()

    run.job._registry.look = counted
    for _ in range(5):
        side.log.read(1000)
        await run.say()
    assert (len(looks), len(await side.reads())) == (1, 1)
    side.close()


async def test_it_works_on_ganache_too(tmp_path: Path) -> None:
    """Whose reverts have another shape."""
    with Ganache() as ganache:
        side = await OriginSide.open(tmp_path, ganache, Release.B)
        run = side.start()
        side.log.read(1000)
        assert await run.say() is not None
        await side.board.send(set_active(side.contract, side.asset, active=False).call)
        side.log.read(2000)
        await run.say()
        assert len(run.refusals) == 1
        assert "the asset is not active" in run.refusals[0]
        assert (await side.audit()).agreeing == 1
        side.close()


async def test_the_three_refusals_are_told_apart(tmp_path: Path, node: Anvil) -> None:
    """Before anything is paid: wrong sender and inactive asset are the manager's, too low a total is read again."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    run = side.start()
    side.log.read(1000)
    await side.board.send(set_active(side.contract, side.asset, active=False).call)
    await run.say()
    await side.board.send(set_active(side.contract, side.asset, active=True).call)
    assert await run.say() is not None
    # The total rises between the look and the estimate.
    look = run.job._registry.look

    async def late() -> object:
        found = await look()
        side.forge(save_b(side.asset, 2500, "x"))
        return found

    run.job._registry.look = late
    side.log.read(2000)
    await run.say()
    run.job._registry.look = look
    with pytest.raises(Held, match="the contract holds 2500 Wh"):
        await run.say()
    other = side.asset
    side.board.address, mine = side.board.node.dev, side.board.address
    await side.enrol()
    side.board.address = mine
    run_of_other = side.start()
    await run_of_other.say()
    refusals = [*run.refusals, *run_of_other.refusals]
    assert [refusal.split(":")[0] for refusal in refusals] == ["origin-enrol", "origin-read-again", "origin-enrol"]
    assert ["not active" in refusals[0], "this total already" in refusals[1], "another account" in refusals[2]] == [
        True
    ] * 3
    assert (other, side.board.node.nonce(side.board.address)) == (0, 2)
    side.close()


async def test_a_stranger_with_the_key_is_found(tmp_path: Path, node: Anvil) -> None:
    """A total told behind our back is said; the next text claims nothing."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    run = side.start()
    side.log.read(1000)
    await run.say()
    side.forge(save_b(side.asset, 1500, "somebody"))
    side.log.read(2000)
    assert await run.say() is not None
    assert side.told[0].startswith(
        f"{DIFFERS}: origin-b producing 0: the contract holds 1500 Wh under somebody, and what"
    )
    assert await held(side) == (2000, "")
    audit = await side.audit()
    assert audit.first_difference is not None
    assert audit.first_difference.kind == "not-in-log"
    assert "1500 Wh were told" in audit.first_difference.text
    side.close()


async def test_a_look_up_that_names_no_registry_is_said(tmp_path: Path, node: Anvil) -> None:
    """Such as the address of something else."""
    side = await OriginSide.open(tmp_path, node, Release.B)
    side.log.read(1000)
    side.lookup = side.contract
    with pytest.raises(Held, match=f"{side.contract} does not answer as a producing registry of release b"):
        await side.start().say()
    side.lookup = side.board.node.dev
    with pytest.raises(Held, match="does not answer as a producing registry"):
        await side.start().say()
    side.close()
