"""Opening a link that was lost: at once, and then with longer and longer pauses."""

from __future__ import annotations

import asyncio

from drivers.transport import Link, LinkLost

REOPEN_S_MIN = 0.5
REOPEN_S_MAX = 10.0


class Door:
    """Opens a link when needed, and waits longer after each failure, so that a missing port costs nothing."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._pause_s = REOPEN_S_MIN
        self._closed_until = 0.0
        self._reason = ""

    async def open(self) -> None:
        """Opens the link unless it is open. Raises LinkLost, at once while a pause lasts."""
        if self.link.is_open:
            return
        now = asyncio.get_running_loop().time()
        if now < self._closed_until:
            raise LinkLost(self._reason)
        try:
            await self.link.open()
        except LinkLost as error:
            self._reason = str(error)
            self._closed_until = asyncio.get_running_loop().time() + self._pause_s
            self._pause_s = min(2 * self._pause_s, REOPEN_S_MAX)
            raise

    def proved(self) -> None:
        """A reply came: the next loss is a new one."""
        self._pause_s = REOPEN_S_MIN
