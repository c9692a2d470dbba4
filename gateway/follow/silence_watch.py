"""Watches at the far side that the log goes on: a channel that brings nothing new for too long is a finding.

News is only a larger checkpoint that fits the entries. A message that comes again is none, so whoever replays what was
sent, or cuts the channel and keeps its connection open, is heard as silence. A log that reads meters always grows: what
cannot be read is a gap entry.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.receiver.run import Finding


class SilenceWatch:
    """*verified* gives the size of the newest checkpoint that fits; it must grow every *limit_s* seconds."""

    def __init__(self, verified: Callable[[], int], limit_s: float) -> None:
        self._verified, self._limit_s = verified, limit_s
        self._size = verified()
        self._since_s: float | None = None
        #: Whether nothing new has come for too long.
        self.silent = False

    def look(self, clock_s: float) -> Finding | None:
        """A finding when the limit has just been passed. *clock_s* is monotonic."""
        size = self._verified()
        if self._since_s is None or size > self._size:
            self._size, self._since_s, self.silent = size, clock_s, False
        if self.silent or clock_s - self._since_s < self._limit_s:
            return None
        self.silent = True
        text = f"nothing new was verified for {self._limit_s:g} s: the gateway, or the way from it, is cut off"
        return Finding(kind="silent", seq=size, text=text)
