"""Sessions through kill -9 of a real process, and what its task shows of itself."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.chain.sessions.journal import LogJournal
from gateway.chain.sessions.registers import LogRegister
from gateway.chain.sessions.task import SessionParts, SessionTask
from gateway.errors import ConfigError
from gateway.state import State
from gateway.task import Progress
from gateway.writer import Writer
from tests import log_dir
from tests.chain_nodes import Anvil
from tests.parts import ROOT, free_port
from tests.session_side import CONFIRMATIONS, NEVER, POINT, T0, Site, Yard


@pytest.fixture
def yard() -> Iterator[Yard]:
    with Anvil(genesis_s=T0) as node:
        yield Yard(node)


def killed(site: Site, lines: int) -> None:
    """Starts the process and kills it when it has told that many commit points, or nothing more comes."""
    arguments = [str(site.folder), site.yard.node.url, site.yard.contract.address]
    command = [sys.executable, "-m", "tests.session_process", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline() == b".\n"
        process.kill()


def test_kill_9_at_any_write_leaves_each_session_once(yard: Yard, tmp_path: Path) -> None:
    """Seeded; the process is the one that a gateway would be, and the chain goes on meanwhile."""
    rng = random.Random(11)
    site, calm = (Site(tmp_path / name, yard) for name in ("site", "calm"))
    for one in (site, calm):
        one.folder.mkdir()
        one.read_wallbox(0, 3600)
    yard.node.mine(CONFIRMATIONS)
    asyncio.run(site.run())
    assert site.codes() == ["listening"]
    for number in range(5):
        second = 600 * (number + 1)
        yard.at(second).rent(yard.anna, second, second + 900)
        if number % 2:
            yard.at(second + 100).give_back(yard.anna, second)
        yard.confirm()
        # An opening alone has six: the entry, that it is durable, the book, each before and behind.
        killed(site, rng.randint(1, 6))
    yard.confirm(5000)
    for one in (site, calm):
        asyncio.run(one.run())
    assert site.story() == calm.story()
    assert site.codes().count("opened") == site.codes().count("closed") == 5


def test_in_a_new_epoch_of_the_log_the_sessions_go_on(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that ends a session names the log that it began in; a reorganisation takes back what is remembered."""
    site = Site(tmp_path, yard)
    site.read_wallbox(0, 3600)
    yard.at(600).rent(yard.anna, 600, 9000)
    yard.confirm()
    asyncio.run(site.run())
    _, (seq, _, _, opened) = site.entries()
    assert opened["log"] == log_dir.ORIGIN
    site.station.directory.rename(tmp_path / "closed")
    monkeypatch.setattr(log_dir, "DECLARED", replace(log_dir.DECLARED, origin=f"{log_dir.ORIGIN}-2"))
    site.read_wallbox(0, 3600)
    yard.at(1200).give_back(yard.anna, 600)
    yard.confirm()
    for _ in range(2):
        asyncio.run(site.run())
        ((_, code, _, closed),) = site.entries()
        assert (code, closed["opened"], closed["opened_log"]) == ("session-closed", seq, log_dir.ORIGIN)
        assert closed["start"] == opened["start"]
    yard.node.reorg(10)
    yard.node.mine(CONFIRMATIONS)
    asyncio.run(site.run())
    assert site.codes() == ["closed", "void"]
    assert site.entries()[1][3]["entries"] == [site.entries()[0][0]]
    assert site.entries()[1][3]["earlier"] is True
    assert site.state["open"] is None


async def until(task: SessionTask, running: asyncio.Task[None], name: str) -> object:
    """What ``status`` shows under *name*, once it is something."""
    while not task.describe().get(name):
        assert not running.done()
        await asyncio.sleep(0.001)
    return task.describe()[name]


async def stopped(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def parts_of(site: Site, writer: Writer) -> SessionParts:
    return SessionParts(
        rentable=site.yard.rentable,
        register=LogRegister(site.station.directory, POINT),
        journal=LogJournal(writer, site.station.directory),
        store=State(site.folder / "state.json"),
        confirmations=CONFIRMATIONS,
        poll_s=0.01,
    )


async def test_a_task_shows_what_it_waits_for_and_what_is_going_on(yard: Yard, tmp_path: Path) -> None:
    """A chain that cannot be opened, one that does not answer, and a session that has begun."""
    site = Site(tmp_path, yard)
    site.read_wallbox(0, 900)
    log = site.station.start()
    writer = Writer(log, site.station.signer, NEVER, site.station.clock, lambda: None)

    def none() -> ChainClient:
        raise ConfigError("no URL")

    task = SessionTask(parts_of(site, writer), none)
    running = asyncio.create_task(task.run(Progress(0)))
    assert await until(task, running, "trouble") == "no URL"
    assert task.describe()["contract"] == yard.contract.address
    await stopped(running)

    nobody = f"http://127.0.0.1:{free_port()}"
    task = SessionTask(parts_of(site, writer), lambda: ChainClient(246, [RpcSettings(url=nobody)]))
    running = asyncio.create_task(task.run(Progress(0)))
    assert nobody.removeprefix("http://") in str(await until(task, running, "trouble"))
    assert task.describe().items() >= {"meter": "wallbox", "point": "import_total", "open": None}.items()
    await stopped(running)

    yard.node.mine(CONFIRMATIONS)
    task = SessionTask(parts_of(site, writer), lambda: ChainClient(246, [RpcSettings(url=yard.node.url)]))
    running = asyncio.create_task(task.run(Progress(0)))
    await until(task, running, "block")
    rent = await asyncio.to_thread(lambda: yard.at(600).rent(yard.anna, 600, 9000))
    await asyncio.to_thread(yard.confirm)
    assert await until(task, running, "events") == 1
    assert task.describe()["open"] == {"rent": rent, "until": T0 + 9000}
    assert task.describe().items() >= {"trouble": "", "booked": 0}.items()
    await stopped(running)
    await writer.finish()
    log.close()
