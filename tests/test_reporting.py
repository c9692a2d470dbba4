"""The jobs of a config at work together under the real worker, on one account and a real node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from drivers.keys.file import open_file_key
from gateway.chain.desk import Site
from gateway.chain.ledger import Ledger
from gateway.chain.notary.job import proof_of
from gateway.chain.notary.precise import verify
from gateway.chain.opening import open_account
from gateway.chain.origin.audit import audit_origin
from gateway.chain.origin.calls import Release
from gateway.chain.origin.enrol import update_smart_meter
from gateway.chain.reporting import batches_of, subject_of
from gateway.chain.sender import Limits
from gateway.chain.subjects import make_jobs, origin_name
from gateway.chain.worker import ChainWorker, Pace
from gateway.config.chain import ChainConfig, NotaryConfig, OriginConfig
from gateway.log.view import LogView
from gateway.signing import DeviceKey, KeyRequest, Purpose
from gateway.state import State
from gateway.task import Progress
from gateway.writer import Writer
from tests.chain_nodes import CHAIN_ID, Anvil
from tests.contracts import compiled
from tests.origin_side import OriginSide

DEADLINE_S = 30


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


def config_of(side: OriginSide, notary: str) -> ChainConfig:
    origin = OriginConfig(
        release=side.release.value,
        role=side.role.value,
        contract=None,
        lookup=side.lookup,
        asset=side.asset,
        meter="roof",
        point="export_total",
        hash="native",
        co2=("grid", "carbon_intensity"),
        every_ms=0,
        offset_wh=0,
    )
    return ChainConfig(
        name="ewc",
        chain_id=CHAIN_ID,
        rpc=(side.board.node.url,),
        agree=1,
        ca=None,
        account=side.board.key,
        confirmations=1,
        fee_cap=10**12,
        balance_min=0,
        anchor=None,
        notary=(NotaryConfig(contract=notary, meter="roof", point="export_total", every_ms=0),),
        origin=(origin,),
        sessions=(),
        ipfs=None,
    )


def worker_of(side: OriginSide, config: ChainConfig) -> ChainWorker:
    """As the gateway's start makes it; ledger and jobs share one state."""
    board, state = side.board, State(side.board.folder / "ewc.json")
    writer = cast("Writer", side)
    log, folder = side.log.log, side.log.station.directory

    def open_key(uri: str, base: Path, *, purpose: Purpose) -> DeviceKey:
        return open_file_key(KeyRequest(uri=uri, base=base, purpose=purpose))

    site = Site(log=log, directory=folder, writer=writer, state_dir=board.folder, open_key=open_key)
    return ChainWorker(
        config.name,
        lambda: board.client,
        partial(open_account, config, board.folder, open_key),
        partial(Ledger, state),
        partial(make_jobs, config, site, state),
        limits=Limits(confirmations=1),
        pace=Pace(busy_s=0.01, idle_s=0.02, pause_s_max=0.1),
    )


class Running:
    """The worker at work, from a start to a stop."""

    def __init__(self, side: OriginSide, config: ChainConfig) -> None:
        self.worker = worker_of(side, config)
        self._task = asyncio.create_task(self.worker.run(Progress(0)))

    async def until(self, fits: Callable[[], Any]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not fits():
                assert not self._task.done(), self._task
                await asyncio.sleep(0.01)

    def trouble(self, name: str) -> str:
        return str(next(job["trouble"] for job in self.worker.describe()["jobs"] if job["name"] == name))

    async def stop(self) -> None:
        await self.until(lambda: not self.worker.describe()["under_way"])
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.worker.close()


async def test_a_registry_and_a_notary_share_an_account(tmp_path: Path, node: Anvil) -> None:
    """Trouble with one is not the other's; over a restart both go on, each thing once, and the audit agrees."""
    side = await OriginSide.open(tmp_path, node, Release.A)
    config, mine = config_of(side, side.board.deploy(compiled("Notary")[1])), side.board.address
    batches = batches_of(config.notary[0], side.board.folder, side.log.log.origin)
    await side.board.send(update_smart_meter(side.contract, side.asset, node.dev).call)
    side.log.read(1000)
    running = Running(side, config)
    await running.until(lambda: [kept for kept in batches.all() if kept.anchoring.block is not None])
    await running.until(lambda: "must call updateSmartMeter" in running.trouble(origin_name(config.origin[0])))
    await side.board.send(update_smart_meter(side.contract, side.asset, mine).call)
    await running.until(lambda: node.nonce(mine) == 2)
    await running.stop()
    running = Running(side, config)
    for value, nonce in ((2000, 4), (3000, 6)):
        side.log.read(value)
        await running.until(lambda nonce=nonce: node.nonce(mine) == nonce)
    await running.stop()
    kept = list(batches.all())
    assert [len(one.batch.readings) for one in kept] == [1, 1, 1]
    proved = proof_of(batches, kept[1].batch.readings[0].seq)
    assert verify(proved.root, proved.proof, kept[1].batch.keys)
    subject, held_wh = await subject_of(config.origin[0], side.board.client, node.head)
    views = [LogView(side.log.station.directory)]
    audit = await audit_origin(side.board.client, subject, views, (0, node.head), held_wh=held_wh)
    assert (audit.first_difference, audit.agreeing, held_wh) == (None, 3, 3000)
    assert [read.new_wh for read in await side.reads()] == [1000, 2000, 3000]
    side.close()
