"""One account on one chain in a test: client, ledger, sender and anchors on real nodes, made anew as after a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivers.keys.file import open_file_key
from gateway.chain.account import Account
from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.contract import Anchored, decode_event, log_of, statement_topics
from gateway.chain.anchors.job import AnchorJob, AnchorSettings
from gateway.chain.client import ChainClient
from gateway.chain.job import Job
from gateway.chain.ledger import Ledger, Record
from gateway.chain.rpc import RpcSettings
from gateway.chain.sender import Limits, Sender
from gateway.chain.values import Receipt
from gateway.chain.worker import ChainWorker, Pace
from gateway.signing import KeyRequest, Purpose
from gateway.state import State
from tests.chain_nodes import CHAIN_ID, ChainNode, deploy, funded_key
from tests.honest_log import HonestLog

#: No confirmation is waited for longer than the next block, and nothing for a clock.
QUICK = Limits(confirmations=1, replace_s=1e9)


@dataclass(slots=True)
class Notes:
    """The newest checkpoint of an honest log, at the size that the test says."""

    log: HonestLog
    size: int = 0

    @property
    def origin(self) -> str:
        return self.log.origin

    @property
    def newest_checkpoint(self) -> bytes | None:
        return self.log.grow(self.size).note(self.size) if self.size else None


class ChainSite:
    """A gateway's state directory and nodes. ``open`` gives what a start would make of them."""

    def __init__(self, folder: Path, *nodes: ChainNode, limits: Limits = QUICK, growing: bool = True) -> None:
        self.folder, self.nodes, self.limits, self.growing = folder, nodes, limits, growing
        self.key, self.address = funded_key(folder, nodes[0])
        for node in nodes[1:]:
            node.fund(self.address)
        self.contract = deploy(nodes[0], load().bytecode).lower()
        self.notes = Notes(HonestLog())
        self.settled: list[str] = []

    def account(self) -> Account:
        return Account(open_file_key(KeyRequest(uri=self.key, base=self.folder, purpose=Purpose.TRANSACTION)))

    def client(self) -> ChainClient:
        return ChainClient(CHAIN_ID, [RpcSettings(url=node.url, deadline_s=5) for node in self.nodes])

    def ledger(self) -> Ledger:
        return Ledger(State(self.folder / "chain.json"), self.address, CHAIN_ID)

    def bundles(self) -> BundleStore:
        return BundleStore(self.folder / FOLDER)

    def job(self, client: ChainClient, address: str | None = None, every_s: float = 0) -> AnchorJob:
        settings = AnchorSettings(contract=self.contract, growing=self.growing, every_s=every_s, founder=None)
        return AnchorJob(settings, self.notes, client, address or self.address, self.bundles())

    def open(self, client: ChainClient | None = None) -> Opened:
        return Opened(self, client or self.client())

    def worker(self, *, open_client: Callable[[], ChainClient] | None = None) -> ChainWorker:
        def jobs(client: ChainClient, address: str) -> list[Job]:
            return [self.job(client, address)]

        return ChainWorker(
            "ewc",
            open_client or self.client,
            self.account,
            lambda _address, _chain: self.ledger(),
            jobs,
            limits=self.limits,
            pace=Pace(busy_s=0.01, idle_s=0.02, pause_s_max=0.1),
        )


class Opened:
    """What lives from a start to a crash; ``close`` may be left out, as by a crash."""

    def __init__(self, site: ChainSite, client: ChainClient) -> None:
        self.client, self.ledger = client, site.ledger()
        self.job = site.job(client)
        self._settled = site.settled
        self.sender = Sender(client, site.account(), self.ledger, site.limits, self._tell)

    async def _tell(self, record: Record, receipt: Receipt) -> None:
        self._settled.append(record.key)
        if record.job and receipt.succeeded:
            await self.job.settled(record.key, receipt)

    async def anchor(self) -> bool:
        """Sends what is due, if anything."""
        intent = await self.job.due()
        if intent is not None:
            await self.sender.submit("anchor", intent)
        return intent is not None

    async def settle(self, rounds: int = 200) -> None:
        """Looks until nothing is under way. An anvil makes its block a moment after it has taken the transaction."""
        for _ in range(rounds):
            await self.sender.step()
            if self.sender.under_way is None:
                return
        raise AssertionError(f"still under way: {self.sender.under_way}")

    def close(self) -> None:
        self.client.close()


async def anchored(site: ChainSite, client: ChainClient | None = None) -> list[int]:
    """The sizes in the chain's events, in its order."""
    client = client or site.client()
    topics = [list(statement_topics()), log_of(site.address, site.notes.origin)]
    head = await client.head()
    events = [decode_event(record) for record in await client.logs(site.contract, topics, 0, head.number)]
    return [event.statement.size for event in events if isinstance(event, Anchored)]


class Crash(BaseException):
    """The process ends here."""


def crashing(client: ChainClient, method: str, *, before: bool) -> ChainClient:
    """The same client, whose *method* ends the process, before it did anything or just behind it."""
    real = getattr(client, method)

    async def dying(*args: object, **named: object) -> None:
        if not before:
            await real(*args, **named)
        raise Crash

    setattr(client, method, dying)
    return client
