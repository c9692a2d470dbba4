"""WattTime, the carbon intensity of a grid region, as a meter over HTTP: it has a bus, so it delays no other meter.

=======  ============================================  =================================================================
version  login                                         value
=======  ============================================  =================================================================
1        POST ``/obtain-token-auth/``, a form          ``/marginal/`` ``results[0].marginal_carbon.value``, lb/MWh
2        GET ``/login``, Basic                         ``/index`` ``moer``, lb/MWh, and ``percent``
3        GET ``/login``, Basic                         ``/v3/signal-index`` (percentile), or with a subscription
                                                       ``/v3/forecast``, ``/v3/historical`` ``data[].value`` in
                                                       ``meta.units``
=======  ============================================  =================================================================

Sources: docs.watttime.org (version 3, with its limits: 3,000 requests in 5 minutes, 100 logins),
legacy-docs.watttime.org (version 2); for version 1, which is gone, energywebfoundation/ew-link-bond.

- The address includes the version where the table does not: ``https://api.watttime.org`` (3),
  ``https://api2.watttime.org/v2`` (2), ``https://api.watttime.org/api/v1`` (1).
- A token lasts 30 minutes; it is used for 25, and a new one is had when it is refused (401), once in a poll.
- Points: ``moer``, the marginal operating emissions rate, is the number as sent, in lb/MWh; ``carbon_intensity`` is the
  same in g/kWh. One pound is exactly 453.59237 g, so a lb/MWh is exactly 0.45359237 g/kWh; a number with more digits
  than can be held so is not rounded, but invalid. A percentile, ``moer_percentile``, is no intensity.
- The time is the one that the value is of. Of a forecast the value that is due next counts; of the past the newest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from drivers.http.exact import Number, Unusable, clip, items, member, members, parse, rfc3339, time_ms, word
from drivers.http.exchange import Request
from drivers.http.points import point, telegram
from drivers.http.source import Server
from drivers.http.status import HttpStatusError
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.errors import ConfigError

VERSIONS = {"watttime-1": 1, "watttime-2": 2, "watttime-3": 3}
TOKEN_MS = 25 * 60_000
_WINDOW_MS = 3_600_000
LB_PER_MWH, PERCENT = "lb/MWh", "%"
_UNITS = {"lbs_co2_per_mwh": LB_PER_MWH, "percentile": PERCENT, "percent": PERCENT}
#: Of one pound in a megawatt-hour: grams in a kilowatt-hour, × 10⁻⁸.
_G_PER_KWH = 45_359_237
#: What version 3 is asked for.
SIGNALS = ("signal-index", "forecast", "historical")
_REGION = re.compile(r"[0-9A-Za-z_.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WattTimeSettings:
    """Which value."""

    version: int
    #: Version 3's region, before that the balancing authority, such as ``CAISO_NORTH``.
    region: str
    #: One of ``SIGNALS``; of version 3 only.
    signal: str = SIGNALS[0]


def parse_id(protocol: str, id_: str) -> WattTimeSettings:
    """``REGION``, of version 3 also ``SIGNAL/REGION``. Raises ConfigError."""
    version = VERSIONS[protocol]
    signal, mark, region = id_.rpartition("/")
    if not _REGION.fullmatch(region) or (mark and (version != 3 or signal not in SIGNALS)):
        wanted = f"REGION, or {', '.join(f'{one}/REGION' for one in SIGNALS)}" if version == 3 else "the region"
        raise ConfigError(f"id {id_[:80]!r}: {protocol} wants {wanted}, such as CAISO_NORTH")
    return WattTimeSettings(version=version, region=region, signal=signal or SIGNALS[0])


def parse_points(data: bytes, settings: WattTimeSettings) -> tuple[list[TelegramPoint], int]:
    """The points of a reply, and the Unix milliseconds that they are of. Raises Unusable."""
    document = members(parse(data))
    if settings.version == 1:
        results = items(document, "results")
        if not results:
            raise Unusable("it has no result")
        value = member(results[0], "marginal_carbon", "value")
        return _points(LB_PER_MWH, value), time_ms(word(results[0], "timestamp"))
    if settings.version == 2:
        told = [
            (unit, document[name]) for name, unit in (("moer", LB_PER_MWH), ("percent", PERCENT)) if name in document
        ]
        return [one for unit, value in told for one in _points(unit, value)], time_ms(word(document, "point_time"))
    return _series(document, settings)


def _series(document: Mapping[str, object], settings: WattTimeSettings) -> tuple[list[TelegramPoint], int]:
    told = word(document, "meta", "units")
    unit = _UNITS.get(told)
    if unit is None:
        raise Unusable(f"meta.units is {clip(told)}, which is no unit here")
    if (region := word(document, "meta", "region")) not in ("", settings.region):
        raise Unusable(f"it is of the region {clip(region)}, not of {settings.region}")
    found = sorted((time_ms(word(one, "point_time")), n) for n, one in enumerate(items(document, "data")))
    if not found:
        raise Unusable("it has no data")
    at_ms, index = found[-1] if settings.signal == "historical" else found[0]
    return _points(unit, member(items(document, "data")[index], "value")), at_ms


def _points(unit: str, value: object) -> list[TelegramPoint]:
    # Version 2 sends its numbers as texts.
    number = Number(value) if isinstance(value, str) else value
    if unit == PERCENT:
        return [point("moer_percentile", PERCENT, number)]
    return [
        point("moer", LB_PER_MWH, number),
        point("carbon_intensity", "g/kWh", number, times=_G_PER_KWH, shift=-8),
    ]


def parse_token(data: bytes) -> str:
    """The token of a login. Raises Unusable."""
    token = word(parse(data), "token")
    if not (token.isascii() and token.isprintable() and 0 < len(token) <= 8192 and " " not in token):
        raise Unusable("it has no usable token")
    return token


class WattTime:
    """Implements ``drivers.http.source.Source``. Between polls it keeps its token, and nothing else."""

    def __init__(self, protocol: str, id_: str) -> None:
        """Raises ConfigError for an id that is no region."""
        self._protocol = protocol
        self._settings = parse_id(protocol, id_)
        #: And when it was had. A clock that is set costs a login, or a token that is refused, which costs the same.
        self._token: tuple[str, int] | None = None

    async def poll(self, server: Server, now_ms: int, after_ms: int | None) -> Telegram | BrokenTelegram:  # noqa: ARG002
        """See ``Source``."""
        data = b""
        try:
            data = await self._document(server, now_ms)
            found, at_ms = parse_points(data, self._settings)
            return telegram(self._protocol, data, found, time_ms=at_ms)
        except Unusable as error:
            return BrokenTelegram(protocol=self._protocol, error=str(error), raw=data[:4096])

    async def _document(self, server: Server, now_ms: int) -> bytes:
        """The reply with the value; a token that is refused is had anew, once."""
        kept = self._token
        if kept is not None and 0 <= now_ms - kept[1] <= TOKEN_MS:
            try:
                return await self._ask(server, kept[0], now_ms)
            except HttpStatusError as error:
                if error.status != HTTPStatus.UNAUTHORIZED:
                    raise
        return await self._ask(server, await self._login(server, now_ms), now_ms)

    async def _ask(self, server: Server, token: str, now_ms: int) -> bytes:
        scheme = "Token" if self._settings.version == 1 else "Bearer"
        return await server.ask(Request(path=self._path(now_ms), authorization=f"{scheme} {token}"))

    async def _login(self, server: Server, now_ms: int) -> str:
        if self._settings.version == 1:
            user, password = server.credentials()
            form = urlencode({"username": user, "password": password}).encode()
            reply = await server.ask(Request(path="/obtain-token-auth/", body=form))
        else:
            reply = await server.get("/login")
        token = parse_token(reply)
        self._token = (token, now_ms)
        return token

    def _path(self, now_ms: int) -> str:
        settings = self._settings
        window = {"start": rfc3339(now_ms - _WINDOW_MS), "end": rfc3339(now_ms)}
        if settings.version == 1:
            old = {"start_at": window["start"], "end_at": window["end"], "page_size": "1", "market": "RTHR"}
            return f"/marginal/?{urlencode({'ba': settings.region} | old)}"
        if settings.version == 2:
            return f"/index?{urlencode({'ba': settings.region, 'style': 'all'})}"
        query = {"region": settings.region, "signal_type": "co2_moer"}
        return f"/v3/{settings.signal}?{urlencode(query | (window if settings.signal == 'historical' else {}))}"
