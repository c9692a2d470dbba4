"""gridX gridBox, by the live data of a system in the cloud service (``GET /systems/ID/live``, a bearer token).

No interface in the local network is documented, so there is none here; and how a token is had depends on who sells the
box, so the token is given, as a secret.

Sources: the path, the token and the powers in watts from gridX's API reference (developer.gridx.ai); the members and
their meaning from openHAB's GridBox binding and unl0ck/viessmann-gridbox-connector, whose published reply is

::

    {"grid": 83, "photovoltaic": 413, "consumption": 496, "gridMeterReadingPositive": 14499360000,
     "gridMeterReadingNegative": 4318200000, "measuredAt": "2023-08-04T11:29:43Z"}

- ``gridMeterReadingPositive`` and ``…Negative`` are watt-seconds. No reference of gridX's own was found that says so;
  two independent clients do, and the reply above is whole watt-hours only if it is so. They are joules here.
- ``grid`` is positive when energy is taken: consumption less production.
- The other powers are gridX's own reckoning, have no OBIS code, and keep their names. Rates (0 to 1), the battery, the
  heat pump and the charging station are left out.
"""

from __future__ import annotations

import re

from drivers.http.exact import members, parse, time_ms, word
from drivers.http.points import Table, decoded, fields, point, telegram
from drivers.http.source import Document
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError

PROTOCOL = "gridx"
_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)
_COUNTERS = {"gridMeterReadingPositive": "1-0:1.8.0", "gridMeterReadingNegative": "1-0:2.8.0"}
_POWERS: Table = {
    "grid": ("1-0:16.7.0", "W"),
    "photovoltaic": ("photovoltaic", "W"),
    "production": ("production", "W"),
    "consumption": ("consumption", "W"),
    "totalConsumption": ("total_consumption", "W"),
    "directConsumption": ("direct_consumption", "W"),
    "selfConsumption": ("self_consumption", "W"),
    "selfSupply": ("self_supply", "W"),
}


def source(id_: str) -> Document:
    """The live data of the system with that id. Raises ConfigError."""
    if not _ID.fullmatch(id_):
        raise ConfigError(f"id {id_!r}: {PROTOCOL} wants the system's id, as /systems lists it")
    return Document(f"/systems/{id_}/live", decode)


def decode(data: bytes) -> Telegram | BrokenTelegram:
    """One reply."""
    return decoded(PROTOCOL, data, _decode)


def _decode(data: bytes) -> Telegram:
    found = members(parse(data))
    counters = [point(code, "J", found[name]) for name, code in _COUNTERS.items() if name in found]
    at_ms = time_ms(word(found, "measuredAt"))
    return telegram(PROTOCOL, data, [*counters, *fields(found, _POWERS)], time_ms=at_ms)
