"""What one P1 telegram says: exact values, times, texts, and what makes bytes none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.crc16 import crc16
from drivers.dsmr.telegram import parse_telegram
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from gateway.reading import Scaled
from tests import p1_telegrams as p1


def telegram(raw: bytes) -> Telegram:
    found = parse_telegram(raw)
    assert isinstance(found, Telegram), found
    return found


def fault(raw: bytes) -> str:
    found = parse_telegram(raw)
    assert isinstance(found, BrokenTelegram), found
    return found.error


def points(raw: bytes) -> dict[str, TelegramPoint]:
    return {point.code: point for point in telegram(raw).points}


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1000  # type: ignore[misc]


def test_the_crc_is_arc() -> None:
    """The catalogue's check value, and a shift register of ours."""
    assert crc16(b"123456789", start=0) == p1.arc(b"123456789") == 0xBB3D


def test_a_golden_telegram_of_version_5() -> None:
    """Every kind of line, to the last digit."""
    raw = p1.with_crc(p1.NETHERLANDS_5)
    assert raw.endswith(b"!21AA\r\n")
    found = telegram(raw)
    assert (found.protocol, found.meter, found.raw, found.remarks) == ("dsmr", "E0000000000000001", raw, ())
    assert found.time_ms == ms(2024, 3, 31, 1), "the first hour of summer"
    by_code = points(raw)
    assert by_code["1-0:1.8.1"] == TelegramPoint(
        code="1-0:1.8.1", unit="kWh", value=Scaled(mantissa=1234567, exponent=-3), raw=b"(001234.567*kWh)"
    )
    assert str(by_code["1-0:1.8.2"].value) == "890.120"
    assert str(by_code["0-0:96.14.0"].value) == "2"
    assert by_code["1-3:0.2.8"].text == "50"
    assert by_code["0-0:96.13.0"].text == "Hallo, wereld!"
    assert by_code["0-1:96.1.0"].text == "2222ABCD123456789"
    gas = by_code["0-1:24.2.1"]
    assert (str(gas.value), gas.unit, gas.time_ms) == ("412.331", "m3", ms(2024, 3, 31, 0, 45))
    assert gas.raw == b"(240331014500W)(00412.331*m3)"
    log = by_code["1-0:99.97.0"]
    assert log.value is None
    assert log.text == "(2)(0-0:96.7.19)(201208152415S)(0000000240*s)(201208151004S)(0000000301*s)"
    assert len(by_code) == len(p1.NETHERLANDS_5)


def test_the_summer_and_the_winter_hour_of_one_local_time_differ() -> None:
    """02:30 on the last Sunday of October is there twice."""
    both = [points(p1.with_crc([f"0-0:1.0.0(231029023000{letter})"]))["0-0:1.0.0"].time_ms for letter in ("S", "W")]
    assert both == [ms(2023, 10, 29, 0, 30), ms(2023, 10, 29, 1, 30)]


def test_another_country_has_another_zone() -> None:
    """Lithuania is two hours ahead in winter."""
    found = parse_telegram(p1.with_crc(["0-0:1.0.0(240115120000W)"]), winter_offset_h=2)
    assert isinstance(found, Telegram)
    assert found.time_ms == ms(2024, 1, 15, 10)


def test_a_belgian_telegram() -> None:
    """Peaks have their own times, the monthly ones are a text, and a time that does not exist is a remark."""
    raw = p1.with_crc(p1.FLUVIUS, "/FLU5\\253769484_A")
    by_code = points(raw)
    peak = by_code["1-0:1.6.0"]
    assert (str(peak.value), peak.unit, peak.time_ms) == ("3.064", "kW", ms(2023, 11, 2, 10, 45))
    assert by_code["0-0:98.1.0"].text.endswith("(231101000000W)(231016130000S)(04.927*kW)")
    assert str(by_code["1-0:94.32.1"].value) == "400"
    assert by_code["0-0:96.1.4"].text == "50221"
    water = by_code["0-2:24.2.1"]
    assert (str(water.value), water.time_ms) == ("8.579", None)
    assert telegram(raw).remarks == ("0-2:24.2.1: the time 632525252525W does not exist, or has no S or W",)
    assert telegram(raw).meter == "1SAG1100000231"


def test_a_swedish_telegram() -> None:
    """No version line; reactive energy both ways, and power that may be negative."""
    by_code = points(p1.with_crc(p1.SWEDEN, "/ELL5\\253833635_A"))
    assert by_code["1-0:3.7.0"].value == Scaled(mantissa=-305, exponent=-3)
    assert (str(by_code["1-0:4.8.0"].value), by_code["1-0:4.8.0"].unit) == ("1020.971", "kvarh")
    assert telegram(p1.with_crc(p1.SWEDEN, "/ELL5\\253833635_A")).meter == "ELL5\\253833635_A"


@pytest.mark.parametrize(("lines", "meter"), [(p1.OLD_2_2, "00000000000000"), (p1.OLD_3, "K8EG004046395507")])
def test_a_gas_reading_over_two_lines_is_a_value_of_the_code_it_names(lines: tuple[str, ...], meter: str) -> None:
    """Versions 2.2 and 3; their time tells neither S nor W, so there is none."""
    raw = p1.without_crc(lines)
    by_code = points(raw)
    gas = by_code["0-1:24.2.1"]
    assert (gas.value, gas.unit, gas.time_ms) == (Scaled(mantissa=1001, exponent=-3), "m3", None)
    assert by_code["0-1:24.3.0"].text.endswith("(00)(60)(1)(0-1:24.2.1)(m3)(00001.001)")
    assert (telegram(raw).meter, telegram(raw).time_ms) == (meter, None)


def test_a_profile_of_more_entries_is_a_text_alone() -> None:
    """Only one entry can be told from the next."""
    line = "0-1:24.3.0(161107190000)(00)(60)(2)(0-1:24.2.1)(m3)(00001.001)"
    assert list(points(p1.with_crc([line]))) == ["0-1:24.3.0"]


@pytest.mark.parametrize(
    ("line", "value", "text", "why"),
    [
        ("1-0:1.8.1(--------*kWh)", None, "--------", "'--------' is no number"),
        ("1-0:1.8.1()", None, "", "it is empty"),
        ("1-0:1.8.1(1e3*kWh)", None, "1e3", "'1e3' is no number"),
        ("1-0:13.7.0(4.556)", "4.556", "", ""),
        ("0-0:96.1.1(ADC3100000158491)", None, "ADC3100000158491", ""),
        ("0-0:96.13.2()", None, "", "it is empty"),
        ("0-1:24.2.1(700101010000W)(00000000)", "0", "", ""),
        ("0-1:24.2.1()(00000.000*m3)", None, "()(00000.000*m3)", ""),
    ],
)
def test_what_is_no_number_has_a_reason_or_a_text(line: str, value: str | None, text: str, why: str) -> None:
    """Nothing becomes a zero, and a text stays as it is where it is not in hex."""
    (point,) = telegram(p1.with_crc([line])).points
    assert (None if point.value is None else str(point.value), point.text, point.fault) == (value, text, why)


def test_a_device_that_was_never_set_says_1970() -> None:
    """Two digits of a year are read as POSIX does."""
    (point,) = telegram(p1.with_crc(["0-1:24.2.1(700101010000W)(00000000)"])).points
    assert point.time_ms == 0


def test_a_code_that_stands_twice_keeps_its_first_value() -> None:
    """And the second is a remark; ``*255`` is the same code, ``*1`` another."""
    raw = p1.with_crc(["1-0:1.8.1(1*kWh)", "1-0:1.8.1*255(2*kWh)", "1-0:1.8.1*1(3*kWh)"])
    assert {code: str(point.value) for code, point in points(raw).items()} == {"1-0:1.8.1": "1", "1-0:1.8.1*1": "3"}
    assert telegram(raw).remarks == ("1-0:1.8.1 stands there again with (2*kWh); the first counts",)


def test_under_a_right_crc_an_odd_line_is_a_remark() -> None:
    """It costs itself, no more."""
    found = telegram(p1.with_crc(["1-0:1.8.1(1*kWh)", "what is this", "(2)", "garbage)("]))
    (point,) = found.points
    assert point.raw == b"(1*kWh)(2)"
    assert found.remarks == ("data line 2: 'what is this' is no data set", "data line 4: 'garbage)(' is no data set")


def test_leading_zeros_of_a_crc_may_be_missing() -> None:
    """A heat meter's adapter in the field leaves them out, and one puts a byte 0 behind."""
    number, body = 0, b""
    while p1.arc(body) >= 0x1000 or not body:
        number += 1
        body = p1.plain([f"1-0:1.8.0({number}*kWh)"])
    crc = f"{p1.arc(body):X}".encode("ascii")
    assert not telegram(body + crc + b"\r\n").remarks
    assert telegram(body + crc + b"\0\r\n").remarks == ("a byte 0 stands behind the CRC",)


GOOD = p1.with_crc(p1.NETHERLANDS_5)
OLD = p1.without_crc(p1.OLD_2_2)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (GOOD.replace(b"890.120", b"890.121"), "the CRC is 21AA, and that of the bytes"),
        (GOOD.replace(b"!21AA", b"!"), "the CRC is missing, and 1-3:0.2.8 says that there is one"),
        (GOOD.replace(b"!21AA", b"!21Ag"), "is no end of a telegram"),
        (GOOD.replace(b"!21AA", b"!021AA"), "is no end of a telegram"),
        (GOOD.replace(b"\r\n", b"\n"), "is no end of a telegram"),
        (GOOD.replace(b"\r\n", b"\n").replace(b"21AA\n", b"21AA\r\n"), "its lines end with LF alone"),
        (p1.without_crc(p1.SWEDEN), "the CRC is missing, and 0-0:1.0.0 says that there is one"),
        (OLD.replace(b"\r\n\r\n", b"\r\n"), "there is no CRC, and no empty line follows the identification"),
        (OLD.replace(b"/ISk5", b"/I5k5"), "there is no CRC, and '/I5k5"),
        (OLD.replace(b"1-0:1.8.1(", b"1.8.1("), "there is no CRC, and '1.8.1' is no full OBIS code"),
        (OLD.replace(b"(0001.01*kW)", b"(0001.01*kW"), "there is no CRC, and data line 4:"),
        (OLD.replace(b"*kWh", b"\x00kWh"), "there is no CRC, and data line 2:"),
        (OLD.replace(b"\r\n0-1:24.1", b"\n0-1:24.1"), "there is no CRC, and data line 5:"),
        (p1.without_crc([]), "it holds no data line"),
        (p1.with_crc([]), "it holds no data line"),
        (b"/", "is no end of a telegram"),
    ],
)
def test_bytes_that_are_no_telegram_say_why(raw: bytes, why: str) -> None:
    """One fault each."""
    assert why in fault(raw)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-(10**9), max_value=10**9))
def test_every_number_comes_out_with_its_digits(number: Decimal) -> None:
    """Sign, leading zeros, and zeros at the end."""
    (point,) = telegram(p1.with_crc([f"1-0:1.8.0({number:f}*kWh)"])).points
    assert point.value is not None
    assert Decimal(str(point.value)) == number
    assert point.value.exponent == -5


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Garbage in the middle of a telegram whose CRC is right, and alone."""
    parse_telegram(data)
    body = b"/ISk5\\2\r\n\r\n1-0:1.8.0(1*kWh)\r\n" + data + b"\r\n!"
    parse_telegram(body + f"{p1.arc(body):04X}\r\n".encode("ascii"))
