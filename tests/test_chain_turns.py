"""The worker's turns on a real node: one transaction at a time, each job in its turn, and what is told how often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.job import Held, Intent, Job
from gateway.chain.ledger import FINAL
from gateway.chain.values import Call, Receipt
from gateway.chain.worker import ChainWorker, Pace
from gateway.errors import CallReverted, GatewayError, PrunedError, UnavailableError
from tests.chain_nodes import Anvil
from tests.chain_site import ChainSite


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil(mining=False) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, node: Anvil) -> ChainSite:
    return ChainSite(tmp_path, node)


class Says:
    """A job that always has something new to say, to nobody."""

    def __init__(self, name: str, *errors: GatewayError) -> None:
        self.name = name
        self.errors, self.heard, self.trouble = list(errors), 0, ""

    async def due(self) -> Intent | None:
        if self.trouble:
            raise Held("tired", self.trouble)
        return Intent(key=f"{self.name} {self.heard}", call=Call(to="0x" + "55" * 20, data=b""))

    async def settled(self, key: str, receipt: Receipt) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.heard += 1

    async def refused(self, key: str, error: CallReverted) -> None:
        raise AssertionError


def working(site: ChainSite, *jobs: Job) -> ChainWorker:
    worker = site.worker()
    worker._pace = Pace(busy_s=0, idle_s=0, pause_s_max=0)
    if jobs:
        worker._make_jobs = lambda _client, _address: jobs
    return worker


async def rounds(worker: ChainWorker, node: Anvil, count: int) -> None:
    for _ in range(count):
        await worker._round()
        node.mine()


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock goes ahead."""
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + seconds)


async def test_one_is_under_way_at_a_time(site: ChainSite) -> None:
    """However much is due, nothing is sent behind what is in no block."""
    says = Says("a")
    worker = working(site, says)
    for _ in range(4):
        await worker._round()
    assert [record.key for record in site.ledger().live] == ["a 0"]
    assert worker.describe()["state"] == "waiting"


async def test_each_job_has_its_turn(site: ChainSite, node: Anvil) -> None:
    """Also where all of them always have something to say."""
    jobs = Says("a"), Says("b"), Says("c")
    await rounds(working(site, *jobs), node, 10)
    assert [job.heard for job in jobs] == [3, 3, 3]


async def test_a_disk_that_takes_nothing_for_now_is_told_again(site: ChainSite, node: Anvil) -> None:
    """The record does not end before the job has heard of it."""
    says = Says("a", UnavailableError("the disk is full"))
    worker = working(site, says)
    await rounds(worker, node, 2)
    assert worker.describe()["last_error"] == "the disk is full"
    assert len(site.ledger().live) == 1
    await rounds(worker, node, 1)
    assert says.heard == 1
    assert [record.outcome and record.outcome.kind for record in site.ledger().ended] == [FINAL]


async def test_what_is_gone_from_the_log_is_no_reason_to_wait(site: ChainSite, node: Anvil) -> None:
    """It does not come back: the job is in trouble, the record ends."""
    says = Says("a", PrunedError("the entry was removed"))
    worker = working(site, says)
    told: list[str] = []
    worker._told = lambda _state, words: told.append(words)
    await rounds(worker, node, 2)
    assert told == ["a: the entry was removed"]
    assert list(site.ledger().live) == []
    assert [record.outcome and record.outcome.kind for record in site.ledger().ended] == [FINAL]


async def test_a_trouble_that_is_over_shows_no_more(site: ChainSite, node: Anvil) -> None:
    """Where there is nothing to say, and where what is said holds; and the pauses are short again."""
    worker = working(site)
    site.notes.size = 4
    await rounds(worker, node, 2)
    job: Any = worker._jobs["anchor"]
    real = job.due

    async def held() -> Intent | None:
        raise Held("tired", "the meter says nothing")

    job.due = held
    await rounds(worker, node, 1)
    assert worker.describe()["jobs"] == [{"name": "anchor", "trouble": "the meter says nothing"}]
    job.due = real
    await rounds(worker, node, 1)
    assert worker.describe()["jobs"] == [{"name": "anchor", "trouble": ""}]
    node.kill()
    for _ in range(3):
        await worker._round()
    assert worker.describe()["state"] == "idle"
    site.notes.size = 9
    for _ in range(3):
        await worker._round()
    assert worker.describe()["state"] == "unavailable"
    assert worker._failures == 3
    site.notes.size = 4
    await worker._round()
    assert (worker.describe()["state"], worker._failures) == ("idle", 0)


async def test_a_trouble_that_lasts_is_told_once(site: ChainSite, node: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's, and a job's, hour after hour, with other figures each time; one that comes back is told anew."""
    told: list[str] = []
    says = Says("a")
    worker = working(site, says)
    worker._told = lambda state, _words: told.append(state)
    for trouble in (False, True):
        node.fund(site.address, 0)
        for hour in range(3):
            says.trouble = f"waits for the {hour}th hour" if trouble else ""
            node.fund(site.address, hour)
            await worker._round()
            later(7200, monkeypatch)
    assert told == ["low-balance", "tired"]
    says.trouble = ""
    for _ in range(2):
        node.fund(site.address, 0)
        await worker._round()
        node.fund(site.address)
        await rounds(worker, node, 2)
    assert told == ["low-balance", "tired", "low-balance"]
    later(7200, monkeypatch)
    node.fund(site.address, 0)
    await rounds(worker, node, 3)
    assert told == ["low-balance", "tired", "low-balance", "low-balance"]
