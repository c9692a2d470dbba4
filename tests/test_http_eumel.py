"""EUMEL: both sample files value by value; production is export; what is odd is a remark, what is none is broken."""

from __future__ import annotations

import re

import pytest

from drivers.http.eumel import decode
from drivers.telegram import BrokenTelegram, Telegram
from tests.parts import vectors
from tests.test_http_exact import BOMB

PHASES = {"A": 20, "B": 40, "C": 60}
#: Group and kind of OBIS by the name in the file; written apart from the driver's table, from IEC 62056-61.
SUMS = {
    "A": "11.7", "PhV": "12.7", "Hz": "14.7", "W": "16.7", "VA": "9.7", "PF": "13.7", "TotWhImp": "1.8",
    "TotWhExp": "2.8", "TotVAhImp": "9.8", "TotVAhExp": "10.8", "TotVArhImpQ1": "5.8", "TotVArhImpQ2": "6.8",
    "TotVArhExpQ3": "7.8", "TotVArhExpQ4": "8.8",
}  # fmt: skip
REPLY = """<SunSpecData v=""><d man="VERBUND" mod="Power-Meter" sn="S1" t="2018-03-08T18:18:17Z">
<m id="1"><p id="SN">S1</p></m><m id="211"><p id="W">2.31</p><p id="TotWhExp">5.00</p></m></d></SunSpecData>"""


def code(name: str) -> str:
    found = re.fullmatch(r"(.+?)(?:[pP]h([ABC]))?", name)
    assert found is not None
    if name == "VAR":
        return "1-0:131.7.0"
    if found[1] not in SUMS:
        return name
    group, kind = SUMS[found[1]].split(".")
    return f"1-0:{int(group) + PHASES.get(found[2] or '', 0)}.{kind}.0"


@pytest.mark.parametrize(
    ("file", "protocol", "sn", "time_ms"),
    [
        ("EumelXMLv1.xml", "eumel-1", "A84041172836", 1510933543000),
        ("EumelXMLv2.1.1.xml", "eumel-2", "A8404118ABD2", 1520533097000),
    ],
)
def test_the_sample_files_value_by_value(file: str, protocol: str, sn: str, time_ms: int) -> None:
    """Every value of the file's block of values, with the digits that it has there, under the right code."""
    data = (vectors("eumel") / file).read_bytes()
    found = decode(data, protocol)
    assert isinstance(found, Telegram)
    assert (found.protocol, found.meter, found.time_ms, found.raw) == (protocol, sn, time_ms, data)
    block = data.decode().partition('<m id="211">')[2]
    expected: dict[str, str] = {}
    for name, text in re.findall(r'<p id="([^"]+)">([^<]+)</p>', block):
        expected.setdefault(code(name), text)
    assert {point.code: point.raw.decode() for point in found.points} == expected
    for point in found.points:
        assert str(point.value) == expected[point.code].removeprefix("-" if "-0.00" in expected[point.code] else "\0")
        assert not point.fault
    assert len(expected) in (61, 63)


def test_production_is_export_and_consumption_is_import() -> None:
    data = (vectors("eumel") / "EumelXMLv2.1.1.xml").read_bytes()
    found = decode(data)
    assert isinstance(found, Telegram)
    shown = {point.code: f"{point.value} {point.unit}" for point in found.points}
    assert (shown["1-0:2.8.0"], shown["1-0:1.8.0"]) == ("11277.41 Wh", "336.12 Wh")
    assert (shown["1-0:62.8.0"], shown["1-0:36.7.0"], shown["Temperature"]) == ("11276.72 Wh", "0.00 W", "21.00 °C")
    assert (shown["PPVphAB"], shown["VARphA"], shown["1-0:131.7.0"]) == ("0.02 V", "0.00 var", "5.69 var")
    assert found.remarks == ()


def test_of_an_id_that_stands_twice_the_first_counts() -> None:
    """1.0 sends phase B of the apparent energy twice, and no phase C."""
    found = decode((vectors("eumel") / "EumelXMLv1.xml").read_bytes(), "eumel-1")
    assert isinstance(found, Telegram)
    assert str(next(point.value for point in found.points if point.code == "1-0:49.8.0")) == "0.00"
    assert found.remarks == (
        "1-0:50.8.0 stands more than once; the first counts",
        "1-0:49.8.0 stands more than once; the first counts",
    )


def test_the_block_is_found_by_its_id_wherever_it_stands() -> None:
    common, values = '<m id="1"><p id="SN">S1</p></m>', '<m id="211">'
    turned = REPLY.replace(common, "").replace("</d>", f'<m id="9"><p id="W">1</p></m>{common}</d>')
    for text in (REPLY, turned, REPLY.replace(values, '<m id="213">')):
        found = decode(text.encode())
        assert isinstance(found, Telegram)
        assert [(point.code, str(point.value)) for point in found.points] == [
            ("1-0:16.7.0", "2.31"),
            ("1-0:2.8.0", "5.00"),
        ]


def test_of_several_meters_the_one_with_the_serial_number_counts() -> None:
    other = '<d sn="S2" t="2018-03-08T18:18:17Z"><m id="211"><p id="W">9</p></m></d></SunSpecData>'
    both = REPLY.replace("</SunSpecData>", other).encode()
    chosen, first = decode(both, "eumel-2", "S2"), decode(both)
    assert isinstance(chosen, Telegram)
    assert isinstance(first, Telegram)
    assert (chosen.meter, str(chosen.points[0].value), chosen.remarks) == ("S2", "9", ())
    assert first.meter == "S1"
    assert first.remarks[0].startswith("it tells of several meters; the first counts")


@pytest.mark.parametrize(
    ("old", "new", "remark"),
    [
        ("2018-03-08T18:18:17Z", "gestern", "its time t is missing or no time"),
        (' t="2018-03-08T18:18:17Z"', "", "its time t is missing or no time"),
        ('"SN">S1', '"SN">S9', "the serial numbers in d and in its common block differ"),
        ("</d>", '<m id="212"><p id="W">9</p></m></d>', "more than one block of values"),
    ],
)
def test_what_is_odd_is_a_remark(old: str, new: str, remark: str) -> None:
    found = decode(REPLY.replace(old, new).encode())
    assert isinstance(found, Telegram)
    assert len(found.points) == 2
    assert remark in found.remarks[0]


def test_a_point_that_is_not_known_keeps_its_name_and_one_without_is_none() -> None:
    more = '<p id="WphD">1</p><p id="Neu">2</p><p>3</p><p id="">4</p></m></d>'
    found = decode(REPLY.replace("</m></d>", more).encode())
    assert isinstance(found, Telegram)
    assert [(one.code, one.unit) for one in found.points[2:]] == [("WphD", ""), ("Neu", "")]


@pytest.mark.parametrize("text", ["", "NaN", "1,5", "2.31W", "∞", "1" * 100])
def test_a_value_that_is_no_number_has_none(text: str) -> None:
    found = decode(REPLY.replace("2.31", text).encode())
    assert isinstance(found, Telegram)
    assert (found.points[0].value, found.points[0].fault) == (None, "no decimal number")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BOMB, "declares a document type"),
        (b"<html><body/></html>", "its root is 'html', not SunSpecData; check the protocol"),
        (b"<SunSpecData/>", "it has no element d"),
        (b'<SunSpecData><d><m id="1"/></d></SunSpecData>', "no block m with id 211, 212, 213, 214, only '1'"),
        (b'<SunSpecData><d t=""/></SunSpecData>', "only none"),
        (b'<SunSpecData><d><m id="211"/></d></SunSpecData>', "it has no value of a meter"),
        (REPLY[:150].encode(), "no XML: line 2"),
        (b"\xff\xfe", "no XML"),
    ],
)
def test_what_is_no_reply_is_broken(data: bytes, told: str) -> None:
    found = decode(data)
    assert isinstance(found, BrokenTelegram)
    assert told in found.error
    assert found.raw == data
