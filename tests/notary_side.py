"""A Notary on a node, and a gateway's log with the job that tells it of one point: as the config would have it."""

from __future__ import annotations

from pathlib import Path

from gateway.chain.notary.audit import NotaryAudit, Told, audit_notary, series_of
from gateway.chain.notary.job import NotaryJob, NotarySettings
from gateway.chain.notary.store import BatchStore
from gateway.chain.subjects import notary_settings
from gateway.chain.totals import MeterPoint
from gateway.config.chain import NotaryConfig
from gateway.log.view import LogView
from gateway.state import State
from tests.chain_nodes import ChainNode
from tests.contracts import compiled
from tests.job_run import Board, JobRun
from tests.totals_log import EXPORT, CountingLog


def name_of(contract: str, point: MeterPoint) -> str:
    """The job's name."""
    config = NotaryConfig(contract=contract, meter=point.meter, point=point.point, every_ms=0)
    return notary_settings(config).name


class NotarySide:
    """*folder* is the state directory."""

    def __init__(self, folder: Path, node: ChainNode) -> None:
        self.board = Board(folder, node)
        self.log = CountingLog(folder)
        self.contract = self.board.deploy(compiled("Notary")[1])
        self.point = EXPORT
        self.readings_max, self.batches_max = 3, 100

    def job(self, state: State) -> NotaryJob:
        settings = NotarySettings(
            name=name_of(self.contract, self.point),
            contract=self.contract,
            point=self.point,
            every_s=0,
            readings_max=self.readings_max,
            batches_max=self.batches_max,
        )
        return NotaryJob(settings, self.log.totals, self.board.client, self.board.address, self.board.folder)

    def start(self) -> JobRun:
        return self.board.start(self.job)

    async def tell(self, *values: int) -> None:
        """Reads them, and tells them in as many batches as it takes."""
        run = self.start()
        for value in values:
            self.log.read(value)
        while await run.say() is not None:
            pass

    @property
    def store(self) -> BatchStore:
        return self.job(State(self.board.folder / "unused.json")).store

    def files(self) -> list[Path]:
        """The records on the board, oldest first."""
        return sorted((self.board.folder / "chain" / "notary").glob("*/*/*.json"))

    def forge(self, root: bytes) -> None:
        """The gateway's own account tells a root behind its back; anvil only."""
        node, account = self.board.node, self.board.address
        node.rpc("anvil_impersonateAccount", account)
        call = {"from": account, "to": self.contract, "data": "0x654cf88c" + root.hex()}
        self.board.mined(bytes.fromhex(node.rpc("eth_sendTransaction", call)[2:]))
        node.rpc("anvil_stopImpersonatingAccount", account)

    async def audit(self, *views: LogView, points: tuple[MeterPoint, ...] = (EXPORT,), first: int = 0) -> NotaryAudit:
        """All blocks from *first* on against the batches and the log on the disk."""
        series = series_of(self.board.folder, self.contract, points, name_of)
        told = Told(contract=self.contract, operator=self.board.address, series=series)
        head = await self.board.client.head()
        return await audit_notary(
            self.board.client, told, views or [LogView(self.log.station.directory)], (first, head.number)
        )

    def close(self) -> None:
        self.log.log.close()
        self.board.close()
