"""Whose turn it is: polls before guests, and nobody is forgotten."""

from __future__ import annotations

import asyncio

import pytest

from drivers.modbus.turns import Turn, Turns


async def settled() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Scene:
    """Who got the turn, in order."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.done: dict[str, asyncio.Event] = {}

    def enter(self, name: str, rest_s: float = 0) -> None:
        self.done[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._turn(name, rest_s))

    async def _turn(self, name: str, rest_s: float) -> None:
        async with Turn(self.turns, guest=name.startswith("guest")) as turn:
            self.order.append(name)
            if rest_s:
                await turn.rest_until(asyncio.get_running_loop().time() + rest_s)
                self.order.append(f"{name} again")
            await self.done[name].wait()

    async def end(self, *names: str) -> None:
        for name in names:
            await settled()
            self.done[name].set()
            await self.tasks[name]


async def test_guests_come_after_every_poll_that_waits() -> None:
    """Also after one that came later."""
    scene = Scene()
    for name in ("poll 1", "guest 1", "poll 2", "guest 2", "poll 3"):
        scene.enter(name)
    await scene.end("poll 1", "poll 2", "poll 3", "guest 1", "guest 2")
    assert scene.order == ["poll 1", "poll 2", "poll 3", "guest 1", "guest 2"]


async def test_a_guest_never_slips_into_a_rest() -> None:
    """Another poll does; the guest follows when nobody is left."""
    scene = Scene()
    scene.enter("poll 1", rest_s=0.02)
    scene.enter("guest 1")
    scene.enter("poll 2")
    scene.done["poll 1"].set()
    await scene.end("poll 2")
    scene.enter("guest 2")
    await scene.end("poll 1", "guest 1", "guest 2")
    assert scene.order == ["poll 1", "poll 2", "poll 1 again", "guest 1", "guest 2"]


async def test_a_rest_that_is_cancelled_lets_guests_in() -> None:
    """A poll that ended in its rest keeps nobody waiting."""
    scene = Scene()
    scene.enter("poll 1", rest_s=60)
    scene.enter("guest 1")
    await settled()
    assert scene.order == ["poll 1"]
    scene.tasks["poll 1"].cancel()
    await scene.end("guest 1")
    assert scene.order == ["poll 1", "guest 1"]


@pytest.mark.parametrize("granted", [False, True])
async def test_a_guest_that_gives_up_leaves_no_trace(granted: bool) -> None:
    """Whether it still waits, or was granted its turn in the same moment."""
    scene = Scene()
    scene.enter("poll 1")
    scene.enter("guest 1")
    scene.enter("guest 2")
    await settled()
    if granted:
        scene.turns.give()
        scene.turns._taken = True
    scene.tasks["guest 1"].cancel()
    await settled()
    if not granted:
        await scene.end("poll 1")
    await scene.end("guest 2")
    assert scene.order == ["poll 1", "guest 2"]
    if granted:
        scene.tasks["poll 1"].cancel()
