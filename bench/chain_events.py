"""Catching up on the events of a million blocks of a real node (anvil): how long, and what is in memory meanwhile.

The node is filled once: blocks with nothing in them, and in each thousandth one a transaction with twenty events. It
takes about three gigabytes for that. Each catch-up is a process of its own, whose resident memory is read before it and
at its highest (``VmHWM``). The comparison asks for the same ranges and keeps what comes, as a list of all events does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.chain.client import ChainClient
from gateway.chain.event_cursor import Event
from gateway.chain.events import EventFilter, Listener
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import Block
from gateway.state import State

BLOCKS, EACH, EVENTS = 1_000_000, 1_000, 20
CONFIRMATIONS = 12


def rows() -> list[dict[str, Any]]:
    """The figures."""
    with tempfile.TemporaryDirectory() as folder, filled_node() as (url, address):
        ours, kept = (_work(how, url, address, Path(folder) / how) for how in ("ours", "kept"))
    events = BLOCKS // EACH * EVENTS
    return [
        {
            "figure": f"catch-up of {BLOCKS:,} blocks with {events:,} events: resident memory on top",
            "goal": "not held in memory",
            "measured": f"{ours['kb'] / 1024:.1f} MB in {ours['seconds']:.0f} s, at most {ours['most']} events at once",
            "comparison": f"the same, all events kept: {kept['kb'] / 1024:.1f} MB in {kept['seconds']:.0f} s",
            "met": ours["events"] == kept["events"] == events and ours["kb"] < kept["kb"] / 2,
        }
    ]


@contextmanager
def filled_node(blocks: int = BLOCKS) -> Iterator[tuple[str, str]]:
    """URL of a node with so many blocks, and the address of the contract whose events are in them."""
    # Imported here: what measures shall not hold the tests' modules.
    from tests.chain_nodes import Anvil
    from tests.event_side import Counter

    with Anvil(options=("--prune-history",)) as node:
        counter = Counter(node)
        for _ in range(blocks // EACH):
            counter.count(EVENTS)
            node.mine(EACH - 1)
        node.mine(CONFIRMATIONS)
        yield node.url, counter.address


def _work(how: str, url: str, address: str, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, "-m", "bench.chain_events", how, url, address, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Sink:
    """An ``EventTask`` that counts, and keeps nothing unless it is told to."""

    def __init__(self, *, keep: bool) -> None:
        self.events, self._keep = 0, keep
        self.kept: list[Event] = []

    async def handle(self, event: Event) -> None:
        self.events += 1
        if self._keep:
            self.kept.append(event)

    async def reached(self, block: Block) -> None:  # noqa: ARG002
        return None

    async def vanished(self, after: int, keys: Sequence[str]) -> None:  # noqa: ARG002
        raise AssertionError("the node went back")


async def _tell(*event: object) -> None:
    raise AssertionError(event)


async def _catch_up(how: str, url: str, address: str, folder: Path) -> dict[str, Any]:
    client = ChainClient(246, [RpcSettings(url=url)])
    sink = Sink(keep=how == "kept")
    wanted = EventFilter.of(address, ("Counted(uint256)",))
    listener = Listener(
        "bench", client, wanted, sink, State(folder / "state.json"), _tell, confirmations=CONFIRMATIONS, start=1
    )
    await client.head()
    before, began = _memory_kb("VmRSS"), time.monotonic()
    most = last = 0
    more = True
    while more:
        more = await listener.step()
        most, last = max(most, sink.events - last), sink.events
    seconds = time.monotonic() - began
    return {"kb": _memory_kb("VmHWM") - before, "seconds": seconds, "events": sink.events, "most": most}


def _memory_kb(what: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asyncio.run(_catch_up(*sys.argv[1:4], Path(sys.argv[4])))))
    else:
        for row in rows():
            print(row)
