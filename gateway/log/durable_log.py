"""What others see of a log: only what survives a power cut. ``Segments`` and ``Log`` are such."""

from __future__ import annotations

from typing import Protocol


class DurableLog(Protocol):
    """Its name, its durable size and the newest note over it."""

    @property
    def origin(self) -> str:
        """The log's origin line."""

    @property
    def durable_size(self) -> int:
        """Entries that survive a power cut; only these may leave."""

    @property
    def newest_checkpoint(self) -> bytes | None:
        """The newest durable signed note; its second line is the size."""


class DurableEntries(DurableLog, Protocol):
    """With the entries."""

    def read(
        self, start: int, stop: int | None = None, *, max_entries: int = 1024, max_bytes: int = 256 * 1024
    ) -> list[bytes]:
        """Durable entries from seq *start* on; empty at the end. Costs the same per entry at any depth."""
