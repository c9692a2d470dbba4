"""Meters behind one HTTP server, asked for their documents; ``drivers.asked`` makes a bus of them.

- A reply whose own time has not advanced is no new reading, and says so: never an old value under a new time. One whose
  time went back is none either, once; the next that advances from there is, since a device's clock may be set.
- A server that asks to wait (429 or 503 with ``Retry-After``) is not asked before.
- A reply of another device than the one with the meter's id is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.asked import AskedBus
from drivers.http.exact import rfc3339
from drivers.http.protocols import PROTOCOLS
from drivers.http.source import Server, Source
from drivers.http.status import HttpStatusError
from drivers.telegram import BrokenTelegram, Telegram
from drivers.telegram_points import TelegramMeterSettings
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from gateway.reading import Clock


class _Asked:
    """One meter: how it is asked, and the times of its replies."""

    def __init__(self, source: Source, sender: str) -> None:
        self.source = source
        #: Who must answer; empty for whoever is there.
        self._sender = sender
        #: The time of the last reply, and that of the last one which was a reading.
        self._last_ms: int | None = None
        self.read_ms: int | None = None

    def accept(self, telegram: Telegram) -> None:
        """Raises MeterUnavailable for a telegram that is another's, or no new one."""
        if self._sender not in ("", telegram.meter):
            told = telegram.meter or "a device that does not say who it is"
            raise MeterUnavailable(f"the reply is of {told[:64]}, not of {self._sender}; correct id")
        last, at_ms = self._last_ms, telegram.time_ms
        if at_ms is None:
            return
        self._last_ms = at_ms
        if at_ms in (last, self.read_ms):
            raise MeterUnavailable(f"the reply repeats the reply of {rfc3339(at_ms)}; it is no new reading")
        if last is not None and at_ms < last:
            went = f"the reply is of {rfc3339(at_ms)}, before {rfc3339(last)}"
            raise MeterUnavailable(f"{went}; it is old, or the device's clock was set")
        self.read_ms = at_ms


class HttpAsker:
    """Implements ``drivers.asked.Asker``."""

    def __init__(self, protocol: str, server: Server, ids: Iterable[str], clock: Clock) -> None:
        """*ids* are those of the meters that will be asked. Raises ConfigError for one that *protocol* cannot have."""
        known = PROTOCOLS.get(protocol)
        if known is None:
            raise ConfigError(f"protocol {protocol!r} is none of {', '.join(PROTOCOLS)}")
        self._server = server
        self._clock = clock
        self._quiet_until_ns = 0
        self._meters = {id_: _Asked(known.source(id_), "" if known.is_addressed else id_) for id_ in ids}

    async def ask(self, meter: str) -> Sequence[Telegram]:
        """See ``drivers.asked.Asker``."""
        asked = self._meters[meter]
        found = await self._poll(asked)
        if isinstance(found, BrokenTelegram):
            raise MeterProtocolError(f"{self._server.label}: {found.protocol}: {found.error}")
        asked.accept(found)
        return [found]

    async def _poll(self, asked: _Asked) -> Telegram | BrokenTelegram:
        now = self._clock()
        if now.boottime_ns < self._quiet_until_ns:
            left_s = (self._quiet_until_ns - now.boottime_ns) // 1_000_000_000 + 1
            raise MeterUnavailable(f"{self._server.label} asked not to be asked; {left_s} s are left")
        try:
            return await asked.source.poll(self._server, now.wall_ms, asked.read_ms)
        except HttpStatusError as error:
            self._quiet_until_ns = now.boottime_ns + error.retry_s * 1_000_000_000
            raise

    def close(self) -> None:
        """See ``drivers.asked.Asker``; no connection outlives its request."""


def http_bus(
    name: str, protocol: str, server: Server, meters: Sequence[TelegramMeterSettings], clock: Clock
) -> AskedBus:
    """The bus of these meters. Raises ConfigError."""
    return AskedBus(name, HttpAsker(protocol, server, [meter.id for meter in meters], clock), meters, clock)
