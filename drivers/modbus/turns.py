"""Whose turn it is on a bus: first come first served, but a poll under way goes before one that has not begun.

A meter may need a rest between two requests. Its poll lends the bus to others meanwhile, and goes on before any other
poll starts, so that the values of one reading stay close together and the line is never idle for a rest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self


class Turns:
    """The right to use one bus."""

    def __init__(self) -> None:
        self._taken = False
        self._returning: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, *, returning: bool = False) -> None:
        """Waits for the right; one that is *returning* from a rest goes first."""
        if not self._taken:
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._returning if returning else self._waiting).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give()  # it was granted in the same moment
            raise

    def give(self) -> None:
        """Passes the right on."""
        for queue in (self._returning, self._waiting):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._taken = False


class Turn:
    """One poll's right to use the bus, as an asynchronous context."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held = False

    async def __aenter__(self) -> Self:
        await self._turns.take()
        self._held = True
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._held:
            self._turns.give()

    async def rest_until(self, moment: float) -> None:
        """Returns when event loop time reached *moment*; others may use the bus meanwhile."""
        pause_s = moment - asyncio.get_running_loop().time()
        if pause_s <= 0:
            return
        self._held = False
        self._turns.give()
        await asyncio.sleep(pause_s)
        await self._turns.take(returning=True)
        self._held = True
