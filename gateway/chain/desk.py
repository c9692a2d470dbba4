"""The running gateway's side of its chains, as small as it can be where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gateway.config.chain import ChainConfig
from gateway.log.entry import WARNING
from gateway.log.log import Log
from gateway.signing import DeviceKey, Purpose
from gateway.state import State
from gateway.task import Supervisor
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.chain.opening import Chain


class OpenKey(Protocol):
    """Opens a key by its URI; ``gateway.stores.KeyStores.open_key`` is one."""

    def __call__(self, uri: str, base: Path, *, purpose: Purpose) -> DeviceKey:
        """Blocks. Raises SignerError, ConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What all chains of one gateway share."""

    log: Log
    #: Where the log lies, and what writes it.
    directory: Path
    writer: Writer
    state_dir: Path
    open_key: OpenKey


class ChainDesk:
    """Starts and stops the chains' tasks."""

    def __init__(self, site: Site, supervisor: Supervisor) -> None:
        self._site = site
        self._supervisor = supervisor
        self._chains: dict[str, Chain] = {}
        #: By the chain's name, and for good: behind a reload a thread of before may still write.
        self._states: dict[str, State] = {}

    def start(self, configs: Sequence[ChainConfig]) -> None:
        """Begins to work on them; what is wrong with one shows in its status."""
        for config in configs:
            # Imported late: it costs memory that a gateway without chains does not spend.
            from gateway.chain.opening import Chain

            chain = Chain(config, self._site, self._state(config))
            self._chains[config.name] = chain
            for name, run in chain.tasks().items():
                self._supervisor.start(f"chain {config.name}{name}", run)

    def _state(self, config: ChainConfig) -> State:
        from gateway.chain.opening import open_state

        if config.name not in self._states:
            self._states[config.name] = state = open_state(config, self._site.state_dir)
            if state.recovered:
                self._site.writer.event("state-lost", WARNING, f"chain {config.name}", state.recovered)
        return self._states[config.name]

    async def stop(self) -> None:
        """Ends all tasks. What is under way is in the ledger, and is looked after when they start again."""
        for name, chain in self._chains.items():
            await self._supervisor.stop(*(f"chain {name}{task}" for task in chain.tasks()))
            chain.close()
        self._chains = {}

    def describe(self) -> list[dict[str, Any]]:
        """What ``status`` shows."""
        return [chain.describe() for chain in self._chains.values()]
