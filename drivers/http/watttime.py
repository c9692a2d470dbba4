"""WattTime, the carbon intensity of a grid region: something told beside the readings, which delays and drops none.

``Enrichment.refresh`` is for a task of its own. It never raises for what the service does: the last value stays, with
its own time, and ``is_down`` and ``fault`` say that the service did not give a newer one. Who uses a value looks at
its time.

=======  ============================================  =================================================================
version  login                                         value
=======  ============================================  =================================================================
1        POST ``/obtain-token-auth/``, a form          ``/marginal/`` ``results[0].marginal_carbon.value``, lb/MWh
2        GET ``/login``, Basic                         ``/index`` ``moer``, lb/MWh, else ``percent``
3        GET ``/login``, Basic                         ``/v3/signal-index`` (percentile), or with a subscription
                                                       ``/v3/forecast``, ``/v3/historical`` ``data[].value`` in
                                                       ``meta.units``
=======  ============================================  =================================================================

Sources: docs.watttime.org (version 3, with its limits: 3,000 requests in 5 minutes, 100 logins),
legacy-docs.watttime.org (version 2); for version 1, which is gone, energywebfoundation/ew-link-bond.

- The address includes the version where the table does not: ``https://api.watttime.org`` (3),
  ``https://api2.watttime.org/v2`` (2), ``https://api.watttime.org/api/v1`` (1).
- A token lasts 30 minutes; it is used for 25, and a new one is had at once when it is refused (401).
- The unit is the one told. A percentile is no intensity: ``Intensity.g_per_kwh`` is None for it. One pound is exactly
  453.59237 g, so a lb/MWh is exactly 0.45359237 g/kWh.
- Of a forecast the value that is due next counts; of the past the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from drivers.http.exact import (
    Number,
    Unusable,
    bounded,
    clip,
    items,
    kind,
    member,
    members,
    parse,
    rfc3339,
    scaled,
    time_ms,
    word,
)
from drivers.http.exchange import Request
from drivers.http.port import basic
from drivers.http.source import Server
from drivers.http.status import HttpStatusError
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from gateway.reading import Clock, Scaled

TOKEN_NS = 25 * 60 * 1_000_000_000
_WINDOW_MS = 3_600_000
LB_PER_MWH, PERCENT = "lb/MWh", "%"
_UNITS = {"lbs_co2_per_mwh": LB_PER_MWH, "percentile": PERCENT, "percent": PERCENT}
#: Of one pound in a megawatt-hour: grams in a kilowatt-hour, × 10⁻⁸.
_G_PER_KWH = 45_359_237
#: Version 3's signals: what is asked, and whether a window of time is.
SIGNALS = ("signal-index", "forecast", "historical")


@dataclass(frozen=True, slots=True, kw_only=True)
class WattTimeSettings:
    """Which value, and who asks."""

    version: int
    #: Version 3's region, before that the balancing authority, such as ``CAISO_NORTH``.
    region: str
    user: str
    #: The name of the secret.
    password: str
    #: One of ``SIGNALS``; of version 3 only.
    signal: str = "signal-index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """One value."""

    value: Scaled
    #: ``lb/MWh`` or ``%``.
    unit: str
    #: The time that it is of, and when it was had: Unix milliseconds.
    time_ms: int
    taken_ms: int
    #: Such as ``watttime v3 signal-index CAISO_NORTH``.
    source: str

    @property
    def g_per_kwh(self) -> Scaled | None:
        """Grams of CO₂ in a kilowatt-hour, exactly; None where the value is a percentile."""
        if self.unit != LB_PER_MWH:
            return None
        return Scaled(mantissa=self.value.mantissa * _G_PER_KWH, exponent=self.value.exponent - 8)


def parse_value(data: bytes, settings: WattTimeSettings) -> tuple[Scaled, str, int]:
    """Value, unit and Unix milliseconds of a reply. Raises Unusable."""
    document = members(parse(data))
    if settings.version == 1:
        results = items(document, "results")
        if not results:
            raise Unusable("it has no result")
        value = _number(member(results[0], "marginal_carbon", "value"))
        return value, LB_PER_MWH, time_ms(word(results[0], "timestamp"))
    if settings.version == 2:
        name, unit = ("moer", LB_PER_MWH) if document.get("moer") is not None else ("percent", PERCENT)
        return _number(document.get(name)), unit, time_ms(word(document, "point_time"))
    return _series(document, settings)


def _series(document: Mapping[str, object], settings: WattTimeSettings) -> tuple[Scaled, str, int]:
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
    return _number(member(items(document, "data")[index], "value")), unit, at_ms


def _number(value: object) -> Scaled:
    if isinstance(value, str):
        value = Number(value)
    if not isinstance(value, Number):
        raise Unusable(f"the value is {kind(value)}, not a number")
    number = scaled(value.text)
    # g_per_kwh has eight decimals more.
    bounded(number.mantissa * _G_PER_KWH, number.exponent - 8)
    return number


def parse_token(data: bytes) -> str:
    """The token of a login. Raises Unusable."""
    token = word(parse(data), "token")
    if not (token.isascii() and token.isprintable() and 0 < len(token) <= 8192 and " " not in token):
        raise Unusable("it has no usable token")
    return token


class Enrichment:
    """The newest value that could be had."""

    def __init__(self, settings: WattTimeSettings, server: Server, clock: Clock) -> None:
        """Raises ConfigError."""
        if settings.version not in (1, 2, 3) or (settings.version == 3 and settings.signal not in SIGNALS):
            raise ConfigError(f"watttime has the versions 1, 2 and 3, and the last the signals {', '.join(SIGNALS)}")
        self._settings = settings
        self._server = server
        self._clock = clock
        self._token: tuple[str, int] | None = None
        self._quiet_until_ns = 0
        self.last: Intensity | None = None
        #: Why the last refresh brought nothing; empty when it did.
        self.fault = "not asked yet"

    @property
    def is_down(self) -> bool:
        """The last refresh brought nothing: what is in ``last``, if anything, is of before."""
        return bool(self.fault)

    async def refresh(self) -> None:
        """Asks once. A service that asked to be left alone is, as long as it said."""
        now = self._clock()
        if now.boottime_ns < self._quiet_until_ns:
            return
        try:
            data = await self._document(now.boottime_ns, now.wall_ms)
            value, unit, at_ms = parse_value(data, self._settings)
        except HttpStatusError as error:
            self._quiet_until_ns = now.boottime_ns + error.retry_s * 1_000_000_000
            self.fault = str(error)
        except (MeterUnavailable, MeterProtocolError) as error:
            self.fault = str(error)
        except Unusable as error:
            self.fault = f"{self._server.label}: {error}"
        else:
            source = f"watttime v{self._settings.version} {self._name} {self._settings.region}"
            taken_ms = self._clock().wall_ms
            self.last = Intensity(value=value, unit=unit, time_ms=at_ms, taken_ms=taken_ms, source=source)
            self.fault = ""

    @property
    def _name(self) -> str:
        return {1: "marginal", 2: "index"}.get(self._settings.version, self._settings.signal)

    async def _document(self, now_ns: int, now_ms: int) -> bytes:
        """The reply with the value; a token that is refused is had anew, once."""
        kept = self._token
        if kept is not None and now_ns - kept[1] <= TOKEN_NS:
            try:
                return await self._ask(kept[0], now_ms)
            except HttpStatusError as error:
                if error.status != HTTPStatus.UNAUTHORIZED:
                    raise
        return await self._ask(await self._login(now_ns), now_ms)

    async def _ask(self, token: str, now_ms: int) -> bytes:
        scheme = "Token" if self._settings.version == 1 else "Bearer"
        return await self._server.ask(Request(path=self._path(now_ms), authorization=f"{scheme} {token}"))

    async def _login(self, now_ns: int) -> str:
        settings = self._settings
        password = self._server.secret(settings.password)
        if settings.version == 1:
            form = urlencode({"username": settings.user, "password": password}).encode()
            request = Request(path="/obtain-token-auth/", body=form)
        else:
            request = Request(path="/login", authorization=basic(settings.user, password))
        token = parse_token(await self._server.ask(request))
        self._token = (token, now_ns)
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
