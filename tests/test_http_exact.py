"""Numbers, times and documents exactly as sent; what is none is told, whatever the bytes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.http.exact import Number, Unusable, member, parse, rfc3339, scaled, time_ms, unix_ms
from drivers.http.points import fields, point, telegram, unique
from drivers.http.tree import parse as parse_tree
from gateway.reading import Scaled

FIRST, LAST = datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30")
BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]><d>&d;</d>"""
OUTSIDE = b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]><d>&x;</d>'
PARAMETER = b'<!DOCTYPE d [<!ENTITY % x SYSTEM "http://192.0.2.1/x"> %x;]><d/>'


@pytest.mark.parametrize(
    ("text", "mantissa", "exponent"),
    [
        ("1.50", 150, -2),
        ("-0.00", 0, -2),
        ("0", 0, 0),
        ("1e3", 1, 3),
        ("-1.25E-2", -125, -4),
        ("2.2400000000000002", 22400000000000002, -16),
        ("9223372036854775807", (1 << 63) - 1, 0),
    ],
)
def test_a_number_keeps_its_digits(text: str, mantissa: int, exponent: int) -> None:
    assert scaled(text) == Scaled(mantissa=mantissa, exponent=exponent)


@pytest.mark.parametrize(
    "text",
    ["", "-", ".5", "1.", "1,5", "0x1", "NaN", "1e999", "1e65", "9223372036854775808", "٣", "1_0", " 1", "1" * 41],
)
def test_what_a_reading_cannot_hold_is_no_number(text: str) -> None:
    with pytest.raises(Unusable, match=r"no decimal number|more digits than a reading holds"):
        scaled(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6))
def test_a_number_means_what_it_says(value: Decimal) -> None:
    found = scaled(f"{value:f}")
    assert Decimal(found.mantissa).scaleb(found.exponent) == value


def test_no_number_becomes_a_float() -> None:
    assert parse(b'{"a": 1.10, "b": [1, -2e1]}') == {"a": Number("1.10"), "b": [Number("1"), Number("-2e1")]}
    assert parse(b"\xef\xbb\xbf 1") == Number("1")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "at 0: no JSON"),
        (b"<html>Log in</html>", "at 0: HTML where JSON was expected"),
        (b'{"a":1', "no JSON"),
        (b"{}x", "no JSON"),
        (b'{"a":NaN}', "NaN is no JSON"),
        (b'{"a":-Infinity}', "-Infinity is no JSON"),
        (b'{"a":1,"b":2,"a":3}', "'a' stands twice in one object"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"a":' * 200_000, "nested too deep"),
        (b'{"a":"\xff"}', "at 6: not UTF-8"),
    ],
)
def test_what_is_no_json_is_told(data: bytes, told: str) -> None:
    with pytest.raises(Unusable, match=told):
        parse(data)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parsers(data: bytes) -> None:
    for parser in (parse, parse_tree):
        try:
            parser(data)
        except Unusable:
            continue


def test_a_path_that_is_not_there_is_named() -> None:
    document = parse(b'{"a": {"b": 1}, "c": null}')
    assert (member(document, "a", "b"), member(document, "a", "x")) == (Number("1"), None)
    for path, told in ((("a", "b", "c"), "a.b is a number, not an object"), (("x", "y"), "x is missing")):
        with pytest.raises(Unusable, match=told):
            member(document, *path)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2018-03-15T18:30:00+00:00", 1521138600000),
        ("2018-03-15T18:30:00+0000", 1521138600000),
        ("2018-03-15t19:30:00.5z", 1521142200500),
        ("2018-03-15 20:00:00+01:30", 1521138600000),
        ("2018-03-15T13:00:00.123999-05:30", 1521138600123),
        ("2016-12-31T23:59:60Z", 1483228799000),
        ("1969-12-31T23:59:59.250Z", -750),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, ms: int) -> None:
    assert time_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "2018-03-15T18:30:00", "2018-02-30T00:00:00Z", "2018-03-15T24:00:00Z", "2018-03-15T18:30:61Z",
     "2018-03-15T18:30:00+24:00", "2018-03-15T18:30:00+01", "15.03.2018 18:30", "2018-03-15T18:30:00.Z", "x" * 5000],
)  # fmt: skip
def test_a_time_without_zone_or_meaning_is_none(text: str) -> None:
    with pytest.raises(Unusable, match="no time") as caught:
        time_ms(text)
    assert len(str(caught.value)) < 200


@given(
    st.datetimes(min_value=FIRST, max_value=LAST),
    st.integers(min_value=-1439, max_value=1439),
)
def test_times_agree_with_the_library(moment: datetime, offset_min: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert time_ms(zoned.isoformat()) == (zoned - epoch) // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("value", "ms"),
    [(Number("1718972705"), 1718972705000), (Number("1718972705.25"), 1718972705250), (Number("0"), None),
     (None, None), ("1", None), (Number("-5"), None), (Number("1e40"), None)],
)  # fmt: skip
def test_a_clock_that_was_never_set_tells_no_time(value: object, ms: int | None) -> None:
    assert unix_ms(value) == ms


def test_a_time_is_shown_in_utc() -> None:
    assert rfc3339(1521138600999) == "2018-03-15T18:30:00Z"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (BOMB, "declares a document type or entities, which is refused"),
        (OUTSIDE, "declares a document type"),
        (PARAMETER, "declares a document type"),
        (b"<!DOCTYPE html><html/>", "declares a document type"),
        (b"<a>&unknown;</a>", "no XML: line 1"),
        (b"<a>" * 9 + b"</a>" * 9, "4096 elements or 8 levels"),
        (b"<a>" + b"<b/>" * 4096 + b"</a>", "4096 elements or 8 levels"),
        (b"<a>" + b"x" * 65_537 + b"</a>", "more than 65536 characters"),
        (b"<a><b></a>", "no XML: line 1, column 8: mismatched tag"),
        (b"", "no XML: line 1, column 0: no element found"),
        (b'{"a": 1}', "no XML"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "no XML"),
        (b"<a/><b/>", "no XML"),
        (b"<a>\x00</a>", "no XML"),
    ],
)
def test_what_is_no_small_xml_is_told(data: bytes, told: str) -> None:
    with pytest.raises(Unusable, match=told):
        parse_tree(data)


def test_a_tree_has_what_was_sent() -> None:
    root = parse_tree(b'<?xml version="1.0"?><a x="1&amp;2"><b>3</b> <b>&lt;4</b></a>')
    assert (root.name, root.attributes, [one.text for one in root.named("b")]) == ("a", {"x": "1&2"}, ["3", "<4"])


def test_a_field_that_is_no_number_is_a_point_that_says_why() -> None:
    table = {name: (name, "W") for name in "abcdef"}
    found = fields({"a": Number("1"), "b": None, "c": True, "d": "5", "e": []}, table)
    assert [(one.code, str(one.value), one.fault, one.raw) for one in found] == [
        ("a", "1", "", b"1"),
        ("b", "None", "missing or null, not a number", b""),
        ("c", "None", "true or false, not a number", b""),
        ("d", "None", "a text, not a number", b"5"),
        ("e", "None", "a list, not a number", b""),
    ]
    assert (
        point("x", "J", Number("9223372036854775807"), times=60).fault
        == "a number with more digits than a reading holds"
    )


def test_a_code_that_stands_twice_counts_once() -> None:
    remarks: list[str] = []
    found = unique([point("a", "W", Number("1")), point("a", "W", Number("2"))], remarks)
    assert [str(one.value) for one in found] == ["1"]
    assert remarks == ["a stands more than once; the first counts"]


def test_a_document_without_any_value_is_none() -> None:
    with pytest.raises(Unusable, match=r"it has no value of a meter; a: missing or null, not a number"):
        telegram("x", b"", [point("a", "W", None)])
    with pytest.raises(Unusable, match=r"it has no value of a meter$"):
        telegram("x", b"", [])
