"""The durable cursor of one sink into one log: the seq of the next entry that the far side has not confirmed.

Kept in the table ``cursors`` under ``SINK ORIGIN``; another origin starts at 0. The stored value is never ahead of what
was confirmed. It lags behind by up to ten seconds, or 10,000 entries of a catch-up: a crash in between leaves entries
that are sent again, which (origin, seq) lets a receiver recognise. Saving it each second would wear an SD card more
than the log does; only the first confirmation of a run is saved after one second, so that a gateway that is killed
again and again still gets on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from gateway.errors import UnavailableError
from gateway.packing import LogReader

SAVE_S = 10
FIRST_SAVE_S = 1
SAVE_ENTRIES = 10_000
_TABLE = "cursors"

_log = logging.getLogger(__name__)


class CursorTable(Protocol):
    """All that is kept of one kind; ``gateway/state.py`` is one."""

    def items(self, table: str) -> dict[str, Any]:
        """All keys and values of *table*."""


class CursorStore(Protocol):
    """Where cursors live; ``gateway/state.py`` is one."""

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""

    def set(self, table: str, key: str, value: Any) -> None:
        """On return the value is durable. Blocks; called from threads. Raises UnavailableError."""


def confirmed_size(store: CursorTable, origin: str) -> int:
    """How many entries of the log *origin* any far side has confirmed, as far as *store* remembers."""
    found = [seq for key, seq in store.items(_TABLE).items() if key.rpartition(" ")[2] == origin and type(seq) is int]
    return max(found, default=0)


class Cursor:
    """Moves forward only. All methods belong to the event loop's thread."""

    def __init__(self, store: CursorStore, sink: str, log: LogReader) -> None:
        self._store = store
        # A channel's name has no space.
        self._key = f"{sink} {log.origin}"
        #: What an operator should know of the cursor's past, in words.
        self.notices: list[str] = []
        self.seq = self._load(log)
        self._saved = self.seq
        self._timer: asyncio.TimerHandle | None = None
        self._saver: asyncio.Task[None] | None = None
        self._save_s = FIRST_SAVE_S

    def advance(self, seq: int) -> None:
        """The far side has confirmed all below *seq*."""
        self.seq = max(self.seq, seq)
        if self.seq - self._saved >= SAVE_ENTRIES:
            self._save_soon()
        elif self._timer is None and self.seq > self._saved:
            self._timer = asyncio.get_running_loop().call_later(self._save_s, self._save_soon)

    def pass_over(self, seq: int) -> None:
        """What is below *seq* was pruned before this channel was there, and cannot be sent any more."""
        self._notice(
            f"entries {self.seq} to {seq - 1} were pruned before this channel could get them; it goes on behind"
        )
        self.advance(seq)

    async def save(self) -> None:
        """On return the stored cursor is the present one, if the disk took it; if not, a notice says so."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._saver is not None:
            await asyncio.wait({self._saver})
        await self._save()

    def _save_soon(self) -> None:
        if self._saver is None or self._saver.done():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            self._save_s = SAVE_S
            self._saver = asyncio.create_task(self._save())

    async def _save(self) -> None:
        seq = self.seq
        if seq == self._saved:
            return
        try:
            # In a thread: the state file is synced to the disk, and delivery goes on meanwhile.
            await asyncio.to_thread(self._store.set, _TABLE, self._key, seq)
        except UnavailableError as error:
            self._notice(f"its cursor was not saved, so a restart repeats messages: {error}")
        # After a failure as well, so that a broken disk is not asked again with each message.
        self._saved = seq

    def _load(self, log: LogReader) -> int:
        value = self._store.get(_TABLE, self._key)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._notice(f"its stored cursor {value!r:.40} is not a seq: the log is sent again from entry 0")
            return 0
        if value > log.durable_size:
            self._notice(
                f"the far side has confirmed {value} entries, but the log {log.origin} has {log.durable_size}: it was "
                "set back; sending goes on at its end"
            )
        return min(value, log.durable_size)

    def _notice(self, text: str) -> None:
        _log.warning("channel %s: %s", self._key.split(" ", 1)[0], text)
        # The newest few: a disk that stays broken must not fill the memory.
        self.notices[:] = [*self.notices[-7:], text]
