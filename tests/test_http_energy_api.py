"""The Energy API's three versions: pages, units, both spellings; a counter is a counter and an interval is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable

import pytest

from drivers.http.energy_api import EnergyApi, parse_page
from drivers.http.exact import Unusable
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import MeterUnavailable
from gateway.reading import Scaled
from tests.http_device import Asked, Device, ok, recorded

NOW_MS = 1521139500000
INTERVALS = [("10:30", 12304), ("12:30", 8568), ("14:30", 63456), ("16:30", 0), ("18:30", 265)]


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    found = Device()
    yield found
    found.close()


def page(
    energies: Iterable[tuple[str, object]], unit: object = "watt_hour", accumulated: object = False, **more: object
) -> bytes:
    """A reply of version 2."""
    told = {"serial_number": "9", "energy_unit": unit, "is_accumulated": accumulated}
    items = [{"energy": energy, "measurement_time": f"2018-03-15T{when}:00+00:00"} for when, energy in energies]
    return json.dumps({"next": None, "device": told, "measuredEnergy": items} | more).encode()


async def poll(
    device: Device, id_: str, version: int = 2, after_ms: int | None = None, prefix: str = ""
) -> Telegram | BrokenTelegram:
    return await EnergyApi(f"energy-api-{version}", id_).poll(device.http_port(prefix=prefix), NOW_MS, after_ms)


def shown(found: Telegram | BrokenTelegram) -> tuple[str, str]:
    assert isinstance(found, Telegram), found.error
    [point] = found.points
    return point.code, f"{point.value} {point.unit}"


async def test_the_newest_of_a_counter_counts_wherever_its_page_is(device: Device) -> None:
    """The old client's first device: 400 kWh at 2018-03-15T18:30:00Z."""
    device.bodies = {
        "/v2/produced/0": recorded("energy-api-2-first.json"),
        "/v2/second": recorded("energy-api-2-second.json"),
    }
    found = await poll(device, "produced/0", prefix="/v2")
    assert shown(found) == ("1-0:2.8.0", "400000 Wh")
    assert isinstance(found, Telegram)
    assert (found.meter, found.time_ms) == ("900777", 1521138600000)
    assert found.raw == recorded("energy-api-2-first.json") + b"\n" + recorded("energy-api-2-second.json")
    assert [asked.path for asked in device.asked] == [
        "/v2/produced/0?start=2018-03-15T17%3A30%3A00Z&end=2018-03-15T18%3A45%3A00Z&limit=10",
        "/v2/second",
    ]


async def test_each_interval_is_given_once_from_the_oldest(device: Device) -> None:
    """The old client's second device: all of them are 84,593 Wh."""
    device.bodies = {"/consumed/1": page(reversed(INTERVALS))}
    after_ms, total = None, 0
    for when, energy in INTERVALS:
        found = await poll(device, "consumed/1", after_ms=after_ms)
        assert shown(found) == ("import_interval", f"{energy} Wh")
        assert isinstance(found, Telegram)
        after_ms, total = found.time_ms, total + int(str(found.points[0].value))
        assert after_ms is not None
        assert f"{after_ms // 3_600_000 % 24}:30" == when.removeprefix("0")
    assert total == 84593
    with pytest.raises(MeterUnavailable, match="it has no new measurement from 2018-03-15T18:30:00Z to"):
        await poll(device, "consumed/1", after_ms=after_ms)


@pytest.mark.parametrize(
    ("unit", "energy", "value"),
    [
        ("watt_hour", 265, "265 Wh"),
        ("kilowatt_hour", "0.0001", "0.0001 Wh"),
        ("megawattHour", 20878, "20878000000 Wh"),
        ("GIGAWATT_HOUR", 1, "1000000000 Wh"),
        ("joule", 3601, "3601 J"),
        ("joule", 0.5, "0.5 J"),
    ],
)
async def test_energies_are_exact_in_every_unit(device: Device, unit: str, energy: object, value: str) -> None:
    """Joules stay joules: 3601 J are no exact number of watt-hours."""
    device.bodies = {"/produced/1": page([("18:30", energy)], unit)}
    if unit == "kilowatt_hour":
        value = "0.1 Wh"
    assert shown(await poll(device, "produced/1")) == ("export_interval", value)


async def test_version_1_has_accumulated_megawatt_hours_as_texts(device: Device) -> None:
    device.bodies = {"/v1/produced": recorded("energy-api-1.json")}
    found = await poll(device, "produced", version=1, prefix="/v1")
    assert shown(found) == ("1-0:2.8.0", "1250000.01 Wh")
    assert isinstance(found, Telegram)
    assert found.points[0].raw == b"1.25000001"
    assert found.points[0].value == Scaled(mantissa=125000001, exponent=-2)


@pytest.mark.parametrize("spelling", ["measurementTime", "measurement_time"])
@pytest.mark.parametrize(("role", "code"), [("producer", "1-0:2.8.0"), ("consumer", "1-0:1.8.0")])
async def test_version_3_asks_for_the_asset_and_reads_both_spellings(
    device: Device, spelling: str, role: str, code: str
) -> None:
    asset = {
        "id": 7,
        "role": role,
        "serial_number": "A7",
        "energy_unit": "kilowattHour",
        "is_accumulated": True,
        "x": 1,
    }
    energies = [
        {"energy": 1.5, spelling: "2018-03-15T19:30:00.250+01:00", "id": 1},
        {"energy": 1.25, spelling: "2018-03-15t17:30:00z"},
    ]
    device.bodies = {"/v3/asset/7": json.dumps(asset).encode(), "/v3/asset/7/energy": json.dumps(energies).encode()}
    found = await poll(device, "7", version=3, prefix="/v3")
    assert shown(found) == (code, "1500 Wh")
    assert isinstance(found, Telegram)
    assert (found.meter, found.time_ms) == ("A7", 1521138600250)
    query = "timeStart=2018-03-15T17%3A30%3A00Z&timeEnd=2018-03-15T18%3A45%3A00Z&limit=-1"
    assert [asked.path for asked in device.asked] == ["/v3/asset/7", f"/v3/asset/7/energy?{query}"]


async def test_the_window_begins_where_the_last_poll_ended_but_not_before_75_minutes(device: Device) -> None:
    device.bodies = {"/produced/1": page([("18:30", 1)], accumulated=True)}
    for after_ms, start in ((NOW_MS - 60_000, "18%3A44"), (0, "17%3A30"), (NOW_MS + 60_000, "18%3A45")):
        await poll(device, "produced/1", after_ms=after_ms)
        assert f"start=2018-03-15T{start}%3A00Z" in device.asked[-1].path


async def test_a_device_with_an_odd_name_is_asked_for_by_it(device: Device) -> None:
    device.bodies = {"/produced/a%2Fb%20%C3%BC": page([("18:30", 1)])}
    assert shown(await poll(device, "produced/a/b ü"))[1] == "1 Wh"


@pytest.mark.parametrize("follows", ["?page=2&limit=10", "/produced/1?page=2&limit=10"])
async def test_the_next_page_may_be_a_query(device: Device, follows: str) -> None:
    def answer(asked: Asked, _sock: object) -> bytes:
        last = "page=2" in asked.path
        return ok(page([("18:30", 2)] if last else [("18:00", 1)], accumulated=True, next="" if last else follows))

    device.answer = answer
    assert shown(await poll(device, "produced/1"))[1] == "2 Wh"
    assert device.asked[-1].path == "/produced/1?page=2&limit=10"


@pytest.mark.parametrize(
    ("follows", "told", "requests"),
    [
        ("https://192.0.2.1/steal", "no path and no query; another server is not asked", 1),
        ("//192.0.2.1/steal", "another server is not asked", 1),
        ("/a b", "another server is not asked", 1),
        ("second", "another server is not asked", 1),
        (5, "next is a number, not a text", 1),
        ("?page=1", "its pages do not end", 2),
    ],
)
async def test_a_next_page_elsewhere_or_without_end_is_refused(
    device: Device, follows: object, told: str, requests: int
) -> None:
    device.answer = lambda _asked, _sock: ok(page([("18:30", 1)], next=follows))
    found = await poll(device, "produced/1")
    assert isinstance(found, BrokenTelegram)
    assert told in found.error
    assert len(device.asked) == requests


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (page([("18:30", 1)], "calorie"), "energy_unit is 'calorie', which is no unit here"),
        (page([("18:30", 1)], None), "energy_unit is missing or null"),
        (page([("18:30", 1)], accumulated="no"), "is_accumulated is a text, so it is not known whether"),
        (page([("18:30", True)]), "export_interval: true or false, not a number"),
        (page([("18:30", "12,5")]), "export_interval: no decimal number"),
        (page([], measuredEnergy={}), "measuredEnergy is an object, not a list"),
        (page([], measuredEnergy=[{"energy": 1}]), "a measurement's time is missing or null"),
        (page([], measuredEnergy=[{"energy": 1, "measurement_time": "2018-03-15T18:30:00"}]), "no time with a zone"),
        (page([], device=None), "device is missing or null, not an object"),
        (b"<html/>", "HTML where JSON was expected"),
    ],
)
async def test_what_is_no_reply_is_broken(device: Device, body: bytes, told: str) -> None:
    device.bodies = {"/produced/1": body}
    found = await poll(device, "produced/1")
    assert isinstance(found, BrokenTelegram)
    assert told in found.error


async def test_an_asset_of_no_known_role_is_refused(device: Device) -> None:
    device.bodies = {"/asset/7": b'{"role": ["producer"]}'}
    found = await poll(device, "7", version=3)
    assert isinstance(found, BrokenTelegram)
    assert "the asset's role is '', neither producer nor consumer" in found.error


async def test_no_measurement_is_no_reading(device: Device) -> None:
    device.bodies = {"/produced/1": page([])}
    with pytest.raises(MeterUnavailable, match="no measurement from 2018-03-15T17:30:00Z to 2018-03-15T18:45:00Z"):
        await poll(device, "produced/1")


def test_a_page_of_version_1_needs_no_unit() -> None:
    assert parse_page(recorded("energy-api-1.json"), 1).device.is_accumulated
    with pytest.raises(Unusable, match="energy_unit is missing"):
        parse_page(recorded("energy-api-1.json"), 2)
