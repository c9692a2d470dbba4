"""The gateway's tasks against a real witness in the same loop: what is asked, kept, told and never told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config.model import WitnessConfig
from gateway.log.cosignature import cosignatures
from gateway.log.entry import ALARM
from gateway.log.note import parse_checkpoint
from gateway.state import State
from gateway.task import Supervisor
from gateway.witness.memory import size_seen
from gateway.witness.post import endpoint
from gateway.witness.rounds import Witnesses
from gateway.witness.server import WitnessServer
from gateway.writer import _store_cosigned
from tests.log_dir import ORIGIN, Station
from tests.log_keys import log_key
from tests.whole import DEADLINE_S
from tests.witness_desk import Desk
from tests.witness_side import FORK


class Keeper:
    """Stores into the log as the writer does, and remembers the events."""

    def __init__(self, station: Station) -> None:
        self.station = station
        self.full = False
        self.events: list[tuple[str, int, str]] = []

    async def keep(self, note: bytes) -> bool:
        if not self.full:
            _store_cosigned(self.station.log, note)
        return not self.full

    def event(self, code: str, severity: int, subject: str, text: str) -> None:
        self.events.append((code, severity, subject))


class House:
    """One log, its keeper, its state file and its witnesses."""

    def __init__(self, folder: Path) -> None:
        self.station = Station(folder / "state")
        self.station.start()
        self.station.fill(4)
        self.keeper = Keeper(self.station)
        self.state = State(folder / "state" / "state.json")
        self.shown: list[bytes] = []
        self.witnesses: Witnesses

    @asynccontextmanager
    async def asking(self, *configs: WitnessConfig) -> AsyncIterator[None]:
        """While entered, these witnesses are asked."""
        supervisor = Supervisor()
        log, directory = self.station.log, self.station.directory
        self.witnesses = Witnesses(configs, log, directory, self.keeper, self.state, self.shown.append)
        self.witnesses.start(supervisor)
        try:
            yield
        finally:
            await self.witnesses.stop(supervisor)

    async def until(self, met: Callable[[list[dict]], object]) -> list[dict]:
        """What the witnesses say of themselves, as soon as that is so."""
        async with asyncio.timeout(DEADLINE_S):
            while not met(said := self.witnesses.describe()):
                await asyncio.sleep(0)
        return said


@asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[str]:
    """The URL of a witness in this loop."""
    server = WitnessServer(desk.service)
    port = await server.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop()


def config(url: str, desk: Desk, name: str = "w", every_ms: int = 60_000) -> WitnessConfig:
    """A witness of the config file."""
    return WitnessConfig(name=name, url=url, vkey=desk.key.text, every_ms=every_ms, ca=None)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A log with a few checkpoints."""
    return House(tmp_path)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A witness that knows the house's log."""
    return Desk(tmp_path / "witness")


def _states(*wanted: str) -> Callable[[list[dict]], bool]:
    return lambda said: [witness["state"] for witness in said] == list(wanted)


async def test_a_cosigned_checkpoint_is_stored_and_then_shown(house: House, desk: Desk) -> None:
    """The note in the log is the one that is shown, and both have the witness's line."""
    async with served(desk) as url, house.asking(config(url, desk)):
        said = await house.until(_states("cosigned"))
    (shown,) = house.shown
    assert house.station.log.newest_checkpoint == shown
    (found,) = cosignatures(shown, [desk.key])
    assert said[0] == {
        "name": "w",
        "state": "cosigned",
        "size": parse_checkpoint(shown).size,
        "cosigned_ms": found.time_s * 1000,
        "error": "",
    }


async def test_a_checkpoint_signed_meanwhile_stays_the_newest(house: House, desk: Desk) -> None:
    """The cosignature of an older one is stored, and the newer one stands behind it again."""
    older = house.station.log.newest_checkpoint
    assert older is not None
    house.station.read_meter(3)
    house.station.log.commit()
    newer = house.station.sign()
    _store_cosigned(house.station.log, older)
    assert house.station.log.newest_checkpoint == newer
    house.station.log.close()
    assert house.station.verify().verdict == "intact"


async def test_a_witness_that_knows_an_older_size_gets_the_proof_from_there(house: House, desk: Desk) -> None:
    """After a restart nothing is known of it: it says where it is, and is believed as far as the proof goes."""
    async with served(desk) as url:
        async with house.asking(config(url, desk)):
            await house.until(_states("cosigned"))
        house.station.fill(8)
        async with house.asking(config(url, desk)):
            said = await house.until(_states("cosigned"))
    assert said[0]["size"] == house.station.log.durable_size
    assert house.keeper.events == []


@pytest.mark.parametrize(("logs", "words"), [({}, "have it added there"), ({ORIGIN: (log_key(9),)}, "another key")])
async def test_a_witness_that_does_not_know_the_log_is_a_fault_of_the_config(
    house: House, desk: Desk, logs: dict, words: str
) -> None:
    """404 and 403, each with its remedy; no alarm."""
    desk.service.replace_logs(logs)
    async with served(desk) as url, house.asking(config(url, desk)):
        said = await house.until(_states("misconfigured"))
    assert words in said[0]["error"]
    assert house.keeper.events == []


async def test_a_refusal_is_an_alarm_once(house: House, desk: Desk) -> None:
    """The witness has cosigned another history of this log: its words are kept, and told once, however often asked."""
    assert desk.ask(0, 9, store=FORK).status == 200
    async with served(desk) as url, house.asking(config(url, desk, every_ms=1)):
        said = await house.until(_states("refused"))
        (witness,) = house.witnesses._all
        for _ in range(3):
            assert not await witness._ask()
    assert "contradicts what it has seen: the proof does not lead from size 9" in said[0]["error"]
    assert house.keeper.events == [("witness-refused", ALARM, "w")]
    assert [item.kind for item in desk.records.evidence()] == ["unproved"]


async def test_a_witness_that_has_seen_more_is_an_alarm_and_remembered(house: House, desk: Desk) -> None:
    """The size is in the state file, so that the next start takes it for published; told once."""
    assert desk.ask(0, 250).status == 200
    async with served(desk) as url, house.asking(config(url, desk)):
        said = await house.until(_states("ahead"))
        (witness,) = house.witnesses._all
        assert not await witness._ask()
    assert "has cosigned size 250" in said[0]["error"]
    assert house.keeper.events == [("rolled-back", ALARM, "w")]
    assert size_seen(State(house.station.state / "state.json"), ORIGIN) == 250


async def test_a_size_that_the_log_has_reached_is_no_rollback(house: House, desk: Desk) -> None:
    """The checkpoint asked for may be older than what the witness saw: no alarm, and the next one is cosigned."""
    size = house.station.log.durable_size
    house.station.read_meter(20)
    house.station.log.commit()
    assert desk.ask(0, size + 20).status == 200
    async with served(desk) as url, house.asking(config(url, desk)):
        (witness,) = house.witnesses._all
        async with asyncio.timeout(DEADLINE_S):
            while not witness._failures:
                await asyncio.sleep(0)
        assert house.witnesses.describe()[0]["state"] == "waiting"
    assert house.keeper.events == []
    assert size_seen(house.state, ORIGIN) == 0


@pytest.mark.parametrize("remembered", [None, -1, True, "250", 2.5, [250]])
def test_a_strange_memory_counts_as_none(house: House, remembered: object) -> None:
    """The state file is not trusted to hold what was written."""
    house.state.set("witnessed", ORIGIN, remembered)
    assert size_seen(house.state, ORIGIN) == 0


async def test_what_the_disk_did_not_store_is_not_shown(house: House, desk: Desk) -> None:
    """The cosignature is asked for again; nothing leaves that is not durable."""
    house.keeper.full = True
    async with served(desk) as url, house.asking(config(url, desk)):
        await house.until(_states("faulty"))
        assert house.shown == []


async def test_two_witnesses_come_together_on_one_checkpoint(house: House, tmp_path: Path) -> None:
    """The second is asked for what the first has cosigned, though the log has a newer checkpoint by then."""
    first, second = Desk(tmp_path / "a"), Desk(tmp_path / "b", seed=6)
    async with (
        served(first) as url,
        served(second) as other_url,
        house.asking(config(url, first, "a"), config(other_url, second, "b")),
    ):
        a, b = house.witnesses._all
        b._target, target = endpoint("b", "http://127.0.0.1:1", None), b._target
        await house.until(_states("cosigned", "away"))
        house.station.read_meter(3)
        house.station.log.commit()
        house.station.sign()
        b._target = target
        assert await b._ask()
    assert a.describe()["size"] == b.describe()["size"] < house.station.log.durable_size
    assert [found.key for found in cosignatures(house.shown[-1], [first.key, second.key])] == [first.key, second.key]


async def test_a_silent_witness_delays_no_other(house: House, desk: Desk) -> None:
    """One that accepts and says nothing: the other one cosigns meanwhile."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with served(desk) as url:
        configs = config(f"http://127.0.0.1:{port}", desk, "silent"), config(url, desk, "lively")
        async with house.asking(*configs):
            await house.until(lambda said: [witness["state"] for witness in said][1] == "cosigned")
    silent.close()
