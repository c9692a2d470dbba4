"""Carbon intensity as a meter over HTTP: exact, with its own time, and logged in for no more often than it must be."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import pytest

from drivers.asked import AskedMeter
from drivers.http.asker import http_bus
from drivers.http.exact import Unusable
from drivers.http.port import Auth
from drivers.http.watttime import WattTimeSettings, parse_id, parse_points, parse_token
from drivers.telegram_points import TelegramMeterSettings
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from tests.http_device import Asked, Device, HandClock, ok, status
from tests.test_http_meter import SECOND_NS, shown

#: What the tokens begin with.
TOKEN = "token-of-the-service-"
OLD_WINDOW = "start_at=2024-06-21T11%3A25%3A06Z&end_at=2024-06-21T12%3A25%3A06Z"
V3 = {"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300}
POINTS = [
    {"point_time": "2024-06-21T12:30:00+00:00", "value": 870.5},
    {"point_time": "2024-06-21T12:25:00+00:00", "value": 868.0},
    {"point_time": "2024-06-21T12:35:00+00:00", "value": 871.25},
]


def settings(version: int = 3, signal: str = "signal-index") -> WattTimeSettings:
    return WattTimeSettings(version=version, region="CAISO_NORTH", signal=signal)


class Service(Device):
    """Logs in whoever knows the password, and answers whoever has its newest token; each reply is a second later."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tokens = self.seconds = 0
        self.reply: object = None
        self.fails: bytes | None = None
        super().__init__(tls, answer=self.usual)

    def usual(self, asked: Asked, _sock: object) -> bytes:
        if self.fails is not None:
            return self.fails
        if asked.path.endswith(("/login", "/obtain-token-auth/")):
            right = asked.headers.get("authorization") == "Basic YWRhOmFiYy5kZWY="
            form = parse_qs(asked.body.decode())
            if not right and form != {"username": ["ada"], "password": ["abc.def"]}:
                return status(401)
            self.tokens += 1
            return ok(json.dumps({"token": f"{TOKEN}{self.tokens}"}).encode())
        scheme = "Token" if "/marginal/" in asked.path else "Bearer"
        if asked.headers.get("authorization") != f"{scheme} {TOKEN}{self.tokens}":
            return status(401)
        self.seconds += 1
        point = {"point_time": f"2024-06-21T12:{self.seconds // 60:02}:{self.seconds % 60:02}Z", "value": 870.5}
        return ok(json.dumps(self.reply or {"data": [point], "meta": V3}).encode())


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    yield found
    found.close()


def meter_at(
    service: Service, clock: HandClock, protocol: str = "watttime-3", id_: str = "CAISO_NORTH", *, prefix: str = "",
    user: str = "ada",
) -> AskedMeter:  # fmt: skip
    port = service.http_port(prefix=prefix, auth=Auth(user=user, password="file:token"))
    wanted = TelegramMeterSettings(name="grid", model=protocol, id=id_)
    [meter] = http_bus("carbon", protocol, port, [wanted], clock).meters
    return meter


async def test_a_value_is_exact_in_both_units_and_has_its_own_time(service: Service) -> None:
    meter = meter_at(service, HandClock(), id_="forecast/CAISO_NORTH")
    reading = await meter.read()
    assert shown(meter, reading) == {"moer": "870.5 lb/MWh", "carbon_intensity": "394.852158085 g/kWh"}
    assert [point.raw for point in reading.points] == [b"870.5", b"870.5"]
    assert (reading.meter_ms, reading.meter_id) == (1718971201000, "")
    assert meter.description.location == "carbon forecast/CAISO_NORTH"
    assert not any(spec.monotonic or spec.obis for spec in meter.description.points)
    assert [asked.path for asked in service.asked] == [
        "/login",
        "/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer",
    ]


async def test_a_token_is_kept_for_25_minutes_and_had_anew_when_refused(service: Service) -> None:
    """Also when the clock was set back, so that nobody knows how old it is."""
    clock = HandClock()
    start_ms, meter = clock.wall_ms, meter_at(service, clock)
    for seconds, tokens in ((0, 1), (60, 1), (1500, 1), (1501, 2), (1500, 3)):
        clock.wall_ms = start_ms + seconds * 1000
        await meter.read()
        assert service.tokens == tokens
    service.tokens += 5
    await meter.read()
    assert service.tokens == 9


@pytest.mark.parametrize(
    ("protocol", "prefix", "reply", "points", "paths"),
    [
        ("watttime-1", "/api/v1",
         {"count": 1, "results": [{"timestamp": "2018-03-15T18:30:00Z", "marginal_carbon": {"value": 912.3}}]},
         {"moer": "912.3 lb/MWh", "carbon_intensity": "413.812319151 g/kWh"},
         ["/api/v1/obtain-token-auth/",
          f"/api/v1/marginal/?ba=CAISO_NORTH&{OLD_WINDOW}&page_size=1&market=RTHR"]),
        ("watttime-2", "/v2", {"ba": "CAISO_NORTH", "freq": "300", "percent": "53", "moer": "850.743982",
                               "point_time": "2018-03-15T18:30:00.00Z"},
         {"moer": "850.743982 lb/MWh", "carbon_intensity": "385.89097905861734 g/kWh", "moer_percentile": "53 %"},
         ["/v2/login", "/v2/index?ba=CAISO_NORTH&style=all"]),
        ("watttime-2", "/v2", {"ba": "CAISO_NORTH", "freq": "300", "percent": "53",
                               "point_time": "2018-03-15T18:30:00Z"},
         {"moer_percentile": "53 %"}, ["/v2/login", "/v2/index?ba=CAISO_NORTH&style=all"]),
        ("watttime-3", "", {"data": [{"point_time": "2018-03-15T18:30:00Z", "value": 86.0}],
                            "meta": V3 | {"units": "percentile"}},
         {"moer_percentile": "86.0 %"}, ["/login", "/v3/signal-index?region=CAISO_NORTH&signal_type=co2_moer"]),
    ],
)  # fmt: skip
async def test_each_version_is_asked_in_its_way(
    service: Service, protocol: str, prefix: str, reply: object, points: dict[str, str], paths: list[str]
) -> None:
    service.reply = reply
    meter = meter_at(service, HandClock(), protocol, prefix=prefix)
    reading = await meter.read()
    assert shown(meter, reading) == points
    assert reading.meter_ms == 1521138600000
    assert [asked.path for asked in service.asked] == paths


async def test_a_service_that_fails_gives_no_reading_and_says_why(service: Service) -> None:
    """The token outlives all that: logins are limited more than anything else."""
    meter = meter_at(service, HandClock())
    await meter.read()
    for fails, error, told in (
        (status(500), MeterUnavailable, "status 500"),
        (status(403), MeterUnavailable, "status 403"),
        (status(302, "Location: https://elsewhere.example/v3"), MeterUnavailable, "redirects are not followed"),
        (ok(b"<html>"), MeterProtocolError, "HTML where JSON was expected"),
        (ok(b'{"data": [], "meta": {"units": "percentile"}}'), MeterProtocolError, "it has no data"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", MeterProtocolError, "cut off"),
        (b"nonsense\r\n", MeterProtocolError, "no HTTP"),
    ):
        service.fails = fails
        with pytest.raises(error, match=told):
            await meter.read()
    service.fails = None
    await meter.read()
    assert service.tokens == 1


async def test_a_value_that_was_read_is_not_read_again(service: Service) -> None:
    meter = meter_at(service, HandClock())
    service.reply = {"data": POINTS[:1], "meta": V3}
    await meter.read()
    with pytest.raises(MeterUnavailable, match="repeats the reply of 2024-06-21T12:30:00"):
        await meter.read()


async def test_a_service_that_asks_to_wait_is_not_asked_before(service: Service) -> None:
    clock = HandClock()
    meter = meter_at(service, clock)
    service.fails = status(429, "Retry-After: 60")
    with pytest.raises(MeterUnavailable, match="it asks to wait 60 s"):
        await meter.read()
    service.fails, asked = None, len(service.asked)
    clock.ns = 59 * SECOND_NS
    with pytest.raises(MeterUnavailable, match="asked not to be asked"):
        await meter.read()
    assert len(service.asked) == asked
    clock.ns = 61 * SECOND_NS
    await meter.read()


@pytest.mark.parametrize("protocol", ["watttime-1", "watttime-2", "watttime-3"])
async def test_a_wrong_password_is_asked_for_once(service: Service, protocol: str) -> None:
    with pytest.raises(MeterUnavailable, match="status 401: it wants another user, password or token") as caught:
        await meter_at(service, HandClock(), protocol, user="eve").read()
    assert len(service.asked) == 1
    assert "abc.def" not in str(caught.value)


@pytest.mark.parametrize(("signal", "value", "at"), [("forecast", "868.0", 25), ("historical", "871.25", 35)])
def test_of_a_forecast_the_next_value_counts_and_of_the_past_the_newest(signal: str, value: str, at: int) -> None:
    data = json.dumps({"data": POINTS, "meta": V3}).encode()
    found, time_ms = parse_points(data, settings(signal=signal))
    assert [(one.code, str(one.value)) for one in found][:1] == [("moer", value)]
    assert time_ms == 1718971200000 + at * 60_000


def test_a_number_that_cannot_be_had_exactly_in_grams_is_not_rounded() -> None:
    """It is there as sent."""
    point = {"point_time": "2018-03-15T18:30:00Z", "value": 868.1234567890123}
    found, _ = parse_points(json.dumps({"data": [point], "meta": V3}).encode(), settings())
    assert [(str(one.value), one.fault) for one in found] == [
        ("868.1234567890123", ""),
        ("None", "a number with more digits than a reading holds"),
    ]


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"data": POINTS, "meta": V3 | {"units": "kg_per_kwh"}}, "meta.units is 'kg_per_kwh', which is no unit here"),
        ({"data": POINTS, "meta": V3 | {"region": "PJM"}}, "it is of the region 'PJM', not of CAISO_NORTH"),
        ({"data": POINTS}, "meta is missing"),
        ({"data": {}, "meta": V3}, "data is an object, not a list"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z"}], "meta": V3}, "no value of a meter; moer: missing or null"),
        ({"data": [{"value": 1}], "meta": V3}, "no time with a zone"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z", "value": "viel"}], "meta": V3}, "moer: no decimal number"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z", "value": 10**19}], "meta": V3}, "more digits than"),
    ],
)
async def test_what_is_no_value_is_refused(service: Service, document: object, told: str) -> None:
    service.reply = document
    with pytest.raises(MeterProtocolError, match=told):
        await meter_at(service, HandClock()).read()


def test_version_1_without_a_result_has_no_value() -> None:
    with pytest.raises(Unusable, match="it has no result"):
        parse_points(b'{"count": 0, "results": []}', settings(1))


async def test_a_token_that_is_refused_at_once_is_had_anew_once_in_a_poll(service: Service) -> None:
    def answer(asked: Asked, _sock: object) -> bytes:
        return ok(b'{"token": "x"}') if asked.path == "/login" else status(401)

    service.answer = answer
    meter = meter_at(service, HandClock())
    for requests in (2, 5, 8):
        with pytest.raises(MeterUnavailable, match="status 401"):
            await meter.read()
        assert len(service.asked) == requests


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "ü", 5, None])
def test_a_token_that_no_header_may_have_is_refused(token: object) -> None:
    with pytest.raises(Unusable, match="it has no usable token"):
        parse_token(json.dumps({"token": token}).encode())


@pytest.mark.parametrize(
    ("protocol", "id_", "told"),
    [
        ("watttime-3", "maps/CAISO_NORTH", "'maps/CAISO_NORTH': watttime-3 wants REGION, or signal-index/REGION, fore"),
        ("watttime-3", "forecast/", "wants REGION"),
        ("watttime-3", "/CAISO_NORTH", "wants REGION"),
        ("watttime-3", "A&region=B", "wants REGION"),
        ("watttime-2", "forecast/CAISO_NORTH", "watttime-2 wants the region, such as CAISO_NORTH"),
    ],
)
def test_an_id_that_is_no_region_is_refused(protocol: str, id_: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_id(protocol, id_)
