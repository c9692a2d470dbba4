"""The task of one rentable object: reads how far the log got, then listens, until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.chain.events import PAUSE_S_MAX, PAUSE_S_MIN, POLL_S, CursorStore, EventClient, Listener
from gateway.chain.sessions.journal import Journal, tell
from gateway.chain.sessions.registers import Register
from gateway.chain.sessions.sessions import Rentable, Sessions
from gateway.errors import GatewayError
from gateway.task import Progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """What the sessions of one object are made of."""

    rentable: Rentable
    register: Register
    journal: Journal
    store: CursorStore
    confirmations: int
    #: The block to begin with where the log has nothing of them; None: with what comes from now on.
    start: int | None = None
    poll_s: float = POLL_S


class SessionTask:
    """*open_client* is asked when it starts, and again later where it raises."""

    def __init__(self, parts: SessionParts, open_client: Callable[[], EventClient]) -> None:
        self._parts, self._open_client = parts, open_client
        self._sessions: Sessions | None = None
        self._listener: Listener | None = None
        self._trouble = ""

    async def run(self, progress: Progress) -> None:
        """Works until it is cancelled; what goes wrong is a state."""
        pause_s = PAUSE_S_MIN
        while True:
            try:
                listener = await self._open()
                break
            except GatewayError as error:
                if not self._trouble:
                    _log.warning("%s: %s", self._parts.rentable.name, error)
                self._trouble = str(error)
            progress.mark()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)
        self._trouble = ""
        await listener.run(progress)

    async def _open(self) -> Listener:
        parts = self._parts
        client = self._open_client()
        sessions = Sessions(parts.rentable, client, parts.register, parts.journal, parts.store)
        opened = await sessions.open()
        self._sessions = sessions
        self._listener = Listener(
            parts.rentable.name,
            client,
            parts.rentable.events,
            sessions,
            parts.store,
            partial(tell, parts.journal),
            confirmations=parts.confirmations,
            start=parts.start if opened.start is None else opened.start,
            anew=opened.anew,
            poll_s=parts.poll_s,
        )
        return self._listener

    def describe(self) -> dict[str, Any]:
        """What ``status`` shows."""
        rentable = self._parts.rentable
        known = self._sessions.describe() if self._sessions else {"contract": rentable.contract}
        told = self._listener.describe() if self._listener else {"trouble": self._trouble}
        return {**known, **told}
