"""The upstreams of a running gateway: started, stopped and described together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import durable, retained
from gateway.poller import OFFLINE, MeterHealth
from gateway.task import Supervisor
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.upstream.settings import UpstreamSettings
    from gateway.upstream.upstream import Upstream


class UpstreamDesk:
    """*log* is the directory of our log; beside it ``upstream/NAME`` is of one each; *show* sets what is retained."""

    def __init__(self, log: Path, writer: Writer, supervisor: Supervisor, show: Callable[[str, bytes], None]) -> None:
        self._directory, self._log = log.parent / "upstream", log
        self._writer, self._supervisor, self._show = writer, supervisor, show
        self._upstreams: list[Upstream] = []
        self._names: list[str] = []

    def start(self, settings: Sequence[UpstreamSettings]) -> None:
        """Starts one task for each. Raises OSError where their directory cannot be made."""
        for each in settings:
            # Imported late: what verifies another log is spent only where one is followed.
            from gateway.upstream.upstream import Upstream

            directory = self._directory / each.name
            durable.make_directory(self._directory)
            upstream = Upstream(each, directory, self._log, self._writer, self._changed)
            self._upstreams.append(upstream)
            self._supervisor.start(f"upstream {each.name}", upstream.run)

    async def stop(self) -> None:
        """Ends them; what was handed over before is in our log."""
        self._names = [health.name for health in self.meters]
        await self._supervisor.stop(*(f"upstream {upstream.name}" for upstream in self._upstreams))
        self._upstreams = []

    @property
    def meters(self) -> list[MeterHealth]:
        """How the meters of all upstreams are doing, as far as they are known."""
        return [health for upstream in self._upstreams for health in upstream.meters.values()]

    def farewell(self) -> dict[str, bytes]:
        """What the retained states of the meters become that there were before ``stop``."""
        return retained.bare_states(self._names, OFFLINE)

    def describe(self) -> list[dict[str, Any]]:
        """What ``status`` shows."""
        return [upstream.describe() for upstream in self._upstreams]

    def _changed(self, health: MeterHealth) -> None:
        self._show(f"meter/{health.name}/status", retained.meter_status(health))
