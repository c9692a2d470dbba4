"""The Notary's job on a real node: batches of a meter's readings, each root once, and a proof for any one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.chain import abi
from gateway.chain.notary.batch_fields import proved_reading
from gateway.chain.notary.batches import Batch, check_chain
from gateway.chain.notary.job import EVENT, NotaryJob, NotarySettings, ProvedReading, proof_of, topics_of
from gateway.chain.notary.precise import verify
from gateway.chain.notary.store import Anchoring, BatchStore
from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.log import Appended
from gateway.reading import Status
from gateway.state import State
from tests.chain_nodes import Anvil, ChainNode, Ganache
from tests.contract_job import JobContract
from tests.contracts import compiled
from tests.job_run import Board, JobRun
from tests.totals_log import EXPORT, CountingLog


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


class Crash(BaseException):
    """The process ends here."""


class NotarySide:
    """A Notary on a node, and a gateway's log."""

    def __init__(self, folder: Path, node: ChainNode, every_s: float = 0, readings_max: int = 512) -> None:
        self.board = Board(folder, node)
        self.log = CountingLog(folder / "gateway")
        self.contract = self.board.deploy(compiled("Notary")[1])
        self.every_s, self.readings_max = every_s, readings_max
        self.wh = 0

    def job(self, state: State) -> NotaryJob:
        settings = NotarySettings(
            name="notary roof",
            contract=self.contract,
            point=EXPORT,
            every_s=self.every_s,
            readings_max=self.readings_max,
            batches_max=100,
        )
        return NotaryJob(settings, self.log.totals, self.board.client, self.board.address, self.board.folder)

    def start(self) -> JobRun:
        return self.board.start(self.job)

    def happen(self) -> None:
        self.wh += 1
        self.log.read(self.wh)

    async def said(self) -> list[object]:
        """The roots, in order, by this account."""
        head = await self.board.client.head()
        topics = [*topics_of(self.board.address, bytes(32))[:2]]
        records = await self.board.client.logs(self.contract, topics, 0, head.number)
        return [record.topics[2] for record in records]

    def store(self) -> BatchStore:
        job = self.job(State(self.board.folder / "unused.json"))
        return job.store

    def batches(self) -> list[Batch]:
        return [kept.batch for kept in self.store().all()]

    def proof(self, appended: Appended) -> ProvedReading:
        return proof_of(self.store(), appended.seq)

    def close(self) -> None:
        self.log.log.close()
        self.board.close()


@pytest.fixture
async def side(tmp_path: Path, node: Anvil) -> AsyncIterator[NotarySide]:
    side = NotarySide(tmp_path, node)
    yield side
    side.close()


class TestNotaryJob(JobContract):
    """All of it."""


@pytest.mark.parametrize("kind", [Anvil, Ganache])
async def test_any_reading_is_proved_under_a_root_on_the_chain(tmp_path: Path, kind: type[ChainNode]) -> None:
    """Zeroes too, on both nodes; what is suspect or no value is in no batch, and the batches hang together."""
    with kind() as running:
        side = NotarySide(tmp_path, running, every_s=5)
        run, good = side.start(), []
        for number in range(30):
            if number == 15:
                run = side.start()
            if number % 7 == 3:
                side.log.read(10**9, status=Status.JUMPED)
            elif number % 7 == 5:
                side.log.gap()
            else:
                good.append((side.log.read(0 if number < 9 else number), 0 if number < 9 else number))
            await run.say()
        roots = await side.said()
        batches = side.batches()
        assert [batch.root for batch in batches] == roots
        assert len(roots) >= 4
        check_chain(batches)
        held = {reading.seq for batch in batches for reading in batch.readings}
        assert held == {appended.seq for appended, _ in good if appended.seq <= batches[-1].readings[-1].seq}
        for appended, value in good[: len(held)]:
            proved = side.proof(appended)
            batch = batches[proved.sequence]
            assert proved.root == roots[proved.sequence]
            assert verify(proved.root, proved.proof, batch.keys)
            assert proved_reading(proved.proof)[1].value == value
            assert proved.transaction is not None
            receipt = running.receipt(proved.transaction)
            assert receipt is not None
            assert int(receipt["blockNumber"], 16) == proved.block
            assert receipt["logs"][0]["topics"][0] == "0x" + abi.topic(EVENT).hex()
        side.close()


async def test_weeks_offline_end_in_full_batches_each_once(side: NotarySide) -> None:
    """In order, of the size that is allowed; what is left waits for its time."""
    side.every_s, side.readings_max = 1000, 40
    side.happen()
    run = side.start()
    assert await run.say() is None
    for _ in range(210):
        side.happen()
    run, said = side.start(), 0
    while await run.say() is not None:
        said += 1
    assert (said, len(await side.said())) == (5, 5)
    assert [len(batch.readings) for batch in side.batches()] == [40] * 5
    assert [reading.value for batch in side.batches() for reading in batch.readings] == list(range(1, 201))
    check_chain(side.batches())
    side.log.skip(1000)
    side.happen()
    assert await run.say() is not None
    assert [len(batch.readings) for batch in side.batches()] == [40] * 5 + [12]


async def test_the_batch_is_on_the_disk_before_its_root_leaves(side: NotarySide) -> None:
    """A crash just behind the sending loses no salt; a crash before it sends the same root."""
    side.happen()
    run = side.start()
    sent = []

    async def dying(raw: bytes) -> None:
        sent.extend(side.batches())
        raise Crash

    run.sender._client.send, real = dying, side.board.client.send
    with pytest.raises(Crash):
        await run.say()
    side.board.client.send = real  # type: ignore[method-assign]
    assert len(sent) == 1
    assert (await side.said(), side.store().all().__next__().anchoring.transaction) == ([], None)
    run = side.start()
    # The ledger has the signed transaction, and sends it itself.
    await run.sender.step()
    await run.settle()
    assert await run.say() is None
    assert await side.said() == [sent[0].root]
    assert side.store().all().__next__().anchoring.transaction is not None


async def test_the_first_batch_begins_when_the_job_does(side: NotarySide) -> None:
    """What was read before is not stored for money; what the job saw first is not forgotten by restarts."""
    side.every_s = 10
    for _ in range(50):
        side.happen()
    for _ in range(3):
        run = side.start()
        assert await run.say() is None
        side.happen()
    side.log.skip(10)
    side.happen()
    assert await run.say() is not None
    assert [reading.value for reading in side.batches()[0].readings] == [50, 51, 52, 53, 54]


async def test_another_epoch_has_a_chain_of_its_own_from_its_first_reading(tmp_path: Path, node: Anvil) -> None:
    """Its seqs begin anew; the batches of the one before stay and prove."""
    side = NotarySide(tmp_path, node)
    run = side.start()
    side.happen()
    await run.say()
    before = side.store()
    old = side.batches()[0].readings[0]
    side.log.log.close()
    side.log = CountingLog(tmp_path / "again")
    side.log.log._segments.origin = "meters.example.org/roof-7#2"
    for _ in range(3):
        side.happen()
    run = side.start()
    assert await run.say() is not None
    assert [reading.value for reading in side.batches()[0].readings] == [2, 3, 4]
    assert side.batches()[0].previous is None
    assert verify(proof_of(before, old.seq).root, proof_of(before, old.seq).proof)
    side.close()


async def test_what_is_in_no_batch_is_said(side: NotarySide) -> None:
    """A gap, a reading that waits, one that is nowhere."""
    run = side.start()
    side.happen()
    await run.say()
    gap = side.log.gap()
    waiting = side.log.read(9)
    for appended in (gap, waiting):
        with pytest.raises(ConfigError, match=f"entry {appended.seq} is in no batch that is kept"):
            side.proof(appended)


async def test_the_oldest_go_when_there_are_too_many(side: NotarySide) -> None:
    """Only what is anchored; the rest still hangs together."""
    run = side.start()
    for _ in range(6):
        side.happen()
        await run.say()
    store, batches = side.store(), side.batches()
    small = BatchStore(store._folder, limit=4)
    small.keep(batches[-1], 0)
    assert [kept.batch.sequence for kept in small.all()] == [2, 3, 4, 5]
    check_chain(kept.batch for kept in small.all())
    files = sorted(path.name for path in store._folder.iterdir())
    assert len(files) == 4 * 2 + 1
    (store._folder / "0000002.chain").write_text('{"since": 1, "transaction": null, "block": null}')
    BatchStore(store._folder, limit=2).keep(batches[-1], 0)
    assert [kept.batch.sequence for kept in small.all()] == [2, 4, 5]


async def test_files_that_were_changed_are_found(side: NotarySide) -> None:
    """A reading, a record that is none, and one that does not say where it is anchored."""
    run = side.start()
    side.happen()
    await run.say()
    store = side.store()
    record = next(store._folder.glob("*.json"))
    text = record.read_text()
    record.write_text(text.replace('"value":"1"', '"value":"2"'))
    with pytest.raises(TamperError, match="have another root"):
        store.newest()
    record.write_bytes(b"\xff")
    with pytest.raises(MalformedError, match="no text"):
        store.newest()
    record.write_text(text)
    for wrong in ("[]", '{"since": 1}', '{"since": 1, "transaction": "0x1", "block": 1}'):
        (store._folder / "0000000.chain").write_text(wrong)
        with pytest.raises(MalformedError, match="does not say where a batch is"):
            store.newest()
    (store._folder / "0000000.chain").unlink()
    kept = store.newest()
    assert kept is not None
    assert kept.anchoring == Anchoring(since=0)
    # The chain is asked, and has it.
    run = side.start()
    assert await run.say() is None
    kept = store.newest()
    assert kept is not None
    assert kept.anchoring.transaction is not None
    assert len(await side.said()) == 1
