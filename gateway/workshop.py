"""What the running gateway asks of the composition root: the parts that a config names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateway.config.model import Config
from gateway.log.log import Log
from gateway.reading import Bus, Clock
from gateway.sharing import SharingWorkshop
from gateway.signing import DeviceKey, Purpose
from gateway.sink import Sink

if TYPE_CHECKING:
    from gateway.upstream.settings import UpstreamSettings


class Workshop(SharingWorkshop, Protocol):
    """Makes the parts that a config names; the composition root is one."""

    clock: Clock
    software: str

    def load(self, path: Path) -> Config:
        """The config in that file. Raises ConfigError."""

    async def buses(self, config: Config) -> Sequence[Bus]:
        """The buses with their meters; nothing is opened yet but simulators. Raises ConfigError."""

    def upstreams(self, config: Config) -> Sequence[UpstreamSettings]:
        """What each upstream is; nothing is connected yet. Raises ConfigError."""

    def open_key(self, uri: str, base: Path, *, purpose: Purpose) -> DeviceKey:
        """The key that *uri* names, for another purpose than checkpoints. Blocks. Raises SignerError, ConfigError."""

    def sinks(self, config: Config, log: Log) -> Sequence[Sink]:
        """One sink for each channel; nothing is connected yet. Raises ConfigError."""
