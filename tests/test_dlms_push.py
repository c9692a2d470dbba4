"""What becomes of pushed telegrams (drivers/dlms/push.py, body.py, layouts.py, points.py)."""

from __future__ import annotations

import pytest

from drivers.dlms import axdr
from drivers.dlms.layouts import LAYOUTS, Scale
from drivers.dlms.push import DlmsDecoder
from drivers.telegram import Telegram
from gateway.errors import ConfigError
from tests import dlms_telegrams as made
from tests.contract_decoder import run
from tests.dlms_read import broken, telegram, values
from tests.dlms_telegrams import LOCAL, TIME_MS, name, notification, over_hdlc, over_mbus, u16, u32


def test_structures_of_code_value_scaler_and_unit() -> None:
    """Aidon's list."""
    found = telegram(over_hdlc(notification(made.aidon(), time=b"")))
    assert (found.protocol, found.meter, found.time_ms, found.remarks) == ("dlms", "7359990000000001", None, ())
    assert values(found) == {
        "1-1:0.2.129": "AIDON_V0001",
        "0-0:96.1.0": "7359990000000001",
        "1-0:1.7.0": "1362 W",
        "1-0:31.7.0": "-9.3 A",
        "1-0:32.7.0": "250.0 V",
        "1-0:1.8.0": "10049926 Wh",
    }
    assert found.points[3].raw == bytes.fromhex("10ffa3")


def test_values_alone_are_named_by_a_layout() -> None:
    """Kaifa's list 2, known by its name and its types."""
    found = telegram(over_hdlc(notification(made.kaifa())))
    assert found.remarks == ()
    assert values(found) | {"1-0:31.7.0": "1.416 A", "1-0:32.7.0": "238.5 V", "1-0:1.7.0": "948 W"} == values(found)
    assert found.meter == "6970630000000001"
    assert found.time_ms == TIME_MS


def test_a_layout_known_by_its_types_alone_is_told() -> None:
    """One number may be Kaifa's list 1, or something else."""
    found = telegram(over_hdlc(notification(axdr.structure(u32(734)))))
    assert values(found) == {"1-0:1.7.0": "734 W"}
    assert found.remarks == ("the list has no codes; by its types it is taken for: Kaifa list 1",)


def test_an_unknown_list_keeps_its_values_by_place() -> None:
    """Nothing is lost, and nothing is made up."""
    found = telegram(over_hdlc(notification(axdr.structure(u32(7), u16(8), u16(9)))))
    assert values(found) == {"value_1": "7", "value_2": "8", "value_3": "9"}
    assert found.remarks[0] == "the list has no codes, and uhh is not known"
    assert found.remarks[1] == "no scaler and unit come with value_1, value_2, value_3"


def test_codes_and_values_by_turns() -> None:
    """Kamstrup's list: scales come from the layout, null-data of absent phases are nothing."""
    found = telegram(over_hdlc(notification(made.kamstrup())))
    assert found.remarks == ()
    assert values(found) == {
        "1-1:0.2.129": "Kamstrup_V0001",
        "1-1:0.0.5": "5706560000000001",
        "1-1:1.7.0": "1895 W",
        "1-1:31.7.0": "8.96 A",
        "1-1:32.7.0": "231 V",
        "1-1:1.8.0": "12340 Wh",
    }


def test_hundredths_of_a_volt_are_seen_by_their_size() -> None:
    """Newer Kamstrup firmware sends them under the same list name."""
    found = telegram(over_hdlc(notification(made.kamstrup(volts=22_199))))
    assert values(found)["1-1:32.7.0"] == "221.99 V"


def test_an_austrian_list_with_the_meters_number_behind_it() -> None:
    """The clock in front and the number behind have no code of their own."""
    found = telegram(over_mbus(notification(made.austrian(), time=b"")))
    assert values(found) == {
        "0-0:1.0.0": "2026-01-15T12:00:00+01:00",
        "1-0:1.8.0": "12937 Wh",
        "1-0:32.7.0": "233.7 V",
        "1-0:13.7.0": "0.975",
        "0-0:96.1.0": "181220000009",
    }
    assert (found.meter, found.time_ms) == ("181220000009", TIME_MS)


def test_a_list_with_its_own_objects_has_no_scalers_and_says_so() -> None:
    """Swiss meters: a number without a unit is told as such, and takes one from the caller."""
    data = over_hdlc(notification(made.swiss()))
    found = telegram(data)
    assert values(found) == {"0-8:25.9.0;1": "0-8:25.9.0", "0-0:42.0.0": "TST1030000000001", "1-1:1.8.0": "488827"}
    assert found.remarks == ("no scaler and unit come with 1-1:1.8.0",)
    scaled = telegram(data, DlmsDecoder(scales={"1-1:1.8.0": Scale(exponent=0, unit="Wh")}))
    assert values(scaled)["1-1:1.8.0"] == "488827 Wh"
    assert scaled.remarks == ()


def test_descriptors_without_tags() -> None:
    """As E.GD and Sagemcom's XT211 send them."""
    entries = [
        bytes.fromhex("020200010000600101ff02") + made.text("5100000001", axdr.OCTETS),
        bytes.fromhex("0202000301000107 00ff02") + u32(1956),
        bytes.fromhex("0202004600006003 0aff03") + bytes.fromhex("1601"),
    ]
    body = bytes.fromhex("02021601") + made.array(*entries)
    found = telegram(over_hdlc(notification(body, time=b"")))
    assert values(found) == {"0-0:96.1.1": "5100000001", "1-0:1.7.0": "1956", "0-0:96.3.10;3": "1"}
    assert found.meter == "5100000001"


def test_a_code_stands_once() -> None:
    """The second one has its place behind."""
    body = made.array(made.register("1-0:1.8.0", u32(1), 0, 30), made.register("1-0:1.8.0", u32(2), 0, 30))
    found = telegram(over_hdlc(notification(body)))
    assert values(found) == {"1-0:1.8.0": "1 Wh", "1-0:1.8.0#2": "2 Wh"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (bytes.fromhex("174366333a"), "230.2000000"),
        (bytes.fromhex("1743663333"), "230.2"),
        (bytes.fromhex("18406cc66666666666"), "230.2"),
        (bytes.fromhex("14ffffffffffffff9c"), "-100"),
        (bytes.fromhex("15ffffffffffffffff"), "18446744073709551615"),
        (bytes.fromhex("0d42"), "42"),
        (bytes.fromhex("0301"), "1"),
        (bytes.fromhex("040aa5c0"), "1010010111"),
        (bytes.fromhex("0c04e282ac21"), "€!"),
        (bytes.fromhex("0903fffe00"), "fffe00"),
    ],
)
def test_every_type_is_shown_exactly(value: bytes, shown: str) -> None:
    """Numbers as exact decimals, floats as the shortest that reads back, the rest as text."""
    (point,) = telegram(over_hdlc(notification(made.array(axdr.structure(name("1-0:0.2.0"), value))))).points
    assert str(point.value or point.text).startswith(shown[:5])
    assert point.raw == value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b"\x00", "no value: null-data"),
        (b"\xff", "no value: dont-care"),
        (bytes.fromhex("177fc00000"), "no value: not a number"),
        (bytes.fromhex("0dfa"), "no value: not decimal"),
        (bytes.fromhex("0900"), "an empty text"),
        (bytes.fromhex("090c07eaffff04ffffffff800000"), "not specified"),
    ],
)
def test_what_is_no_value_says_why(value: bytes, fault: str) -> None:
    """Never a zero in its place."""
    (point,) = telegram(over_hdlc(notification(made.array(axdr.structure(name("1-0:0.2.0"), value))))).points
    assert point.value is None
    assert fault in point.fault


def test_a_scaler_that_cannot_be_is_refused() -> None:
    """10**127 watts are nobody's."""
    body = made.array(made.register("1-0:1.7.0", u32(1), 127, 27))
    (point,) = telegram(over_hdlc(notification(body))).points
    assert (point.value, point.fault) == (None, "the scaler 127 is impossible")


def test_a_local_time_without_a_zone_is_no_time() -> None:
    """Unless the caller knows the zone."""
    data = over_hdlc(notification(made.aidon(), time=LOCAL))
    assert telegram(data).time_ms is None
    assert telegram(data).remarks == ("the meter does not say how far its clock is from UTC",)
    assert telegram(data, DlmsDecoder(offset_minutes=60)).time_ms == TIME_MS


def test_a_clock_that_calls_itself_doubtful_is_told() -> None:
    """Doubtful is a remark; invalid is no time."""
    doubtful = telegram(over_hdlc(notification(made.aidon(), time=made.TIME[:11] + b"\x02")))
    assert (doubtful.time_ms, doubtful.remarks) == (TIME_MS, ("the meter says that its time is doubtful",))
    invalid = telegram(over_hdlc(notification(made.aidon(), time=made.TIME[:11] + b"\x01")))
    assert (invalid.time_ms, invalid.remarks) == (None, ("the meter says that its time is invalid",))


def test_a_tag_in_front_of_the_time_is_passed_over() -> None:
    """Kaifa meters in Norway send it."""
    apdu = bytes.fromhex("0f40000000 090c") + made.TIME + made.kaifa()
    assert telegram(over_hdlc(apdu)).time_ms == TIME_MS


def test_an_event_is_its_attribute() -> None:
    """event-notification-request, with and without a time."""
    descriptor = bytes.fromhex("0003 0100010700ff 02")
    for front, time_ms in ((b"\x00", None), (b"\x01\x0c" + made.TIME, TIME_MS)):
        found = telegram(over_hdlc(b"\xc2" + front + descriptor + u32(5)))
        assert values(found) == {"1-0:1.7.0": "5"}
        assert found.time_ms == time_ms


def test_an_mbus_frame_of_257_bytes() -> None:
    """Sagemcom's T210-D sends its length as 1."""
    body = axdr.structure(*[u32(number) for number in range(60)])
    data = over_mbus(notification(body), 252)
    assert data[:4] == bytes.fromhex("68010168")
    assert len(telegram(data).points) == 60


def test_bare_apdus_one_behind_the_other() -> None:
    """They must be asked for."""
    apdus = [notification(made.aidon()), notification(made.kaifa()), *made.blocks(notification(made.swiss()), 50)]
    found = run(DlmsDecoder(framing="bare"), b"".join(apdus))
    assert [type(one) for one in found] == [Telegram] * 3
    one_by_one = run(DlmsDecoder(framing="bare"), *[bytes([byte]) for byte in b"".join(apdus)])
    assert one_by_one == found


def test_an_unknown_framing_lists_the_known_ones() -> None:
    """At once, and to the operator."""
    with pytest.raises(ConfigError, match="auto, hdlc, mbus, wrapper, bare"):
        DlmsDecoder(framing="serial")


def test_an_empty_list_is_broken() -> None:
    """A telegram without values is none."""
    assert "holds no values" in broken(over_hdlc(notification(made.array())))


def test_every_layout_is_whole() -> None:
    """As many codes as types, each once; every scale belongs to a code, or to a list with codes."""
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
    for layout in LAYOUTS:
        assert len(layout.codes) == len(layout.types) == len(set(layout.codes))
        assert layout.types or layout.prefix
