"""A meter under an optical head that answers when it is asked (IEC 62056-21, modes A, B and C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drivers.iec62056.port import Head
from drivers.iec62056.session import SessionSettings
from drivers.telegram import Telegram
from gateway.errors import MeterProtocolError


class HeadAsker:
    """A ``drivers.asked.Asker`` of the one head at *device*; a meter's id is its device address."""

    def __init__(self, device: str, settings: SessionSettings) -> None:
        self._device = device
        self._settings = settings

    async def ask(self, meter: str) -> Sequence[Telegram]:
        """See ``drivers.asked.Asker``."""
        found = await Head(self._device, replace(self._settings, address=meter)).read_out()
        if not isinstance(found, Telegram):
            raise MeterProtocolError(f"{self._device}: {found.error}")
        return (found,)

    def close(self) -> None:
        """The port is open during a question only."""
