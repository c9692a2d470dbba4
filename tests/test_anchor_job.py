"""The job of the anchors on a real node, in both forms: the contract of all jobs, its times, and whom it believes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.anchors import job as module
from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.bundle import AnchorFact, Bundle
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.contract import (
    AnchorContract,
    Anchored,
    Statement,
    decode_event,
    log_of,
    statement_topics,
)
from gateway.chain.anchors.job import AnchorJob, AnchorSettings, _Seen
from gateway.chain.answers import Topics
from gateway.chain.job import Held
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import LogRecord
from gateway.errors import CallReverted, MalformedError
from gateway.state import State
from tests.chain_nodes import CHAIN_ID, Anvil, ChainNode
from tests.chain_site import Notes
from tests.contract_job import JobContract
from tests.honest_log import HonestLog
from tests.job_run import Board, JobRun

HOUR_S = 3600


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


class AnchorSide:
    """A log that grows, and a contract for its anchors."""

    def __init__(self, folder: Path, node: ChainNode, *, growing: bool, every_s: float = 0) -> None:
        self.board = Board(folder, node)
        self.contract = self.board.deploy(load().bytecode)
        self.growing, self.every_s = growing, every_s
        self.notes = Notes(HonestLog())

    def job(self, _state: State | None = None) -> AnchorJob:
        settings = AnchorSettings(contract=self.contract, growing=self.growing, every_s=self.every_s, founder=None)
        return AnchorJob(settings, self.notes, self.board.client, self.board.address, self.bundles())

    def bundles(self) -> BundleStore:
        return BundleStore(self.board.folder / FOLDER)

    def start(self) -> JobRun:
        return self.board.start(self.job)

    def happen(self) -> None:
        self.notes.size += 3

    async def said(self) -> list[object]:
        """The sizes in the events."""
        topics = [list(statement_topics()), log_of(self.board.address, self.notes.origin)]
        head = await self.board.client.head()
        events = map(decode_event, await self.board.client.logs(self.contract, topics, 0, head.number))
        return [event.statement.size for event in events if isinstance(event, Anchored)]


@pytest.fixture(params=[True, False], ids=["growing", "event"])
def side(tmp_path: Path, node: Anvil, request: pytest.FixtureRequest) -> Iterator[AnchorSide]:
    made = AnchorSide(tmp_path, node, growing=request.param)
    yield made
    made.board.close()


class TestAnchorJob(JobContract):
    """In both forms."""


def later(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock goes ahead."""
    loop = asyncio.get_running_loop()
    before = loop.time
    monkeypatch.setattr(loop, "time", lambda: before() + seconds)


async def test_the_next_one_comes_when_the_last_is_old_enough(
    side: AnchorSide, node: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the device's clock while it runs, by the chain's behind a start."""
    side.every_s = HOUR_S
    run = side.start()
    side.happen()
    assert await run.say() is not None
    side.happen()
    assert await run.say() is None
    assert await side.start().say() is None
    later(HOUR_S - 60, monkeypatch)
    assert await run.say() is None
    later(120, monkeypatch)
    assert await run.say() is not None
    side.happen()
    node.rpc("evm_increaseTime", HOUR_S - 60)
    node.mine()
    assert await side.start().say() is None
    node.rpc("evm_increaseTime", 120)
    node.mine()
    assert await side.start().say() is not None
    assert await side.said() == [3, 6, 9]


async def test_an_anchor_by_somebody_else_is_noticed(side: AnchorSide) -> None:
    """The growing form finds it when the contract refuses, the event form when it reads the events again."""
    side.happen()
    run, other = side.start(), side.start()
    assert await run.say() is not None
    side.notes.size = 7
    assert await other.say() is not None
    side.notes.size = 5
    if side.growing:
        assert await run.say() is not None
        assert [words.partition(":")[0] for words in run.refusals] == ["reverted"]
        assert "the log is anchored at size 7; 5 is not above it" in run.refusals[0]
    with pytest.raises(Held, match="at size 7, this log has 5") as caught:
        await run.say()
    assert caught.value.state == "chain-ahead"
    side.notes.size = 8
    assert await run.say() is not None
    assert await side.said() == [3, 7, 8]


async def test_a_refusal_in_other_words_than_the_contract_has_is_passed_on(side: AnchorSide) -> None:
    """The worker tells it as it is."""
    await side.job().refused("k", CallReverted("refused", data=b"\x00" * 4))


async def test_only_anchors_of_this_log_here_count_among_the_kept(
    tmp_path: Path, node: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of bundles is for all chains, contracts and epochs; a hundred of another one lie between."""
    side = AnchorSide(tmp_path, node, growing=False)
    side.happen()
    assert await side.start().say() is not None
    monkeypatch.setattr(module, "BACK_BLOCKS", 50)
    node.mine(100)
    other = HonestLog(origin="elsewhere.example.org/x").grow(900)
    here = AnchorFact(chain_id=CHAIN_ID, contract=side.contract, transaction=b"t" * 32, block=3, size=800)
    for size, log, fact in (
        (800, other, here),
        (810, side.notes.log.grow(900), replace(here, chain_id=1, size=810)),
        (820, side.notes.log, replace(here, contract="0x" + "33" * 20, size=820)),
    ):
        bundle = Bundle.of(log.note(size))
        side.bundles().keep(bundle)
        side.bundles().anchored(bundle.digest, fact)
    for size in range(500, 520):
        side.bundles().keep(Bundle.of(side.notes.log.note(size)))
    assert await side.start().say() is None
    side.happen()
    assert await side.start().say() is not None
    assert await side.said() == [3, 6]
    side.board.close()


async def test_events_are_read_no_farther_back_than_is_told(
    tmp_path: Path, node: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a lost state directory and weeks of blocks, the newest one follows at once."""
    side = AnchorSide(tmp_path, node, growing=False, every_s=HOUR_S)
    side.happen()
    assert await side.start().say() is not None
    monkeypatch.setattr(module, "BACK_BLOCKS", 50)
    node.mine(40)
    for file in (*(side.board.folder / FOLDER).iterdir(), side.board.folder / "ledger.json"):
        file.unlink()
    side.happen()
    # Read back, it is too young for the next one.
    assert await side.start().say() is None
    node.mine(20)
    assert await side.start().say() is not None
    assert await side.said() == [3, 6]
    side.board.close()


async def test_an_event_of_another_contract_or_log_is_none_of_this_one(side: AnchorSide, node: Anvil) -> None:
    """A receipt may tell of several: the one that the key names counts."""
    run = side.start()
    side.happen()
    assert await run.say() is not None
    receipt = await side.board.client.receipt(run.ledger.ended[-1].attempts[-1].signed.hash)
    assert receipt is not None
    key = run.ledger.ended[-1].key
    (event,) = [one for one in receipt.logs if one.topics[0] in statement_topics()]
    foreign = [replace(event, address="0x" + "44" * 20), replace(event, topics=(event.topics[0], b"x" * 32))]
    sized = [replace(one, data=(77).to_bytes(32, "big") + one.data[32:]) for one in foreign]
    job = side.job()
    await job.settled(key, replace(receipt, logs=(*sized, *receipt.logs)))
    assert job._seen is not None
    assert job._seen.size == 3
    assert node.nonce(side.board.address) == 1


async def test_a_chain_that_is_ahead_no_more_is_gone_on_with(side: AnchorSide, node: Anvil) -> None:
    """It is asked each time: the block that was ahead was replaced."""
    side.happen()
    run, other = side.start(), side.start()
    assert await run.say() is not None
    other.tells, side.notes.size = False, 9
    assert await other.say() is not None
    side.notes.size = 6
    if side.growing:
        await run.say()
    with pytest.raises(Held):
        await run.job.due()
    node.reorg(1)
    assert await run.job.due() is not None


async def test_a_transaction_without_an_event_is_followed_no_sooner_than_any_other(side: AnchorSide) -> None:
    """It has cost its fee."""
    side.every_s = HOUR_S
    side.happen()
    run = side.start()
    intent = await run.say()
    assert intent is not None
    receipt = await side.board.client.receipt(run.ledger.ended[-1].attempts[-1].signed.hash)
    assert receipt is not None
    side.happen()
    job = side.job()
    job._seen = _Seen(size=3, at_s=float("-inf"))
    assert await job.due() is not None
    with pytest.raises(MalformedError, match="without an event"):
        await job.settled(intent.key, replace(receipt, logs=()))
    assert await job.due() is None


async def test_the_largest_of_the_events_counts_wherever_it_stands(tmp_path: Path, node: Anvil) -> None:
    """Somebody announced a smaller one behind a larger one, and in a block that was read already."""
    side = AnchorSide(tmp_path, node, growing=False)
    side.happen()
    run = side.start()
    assert await run.say() is not None
    contract, root = AnchorContract(address=side.contract), bytes(32)
    node.mine(3)
    side.notes.size = 8
    assert await run.job.due() is not None
    raws = []
    for nonce, size in ((1, 9), (2, 4)):
        call = contract.announce(side.notes.origin, Statement(size=size, root=root))
        fees = Fees(fee_max=90 * 10**9, priority_max=10**9)
        transaction = Transaction(chain_id=CHAIN_ID, nonce=nonce, fees=fees, gas=60_000, call=call)
        raws.append("0x" + run.sender._account.sign(transaction).raw.hex())
    node.rpc("anvil_reorg", 2, [[raw, place] for place, raw in enumerate(raws)])
    assert await side.said() == [3, 9, 4]
    with pytest.raises(Held, match="at size 9, this log has 8"):
        await run.job.due()
    side.board.close()


async def test_what_was_read_is_not_read_again(tmp_path: Path, node: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the first time only the newest blocks are asked for, and some before them."""
    monkeypatch.setattr(module, "_AGAIN_BLOCKS", 10)
    side = AnchorSide(tmp_path, node, growing=False)
    node.mine(50)
    asked, real = [], side.board.client.logs

    async def logs(address: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
        asked.append((first, last))
        return await real(address, topics, first, last)

    side.board.client.logs = logs  # type: ignore[method-assign]
    run = side.start()
    for _ in range(2):
        side.happen()
        asked.clear()
        head = node.head
        assert await run.say() is not None
    assert asked == [(head - 1 - 10, head)]
    side.board.close()
