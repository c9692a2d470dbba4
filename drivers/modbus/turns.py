"""Whose turn it is on a bus: first come first served, but a poll under way goes before one that has not begun.

A meter may need a rest between two requests. Its poll lends the bus to others meanwhile, and goes on before any other
poll starts, so that the values of one reading stay close together and the line is never idle for a rest.

Guests, who are no polls of this gateway, come last: they get the bus while no poll is under way, resting or waiting.
So a poll waits for one exchange of a guest at most, and guests wait as long as there are polls.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self


class Turns:
    """The right to use one bus."""

    def __init__(self) -> None:
        self._taken = False
        #: Polls that lend the bus while their meter rests.
        self._resting = 0
        self._returning: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._guests: deque[asyncio.Future[None]] = deque()

    async def take(self, *, returning: bool = False, guest: bool = False) -> None:
        """Waits for the right; one that is *returning* from a rest goes first, a *guest* last."""
        if not self._taken and not (guest and self._resting):
            self._taken = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._returning if returning else self._guests if guest else self._waiting).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give()  # it was granted in the same moment
            raise

    def give(self) -> None:
        """Passes the right on."""
        for queue in (self._returning, self._waiting, self._guests):
            while queue and not (queue is self._guests and self._resting):
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._taken = False

    def lend(self) -> None:
        """Passes the right on for the time of a rest."""
        self._resting += 1
        self.give()

    def rested(self) -> None:
        """The rest is over: the poll has the right again, or was cancelled."""
        self._resting -= 1
        if not self._taken:
            self._taken = True
            self.give()  # guests have waited for this


class Turn:
    """One poll's right to use the bus, or one guest's, as an asynchronous context."""

    def __init__(self, turns: Turns, *, guest: bool = False) -> None:
        self._turns = turns
        self._guest = guest
        self._held = False

    async def __aenter__(self) -> Self:
        await self._turns.take(guest=self._guest)
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
        self._turns.lend()
        try:
            await asyncio.sleep(pause_s)
            await self._turns.take(returning=True)
            self._held = True
        finally:
            self._turns.rested()
