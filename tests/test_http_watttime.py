"""Carbon intensity beside the readings: exact, with its own time; a service that is down is a flag and a sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from drivers.http.exact import Unusable
from drivers.http.watttime import Enrichment, WattTimeSettings, parse_token, parse_value
from gateway.errors import ConfigError
from tests.http_device import Asked, Device, HandClock, ok, status

OLD_WINDOW = "start_at=2024-06-21T11%3A25%3A06Z&end_at=2024-06-21T12%3A25%3A06Z"
SECOND_NS = 1_000_000_000
V3 = {"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "data_point_period_seconds": 300}
POINTS = [
    {"point_time": "2024-06-21T12:30:00+00:00", "value": 870.5},
    {"point_time": "2024-06-21T12:25:00+00:00", "value": 868.0},
    {"point_time": "2024-06-21T12:35:00+00:00", "value": 871.25},
]


def settings(version: int = 3, signal: str = "signal-index", region: str = "CAISO_NORTH") -> WattTimeSettings:
    return WattTimeSettings(version=version, region=region, user="ada", password="file:token", signal=signal)


class Service(Device):
    """Logs in whoever knows the password, and answers with *reply* whoever has its newest token."""

    def __init__(self) -> None:
        self.tokens = 0
        self.reply = json.dumps({"data": POINTS[:1], "meta": V3}).encode()
        self.fails: bytes | None = None
        super().__init__(answer=self._answer)

    def _answer(self, asked: Asked, _sock: object) -> bytes:
        if self.fails is not None:
            return self.fails
        if asked.path.endswith(("/login", "/obtain-token-auth/")):
            right = asked.headers.get("authorization") == "Basic YWRhOmFiYy5kZWY="
            if not right and asked.body != b"username=ada&password=abc.def":
                return status(401)
            self.tokens += 1
            return ok(json.dumps({"token": f"t{self.tokens}"}).encode())
        scheme = "Token" if "/marginal/" in asked.path else "Bearer"
        return ok(self.reply) if asked.headers.get("authorization") == f"{scheme} t{self.tokens}" else status(401)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    yield found
    found.close()


def enrichment(service: Service, clock: HandClock, prefix: str = "", **more: object) -> Enrichment:
    return Enrichment(settings(**more), service.http_port(prefix=prefix), clock)  # type: ignore[arg-type]


async def test_a_value_has_its_own_time_unit_and_source(service: Service) -> None:
    clock = HandClock()
    found = enrichment(service, clock, signal="forecast")
    assert (found.is_down, found.last) == (True, None)
    await found.refresh()
    assert not found.is_down
    last = found.last
    assert last is not None
    assert (str(last.value), last.unit, last.time_ms) == ("870.5", "lb/MWh", 1718973000000)
    assert (last.taken_ms, last.source) == (clock.wall_ms, "watttime v3 forecast CAISO_NORTH")
    assert str(last.g_per_kwh) == "394.852158085"
    assert [asked.path for asked in service.asked] == [
        "/login",
        "/v3/forecast?region=CAISO_NORTH&signal_type=co2_moer",
    ]


async def test_a_token_is_kept_for_25_minutes_and_had_anew_when_refused(service: Service) -> None:
    clock = HandClock()
    found = enrichment(service, clock)
    for seconds, tokens in ((0, 1), (60, 1), (1499, 1), (1501, 2)):
        clock.ns = seconds * SECOND_NS
        await found.refresh()
        assert (service.tokens, found.fault) == (tokens, "")
    service.tokens += 5
    await found.refresh()
    assert (service.tokens, found.fault) == (8, "")


@pytest.mark.parametrize(
    ("version", "prefix", "reply", "value", "unit", "paths"),
    [
        (1, "/api/v1",
         {"count": 1, "results": [{"timestamp": "2018-03-15T18:30:00Z", "marginal_carbon": {"value": 912.3}}]},
         "912.3", "lb/MWh",
         ["/api/v1/obtain-token-auth/",
          f"/api/v1/marginal/?ba=CAISO_NORTH&{OLD_WINDOW}&page_size=1&market=RTHR"]),
        (2, "/v2", {"ba": "CAISO_NORTH", "freq": "300", "percent": "53", "moer": "850.743982",
                    "point_time": "2018-03-15T18:30:00.00Z"},
         "850.743982", "lb/MWh", ["/v2/login", "/v2/index?ba=CAISO_NORTH&style=all"]),
        (2, "/v2", {"ba": "CAISO_NORTH", "freq": "300", "percent": "53", "point_time": "2018-03-15T18:30:00Z"},
         "53", "%", ["/v2/login", "/v2/index?ba=CAISO_NORTH&style=all"]),
        (3, "", {"data": [{"point_time": "2018-03-15T18:30:00Z", "value": 86.0}],
                 "meta": V3 | {"units": "percentile"}},
         "86.0", "%", ["/login", "/v3/signal-index?region=CAISO_NORTH&signal_type=co2_moer"]),
    ],
)  # fmt: skip
async def test_each_version_is_asked_in_its_way(
    service: Service, version: int, prefix: str, reply: object, value: str, unit: str, paths: list[str]
) -> None:
    service.reply = json.dumps(reply).encode()
    found = enrichment(service, HandClock(), prefix, version=version)
    await found.refresh()
    assert found.fault == ""
    assert found.last is not None
    assert (str(found.last.value), found.last.unit, found.last.time_ms) == (value, unit, 1521138600000)
    assert (found.last.g_per_kwh is None) == (unit == "%")
    assert [asked.path for asked in service.asked] == paths


async def test_a_service_that_is_down_leaves_the_last_value_with_its_time(service: Service) -> None:
    """Every way to fail is a flag and a sentence, never an exception, and never a new time on an old value."""
    clock = HandClock()
    found = enrichment(service, clock)
    await found.refresh()
    before = found.last
    assert before is not None
    for fails, told in (
        (status(500), "status 500"),
        (status(403), "status 403"),
        (ok(b"<html>"), "HTML where JSON was expected"),
        (ok(b'{"data": [], "meta": {"units": "percentile"}}'), "it has no data"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "cut off"),
        (b"nonsense\r\n", "no HTTP"),
    ):
        service.fails = fails
        await found.refresh()
        assert (found.is_down, found.last) == (True, before)
        assert told in found.fault
    service.fails = None
    await found.refresh()
    # The token outlived all that: a login is limited more than anything else.
    assert (found.is_down, service.tokens) == (False, 1)


async def test_a_service_that_asks_to_wait_is_not_asked_before(service: Service) -> None:
    clock = HandClock()
    found = enrichment(service, clock)
    service.fails = status(429, "Retry-After: 60")
    await found.refresh()
    assert "it asks to wait 60 s" in found.fault
    service.fails, asked = None, len(service.asked)
    clock.ns = 59 * SECOND_NS
    await found.refresh()
    assert (len(service.asked), found.is_down) == (asked, True)
    clock.ns = 61 * SECOND_NS
    await found.refresh()
    assert not found.is_down


async def test_a_wrong_password_is_asked_for_once(service: Service) -> None:
    wrong = WattTimeSettings(version=3, region="CAISO_NORTH", user="eve", password="file:token")
    found = Enrichment(wrong, service.http_port(), HandClock())
    await found.refresh()
    assert "/login: status 401: it wants another user, password or token" in found.fault
    assert len(service.asked) == 1
    assert "abc.def" not in found.fault


@pytest.mark.parametrize(("signal", "value", "at"), [("forecast", "868.0", "12:25"), ("historical", "871.25", "12:35")])
def test_of_a_forecast_the_next_value_counts_and_of_the_past_the_newest(signal: str, value: str, at: str) -> None:
    data = json.dumps({"data": POINTS, "meta": V3}).encode()
    found, unit, time_ms = parse_value(data, settings(signal=signal))
    assert (str(found), unit) == (value, "lb/MWh")
    assert time_ms == 1718971200000 + int(at[3:]) * 60_000


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"data": POINTS, "meta": V3 | {"units": "kg_per_kwh"}}, "meta.units is 'kg_per_kwh', which is no unit here"),
        ({"data": POINTS, "meta": V3 | {"region": "PJM"}}, "it is of the region 'PJM', not of CAISO_NORTH"),
        ({"data": POINTS}, "meta is missing"),
        ({"data": {}, "meta": V3}, "data is an object, not a list"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z"}], "meta": V3}, "the value is missing or null"),
        ({"data": [{"value": 1}], "meta": V3}, "no time with a zone"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z", "value": "viel"}], "meta": V3}, "no decimal number"),
        ({"data": [{"point_time": "2018-03-15T18:30:00Z", "value": 10**15}], "meta": V3}, "more digits than"),
    ],
)
def test_what_is_no_value_is_refused(document: object, told: str) -> None:
    with pytest.raises(Unusable, match=told):
        parse_value(json.dumps(document).encode(), settings())


def test_version_1_without_a_result_has_no_value() -> None:
    with pytest.raises(Unusable, match="it has no result"):
        parse_value(b'{"count": 0, "results": []}', settings(1))


async def test_a_token_that_is_refused_at_once_is_not_asked_for_without_end(service: Service) -> None:
    def answer(asked: Asked, _sock: object) -> bytes:
        return ok(b'{"token": "x"}') if asked.path == "/login" else status(401)

    service.answer = answer
    found = enrichment(service, HandClock())
    for requests in (2, 5, 8):
        await found.refresh()
        assert "status 401" in found.fault
        assert len(service.asked) == requests


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "ü", 5, None])
def test_a_token_that_no_header_may_have_is_refused(token: object) -> None:
    with pytest.raises(Unusable, match="it has no usable token"):
        parse_token(json.dumps({"token": token}).encode())


@pytest.mark.parametrize("wrong", [settings(version=4), settings(signal="maps")])
def test_an_unknown_version_or_signal_is_refused(service: Service, wrong: WattTimeSettings) -> None:
    with pytest.raises(ConfigError, match="watttime has the versions 1, 2 and 3"):
        Enrichment(wrong, service.http_port(), HandClock())
