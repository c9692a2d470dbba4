"""A contract that counts on a real node, tasks that remember what they heard, and kills at every commit point."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gateway.chain import abi
from gateway.chain.client import ChainClient
from gateway.chain.event_cursor import Event, Place
from gateway.chain.events import EventFilter, EventTask, Listener
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import Block
from gateway.durable import write_atomically
from gateway.state import State
from tests.chain_nodes import Anvil, ChainNode, deploy

T = TypeVar("T")
COUNTED = "Counted(uint256)"
#: Emits ``Counted(n)``, ``Counted(n - 1)`` … ``Counted(1)`` without data; its call is the topic and n, a word each.
_COUNTER = bytes.fromhex("6020355b80156019578060003560006000a2600190036003565b00")
CONFIRMATIONS = 3


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Kills:
    """Raises at the *at*-th commit point it comes by: before what happens there, or behind it."""

    def __init__(self, at: int = -1, *, behind: bool = False, error: type[BaseException] = Killed) -> None:
        self.at, self.behind, self.error, self.points = at, behind, error, 0

    def _due(self) -> bool:
        self.points += 1
        return self.points - 1 == self.at

    def run(self, act: Callable[[], T], *, sure: bool = False) -> T:
        """*sure*: an error says that nothing was done, so only death can come behind it."""
        due = self._due()
        if due and (not self.behind or (sure and self.error is not Killed)):
            raise self.error
        result = act()
        if due:
            raise self.error
        return result

    async def run_async(self, act: Callable[[], Awaitable[T]]) -> T:
        due = self._due()
        if due and not self.behind:
            raise self.error
        result = await act()
        if due:
            raise self.error
        return result


class MortalState(State):
    """The state file of a process that may be killed while it writes."""

    def __init__(self, path: Path, kills: Kills) -> None:
        super().__init__(path)
        self._kills = kills

    def set(self, table: str, key: str, value: Any) -> None:
        self._kills.run(lambda: super(MortalState, self).set(table, key, value))


class Ear:
    """An ``EventTask`` that keeps what it heard in a file, durably and once."""

    def __init__(self, path: Path, kills: Kills | None = None) -> None:
        self._path, self._kills = path, kills or Kills()
        self.repeats = 0
        #: Block, index, key of what counts, and what has vanished.
        self.heard: list[list[Any]] = []
        self.vanished_keys: list[str] = []
        self.reached_block = -1
        if path.exists():
            self.heard, self.vanished_keys = json.loads(path.read_text())

    @property
    def numbers(self) -> list[int]:
        """The numbers counted, in order."""
        return [item[3] for item in self.heard]

    def _keep(self) -> None:
        data = json.dumps([self.heard, self.vanished_keys]).encode()
        self._kills.run(lambda: write_atomically(self._path, data))

    async def handle(self, event: Event) -> None:
        last: Place = (self.heard[-1][0], self.heard[-1][1]) if self.heard else (-1, -1)
        assert event.record.block_number > self.reached_block, "an event below what was said to be read"
        if event.place <= last:
            self.repeats += 1
            return
        self.heard.append([*event.place, event.key, int.from_bytes(event.record.topics[1], "big")])
        self._keep()

    async def reached(self, block: Block) -> None:
        assert block.number >= self.reached_block
        self.reached_block = block.number

    async def vanished(self, after: int, keys: Sequence[str]) -> None:
        self.reached_block = -1
        gone = [item[2] for item in self.heard if item[0] > after]
        if gone:
            assert set(keys) >= set(gone)
            self.heard = [item for item in self.heard if item[0] <= after]
            self.vanished_keys += gone
            self._keep()


class Counter:
    """The contract on *node*; each count has a transaction."""

    def __init__(self, node: ChainNode) -> None:
        self.node = node
        head = bytes.fromhex(f"60{len(_COUNTER):02x}600c60003960{len(_COUNTER):02x}6000f3")
        self.address = deploy(node, head + _COUNTER)

    @property
    def wanted(self) -> EventFilter:
        return EventFilter.of(self.address, (COUNTED,))

    def count(self, number: int = 1, gas: int = 30_000_000) -> str:
        """Events with *number* down to 1 in one transaction; returns its hash."""
        return self.node.send(to=self.address, data=abi.topic(COUNTED) + number.to_bytes(32, "big"), gas=gas)

    def truth(self, last: int) -> list[list[Any]]:
        """Block, index, key and number of all events up to block *last*, as the node itself tells them."""
        asked = {"address": self.address, "fromBlock": "0x0", "toBlock": hex(last)}
        found: list[list[Any]] = []
        for log in self.node.rpc("eth_getLogs", asked):
            block = int(log["blockNumber"], 16)
            index = found[-1][1] + 1 if found and found[-1][0] == block else 0
            key = f"{log['transactionHash']}:{int(log['logIndex'], 16)}"
            found.append([block, index, key, int(log["topics"][1], 16)])
        return found


class Board:
    """A state directory and what runs on it; ``start`` as often as there are kills."""

    def __init__(self, folder: Path, node: ChainNode, wanted: EventFilter, start: int | None = 1) -> None:
        self.folder, self.node, self.wanted, self.begin = folder, node, wanted, start
        self.told: list[tuple[str, int, str, str]] = []
        self.ear = Ear(folder / "ear")

    async def _tell(self, *event: Any) -> None:
        self.told.append(event)

    def copy(self, name: str) -> Board:
        """The same board in a folder of its own."""
        folder = self.folder / name
        shutil.copytree(self.folder, folder, ignore=lambda _folder, names: [one for one in names if " " in one])
        return Board(folder, self.node, self.wanted, self.begin)

    def client(self) -> ChainClient:
        return ChainClient(self.node.chain_id, [RpcSettings(url=self.node.url)])

    def start(self, kills: Kills | None = None, task: EventTask | None = None, *, anew: bool = False) -> Listener:
        """A new process, as far as anything in memory goes."""
        kills = kills or Kills()
        self.ear = Ear(self.folder / "ear", kills)
        return Listener(
            "counter",
            self.client(),
            self.wanted,
            task or self.ear,
            MortalState(self.folder / "state.json", kills),
            self._tell,
            confirmations=CONFIRMATIONS,
            start=self.begin,
            anew=anew,
            poll_s=0.0,
        )


async def catch_up(listener: Listener) -> None:
    """Steps until there is nothing left to read."""
    while await listener.step():
        pass


def deep(node: ChainNode) -> int:
    """The newest block that counts."""
    return node.head - CONFIRMATIONS


def killed_everywhere(board: Board, rng: random.Random, runs: int) -> int:
    """Lets the board die at random commit points, then catch up; returns how often it was killed."""
    deaths = 0
    for _ in range(runs):
        kills = Kills(rng.randrange(12), behind=rng.random() < 0.5)
        try:
            asyncio.run(catch_up(board.start(kills)))
        except Killed:
            deaths += 1
    return deaths


def mine_apart(node: Anvil, counter: Counter, rng: random.Random, counts: int, blocks_max: int) -> None:
    """Counts at random distances."""
    for _ in range(counts):
        counter.count(rng.randint(1, 4))
        node.mine(rng.randint(1, blocks_max))
