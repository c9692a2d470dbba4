"""An Origin registry of each release on a node, a gateway enrolled there, and its log."""

from __future__ import annotations

from pathlib import Path

from gateway.chain.origin.audit import OriginAudit, Subject, audit_origin
from gateway.chain.origin.calls import (
    MeterRead,
    Release,
    Role,
    read_address,
    read_event,
    registry,
    topics_of,
    user_registry,
)
from gateway.chain.origin.enrol import Enrolment, RoleA, RoleB, Wanted, enrol, set_roles, set_user_a, set_user_b
from gateway.chain.origin.job import OriginJob, OriginSettings
from gateway.chain.origin.registry import NATIVE, Place, Registry, RegistryA, RegistryB, RegistryC
from gateway.chain.values import Call
from gateway.log.view import LogView
from gateway.state import State
from tests.chain_nodes import ChainNode
from tests.contracts import compiled
from tests.job_run import Board, JobRun
from tests.totals_log import CO2, EXPORT, CountingLog

_CONTRACTS = {Release.A: "OriginA", Release.B: "OriginB", Release.C: "OriginC"}


class OriginSide:
    """Use ``open``. *lookup* is the contract that tells the registries; C has none."""

    def __init__(self, folder: Path, node: ChainNode, release: Release, role: Role) -> None:
        self.release, self.role = release, role
        self.board = Board(folder, node)
        self.log = CountingLog(folder / "gateway")
        self.lookup = self.board.deploy(compiled(_CONTRACTS[release])[1])
        self.contract = self.lookup
        self.asset = 0
        self.enrolment: Enrolment
        #: What the job said of its standing.
        self.told: list[str] = []
        self.every_s = 0.0
        self.hashes = NATIVE
        self.co2 = True
        self.offset_wh = 0

    @classmethod
    async def open(cls, folder: Path, node: ChainNode, release: Release, role: Role = Role.PRODUCING) -> OriginSide:
        """Deployed, with the gateway's account enrolled; the node's own account has the other roles."""
        side = cls(folder, node, release, role)
        if release is not Release.C:
            side.contract = await side.address(registry(role))
            await side.admit(node.dev)
        await side.enrol()
        return side

    async def address(self, question: bytes) -> str:
        return read_address(await self.board.client.read(Call(to=self.lookup, data=question)))

    async def admit(self, user: str) -> None:
        """Makes *user* an asset manager who may enrol."""
        users = await self.address(user_registry())
        if self.release is Release.A:
            calls = [set_user_a(user, ["x"] * 9), set_roles(user, RoleA.ASSET_ADMIN | RoleA.ASSET_MANAGER)]
        else:
            roles = RoleB.USER_ADMIN | RoleB.ASSET_ADMIN | RoleB.ASSET_MANAGER
            calls = [set_user_b(user, "x"), set_roles(user, roles)]
        for data in calls:
            await self.board.send(Call(to=users, data=data))

    def wanted(self) -> Wanted:
        return Wanted(
            release=self.release,
            role=self.role,
            contract=self.contract,
            smart_meter=self.board.address,
            owner=self.board.node.dev,
            capacity_wh=999_999,
        )

    async def enrol(self) -> None:
        self.enrolment = await enrol(self.wanted(), self.board.send)
        self.asset = self.enrolment.asset

    def place(self) -> Place:
        """A and B by the look-up."""
        is_lookup = self.release is not Release.C
        return Place(
            client=self.board.client, role=self.role, asset=self.asset, contract=self.lookup, is_lookup=is_lookup
        )

    def registry(self) -> Registry:
        place, account = self.place(), self.board.address
        if self.release is Release.A:
            return RegistryA(place, account, self.hashes)
        return RegistryB(place, account) if self.release is Release.B else RegistryC(place, account)

    def job(self, state: State) -> OriginJob:
        settings = OriginSettings(
            name=f"origin-{self.release} {self.role} {self.asset}",
            point=EXPORT,
            every_s=self.every_s,
            co2=CO2 if self.co2 else None,
            offset_wh=self.offset_wh,
        )
        return OriginJob(settings, self.registry(), self.log.totals, state, self._tell)

    def _tell(self, standing: str, words: str) -> None:
        self.told.append(f"{standing}: {words}")

    def start(self) -> JobRun:
        """As after a crash."""
        return self.board.start(self.job)

    async def restart(self) -> JobRun:
        """A clean stop, and another run on the same log."""
        self.log.stop()
        self.log.restart()
        return self.start()

    async def reads(self) -> list[MeterRead]:
        """What the registry told of the asset, in order."""
        topics = topics_of(self.release, self.role, self.asset)
        head = await self.board.client.head()
        records = await self.board.client.logs(self.contract, topics, 0, head.number)
        return [read_event(self.release, self.role, record) for record in records]

    def subject(self) -> Subject:
        return Subject(
            release=self.release,
            role=self.role,
            contract=self.contract,
            asset=self.asset,
            point=EXPORT,
            hashes=self.hashes,
            co2=CO2 if self.co2 else None,
            offsets_wh=tuple({0, self.offset_wh}),
        )

    async def audit(self) -> OriginAudit:
        """All blocks against the log on the disk, and against what the registry holds."""
        head, held = await self.board.client.head(), await self.registry().look()
        views = [LogView(self.log.station.directory)]
        return await audit_origin(self.board.client, self.subject(), views, (0, head.number), held_wh=held.total_wh)

    def forge(self, data: bytes) -> None:
        """A transaction of the gateway's own account, behind its back; anvil only."""
        node, account = self.board.node, self.board.address
        node.rpc("anvil_impersonateAccount", account)
        call = {"from": account, "to": self.contract, "data": "0x" + data.hex(), "gas": hex(500_000)}
        self.board.mined(bytes.fromhex(node.rpc("eth_sendTransaction", call)[2:]))
        node.rpc("anvil_stopImpersonatingAccount", account)

    def close(self) -> None:
        self.log.log.close()
        self.board.close()
