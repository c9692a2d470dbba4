"""The HTTP sources' part of the composition root: which protocols there are, and how a bus of each is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.catalogue import ProtocolInfo
from gateway.config.model import BusConfig, HttpConfig
from gateway.reading import Bus, Clock
from gateway.secrets import read_secret

if TYPE_CHECKING:
    from drivers.telegram_points import TelegramMeterSettings

#: Their id is who must answer.
_DEVICES = ("eumel-1", "eumel-2", "shelly-1", "shelly-2", "tasmota")
#: They are asked for one of several things: their id says which.
_ADDRESSED = ("fronius", "loxone", "gridx", "energy-api-1", "energy-api-2", "energy-api-3")
#: WattTime's values are of five minutes each.
_WATTTIME = ("watttime-1", "watttime-2", "watttime-3")
_WATTTIME_MS = 300_000


def _check_id(protocol: str, id_: str) -> None:
    """Raises ConfigError for an id that the protocol cannot have."""
    from drivers.http.protocols import PROTOCOLS

    PROTOCOLS[protocol].source(id_)


def _addressed(protocol: str, *, login: bool = False, fresh_ms: int = 0) -> ProtocolInfo:
    check_id = partial(_check_id, protocol)
    return ProtocolInfo(kinds=("http",), needs_id=True, check_id=check_id, login=login, fresh_ms=fresh_ms)


HTTP_PROTOCOLS: Mapping[str, ProtocolInfo] = {
    **{name: ProtocolInfo(kinds=("http",)) for name in _DEVICES},
    **{name: _addressed(name) for name in _ADDRESSED},
    **{name: _addressed(name, login=True, fresh_ms=_WATTTIME_MS) for name in _WATTTIME},
}


def open_http(
    bus: BusConfig, http: HttpConfig, settings: Sequence[TelegramMeterSettings], clock: Clock, state_dir: Path
) -> Bus:
    """The bus of these meters; nothing is asked yet. Raises ConfigError."""
    from drivers.http.asker import http_bus
    from drivers.http.port import DEADLINE_S, Auth, HttpPort, HttpSettings
    from drivers.http.tls import TlsSettings

    auth = Auth(user=http.user, password=http.password, bearer=http.bearer, api_key=http.api_key)
    deadline_s = DEADLINE_S if bus.timeout_ms is None else bus.timeout_ms / 1000
    wanted = HttpSettings(url=http.url, tls=TlsSettings(ca=http.ca, pin=http.pin), auth=auth, deadline_s=deadline_s)
    server = HttpPort(wanted, partial(read_secret, base=state_dir))
    return http_bus(bus.name, bus.protocol, server, settings, clock)
