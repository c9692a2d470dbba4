"""The running gateway's side of its witnesses, as small as it can be where there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.model import WitnessConfig
from gateway.log.log import Log
from gateway.state import State
from gateway.task import Supervisor
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.witness.rounds import Witnesses


class WitnessDesk:
    """Starts and stops the witnesses' tasks. *show* publishes a retained value of that name in all channels."""

    def __init__(
        self,
        log: Log,
        directory: Path,
        writer: Writer,
        state: State,
        supervisor: Supervisor,
        show: Callable[[str, bytes], None],
    ) -> None:
        self._parts = (log, directory, writer, state)
        self._supervisor = supervisor
        self._show = show
        self._witnesses: Witnesses | None = None

    def start(self, configs: Sequence[WitnessConfig]) -> None:
        """Begins to ask them."""
        if configs:
            # Imported late: HTTP costs memory that a gateway without witnesses does not spend.
            from gateway.witness.rounds import Witnesses

            self._witnesses = Witnesses(configs, *self._parts, cosigned=lambda note: self._show("cosigned", note))
            self._witnesses.start(self._supervisor)

    async def stop(self) -> None:
        """Ends all tasks; an answer that is under way is forgotten."""
        if self._witnesses is not None:
            await self._witnesses.stop(self._supervisor)
            self._witnesses = None

    def wake(self) -> None:
        """Something became durable: perhaps a checkpoint."""
        if self._witnesses is not None:
            self._witnesses.wake()

    def describe(self) -> list[dict[str, Any]]:
        """What ``status`` shows."""
        return self._witnesses.describe() if self._witnesses is not None else []
