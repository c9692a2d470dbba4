"""The worker of one chain: what it says of itself, and that one job's trouble is not another's. On a real node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.job import Held, Intent
from gateway.chain.ledger import FAILED
from gateway.chain.values import Call, Receipt
from gateway.chain.worker import ChainWorker, Pace
from gateway.errors import CallReverted, ChainUnavailable, GatewayError, MalformedError, SignerError, TamperError
from gateway.task import Progress
from tests.chain_nodes import Anvil
from tests.chain_site import ChainSite, anchored
from tests.lying_endpoint import LyingEndpoint, tell

DEADLINE_S = 30


@asynccontextmanager
async def running(worker: ChainWorker) -> AsyncIterator[Callable[[Callable[[dict[str, Any]], bool]], Any]]:
    """The worker at work; waits until what it says of itself fits."""
    task = asyncio.create_task(worker.run(Progress(0)))

    async def until(fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while not fits(told := worker.describe()):
                assert not task.done(), task
                await asyncio.sleep(0.01)
        return told

    yield until
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    worker.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ChainSite]:
    with Anvil() as node:
        yield ChainSite(tmp_path, node)


async def test_it_anchors_and_says_so(site: ChainSite) -> None:
    """The last record, its outcome, and the end point's head."""
    site.notes.size = 6
    async with running(site.worker()) as until:
        told = await until(lambda told: told["last"] is not None)
        assert told["last"] == {"key": told["last"]["key"], "outcome": "final"}
        assert told["last"]["key"].endswith(" 6")
        assert (told["account"], told["last_error"]) == (site.address, "")
        site.notes.size = 8
        await until(lambda told: told["last"]["key"].endswith(" 8"))
    assert await anchored(site) == [6, 8]


async def test_a_key_that_is_away_is_a_state_until_it_is_back(site: ChainSite) -> None:
    """Nothing is asked of the chain meanwhile; it goes on by itself."""
    site.notes.size = 6
    worker, account = site.worker(), site.account
    away = [True]

    def opened() -> Any:
        if away[0]:
            raise SignerError("the token is not there; put it in")
        return account()

    worker._open_account = opened
    async with running(worker) as until:
        told = await until(lambda told: told["state"] == "key-away")
        assert told["last_error"] == "the token is not there; put it in"
        away[0] = False
        await until(lambda told: told["last"] is not None)
        assert worker.describe()["last_error"] == ""
    assert await anchored(site) == [6]


async def test_a_node_that_is_away_is_a_state_until_it_is_back(site: ChainSite) -> None:
    """Killed and started again on the same port: an anchor that was due meanwhile follows, once."""
    (node,) = site.nodes
    assert isinstance(node, Anvil)
    node.state = node.save(site.folder / "state")
    told_words: list[str] = []
    worker = site.worker()
    worker._told = lambda state, words: told_words.append(f"{state} {words}")
    async with running(worker) as until:
        node.kill()
        site.notes.size = 6
        await until(lambda told: told["state"] == "unavailable" and str(node.port) in told["last_error"])
        node.start()
        await until(lambda told: told["last"] is not None)
    assert await anchored(site) == [6]
    # The same trouble again is no news.
    assert len([words for words in told_words if words.startswith("unavailable")]) == 1


class Waits:
    """A job that always waits for something."""

    name = "waits"

    async def due(self) -> Intent | None:
        raise Held("tired", "the meter says nothing")

    async def settled(self, key: str, receipt: Receipt) -> None:
        raise AssertionError

    async def refused(self, key: str, error: CallReverted) -> None:
        raise AssertionError


class Reverts(Waits):
    """A job whose contract does not take what it says."""

    name = "reverts"

    def __init__(self, contract: str) -> None:
        self._contract = contract
        self.refusals = 0

    async def due(self) -> Intent | None:
        return Intent(key="nonsense", call=Call(to=self._contract, data=b"\x01\x02\x03\x04"))

    async def refused(self, key: str, error: CallReverted) -> None:
        self.refusals += 1


async def test_a_job_in_trouble_costs_the_others_nothing(site: ChainSite) -> None:
    """One waits, one is refused again and again; the anchors go on, and each says what keeps it."""
    site.notes.size = 6
    reverts = Reverts(site.contract)
    worker = site.worker()
    make_jobs = worker._make_jobs
    worker._make_jobs = lambda client, address: [Waits(), reverts, *make_jobs(client, address)]
    worker._pace = Pace(busy_s=0.01, idle_s=0.01, pause_s_max=0.05)
    async with running(worker) as until:
        for size in (6, 9):
            site.notes.size = size
            told = await until(lambda told, size=size: (told["last"] or {"key": ""})["key"].endswith(f" {size}"))  # type: ignore[misc]
        await until(lambda _: reverts.refusals > 1)
        told = worker.describe()
    troubles = {job["name"]: job["trouble"] for job in told["jobs"]}
    assert troubles["waits"] == "the meter says nothing"
    assert "revert" in troubles["reverts"]
    assert troubles["anchor"] == ""
    assert await anchored(site) == [6, 9]
    assert site.nodes[0].nonce(site.address) == 2


class Raises(Waits):
    """A job that finds something that no waiting mends, or a question that no node answers."""

    name = "raises"

    def __init__(self, error: GatewayError) -> None:
        self._error = error

    async def due(self) -> Intent | None:
        raise self._error


@pytest.mark.parametrize(
    "error", [MalformedError("a broken file"), TamperError("a changed file"), ChainUnavailable("x")]
)
async def test_a_job_that_cannot_even_look_costs_the_others_nothing(site: ChainSite, error: GatewayError) -> None:
    """It is asked first, and fails each time; the anchors go on."""
    worker = site.worker()
    make_jobs = worker._make_jobs
    worker._make_jobs = lambda client, address: [Raises(error), *make_jobs(client, address)]
    worker._pace = Pace(busy_s=0.01, idle_s=0.01, pause_s_max=0.05)
    async with running(worker) as until:
        for size in (6, 9):
            site.notes.size = size
            await until(lambda told, size=size: (told["last"] or {"key": ""})["key"].endswith(f" {size}"))  # type: ignore[misc]
        troubles = {job["name"]: job["trouble"] for job in worker.describe()["jobs"]}
    assert troubles == {"raises": "" if isinstance(error, ChainUnavailable) else str(error), "anchor": ""}
    assert await anchored(site) == [6, 9]


async def test_what_always_fails_in_a_block_is_tried_less_and_less(site: ChainSite) -> None:
    """An end point estimates what the contract refuses: each try costs its fee, so they come ever later."""
    (node,) = site.nodes
    reverts = Reverts(site.contract)
    with LyingEndpoint(node) as end:
        end.lies["eth_estimateGas"] = tell(hex(50_000))
        site.nodes = (end,)  # type: ignore[assignment]
        worker = site.worker()
        worker._make_jobs = lambda _client, _address: [reverts]
        async with running(worker):
            times = []
            while len(times) < 4:
                await asyncio.sleep(0.01)
                trouble = worker._paused.get("reverts")
                if trouble is not None and trouble.times not in times:
                    times.append(trouble.times)
    assert times == [1, 2, 3, 4]
    assert [record.outcome and record.outcome.kind for record in site.ledger().ended][:4] == [FAILED] * 4


async def test_the_same_trouble_is_told_once_in_a_while_whatever_its_figures(site: ChainSite) -> None:
    """A log that is behind the chain and grows; end points that contradict now and then: no storm in the log."""
    told: list[str] = []
    worker = site.worker()
    worker._told = lambda state, words: told.append(state)
    site.notes.size = 90
    other = site.open()
    await other.anchor()
    await other.settle()
    site.notes.size = 4
    worker._pace = Pace(busy_s=0.001, idle_s=0.001, pause_s_max=0.002)
    async with running(worker) as until:
        for size in range(5, 30):
            site.notes.size = size
            await until(
                lambda told, size=size: f"this log has {size}" in told["jobs"][0]["trouble"] if told["jobs"] else False
            )  # type: ignore[misc]
        for _ in range(5):
            worker._failed("endpoints-disagree", "one says this, another that")
            await until(lambda told: told["state"] == "idle")
    assert told == ["chain-ahead", "endpoints-disagree"]


async def test_a_key_is_opened_once_where_the_ledger_cannot_be_read(site: ChainSite) -> None:
    """A token has few sessions, and each round tries again."""
    worker, opens, reads = site.worker(), [0], [0]

    def account() -> Any:
        opens[0] += 1
        return site.account()

    def ledger(_address: str, _chain_id: int) -> Any:
        reads[0] += 1
        if reads[0] < 4:
            raise MalformedError("the ledger cannot be read")
        return site.ledger()

    worker._open_account, worker._open_ledger = account, ledger
    site.notes.size = 6
    async with running(worker) as until:
        await until(lambda told: told["last"] is not None)
    assert (opens, reads) == ([1], [4])


async def test_what_a_job_makes_of_its_receipt_is_its_own_trouble(site: ChainSite) -> None:
    """The record ends, the job is paused, and the next one is sent."""
    worker = site.worker()
    make_jobs = worker._make_jobs

    def jobs(client: Any, address: str) -> Any:
        made = make_jobs(client, address)
        real, calls = made[0].settled, [0]

        async def settled(key: str, receipt: Receipt) -> None:
            calls[0] += 1
            if calls[0] == 1:
                raise MalformedError("that is not what was said")
            await real(key, receipt)

        made[0].settled = settled  # type: ignore[method-assign]
        return made

    worker._make_jobs = jobs
    site.notes.size = 6
    async with running(worker) as until:
        await until(lambda told: told["jobs"] != [] and "not what was said" in told["jobs"][0]["trouble"])
        site.notes.size = 9
        await until(lambda told: (told["last"] or {"key": ""})["key"].endswith(" 9"))
        assert worker.describe()["jobs"] == [{"name": "anchor", "trouble": ""}]
    assert await anchored(site) == [6, 9]
