"""M-Bus meters on one line: each is read by its primary address, or selected by its secondary one."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.mbus.address import parse_address
from drivers.mbus.master import Master
from drivers.mbus.port import Port
from drivers.telegram import Telegram


class MbusAsker:
    """A ``drivers.asked.Asker``."""

    def __init__(self, port: Port) -> None:
        self._master = Master(port)

    async def ask(self, meter: str) -> Sequence[Telegram]:
        """See ``drivers.asked.Asker``."""
        return await self._master.read(parse_address(meter))

    def close(self) -> None:
        """See ``drivers.asked.Asker``."""
        self._master.close()
