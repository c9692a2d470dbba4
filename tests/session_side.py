"""A wallbox that is rented on a real node: contract, meter readings in a real log, and processes that may die."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.chain import abi
from gateway.chain.client import ChainClient
from gateway.chain.events import Listener
from gateway.chain.rpc import RpcSettings
from gateway.chain.sessions.book import CODES, facts_of
from gateway.chain.sessions.journal import LogJournal, Tail, tell
from gateway.chain.sessions.registers import LogRegister
from gateway.chain.sessions.sessions import Rentable, Sessions
from gateway.chain.totals import MeterPoint
from gateway.errors import UnavailableError
from gateway.log.entry import Kind, decode, definition_body, reading_body
from gateway.log.log import Log
from gateway.log.view import LogView
from gateway.pace import Policy
from gateway.reading import MeterDescription, Moment, PointReading, PointSpec, Reading, Scaled, Status
from gateway.writer import Writer
from tests.chain_nodes import Anvil
from tests.contracts import OnChain, compiled, people_on
from tests.event_side import Kills, MortalState, catch_up
from tests.log_dir import Station
from tests.mosquitto import eventually

T = TypeVar("T")
T0 = 1_760_000_000
CONFIRMATIONS = 3
SEGMENT = 1 << 18
OBJECT, OTHER = bytes(31) + b"\x2a", bytes(31) + b"\x2b"
WALLBOX = MeterDescription(
    name="wallbox",
    model="test",
    digest=bytes(32),
    location="yard",
    points=(PointSpec(name="import_total", obis="1-0:1.8.0", unit="kWh", register="0", monotonic=True),),
)
POINT = MeterPoint(meter="wallbox", point="import_total")
RENT = "emitRented(bytes32,bytes32,address,uint64,uint64,bool,uint128,address,uint128)"
RETURN = "emitReturned(bytes32,bytes32,address,uint64,uint64,uint128)"
NEVER = Policy(commit_ms=10**9, commit_entries=10**9, checkpoint_ms=10**9, checkpoint_entries=10**9)


def value_at(second: int) -> str:
    """What the wallbox's counter says then, where it is read each minute: a Wh each second."""
    return str(Scaled(mantissa=(second - T0) // 60 * 60, exponent=-3))


class Yard:
    """The chain's side: one contract, and people who rent."""

    def __init__(self, node: Anvil) -> None:
        self.node = node
        self.contract = OnChain.deploy(node, compiled("Renting")[1])
        self.anna, self.bert, *_ = people_on(node)

    @property
    def rentable(self) -> Rentable:
        return Rentable(contract=self.contract.address, object_id=OBJECT)

    def at(self, second: int) -> Yard:
        """The next block is of that second behind T0."""
        self.node.rpc("evm_setNextBlockTimestamp", hex(T0 + second))
        return self

    def rent(self, who: str, from_s: int, until_s: int, *, no_return: bool = False, thing: bytes = OBJECT) -> str:
        """The event, whatever it says (seconds behind T0); returns its key."""
        values = [bytes(32), thing, who, T0 + from_s, T0 + until_s, no_return, 5, "0x" + "00" * 20, 0]
        return self._emit(abi.encode_call(RENT, values))

    def give_back(self, who: str, from_s: int, *, until_s: int = 0, thing: bytes = OBJECT) -> str:
        """The same of a return."""
        return self._emit(abi.encode_call(RETURN, [bytes(32), thing, who, T0 + from_s, T0 + until_s, 2]))

    def call(self, who: str, data: bytes, wei: int = 0) -> str:
        """One of the contract's own functions; returns the transaction's hash."""
        call = {"from": who, "to": self.contract.address, "value": hex(wei), "gas": hex(500_000)}
        sent = str(self.node.rpc("eth_sendTransaction", {**call, "data": "0x" + data.hex()}))
        eventually(lambda: self.node.receipt(sent) is not None, what="the receipt")
        return sent

    def _emit(self, data: bytes) -> str:
        log = self.contract.send(data)["logs"][0]
        return f"{log['transactionHash']}:{int(log['logIndex'], 16)}"

    def confirm(self, second: int | None = None) -> None:
        """What happened is deep enough, and the chain's time is *second* there."""
        if second is not None:
            self.at(second)
        self.node.mine(1 + CONFIRMATIONS)


class MortalJournal(LogJournal):
    """The log of a process that may be killed; *durable* is what a power cut leaves of it."""

    def __init__(self, writer: Writer, directory: Path, kills: Kills, durable: Path) -> None:
        super().__init__(writer, directory)
        self._kills, self._durable = kills, durable

    def append(self, code: str, severity: int, subject: str, text: str) -> int:
        # Log.append: when it raises, nothing was appended.
        return self._kills.run(lambda: super(MortalJournal, self).append(code, severity, subject, text), sure=True)

    async def settle(self) -> Tail:
        return await self._kills.run_async(self._settle)

    async def _settle(self) -> Tail:
        tail = await super().settle()
        keep(self._directory, self._durable)
        return tail


async def patiently(act: Callable[[], Awaitable[T]]) -> T:
    """As a task does it: what is not available now is tried again."""
    while True:
        with contextlib.suppress(UnavailableError):
            return await act()


def keep(log: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(log, place)


class Site:
    """The gateway's side: a state directory, and one process after the other on it."""

    def __init__(self, folder: Path, yard: Yard) -> None:
        self.folder, self.yard = folder, yard
        self.station = Station(folder, segment_bytes=SEGMENT)
        self.station.clock.start_ms = T0 * 1000
        self.begin: int | None = 1
        self.state: dict[str, Any] = {}

    def read_wallbox(self, first_s: int, last_s: int, *, every_s: int = 60, status: Status = Status.OK) -> None:
        """Readings of that time, as a process that ended left them."""
        with self.log() as log:
            definition = log.append(Kind.DEFINITION, definition_body(WALLBOX)).seq
            for second in range(T0 + first_s, T0 + last_s + 1, every_s):
                moment = Moment(boottime_ns=second * 10**9, wall_ms=second * 1000, quality="S", error_ms=5)
                value = Scaled(mantissa=second - T0, exponent=-3) if status.has_value else None
                point = PointReading(status=status, raw=b"", value=value)
                log.append(Kind.READING, reading_body(definition, Reading(moment=moment, points=(point,))), moment)

    @contextlib.contextmanager
    def log(self) -> Iterator[Log]:
        log = self.station.start()
        yield log
        log.commit()
        log.close()

    async def run(self, kills: Kills | None = None, *, power: bool = False) -> None:
        """One process: it starts, and ends when it has caught up, or dies; with *power* the whole board does."""
        kills = kills or Kills()
        durable = self.folder / "durable"
        log = self.station.start()
        keep(self.station.directory, durable)
        writer = Writer(log, self.station.signer, NEVER, self.station.clock, lambda: None)
        died = True
        try:
            await self._work(writer, MortalJournal(writer, self.station.directory, kills, durable), kills)
            died = False
        finally:
            writer._disk.shutdown()
            writer._key_store.shutdown()
            if not died:
                log.commit()
            log.close()
            if died and power:
                keep(durable, self.station.directory)

    async def _work(self, writer: Writer, journal: MortalJournal, kills: Kills) -> None:
        node, rentable = self.yard.node, self.yard.rentable
        client = ChainClient(node.chain_id, [RpcSettings(url=node.url)])
        store = MortalState(self.folder / "state.json", kills)
        register = LogRegister(self.station.directory, POINT)
        sessions = Sessions(rentable, client, register, journal, store)
        opened = await patiently(sessions.open)
        listener = Listener(
            rentable.name,
            client,
            rentable.events,
            sessions,
            store,
            partial(tell, journal),
            confirmations=CONFIRMATIONS,
            start=self.begin if opened.start is None else opened.start,
            anew=opened.anew,
        )
        try:
            await patiently(lambda: catch_up(listener))
        finally:
            self.state = sessions.describe()
            client.close()

    def entries(self) -> list[tuple[int, str, int, dict[str, Any]]]:
        """Seq, code, severity and facts of the log's session entries."""
        found = []
        for data in LogView(self.station.directory).entries():
            entry = decode(data)
            if entry.kind is Kind.EVENT and entry.body[0] in CODES:
                facts = facts_of(entry.body[3])
                assert facts is not None
                assert entry.body[2] == "wallbox"
                found.append((entry.seq, entry.body[0], entry.body[1], facts))
        return found

    def codes(self) -> list[str]:
        return [code.removeprefix("session-") for _, code, _, _ in self.entries()]

    def story(self) -> list[dict[str, Any]]:
        """What the entries say, whatever their places in the log, and in which block it was noticed."""
        here = {"opened": None, "block": None, "index": None, "hash": None}
        return [{**facts, **here, "code": code} for _, code, _, facts in self.entries()]
