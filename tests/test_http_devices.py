"""Recorded replies of devices, value by value; units are taken as sent, never for another; what is odd is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.http import fronius, gridx, loxone, shelly, tasmota
from drivers.http.protocols import PROTOCOLS
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError
from tests.http_device import recorded

Decode = Callable[[bytes], Telegram | BrokenTelegram]


def decoded(decode: Decode, data: bytes) -> Telegram:
    found = decode(data)
    assert isinstance(found, Telegram), found.error
    assert found.raw == data
    return found


def values(found: Telegram) -> dict[str, str]:
    return {
        point.code: f"{point.value} {point.unit}".rstrip() if point.value else point.fault for point in found.points
    }


def broken(decode: Decode, data: bytes) -> str:
    found = decode(data)
    assert isinstance(found, BrokenTelegram)
    return found.error


NULL = "missing or null, not a number"


def test_a_fronius_inverter_exports_what_it_produced() -> None:
    found = decoded(fronius.decode, recorded("fronius-inverter.json"))
    assert values(found) == {
        "1-0:2.8.0": "41208734 Wh",
        "1-0:2.7.0": "2310 W",
        "day_energy": "8310.5 Wh",
        "year_energy": "5120997.0 Wh",
    }
    assert (found.meter, found.time_ms, found.remarks) == ("", 1718967909000, ())


def test_a_fronius_meter_has_its_own_number_and_time() -> None:
    found = decoded(lambda data: fronius.decode(data, "meter"), recorded("fronius-meter.json"))
    shown = values(found)
    assert (shown["1-0:1.8.0"], shown["1-0:2.8.0"]) == ("17020045 Wh", "68001234 Wh")
    assert (shown["1-0:16.7.0"], shown["1-0:36.7.0"]) == ("-241.09999999999999 W", "-434.5 W")
    assert (shown["1-0:31.7.0"], shown["1-0:14.7.0"]) == ("1.9500000000000002 A", "50.009999999999998 Hz")
    assert (shown["1-0:3.8.0"], shown["1-0:72.7.0"]) == ("81200310 varh", "233.2 V")
    assert (found.meter, found.time_ms) == ("18370999", 1718967905000)
    without = recorded("fronius-meter.json").replace(b'"TimeStamp" : 1718967905', b'"TimeStamp" : 0')
    assert decoded(lambda data: fronius.decode(data, "meter"), without).time_ms == 1718967909000


def test_a_fronius_site_has_names_of_its_own() -> None:
    found = decoded(lambda data: fronius.decode(data, "site"), recorded("fronius-site.json"))
    assert values(found) == {
        "p_grid": "-59.4 W", "p_pv": "1512.5 W", "p_load": "-600 W", "p_akku": "-853.1 W", "e_total": "7388000.5 Wh",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "code", "shown"),
    [
        ('"Wh", "Value" : 41208734', '"kWh", "Value" : 41208.734', "1-0:2.8.0", "41208734 Wh"),
        ('"Wh", "Value" : 41208734', '"MWh", "Value" : 41.5', "1-0:2.8.0", "41500000 Wh"),
        ('"Wh", "Value" : 41208734', '"J", "Value" : 41208734', "1-0:2.8.0", "its unit is 'J', not Wh"),
        ('"Wh", "Value" : 41208734', '"mWh", "Value" : 41208734', "1-0:2.8.0", "its unit is 'mWh', not Wh"),
        ('"Unit" : "Wh", "Value" : 41208734', '"Value" : 41208734', "1-0:2.8.0", "its unit is missing or null, not Wh"),
        ('"Wh", "Value" : 41208734', '"Wh", "Value" : null', "1-0:2.8.0", NULL),
        ('"Wh", "Value" : 41208734', '"Wh", "Value" : "41"', "1-0:2.8.0", "a text, not a number"),
        ('{ "Unit" : "Wh", "Value" : 41208734 }', "[1]", "1-0:2.8.0", "a list, not a number"),
    ],
)
def test_a_fronius_unit_is_never_taken_for_another(old: str, new: str, code: str, shown: str) -> None:
    data = recorded("fronius-inverter.json")
    assert old.encode() in data
    assert values(decoded(fronius.decode, data.replace(old.encode(), new.encode())))[code] == shown


def test_what_a_fronius_says_is_told() -> None:
    data = recorded("fronius-inverter.json")
    failed = data.replace(b'"Code" : 0, "Reason" : ""', b'"Code" : 6, "Reason" : "DeviceId 9 is not there"')
    assert broken(fronius.decode, failed) == "it says code 6: 'DeviceId 9 is not there'"
    assert "Head.Status is missing" in broken(fronius.decode, b'{"Head": {}}')
    assert "Body is missing" in broken(fronius.decode, data.replace(b'"Body"', b'"Bode"'))
    assert "no time with a zone" in broken(fronius.decode, data.replace(b"09+02:00", b"09"))
    odd = decoded(fronius.decode, data.replace(b'"ErrorCode" : 0', b'"ErrorCode" : 475'))
    assert odd.remarks == ("the inverter tells error '475'; see its manual",)
    night = data.replace(b"41208734", b"null").replace(b"2310", b"null").replace(b"8310.5", b"null")
    assert broken(fronius.decode, night.replace(b"5120997.0", b"null")).startswith(
        "it has no value of a meter; 1-0:2.8.0"
    )


def test_a_loxone_total_is_found_in_what_is_no_json() -> None:
    data = recorded("loxone.xml")
    found = decoded(lambda reply: loxone.decode(reply, "produced"), data)
    assert values(found) == {"1-0:2.8.0": "15321.420 kWh"}
    assert (found.meter, found.time_ms) == ("900123", 1536940911000)
    assert values(decoded(lambda reply: loxone.decode(reply, "consumed"), data)) == {"1-0:1.8.0": "15321.420 kWh"}
    quoted = data.replace(b"2018-09-14T18:01:51+02:00", b"&quot;2018-09-14T18:01:51+02:00&quot;")
    assert decoded(lambda reply: loxone.decode(reply, "produced"), quoted).time_ms == 1536940911000
    timeless = decoded(lambda reply: loxone.decode(reply, "produced"), data.replace(b"measurement_time", b"when"))
    assert (timeless.time_ms, len(timeless.remarks)) == (None, 1)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'<LL control="dev/sps/io/Produced/" value="15321.42" Code="200"/>', "no member accumulated_power"),
        (b'<LL control="x" value="" Code="404"/>', "the Miniserver says code '404'; check id"),
        (b'<LL control="x" value=""/>', "code ''"),
        (b"<html/>", "its root is 'html', not LL"),
        (b'{"LL": {}}', "no XML"),
        (recorded("loxone.xml").replace(b"latitude", b"accumulated_power"), "has accumulated_power 2 times"),
        (recorded("loxone.xml").replace(b"15321.420", b"null"), "1-0:2.8.0: no decimal number"),
        (recorded("loxone.xml").replace(b"+02:00", b""), "no time with a zone"),
    ],
)
def test_what_loxone_sends_otherwise_is_refused(data: bytes, told: str) -> None:
    assert told in broken(lambda reply: loxone.decode(reply, "produced"), data)


def test_a_shelly_plug_counts_watt_minutes() -> None:
    """4365 Wmin are 72.75 Wh; as watt-hours they would be sixty times too much."""
    found = decoded(shelly.decode_1, recorded("shelly-1pm.json"))
    assert values(found) == {"1-0:1.8.0": "261900 J", "1-0:16.7.0": "6.53 W"}
    assert (found.meter, found.time_ms) == ("C45BBE000001", 1718972705000)
    assert found.points[0].raw == b"4365"


def test_a_shelly_3em_has_phases_in_watt_hours_and_no_sum_of_them() -> None:
    shown = values(decoded(shelly.decode_1, recorded("shelly-3em.json")))
    assert (shown["1-0:16.7.0"], shown["1-0:21.8.0"], shown["1-0:42.8.0"]) == ("-109.84 W", "5310.3 Wh", "99812.7 Wh")
    assert (shown["1-0:56.7.0"], shown["1-0:52.7.0"], shown["1-0:53.7.0"]) == ("-120.50 W", "231.90 V", "-0.97")
    assert shown["1-0:61.8.0"] == "the device says that it is not valid"
    assert "1-0:1.8.0" not in shown


def test_a_shelly_em_has_channels_and_its_meters_are_not_read() -> None:
    found = decoded(shelly.decode_1, recorded("shelly-em.json"))
    shown = values(found)
    assert (shown["1-0:1.8.0"], shown["1-1:1.8.0"], shown["1-0:131.7.0"]) == ("120034.5 Wh", "0.0 Wh", "-80.17 var")
    assert found.time_ms is None


def test_a_shelly_pro_3em_has_sums_and_phases() -> None:
    found = decoded(shelly.decode_2, recorded("shelly-pro3em.json"))
    shown = values(found)
    assert (shown["1-0:1.8.0"], shown["1-0:2.8.0"], shown["1-0:16.7.0"]) == ("12445.77 Wh", "6789.01 Wh", "2484.782 W")
    assert (shown["1-0:21.8.0"], shown["1-0:42.8.0"], shown["1-0:56.7.0"]) == ("12345.67 Wh", "6789.01 Wh", "-951.1 W")
    assert (shown["1-0:29.7.0"], shown["1-0:33.7.0"], shown["1-0:34.7.0"]) == ("951.9 VA", "1.00", "50.0 Hz")
    assert (shown["1-0:76.7.0"], shown["1-0:91.7.0"]) == (NULL, NULL)
    assert (found.meter, found.time_ms, found.remarks) == (
        "B0A732000001",
        1718972705000,
        ("em:0 tells 'phase_sequence'",),
    )


def test_a_shelly_with_several_parts_has_channels() -> None:
    found = decoded(shelly.decode_2, recorded("shelly-pro2pm.json"))
    shown = values(found)
    assert (shown["1-0:1.8.0"], shown["1-0:2.8.0"], shown["1-0:16.7.0"]) == ("5125.003 Wh", "0.000 Wh", "47.11 W")
    assert shown["1-1:1.8.0"] == "1.5 Wh"
    assert found.time_ms is None
    assert "1-1:1.8.0 stands more than once; the first counts" in found.remarks


@pytest.mark.parametrize(
    ("part", "data", "shown"),
    [
        ("em", b'{"id":0,"total_act_power":1.5,"n_current":null}', {"1-0:16.7.0": "1.5 W", "1-0:91.7.0": NULL}),
        ("emdata", b'{"id":0,"total_act":1.50,"total_act_ret":0}', {"1-0:1.8.0": "1.50 Wh", "1-0:2.8.0": "0 Wh"}),
        ("em1data", b'{"id":0,"total_act_energy":1264.15}', {"1-0:1.8.0": "1264.15 Wh"}),
        ("em1", b'{"id":0,"act_power":-332.2,"freq":50}', {"1-0:16.7.0": "-332.2 W", "1-0:14.7.0": "50 Hz"}),
        ("switch", b'{"id":0,"apower":2,"aenergy":{"total":5}}', {"1-0:1.8.0": "5 Wh", "1-0:16.7.0": "2 W"}),
        ("pm1", b'{"id":0,"aprtpower":2.1}', {"1-0:9.7.0": "2.1 VA"}),
    ],
)
def test_a_reply_about_one_part(part: str, data: bytes, shown: dict[str, str]) -> None:
    assert values(decoded(lambda reply: shelly.decode_part(reply, part), data)) == shown


@pytest.mark.parametrize(
    ("decode", "data", "told"),
    [
        (shelly.decode_1, b"[]", "the document is a list, not an object"),
        (shelly.decode_1, b'{"meters":{}}', "meters is an object, not a list"),
        (shelly.decode_1, b'{"meters":[1]}', "the document is a number, not an object"),
        (shelly.decode_1, b'{"type":"SHSW-1"}', "it has no value of a meter"),
        (shelly.decode_2, b'{"code":404,"message":"No handler"}', "it has no value of a meter"),
        (shelly.decode_2, b'{"em:0":5}', "em:0 is a number, not an object"),
        (shelly.decode_2, recorded("shelly-1pm.json"), "it has no value of a meter"),
        (tasmota.decode, b'{"WARNING":"Need user=<username>&password=<password>"}', "says 'Need user=<username>"),
        (tasmota.decode, b'{"Command":"Unknown"}', "it has no StatusSNS, but says 'Unknown'"),
        (tasmota.decode, b'{"StatusSNS":{"Time":"x"}}', "it has no value of a meter"),
        (tasmota.decode, b'{"StatusSNS":[]}', "StatusSNS is a list, not an object"),
        (gridx.decode, b'{"measuredAt":"2024-05-08T09:42:18Z"}', "it has no value of a meter"),
        (gridx.decode, recorded("gridx-live.json").replace(b"measuredAt", b"at"), "no time with a zone"),
        (gridx.decode, b"Unauthorized", "at 0: no JSON"),
    ],
)
def test_what_is_no_reply_is_broken(decode: Decode, data: bytes, told: str) -> None:
    assert told in broken(decode, data)


def test_a_tasmota_plug_counts_kilowatt_hours() -> None:
    found = decoded(tasmota.decode, recorded("tasmota-plug.json"))
    assert values(found) == {
        "1-0:1.8.0": "13.48712 kWh", "1-0:16.7.0": "190 W", "1-0:9.7.0": "201 VA", "1-0:131.7.0": "66 var",
        "1-0:13.7.0": "0.95", "1-0:12.7.0": "230 V", "1-0:11.7.0": "0.874 A", "today": "0.258 kWh",
        "yesterday": "0.636 kWh",
    }  # fmt: skip
    assert found.time_ms is None


def test_a_tasmota_with_phases_has_lists() -> None:
    found = decoded(tasmota.decode, recorded("tasmota-phases.json"))
    shown = values(found)
    assert (shown["1-0:21.8.0"], shown["1-0:61.8.0"], shown["1-0:56.7.0"]) == ("10.100 kWh", "30.300 kWh", "-2 W")
    assert (shown["1-0:72.7.0"], shown["1-0:14.7.0"], shown["1-0:2.8.0"]) == ("232 V", "50 Hz", "7.5 kWh")
    assert (shown["reactive_power_l3"], shown["today_l2"]) == ("2 var", "0.2 kWh")
    assert found.time_ms == 1612361572000


def test_a_tasmota_head_tells_the_meter_behind_it() -> None:
    found = decoded(tasmota.decode, recorded("tasmota-head.json"))
    assert found.meter == "1EMH0012345678"
    assert values(found) == {
        "1-0:1.8.0": "21043.1234 kWh", "1-0:2.8.0": "8.0000 kWh", "1-0:16.7.0": "-312 W", "1-0:36.7.0": "-400 W",
    }  # fmt: skip


def test_a_gridbox_counts_watt_seconds() -> None:
    """7,400,880,000 Ws are 2,055,800 Wh; as joules they are exact whatever they are."""
    found = decoded(gridx.decode, recorded("gridx-live.json"))
    shown = values(found)
    assert (shown["1-0:1.8.0"], shown["1-0:2.8.0"], shown["1-0:16.7.0"]) == ("7400880000 J", "14085360000 J", "-59 W")
    assert (shown["photovoltaic"], shown["total_consumption"]) == ("1519 W", "600 W")
    assert found.time_ms == 1718962938000


@pytest.mark.parametrize(
    ("protocol", "id_", "path"),
    [
        ("eumel-1", "", "/rest"),
        ("eumel-2", "S1", "/wizard/public/api/rest"),
        ("fronius", "inverter/1",
         "/solar_api/v1/GetInverterRealtimeData.cgi?Scope=Device&DeviceId=1&DataCollection=CumulationInverterData"),
        ("fronius", "meter/0", "/solar_api/v1/GetMeterRealtimeData.cgi?Scope=Device&DeviceId=0"),
        ("fronius", "site", "/solar_api/v1/GetPowerFlowRealtimeData.fcgi"),
        ("loxone", "Produced", "/dev/sps/io/Produced/"),
        ("loxone", "consumed/Zähler 1", "/dev/sps/io/Z%C3%A4hler%201/"),
        ("shelly-1", "", "/status"),
        ("shelly-2", "", "/rpc/Shelly.GetStatus"),
        ("tasmota", "", "/cm?cmnd=Status%2010"),
        ("gridx", "7f1c-00", "/systems/7f1c-00/live"),
    ],
)  # fmt: skip
def test_each_protocol_asks_for_its_document(protocol: str, id_: str, path: str) -> None:
    source = PROTOCOLS[protocol].source(id_)
    assert getattr(source, "path") == path  # noqa: B009  (not every source has one)


@pytest.mark.parametrize(
    ("protocol", "id_"),
    [("fronius", ""), ("fronius", "inverter/x"), ("fronius", "inverter/1&x=2"), ("loxone", ""), ("loxone", "Strom"),
     ("loxone", "produced/"), ("gridx", ""), ("gridx", "../x"), ("energy-api-1", "produced/1"), ("energy-api-1", ""),
     ("energy-api-2", "produced"), ("energy-api-2", "used/1"), ("energy-api-3", "produced/1"), ("energy-api-3", "")],
)  # fmt: skip
def test_an_id_that_the_protocol_cannot_have_is_refused(protocol: str, id_: str) -> None:
    with pytest.raises(ConfigError, match=f"{protocol} wants"):
        PROTOCOLS[protocol].source(id_)
