"""How a listener catches up: a range at a time, no larger than the node allows, and nothing else in memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.answers import Topics
from gateway.chain.events import Listener
from gateway.chain.refusals import LogsRefused
from gateway.chain.values import Block, LogRecord
from tests.chain_nodes import Anvil
from tests.event_side import CONFIRMATIONS, Board, Counter, Ear, deep


@pytest.fixture(scope="module")
def long_chain() -> Iterator[tuple[Anvil, Counter]]:
    """Thousands of blocks, quick to make."""
    with Anvil(options=("--prune-history",)) as node:
        yield node, Counter(node)


class Narrow:
    """The real client, and a limit on blocks as nodes have them; it counts what was asked."""

    def __init__(self, listener_client: object, blocks_max: int) -> None:
        self._client, self.blocks_max = listener_client, blocks_max
        self.sizes: list[int] = []
        self.refused = 0
        self.held = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    async def logs(self, address: str, topics: Topics, first: int, last: int) -> list[LogRecord]:
        if last - first >= self.blocks_max:
            self.refused += 1
            raise LogsRefused(f"at most {self.blocks_max} blocks")
        records: list[LogRecord] = await self._client.logs(address, topics, first, last)  # type: ignore[attr-defined]
        self.sizes.append(last - first + 1)
        self.held = max(self.held, len(records))
        return records


def narrowed(listener: Listener, blocks_max: int) -> Narrow:
    narrow = Narrow(listener._client, blocks_max)
    listener._client = narrow
    return narrow


class Counting(Ear):
    """Keeps nothing on disk, and counts the events that are in memory at the end of each range."""

    most = 0

    def _keep(self) -> None:
        return None

    async def reached(self, block: Block) -> None:
        await super().reached(block)
        self.most = max(self.most, records_in_memory())


def records_in_memory() -> int:
    return sum(isinstance(one, LogRecord) for one in gc.get_objects())


def test_a_long_catch_up_holds_one_range_and_says_how_far_it_is(
    long_chain: tuple[Anvil, Counter], tmp_path: Path
) -> None:
    """Twenty thousand blocks with 2,903 events, which are more bytes than one answer may have."""
    node, counter = long_chain
    for number in (1500, 1, 1400, 1, 1):
        counter.count(number)
        node.mine(4_000)
    node.mine(CONFIRMATIONS)
    board = Board(tmp_path, node, counter.wanted)
    task = Counting(tmp_path / "counting")
    listener = board.start(task=task)
    narrow = narrowed(listener, 10_000)
    behind = []
    gc.collect()
    before = records_in_memory()

    async def run() -> None:
        while await listener.step():
            behind.append(listener.describe()["behind"])

    asyncio.run(run())
    assert task.heard == counter.truth(deep(node))
    assert len(task.heard) == 2903
    assert behind == sorted(behind, reverse=True)
    assert listener.describe()["behind"] == 0
    assert 0 < task.most - before <= narrow.held < len(task.heard)
    assert listener.span.size > 1000


def test_ranges_shrink_where_a_node_refuses_them_and_grow_again(
    long_chain: tuple[Anvil, Counter], tmp_path: Path
) -> None:
    """A node that gives 900 blocks at a time; later it gives more."""
    node, counter = long_chain
    start = node.head + 1
    node.mine(40_000)
    counter.count(2)
    node.mine(CONFIRMATIONS)
    board = Board(tmp_path, node, counter.wanted, start=start)
    listener = board.start()
    narrow = narrowed(listener, 900)

    async def run() -> None:
        while await listener.step():
            narrow.blocks_max = 900 if len(narrow.sizes) < 20 else 10_000

    asyncio.run(run())
    assert narrow.refused == 5
    assert set(narrow.sizes[1:19]) == {625}
    assert max(narrow.sizes) > 2_000
    assert board.ear.heard == [item for item in counter.truth(deep(node)) if item[0] >= start]
