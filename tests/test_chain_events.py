"""Events of a real node: in order, each once, whatever is killed, and never silently from blocks that are gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.events import TABLE
from gateway.chain.values import Block, LogRecord
from gateway.errors import ChainUnavailable, UnavailableError
from gateway.log.entry import ALARM
from gateway.state import State
from gateway.task import Progress
from tests.chain_nodes import Anvil, Ganache
from tests.event_side import (
    CONFIRMATIONS,
    Board,
    Counter,
    Ear,
    Killed,
    Kills,
    catch_up,
    deep,
    killed_everywhere,
    mine_apart,
)


@pytest.fixture
def chain() -> Iterator[tuple[Anvil, Counter]]:
    """A node that remembers, and can go back."""
    with Anvil() as node:
        yield node, Counter(node)


@pytest.fixture
def board(tmp_path: Path, chain: tuple[Anvil, Counter]) -> Board:
    return Board(tmp_path, chain[0], chain[1].wanted)


def test_events_come_in_order_and_once_through_kills_at_every_commit_point(
    board: Board, chain: tuple[Anvil, Counter]
) -> None:
    """Seeded: the blocks grow meanwhile, ranges are small, and each kill is before or behind a durable write."""
    node, counter = chain
    rng = random.Random(7)
    deaths = 0
    for _ in range(6):
        mine_apart(node, counter, rng, counts=3, blocks_max=4)
        deaths += killed_everywhere(board, rng, runs=4)
    assert deaths >= 8
    asyncio.run(catch_up(board.start()))
    assert board.ear.heard == counter.truth(deep(node))
    assert len(board.ear.heard) > 20
    assert not board.told


def test_each_kill_before_or_behind_a_write_repeats_at_most_what_the_cursor_did_not_cover(
    board: Board, chain: tuple[Anvil, Counter]
) -> None:
    """All commit points of one catch-up, one after the other, each in a chain of its own state."""
    node, counter = chain
    mine_apart(node, counter, random.Random(3), counts=3, blocks_max=2)
    node.mine(CONFIRMATIONS)
    truth = counter.truth(deep(node))
    whole = Kills()
    asyncio.run(catch_up(board.start(whole)))
    assert whole.points > 5
    for at in range(whole.points):
        for behind in (False, True):
            folder = board.folder / f"{at}-{behind}"
            folder.mkdir()
            one = Board(folder, node, counter.wanted)
            with pytest.raises(Killed):
                asyncio.run(catch_up(one.start(Kills(at, behind=behind))))
            listener = one.start()
            asyncio.run(catch_up(listener))
            assert one.ear.heard == truth


def test_a_node_of_another_maker_tells_the_same(tmp_path: Path) -> None:
    """Ganache."""
    with Ganache() as node:
        counter = Counter(node)
        for number in (2, 1, 3):
            counter.count(number, gas=1_000_000)
        node.mine(CONFIRMATIONS)
        board = Board(tmp_path, node, counter.wanted)
        asyncio.run(catch_up(board.start()))
        assert board.ear.numbers == [2, 1, 1, 3, 2, 1]
        assert board.ear.heard == counter.truth(deep(node))
        node.mine(2)
        asyncio.run(catch_up(board.start()))
        assert len(board.ear.heard) == 6


def test_a_block_is_read_only_when_it_is_deep_enough(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """So a reorganisation within that depth is never seen."""
    node, counter = chain
    asyncio.run(catch_up(board.start()))
    counter.count(2)
    node.mine(CONFIRMATIONS - 1)
    asyncio.run(catch_up(board.start()))
    assert board.ear.heard == []
    node.reorg(CONFIRMATIONS)
    node.mine(5)
    counter.count(1)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [1]
    assert board.ear.heard == counter.truth(deep(node))
    assert not board.told


def test_what_came_from_blocks_that_are_gone_is_taken_back_and_told(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """A reorganisation deeper than the confirmations; killed at each point of going back, it ends the same."""
    node, counter = chain
    counter.count(1)
    node.mine(4)
    counter.count(3)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [1, 3, 2, 1]
    gone = [item[2] for item in board.ear.heard[1:]]
    node.reorg(CONFIRMATIONS + 2)
    counter.count(5)
    node.mine(CONFIRMATIONS)
    boards = [board.copy(f"{at} {behind}") for at in range(2) for behind in (False, True)]
    for number, one in enumerate(boards):
        with pytest.raises(Killed):
            asyncio.run(one.start(Kills(number // 2, behind=number % 2 == 1)).step())
    for one in [*boards, board]:
        asyncio.run(catch_up(one.start()))
        assert one.ear.heard == counter.truth(deep(node))
        assert one.ear.numbers == [1, 5, 4, 3, 2, 1]
        assert one.ear.vanished_keys == gone
        code, severity, subject, text = one.told[-1]
        assert (code, severity, subject) == ("chain-reorg", ALARM, "counter")
        assert all(key in text for key in gone)


def test_a_chain_that_changes_while_it_is_read_is_read_again(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """Nothing of a range that is of two chains is handled."""
    node, counter = chain
    node.mine(2)
    asyncio.run(catch_up(board.start()))
    counter.count(2)
    node.mine(CONFIRMATIONS)
    listener = board.start()
    logs = listener._client.logs

    async def shifting(*asked: Any) -> list[LogRecord]:
        records: list[LogRecord] = await logs(*asked)
        assert records
        node.reorg(CONFIRMATIONS + 1)
        return records

    listener._client.logs = shifting  # type: ignore[method-assign]
    with pytest.raises(ChainUnavailable, match="changed while it was read"):
        asyncio.run(listener.step())
    assert board.ear.heard == []
    asyncio.run(catch_up(board.start()))
    assert board.ear.heard == counter.truth(deep(node)) == []
    assert not board.told


def test_a_cursor_that_is_not_believed_counts_no_more_behind_a_crash(
    board: Board, chain: tuple[Anvil, Counter]
) -> None:
    """Whatever the task had done by then."""
    node, counter = chain
    counter.count(3)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))

    class Dying(Ear):
        async def reached(self, block: Block) -> None:
            raise Killed

    with pytest.raises(Killed):
        asyncio.run(board.start(task=Dying(board.folder / "dying"), anew=True).step())
    asyncio.run(catch_up(board.start()))
    assert board.ear.repeats == 3
    assert board.ear.heard == counter.truth(deep(node))


def test_another_chain_under_the_same_name_is_told_and_read_from_its_beginning(
    board: Board, chain: tuple[Anvil, Counter]
) -> None:
    """None of the remembered blocks is left."""
    node, counter = chain
    counter.count(2)
    node.mine(6)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [2, 1]
    node.genesis_s = 1_700_000_000
    node.restart()
    assert Counter(node).address == counter.address
    node.mine(9)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == []
    assert "another chain" in board.told[-1][3]
    counter.count(1)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [1]


def test_a_node_that_is_set_back_is_waited_for(board: Board, chain: tuple[Anvil, Counter], tmp_path: Path) -> None:
    """An older state of the same chain is no reorganisation."""
    node, counter = chain
    old = node.save(tmp_path / "old.json")
    counter.count(2)
    node.mine(5)
    new = node.save(tmp_path / "new.json")
    asyncio.run(catch_up(board.start()))
    node.restart(old)
    asyncio.run(catch_up(board.start()))
    node.restart(new)
    counter.count(1)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [2, 1, 1]
    assert not board.told


def test_an_event_whose_task_fails_comes_again_and_nothing_passes_it(
    board: Board, chain: tuple[Anvil, Counter]
) -> None:
    """Such as when the log takes nothing."""
    node, counter = chain
    counter.count(3)
    node.mine(CONFIRMATIONS)
    listener = board.start()
    heard, handle = board.ear, board.ear.handle

    async def failing(event: object) -> None:
        if len(heard.heard) == 1:
            raise UnavailableError("the log takes nothing")
        await handle(event)  # type: ignore[arg-type]

    heard.handle = failing  # type: ignore[method-assign,assignment]
    with pytest.raises(UnavailableError):
        asyncio.run(listener.step())
    with pytest.raises(UnavailableError):
        asyncio.run(listener.step())
    heard.handle = handle  # type: ignore[method-assign]
    asyncio.run(catch_up(listener))
    assert heard.heard == counter.truth(deep(node))
    assert heard.repeats == 0


def test_a_chain_that_does_not_answer_is_a_state(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """The task goes on, and says what is wrong."""
    node, _ = chain
    node.kill()
    listener = board.start()
    with pytest.raises(ChainUnavailable):
        asyncio.run(listener.step())

    async def run() -> None:
        progress = Progress(0)
        running = asyncio.create_task(listener.run(progress))
        while not listener.trouble:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert "127.0.0.1" in listener.describe()["trouble"]


def test_a_cursor_that_cannot_be_read_is_told(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """It begins again where it began; the task knows what it heard."""
    node, counter = chain
    counter.count(2)
    node.mine(CONFIRMATIONS)
    asyncio.run(catch_up(board.start()))
    State(board.folder / "state.json").set(TABLE, "246 counter", {"block": "x"})
    listener = board.start()
    asyncio.run(catch_up(listener))
    assert board.told[-1][:2] == ("chain-cursor-lost", ALARM)
    assert board.ear.numbers == [2, 1]
    assert board.ear.repeats == 2


def test_without_a_start_it_begins_with_what_comes(board: Board, chain: tuple[Anvil, Counter]) -> None:
    """And goes on from there after a restart, although nothing had come yet."""
    node, counter = chain
    counter.count(2)
    node.mine(CONFIRMATIONS)
    board.begin = None
    asyncio.run(catch_up(board.start()))
    counter.count(1)
    node.mine(CONFIRMATIONS + 2)
    asyncio.run(catch_up(board.start()))
    assert board.ear.numbers == [1]
