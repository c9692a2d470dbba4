"""Records of wired M-Bus telegrams (drivers/mbus): each kind of data field, each table of meanings, each refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mbus.decoder import MbusDecoder
from drivers.telegram import BrokenTelegram, TelegramPoint
from tests.contract_decoder import run
from tests.mbus_telegrams import ENERGY, only, telegram, told


def point(record: str) -> TelegramPoint:
    (found,) = only(record).points
    return found


#: Record → code, unit, value or text.
GOLDEN = [
    ("04 03 39 30 00 00", "energy", "Wh", "12345"),
    ("01 06 FE", "energy", "Wh", "-2000"),
    ("03 13 56 34 12", "volume", "m3", "1193.046"),
    ("06 13 01 00 00 00 00 00", "volume", "m3", "0.001"),
    ("07 03 FF FF FF FF FF FF FF 7F", "energy", "Wh", "9223372036854775807"),
    ("09 5B 42", "flow_temperature", "°C", "42"),
    ("0A 5A 27 02", "flow_temperature", "°C", "22.7"),
    ("0A 5A 15 F0", "flow_temperature", "°C", "-1.5"),
    ("0B 3B 23 01 00", "volume_flow", "m3/h", "0.123"),
    ("0C 13 78 56 34 12", "volume", "m3", "12345.678"),
    ("0E 07 21 43 65 87 09 12", "energy", "Wh", "1209876543210000"),
    ("05 5B 78 8B F9 41", "flow_temperature", "°C", "31.1931"),
    ("05 2B 00 00 00 00", "power", "W", "0"),
    ("8C 10 06 01 00 00 00", "energy_t1", "Wh", "1000"),
    ("CC 20 13 01 00 00 00", "volume_t2_s1", "m3", "0.001"),
    ("52 59 64 00", "flow_temperature_s1_max", "°C", "1.00"),
    ("62 5D 9C FF", "return_temperature_s1_min", "°C", "-1.00"),
    ("82 40 AC FF 01 FD FF", "power_x01_u1", "W", "-30"),
    ("84 80 80 40 03 01 00 00 00", "energy_u4", "Wh", "1"),
    ("84 D0 21 03 01 00 00 00", "energy_t9_u1_s32", "Wh", "1"),
    ("02 FD C9 FF 01 E6 00", "voltage_x01", "V", "230"),
    ("02 FD 48 E6 00", "voltage", "V", "23.0"),
    ("03 FD 59 E8 03 00", "current", "A", "1.000"),
    ("02 FD 97 00 00 80", "error_flags", "", "32768"),
    ("01 FD 1B FF", "digital_input", "", "255"),
    ("02 FB 2E 88 13", "frequency", "Hz", "500.0"),
    ("02 FB 1A 2C 01", "relative_humidity", "%", "30.0"),
    ("04 FB 82 75 01 00 00 00", "reactive_energy", "varh", "100"),
    ("04 FB 00 02 00 00 00", "energy", "Wh", "200000"),
    ("04 FB 8D FC 01 01 00 00 00", "energy_l1", "cal", "1000000"),
    ("04 83 3B 88 13 00 00", "energy_forward", "Wh", "5000"),
    ("04 83 3C 88 13 00 00", "energy_backward", "Wh", "5000"),
    ("04 83 7D 01 00 00 00", "energy", "Wh", "1000"),
    ("02 93 22 05 00", "volume_per_h", "m3/h", "0.005"),
    ("01 DA 48 32", "flow_temperature_upper_limit", "°C", "5.0"),
    ("01 DA 49 32", "flow_temperature_upper_exceeds", "", "50"),
    ("04 BE 50 71 BB B0 00", "volume_flow_lower_exceed_first_duration", "s", "11582321"),
    ("02 FC 03 48 52 25 74 D4 11", "plain_rh", "%RH", "45.64"),
    ("04 7C 03 57 68 6B 05 00 00 00", "plain_khw", "khW", "5"),
    ("02 7F 10 B5", "manufacturer", "", "-19184"),
    ("02 FF 68 05 00", "manufacturer_68", "", "5"),
    ("0C 78 07 20 18 00", "fabrication_number", "", "00182007"),
    ("0D FD 11 03 43 42 41", "customer", "", "ABC"),
    ("0D 13 C3 56 34 12", "volume", "m3", "123.456"),
    ("0D 13 D2 34 12", "volume", "m3", "-1.234"),
    ("0D 13 E3 01 00 01", "volume", "m3", "65.537"),
    ("0D FD 3A EA 00 01 02 03 04 05 06 07 08 09", "dimensionless", "", "09080706050403020100"),
    ("02 6C BF 15", "date", "", "2013-05-31"),
    ("04 6D 09 0D CD 13", "time", "", "2014-03-13T13:09"),
    ("04 6D 09 8D CD 13", "time", "", "2014-03-13T13:09 (summer time)"),
    ("06 6D 1E 09 0D CD 13 00", "time", "", "2014-03-13T13:09:30"),
    ("03 6D 1E 09 0D", "time", "", "13:09:30"),
    ("04 FD 30 09 0D CD 13", "tariff_start", "", "2014-03-13T13:09"),
    ("42 EC 7E FF 1C", "date_future_s1", "", "2015-12-31"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "code", "unit", "value"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_a_record_has_its_name_unit_and_exact_value(record: str, code: str, unit: str, value: str) -> None:
    found = point(record)
    assert (found.code, found.unit, told(found), found.fault) == (code, unit, value, "")


#: Record → code, a word of the fault, the text.
REFUSED = [
    ("0A 5A 2A 02", "flow_temperature", "022A is no BCD number", "022A"),
    ("0C 13 FF FF FF FF", "volume", "FFFFFFFF is no BCD number", "FFFFFFFF"),
    ("0A 5A FF 02", "flow_temperature", "no BCD number", "02FF"),
    ("02 5A 00 80", "flow_temperature", "marks the value as invalid", "8000"),
    ("05 5B 00 00 C0 7F", "flow_temperature", "not a number", "7FC00000"),
    ("05 5B 00 00 80 FF", "flow_temperature", "not a number", "FF800000"),
    ("34 03 39 30 00 00", "energy_error", "error state", "12345"),
    ("3C 2B BD EB DD DD", "power_error", "no BCD number", "DDDDEBBD"),
    ("04 6D 89 0D CD 13", "time", "marks its time as invalid", "13CD0D89"),
    ("02 6C 00 00", "date", "no date", "0000"),
    ("02 6C FF FF", "date", "every year", "FFFF"),
    ("0C 6C 01 01 20 20", "date", "BCD", "20200101"),
    ("01 6C 01", "date", "1 bytes", "01"),
    ("00 13", "volume", "no data", ""),
    ("08 13", "volume", "no data", ""),
    ("0D FD 11 00", "customer", "empty text", ""),
    ("04 93 15 39 30 00 00", "volume", "no data available", ""),
    ("04 93 18 39 30 00 00", "volume", "data error", ""),
    ("04 93 79 39 30 00 00", "volume", "additive correction", ""),
    ("04 93 1F 39 30 00 00", "volume", "compact profile", ""),
    ("04 93 19 39 30 00 00", "volume", "VIFE 19 is reserved", ""),
    ("04 93 FC 7E 39 30 00 00", "volume", "VIFE FC 7E is reserved", ""),
    ("04 6F 39 30 00 00", "vif_6f", "reserved", ""),
    ("04 FD 7A 39 30 00 00", "vif_fd7a", "reserved", ""),
    ("3F 01 02", "unread", "DIF 3F is reserved", ""),
    ("0D 13 FA 01", "unread", "length FA is reserved", ""),
]


@pytest.mark.parametrize(("record", "code", "fault", "text"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_value_has_a_fault(record: str, code: str, fault: str, text: str) -> None:
    found = point(record)
    assert (found.code, found.value, found.text) == (code, None, text)
    assert fault in found.fault


#: What cannot be followed: all of the telegram is broken.
BROKEN = [
    ("04", "before its VIF"),
    ("84", "DIFE is missing"),
    ("04 83", "VIFE is missing"),
    ("04 03 39 30 00", "needs 4 bytes, 3 are left"),
    ("84" + " 80" * 10 + " 00 03 39 30 00 00", "more than 10 DIFEs"),
    ("04 83" + " 80" * 10 + " 00 39 30 00 00", "more than 10 VIFEs"),
    ("04 7C", "text of a VIF"),
    ("04 7C 05 41", "text of a VIF"),
    ("04 FC 01 41", "VIFE is missing"),
    ("0D 13", "length of a variable field"),
    ("0D 13 05 41", "needs 6 bytes"),
]


@pytest.mark.parametrize(("record", "error"), BROKEN, ids=[row[0] for row in BROKEN])
def test_records_that_contradict_themselves_break_the_telegram(record: str, error: str) -> None:
    (found,) = run(MbusDecoder(), telegram(ENERGY, record))
    assert isinstance(found, BrokenTelegram)
    assert error in found.error


@given(st.lists(st.sampled_from([row[0] for row in GOLDEN] + [row[0] for row in REFUSED]), max_size=6), st.data())
def test_changed_records_never_raise(records: list[str], data: st.DataObject) -> None:
    body = bytearray(bytes.fromhex("".join(records))[:240])
    for _ in range(3 if body else 0):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert len(run(MbusDecoder(), telegram(bytes(body)))) == 1
