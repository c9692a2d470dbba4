"""Buses that others may read through this gateway: served from after the meters' start to before the buses' end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.config.model import Config
from gateway.reading import Bus
from gateway.task import Progress, Supervisor


class SharedBus(Protocol):
    """The server in front of one bus."""

    @property
    def name(self) -> str:
        """The bus's name."""

    async def run(self, progress: Progress) -> None:
        """Serves until it is cancelled; a port that is taken is tried again."""

    def describe(self) -> dict[str, Any]:
        """What it has done, for status."""


class SharingWorkshop(Protocol):
    """Makes them."""

    def shared(self, config: Config, buses: Sequence[Bus]) -> Sequence[SharedBus]:
        """What serves those of *buses* that the config shares; nothing is opened yet. Raises ConfigError."""


class SharingDesk:
    """The shared buses of the running gateway."""

    def __init__(self, workshop: SharingWorkshop, supervisor: Supervisor) -> None:
        self._workshop = workshop
        self._supervisor = supervisor
        self._shared: Sequence[SharedBus] = ()

    def start(self, config: Config, buses: Sequence[Bus]) -> None:
        """Serves what *config* shares."""
        self._shared = self._workshop.shared(config, buses)
        for shared in self._shared:
            self._supervisor.start(f"proxy {shared.name}", shared.run)

    async def stop(self) -> None:
        """Serves nothing any more. To be called before the buses close: a guest's request would open them again."""
        await self._supervisor.stop(*(f"proxy {shared.name}" for shared in self._shared))
        self._shared = ()

    def describe(self) -> list[dict[str, Any]]:
        """For status."""
        return [shared.describe() for shared in self._shared]
