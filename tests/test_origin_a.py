"""Release A: producing and consuming, told by a gateway that reads, fails, and is started again; on real nodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.bond.record import as_bytes32, file_hash
from gateway.chain.job import Held
from gateway.chain.origin.calls import Co2, Release, Role, save_a_producing
from gateway.chain.origin.enrol import set_active, update_smart_meter
from gateway.chain.origin.job import AGREES, ALARM, DIFFERS
from gateway.chain.origin.registry import BOND, NATIVE
from gateway.log.tree import leaf_hash
from tests.chain_nodes import Anvil, Ganache
from tests.origin_side import OriginSide
from tests.totals_log import CountingLog

_ZERO = bytes(32)


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    """One for all: each test has contracts and an account of its own."""
    with Anvil() as running:
        yield running


@pytest.mark.parametrize(("role", "hashes"), [(Role.PRODUCING, NATIVE), (Role.CONSUMING, BOND)])
async def test_fifty_readings_an_outage_and_a_restart(tmp_path: Path, node: Anvil, role: Role, hashes: str) -> None:
    """The total never falls, an outage repeats it with the flag, each hash is that of what was told before."""
    side = await OriginSide.open(tmp_path, node, Release.A, role)
    side.hashes = hashes
    run, told = side.start(), []
    for number in range(50):
        if number == 30:
            run = await side.restart()
        if number % 20 == 0:
            side.log.carbon(412_345, -3)
        if number in (17, 18):
            told.append(side.log.fail() if number == 17 else side.log.gap())
        else:
            told.append(side.log.read(1_000_000 + number * number * 7, -6))
        assert await run.say() is not None
        assert await run.say() is None
    reads = await side.reads()
    assert [read.down for read in reads] == [number in (17, 18) for number in range(50)]
    assert all(before.new_wh == read.old_wh <= read.new_wh for before, read in pairwise(reads))
    assert reads[17].new_wh == reads[18].new_wh == reads[16].new_wh == 1001
    if hashes == NATIVE:
        assert [read.file_hash for read in reads] == [_ZERO, *(leaf_hash(entry.data) for entry in told[:-1])]
    assert (run.job.standing, run.refusals, side.told) == (AGREES, [], [])
    audit = await side.audit()
    assert (audit.first_difference, audit.events, audit.agreeing, audit.seq) == (None, 50, 50, told[-1].seq)
    side.close()


async def test_it_works_on_ganache_too(tmp_path: Path) -> None:
    """Another node, another maker."""
    with Ganache() as ganache:
        side = await OriginSide.open(tmp_path, ganache, Release.A)
        run = side.start()
        for value in (1000, 2500):
            side.log.read(value)
            assert await run.say() is not None
        run = side.start()
        side.log.gap()
        assert await run.say() is not None
        assert [(read.new_wh, read.down) for read in await side.reads()] == [(1000, False), (2500, False), (2500, True)]
        assert (await side.audit()).agreeing == 3
        side.close()


async def test_bonds_hashes_are_those_of_its_files(tmp_path: Path, node: Anvil) -> None:
    """Each transaction carries the Qm of the file that ew-link-bond would have written for the one before."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    side.hashes = BOND
    run = side.start()
    for value in (1000, 2500, 2600):
        side.log.read(value)
        await run.say()
    first = b'{"value": 1000, "is_meter_down": false, "previous_hash": "0x0", "co2_saved": 0, "is_co2_down": true}'
    second = first.replace(b"1000", b"2500").replace(b"0x0", file_hash(first).encode())
    hashes = [as_bytes32("0x0"), as_bytes32(file_hash(first)), as_bytes32(file_hash(second))]
    assert [read.file_hash for read in await side.reads()] == hashes
    side.close()


async def test_co2_is_counted_for_what_is_new_and_never_falls(tmp_path: Path, node: Anvil) -> None:
    """Each Wh with the intensity of its time, to the gram; without one nothing is added, and the flag is set."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run, told = side.start(), []
    for wh, intensity in ((1_000, None), (2_000, 400), (2_001, 333), (2_004, 333), (4_004, 0), (4_005, 900)):
        if intensity is not None:
            side.log.carbon(intensity)
        side.log.read(wh)
        await run.say()
        told = [(read.co2.total, read.co2.down) for read in await side.reads() if read.co2]
    # 400; 400.333; 401.332; the same; 402.232.
    assert told == [(0, True), (400, False), (400, False), (401, False), (401, False), (402, False)]
    side.log.skip(7201)
    side.log.read(9_000)
    await run.say()
    newest = (await side.reads())[-1]
    assert newest.co2 == Co2(total=402, down=True)
    assert (await side.audit()).first_difference is None
    side.close()


async def test_what_lies_between_is_passed_over_and_nothing_is_told_too_soon(tmp_path: Path, node: Anvil) -> None:
    """By the readings' own clocks; weeks offline end in one transaction."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    side.every_s = 900
    run = side.start()
    side.log.read(1000)
    assert await run.say() is not None
    for value in range(1001, 1050):
        side.log.read(value)
        assert await run.say() is None
    side.log.skip(900)
    for value in range(1050, 1060):
        side.log.read(value)
    assert await run.say() is not None
    assert await run.say() is None
    assert [read.new_wh for read in await side.reads()] == [1000, 1059]
    side.close()


async def test_co2_that_somebody_else_told_does_not_fall_either(tmp_path: Path, node: Anvil) -> None:
    """With the same total and hash, so that nothing but the CO2 differs."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run = side.start()
    side.log.carbon(400)
    side.log.read(1000)
    await run.say()
    side.forge(save_a_producing(side.asset, 1000, _ZERO, Co2(total=999, down=False), down=False))
    side.log.read(2000)
    await run.say()
    assert [read.co2.total for read in await side.reads() if read.co2] == [400, 999, 1399]
    side.close()


async def test_a_first_total_of_zero_is_told_and_named(tmp_path: Path, node: Anvil) -> None:
    """Also where a crash came between keeping it and sending it: the contract holds the same before and behind."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    zero = side.log.read(0)
    intent = await side.start().job.due()
    assert intent is not None
    intent.keep()
    run = side.start()
    again = await run.say()
    assert again is not None
    assert again.key == intent.key
    side.log.read(7)
    await run.say()
    assert [read.file_hash for read in await side.reads()] == [_ZERO, leaf_hash(zero.data)]
    assert (await side.audit()).agreeing == 2
    side.close()


async def test_another_epoch_of_the_log_is_told_on(tmp_path: Path, node: Anvil) -> None:
    """Its seqs begin anew; the first hash in it still names the last entry told of the one before."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run = side.start()
    for value in (1000, 2000, 3000):
        last = side.log.read(value)
        first = await run.say()
    side.log.log.close()
    side.log = CountingLog(tmp_path / "again")
    side.log.log._segments.origin = "meters.example.org/roof-7#2"
    run = side.start()
    assert side.log.read(4000).seq < last.seq
    second = await run.say()
    assert first is not None
    assert second is not None
    assert first.key != second.key
    assert (await side.reads())[-1].file_hash == leaf_hash(last.data)
    side.close()


def forged(side: OriginSide, total: int) -> bytes:
    return save_a_producing(side.asset, total, b"\x77" * 32, Co2(total=0, down=True), down=False)


@pytest.mark.parametrize("total", [1, 2500], ids=["lower", "the same"])
async def test_what_somebody_else_told_is_found(tmp_path: Path, node: Anvil, total: int) -> None:
    """With the device's own key. It is said, told on, and the next hash claims nothing."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run = side.start()
    for value in (1000, 2500):
        side.log.read(value)
        await run.say()
    side.forge(forged(side, total))
    side.log.read(2600)
    assert await run.say() is not None
    assert len(side.told) == 1
    assert side.told[0].startswith(f"{DIFFERS}: origin-a producing 0: the contract holds {total} Wh under {'77' * 32}")
    newest = (await side.reads())[-1]
    assert (newest.new_wh, newest.file_hash, run.job.standing) == (2600, _ZERO, AGREES)
    side.close()


async def test_more_than_the_meter_has_counted_is_an_alarm(tmp_path: Path, node: Anvil) -> None:
    """Nothing is told before the meter has passed it: the total on the chain never falls by us."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run = side.start()
    side.log.read(1000)
    await run.say()
    side.forge(forged(side, 5000))
    side.log.read(2600)
    for _ in range(3):
        with pytest.raises(Held, match="holds 5000 Wh, and roof export_total is at 2600 Wh in entry") as caught:
            await run.say()
        assert (caught.value.state, run.job.standing) == ("origin-alarm", ALARM)
    assert len(side.told) == 1
    side.log.gap()
    assert await run.say() is not None
    side.log.read(5001)
    assert await run.say() is not None
    assert [read.new_wh for read in await side.reads()] == [1000, 5000, 5000, 5001]
    side.close()


async def test_an_exchanged_meter_goes_on_where_the_one_before_ended(tmp_path: Path, node: Anvil) -> None:
    """With the offset in the config; without it, it is an alarm."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    run = side.start()
    side.log.read(8000)
    await run.say()
    side.log.read(5)
    with pytest.raises(Held, match="was the meter exchanged"):
        await run.say()
    side.offset_wh = 8000
    run = await side.restart()
    assert await run.say() is not None
    assert [read.new_wh for read in await side.reads()] == [8000, 8005]
    assert (await side.audit()).first_difference is None
    side.close()


async def test_an_asset_that_is_not_ours_costs_nothing(tmp_path: Path, node: Anvil) -> None:
    """The asset is asked for before anything is sent, and what is wrong is said in words."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    side.log.read(1000)
    run, stranger = side.start(), side.board.node.dev
    await side.board.send(set_active(side.contract, side.asset, active=False).call)
    with pytest.raises(Held, match="asset 0 is not active: an asset admin must call setActive"):
        await run.say()
    await side.board.send(set_active(side.contract, side.asset, active=True).call)
    await side.board.send(update_smart_meter(side.contract, side.asset, stranger).call)
    with pytest.raises(Held, match=f"asset 0 has the smart meter {stranger}, and this account is"):
        await run.say()
    await side.board.send(update_smart_meter(side.contract, side.asset, side.board.address).call)
    assert await run.say() is not None
    side.asset = 7
    with pytest.raises(Held, match="does not answer as a producing registry of release a with asset 7"):
        await side.start().say()
    assert side.board.node.nonce(side.board.address) == 1
    side.close()
