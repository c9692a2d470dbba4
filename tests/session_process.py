"""A process of its own that follows the rents of a wallbox and tells each write, so that it can be killed there.

``python -m tests.session_process FOLDER URL CONTRACT``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.chain.sessions.registers import LogRegister
from gateway.chain.sessions.sessions import Rentable
from gateway.chain.sessions.task import SessionParts, SessionTask
from gateway.task import Progress
from gateway.writer import Writer
from tests.event_side import Kills, MortalState
from tests.log_dir import Station
from tests.session_side import CONFIRMATIONS, NEVER, OBJECT, POINT, SEGMENT, T0, MortalJournal

T = TypeVar("T")


class Loud(Kills):
    """Says a line before and behind each commit point."""

    def run(self, act: Callable[[], T], *, sure: bool = False) -> T:
        print(".", flush=True)
        result = act()
        print(".", flush=True)
        return result

    async def run_async(self, act: Callable[[], Awaitable[T]]) -> T:
        print(".", flush=True)
        result = await act()
        print(".", flush=True)
        return result


async def main(folder: Path, url: str, contract: str) -> None:
    station = Station(folder, segment_bytes=SEGMENT)
    station.clock.start_ms = T0 * 1000
    log = station.start()
    writer = Writer(log, station.signer, NEVER, station.clock, lambda: None)
    loud = Loud()
    parts = SessionParts(
        rentable=Rentable(contract=contract, object_id=OBJECT),
        register=LogRegister(station.directory, POINT),
        journal=MortalJournal(writer, station.directory, loud, folder / "durable"),
        store=MortalState(folder / "state.json", loud),
        confirmations=CONFIRMATIONS,
        poll_s=0.02,
    )
    await SessionTask(parts, lambda: ChainClient(246, [RpcSettings(url=url)])).run(Progress(0))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:4]))
