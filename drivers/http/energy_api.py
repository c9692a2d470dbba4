"""Energy Web's Energy API, versions 1, 2 and 3, as a client: measurements that somebody else's server has.

========  =======================================  ====================================================================
version   request                                  reply
========  =======================================  ====================================================================
1         ``/produced``, ``/consumed``             ``{next, device{…}, measuredEnergy: [{accumulated_power,
                                                   measurement_time}]}``; megawatt-hours, accumulated
2         ``/produced/DEVICE``, …                  the same, ``energy`` instead, and ``device`` has ``energy_unit`` and
                                                   ``is_accumulated``
3         ``/asset/ID``, ``/asset/ID/energy``      the asset with ``role``, ``energy_unit``, ``is_accumulated``; then
                                                   ``[{energy, measurementTime}]``
========  =======================================  ====================================================================

Sources: energywebfoundation/ew-link-bond, ``docs/api_contract.yaml`` and ``energyweb/eds/energy_api.py``; the
reference server ew-link-energyapi-server-v3, which writes ``measurement_time``. Both spellings are read everywhere,
and fields that are not known are ignored.

- The address of the server includes its version: ``https://HOST/v2``. A window is 75 minutes, as in the old client.
- ``next`` is a path behind that address, or a query of the same path. A whole URL is refused: it could be anybody's.
- The unit is the asset's; the contract of version 3 says megawatts in one place, and so in no other. Energies are
  watt-hours, exactly, or joules where the asset's unit is the joule. A number may be sent as a text.
- **Accumulated** is a counter: 1-0:2.8.0 (produced), 1-0:1.8.0 (consumed), of the newest measurement. **Not
  accumulated** is the energy of one interval, ``export_interval`` or ``import_interval``, and never a counter: each
  poll gives the oldest one after that which was read last, so none is lost as long as polls are no rarer than
  measurements, and the server has them in the order of their times. After a restart the window is read again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from drivers.http.exact import Number, Unusable, clip, items, kind, member, members, parse, rfc3339, time_ms, word
from drivers.http.points import decoded, point, telegram
from drivers.http.source import Server
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError, MeterUnavailable

VERSIONS = {"energy-api-1": 1, "energy-api-2": 2, "energy-api-3": 3}
WINDOW_MS = 75 * 60_000
PAGES_MAX = 32
_LIMIT = 10
#: The unit without underscores, lower-case → unit and power of ten.
_UNITS = {
    "joule": ("J", 0),
    "watthour": ("Wh", 0),
    "kilowatthour": ("Wh", 3),
    "megawatthour": ("Wh", 6),
    "gigawatthour": ("Wh", 9),
}
_CODES = {
    ("produced", True): "1-0:2.8.0",
    ("consumed", True): "1-0:1.8.0",
    ("produced", False): "export_interval",
    ("consumed", False): "import_interval",
}
_ROLES = {"producer": "produced", "consumer": "consumed"}
_NEXT = re.compile(r"(/[!-~]*|\?[!-~]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the server says of the device."""

    serial: str
    unit: str
    shift: int
    is_accumulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One of its measurements, as sent."""

    at_ms: int
    energy: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One reply of version 1 or 2."""

    device: Device
    measurements: tuple[Measurement, ...]
    #: Where it goes on; empty at the end.
    next: str


def parse_page(data: bytes, version: int) -> Page:
    """One reply of version 1 or 2. Raises Unusable."""
    document = members(parse(data))
    told = members(document, "device")
    follows = document.get("next")
    if follows is not None and not isinstance(follows, str):
        raise Unusable(f"next is {kind(follows)}, not a text")
    if version == 1:
        device = Device(serial=word(told, "serial_number"), unit="Wh", shift=6, is_accumulated=True)
    else:
        device = parse_device(told)
    return Page(device=device, measurements=_measurements(items(document, "measuredEnergy")), next=follows or "")


def parse_device(told: Mapping[str, object]) -> Device:
    """The device of version 2, or the asset of version 3. Raises Unusable."""
    name = member(told, "energy_unit")
    known = _UNITS.get(name.replace("_", "").replace(" ", "").lower()) if isinstance(name, str) else None
    if known is None:
        raise Unusable(f"energy_unit is {clip(name) if isinstance(name, str) else kind(name)}, which is no unit here")
    is_accumulated = member(told, "is_accumulated")
    if not isinstance(is_accumulated, bool):
        raise Unusable(f"is_accumulated is {kind(is_accumulated)}, so it is not known whether its values are a counter")
    return Device(serial=word(told, "serial_number"), unit=known[0], shift=known[1], is_accumulated=is_accumulated)


def parse_energies(data: bytes) -> tuple[Measurement, ...]:
    """The measurements of version 3. Raises Unusable."""
    return _measurements(items(parse(data)))


def _measurements(found: list[object]) -> tuple[Measurement, ...]:
    return tuple(_measurement(members(one)) for one in found)


def _measurement(found: Mapping[str, object]) -> Measurement:
    when = found.get("measurementTime", found.get("measurement_time"))
    if not isinstance(when, str):
        raise Unusable(f"a measurement's time is {kind(when)}, not a text")
    energy = found.get("energy", found.get("accumulated_power"))
    return Measurement(at_ms=time_ms(when), energy=Number(energy) if isinstance(energy, str) else energy)


def choose(device: Device, found: tuple[Measurement, ...], after_ms: int | None) -> Measurement | None:
    """The newest of a counter; of intervals the oldest after *after_ms*, since one read twice would count twice."""
    ordered = sorted(found, key=lambda one: one.at_ms)
    if device.is_accumulated:
        return ordered[-1] if ordered else None
    return next((one for one in ordered if after_ms is None or one.at_ms > after_ms), None)


class EnergyApi:
    """Implements ``drivers.http.source.Source``."""

    def __init__(self, protocol: str, id_: str) -> None:
        """*id_* is ``produced`` (version 1), ``produced/DEVICE`` (2), or the asset's number (3). Raises ConfigError."""
        self._protocol = protocol
        self._version = VERSIONS[protocol]
        direction, _, device = id_.partition("/")
        if self._version == 3:
            good = id_.isascii() and id_.isdecimal()
        else:
            good = direction in _ROLES.values() and bool(device) == (self._version == 2)
        if not good:
            wanted = {1: "produced or consumed", 2: "produced/DEVICE or consumed/DEVICE", 3: "the asset's number"}
            raise ConfigError(f"id {id_!r}: {protocol} wants {wanted[self._version]}")
        self._direction = direction
        ending = f"/{quote(device, safe='')}" if device else ""
        self._path = f"/asset/{id_}" if self._version == 3 else f"/{direction}{ending}"

    async def poll(self, server: Server, now_ms: int, after_ms: int | None) -> Telegram | BrokenTelegram:
        """See ``Source``."""
        start_ms = max(now_ms - WINDOW_MS, 0) if after_ms is None else max(min(after_ms, now_ms), now_ms - WINDOW_MS)
        window = {"start": rfc3339(start_ms), "end": rfc3339(now_ms)}
        replies: list[bytes] = []
        try:
            if self._version == 3:
                direction, device, found = await self._asset(server, window, replies)
            else:
                direction, (device, found) = self._direction, await self._pages(server, window, replies)
        except Unusable as error:
            return BrokenTelegram(protocol=self._protocol, error=str(error), raw=b"\n".join(replies)[:4096])
        chosen = choose(device, found, after_ms)
        if chosen is None:
            new = "" if after_ms is None else " new"
            raise MeterUnavailable(
                f"{server.label}: it has no{new} measurement from {window['start']} to {window['end']}"
            )
        return decoded(self._protocol, b"\n".join(replies), lambda raw: self._telegram(raw, direction, device, chosen))

    def _telegram(self, raw: bytes, direction: str, device: Device, chosen: Measurement) -> Telegram:
        code = _CODES[direction, device.is_accumulated]
        energy = point(code, device.unit, chosen.energy, shift=device.shift, at_ms=chosen.at_ms)
        return telegram(self._protocol, raw, [energy], meter=device.serial, time_ms=chosen.at_ms)

    async def _pages(
        self, server: Server, window: dict[str, str], replies: list[bytes]
    ) -> tuple[Device, tuple[Measurement, ...]]:
        path = f"{self._path}?{urlencode(window | {'limit': str(_LIMIT)})}"
        found: list[Measurement] = []
        seen: set[str] = set()
        while True:
            seen.add(path)
            replies.append(await server.get(path))
            page = parse_page(replies[-1], self._version)
            found += page.measurements
            if not page.next:
                return page.device, tuple(found)
            path = self._following(page.next)
            if path in seen or len(seen) >= PAGES_MAX:
                raise Unusable(f"its pages do not end: more than {PAGES_MAX}, or one that was read already")

    def _following(self, follows: str) -> str:
        if not _NEXT.fullmatch(follows) or follows.startswith("//"):
            raise Unusable(f"next is {clip(follows)}, no path and no query; another server is not asked")
        return self._path + follows if follows.startswith("?") else follows

    async def _asset(
        self, server: Server, window: dict[str, str], replies: list[bytes]
    ) -> tuple[str, Device, tuple[Measurement, ...]]:
        replies.append(await server.get(self._path))
        told = members(parse(replies[-1]))
        role = word(told, "role")
        if role not in _ROLES:
            raise Unusable(f"the asset's role is {clip(role)}, neither producer nor consumer")
        query = {"timeStart": window["start"], "timeEnd": window["end"], "limit": "-1"}
        replies.append(await server.get(f"{self._path}/energy?{urlencode(query)}"))
        return _ROLES[role], parse_device(told), parse_energies(replies[-1])
