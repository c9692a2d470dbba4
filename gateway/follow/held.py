"""Messages that came behind a hole, kept in memory until it is filled: then only the hole has to be asked for.

Without them a far side that is behind would stay behind: while it asks for what it threw away, the next message comes,
and where messages come faster than answers there is always one more.

Nothing is known of these messages but that they chain among themselves, so they are bounded: 4 MiB, those that begin
first. What found no room, or was here when the process ended, is missing like anything else and asked for.
"""

from __future__ import annotations

import bisect

from gateway.receiver.run import Missing

HELD_BYTES_MAX = 4 << 20
#: What a message takes beside its bytes, roughly.
_EACH_BYTES = 128


class Held:
    """Messages by the seq that they begin at."""

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._kept: list[tuple[int, bytes]] = []

    def keep(self, first_seq: int, data: bytes) -> None:
        """Keeps a message, if there is room among those that begin before it."""
        bisect.insort(self._kept, (first_seq, data))
        self._bytes += len(data) + _EACH_BYTES
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.pop()[1]) + _EACH_BYTES

    def take(self, size: int) -> bytes | None:
        """The next message that goes on from *size* entries, or overlaps them; None where a hole is before it."""
        if not self._kept or self._kept[0][0] > size:
            return None
        data = self._kept.pop(0)[1]
        self._bytes -= len(data) + _EACH_BYTES
        return data

    def narrow(self, missing: Missing) -> Missing:
        """*missing* up to what is here."""
        if not self._kept or not missing.from_seq < self._kept[0][0] < missing.to_seq:
            return missing
        return Missing(from_seq=missing.from_seq, to_seq=self._kept[0][0])
