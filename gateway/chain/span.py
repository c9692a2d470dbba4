"""How many blocks are asked for at once: many where little happens, fewer where a node says that it is too much.

Nodes limit what one ``eth_getLogs`` may cover, each in its own way: blocks, events, bytes or seconds. So the size is
found out. It grows by half with each answer that had few events. A refused size is halved, or goes back to the one
that was answered just before, and nothing larger is tried for a while, since a limit on blocks stays what it is. An
answer with more events than shall be in memory at once halves it too.
"""

from __future__ import annotations

SPAN_MAX = 10_000
#: An answer with more events halves the next range; with less than a quarter of it the next one grows.
RECORDS_MAX = 1_000
#: Answers after which a size that was refused may be tried again.
MEMORY = 16


class Span:
    """The size of the next range, in blocks."""

    def __init__(self, size: int = SPAN_MAX) -> None:
        self.size = size
        self._max = self._ceiling = size
        #: The size answered last, unless a refusal came behind it.
        self._good = 0
        self._answers = 0

    def refused(self, size: int) -> bool:
        """A node did not want that many blocks at once; False where less is impossible."""
        if size <= 1:
            return False
        self.size = max(size // 2, self._good if self._good < size else 0)
        self._ceiling, self._good, self._answers = self.size, 0, 0
        return True

    def answered(self, size: int, records: int) -> None:
        """*size* blocks had that many events."""
        self._good = size
        self._answers += 1
        if self._answers >= MEMORY:
            self._ceiling = self._max
        if records > RECORDS_MAX:
            self.size = max(1, size // 2)
        elif size == self.size and 4 * records < RECORDS_MAX:
            self.size = max(size, min(size + max(1, size // 2), self._ceiling))
