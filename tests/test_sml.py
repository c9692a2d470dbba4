"""SML telegrams to points (drivers/sml)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.sml.decoder import SmlDecoder
from drivers.sml.notation import UNITS, obis, text, unit
from drivers.sml.transport import KERMIT, X25
from drivers.telegram import BrokenTelegram, Decoder, Telegram, TelegramPoint
from gateway.reading import Scaled
from tests import sml_frames as sml
from tests.contract_decoder import DecoderContract, run

#: Built by hand from the standard, with checksums by an implementation that shifts bit by bit (see below).
GOLDEN = bytes.fromhex("""
    1b1b1b1b 01010101
    76 03 0001 62 00 62 00 72 63 0101 76 01 01 05 66696c65 0b 0901454d480000bc614e 01 62 01 63 3c1f 00
    76 03 0002 62 00 62 00 72 63 0701 77 01 0b 0901454d480000bc614e 07 0100620affff 72 62 01 65 00000e10
    77
    77 07 8181c78203ff 01 01 01 01 04 454d48 01
    77 07 0100000009ff 01 01 01 01 0b 0901454d480000bc614e 01
    77 07 0100010800ff 63 0182 01 62 1e 52 ff 56 0000003115 01
    77 07 0100100700ff 01 01 62 1b 52 fe 53 ff38 01
    77 07 0100200700ff 01 01 62 23 52 ff 63 08fc 01
    77 07 010051070fff 01 01 62 08 52 00 63 0168 01
    77 07 010000020000 01 72 62 02 65 5f5e1000 01 01 83 02 1b1b1b1b 1b1b1b1b
       000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b 01
    01 01 63 686b 00
    76 03 0003 62 00 62 00 72 63 0201 71 01 63 bdf0 00
    00
    1b1b1b1b 1a 01 1be1
""")


def slow_x25(data: bytes) -> bytes:
    """CRC-16/X-25 shifted bit by bit, low byte first."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return (value ^ 0xFFFF).to_bytes(2, "little")


def one(raw: bytes, **options: bool | None) -> Telegram:
    """The only telegram of *raw*."""
    (found,) = run(SmlDecoder(**options), raw)
    assert isinstance(found, Telegram), found
    return found


def points(telegram: Telegram) -> dict[str, str]:
    """What each point says, as text."""
    return {point.code: _said(point) for point in telegram.points}


def _said(point: TelegramPoint) -> str:
    return f"{point.value} {point.unit}".strip() if point.value is not None else point.text or f"! {point.fault}"


def fault(raw: bytes) -> str:
    (found,) = run(SmlDecoder(), raw)
    assert isinstance(found, BrokenTelegram), found
    return found.error


class TestSmlDecoder(DecoderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return SmlDecoder

    @pytest.fixture
    def stream(self) -> bytes:
        entry = sml.entry("0100010800ff", sml.unsigned(12565, 4), unit=30, scaler=-1)
        return GOLDEN + sml.telegram(sml.values([entry], when=sml.time(77))) + GOLDEN


def test_the_golden_telegram_is_read_to_the_last_digit() -> None:
    """Every kind of element that meters send, an escape in a text among them."""
    telegram = one(GOLDEN)
    key = "1b1b1b1b" + bytes(range(0x2C)).hex()
    assert points(telegram) == {
        "sec_index": "3600 s",
        "129-129:199.130.3": "EMH",
        "1-0:0.0.9": "1EMH0012345678",
        "1-0:1.8.0": "1256.5 Wh",
        "1-0:1.8.0/status": "0x0182",
        "1-0:16.7.0": "-2.00 W",
        "1-0:32.7.0": "230.0 V",
        "1-0:81.7.15": "360 °",
        "1-0:0.2.0*0": key,
    }
    assert (telegram.protocol, telegram.meter, telegram.time_ms, telegram.remarks) == (
        "sml",
        "1EMH0012345678",
        None,
        (),
    )
    by_code = {point.code: point for point in telegram.points}
    assert by_code["1-0:1.8.0"].value == Scaled(mantissa=12565, exponent=-1)
    assert by_code["1-0:1.8.0"].raw.hex() == "560000003115"
    assert by_code["1-0:0.2.0*0"].time_ms == 1_600_000_000_000
    assert telegram.raw == GOLDEN


def test_checksums_are_those_of_a_plain_implementation() -> None:
    """The fast way through binascii gives what shifting bit by bit gives, and the check values of the CRC catalogue."""
    for size in range(70):
        data = bytes(7 * at & 0xFF for at in range(size))
        assert X25.of(data) == slow_x25(data)
    assert X25.of(b"123456789") == bytes.fromhex("6e90")
    assert KERMIT.of(b"123456789") == bytes.fromhex("2189")


def test_a_meter_that_sends_kermit_checksums_is_read_and_remarked() -> None:
    """The first message of a Holley DTZ541 as captured, with the checksum it came with."""
    message = bytes.fromhex("760400000162006200726500000101760101 0700000a5758520b0a01484c5902000159bb0101")
    assert KERMIT.of(message).hex() == "547d"
    body = sml.values([sml.entry("0100010800ff", sml.unsigned(1), unit=30)])
    assert one(sml.telegram(body, checksum=KERMIT)).remarks == ("the checksums are CRC-16/KERMIT",)


def test_a_telegram_mixes_no_checksums() -> None:
    """A message with the other checksum is broken: two kinds would find half as many errors."""
    body = sml.values([sml.entry("0100010800ff", sml.unsigned(1), unit=30)])
    assert "checksum of message 0x0701" in fault(sml.framed(sml.message(0x0701, body, KERMIT)))


def test_a_checksum_may_have_lost_its_leading_zero() -> None:
    """Iskra's MT691 leaves it out."""
    for number in range(100_000):
        body = sml.values([sml.entry("0100010800ff", sml.unsigned(number, 4), unit=30)])
        message = sml.message(0x0701, body)
        if message[-3] == 0:
            short = message[:-4] + b"\x62" + message[-2:]
            assert points(one(sml.framed(short)))["1-0:1.8.0"] == f"{number} Wh"
            return
    pytest.fail("no such message")


@pytest.mark.parametrize(
    ("kind", "expected"), [(1, None), (2, 1_600_000_000_000), (3, 1_600_000_000_000)], ids=["index", "unix", "local"]
)
def test_only_a_time_of_day_is_a_time(kind: int, expected: int | None) -> None:
    """Seconds since power-up are a point; local time carries its offset beside the Unix time."""
    seconds = sml.unsigned(1_600_000_000, 4)
    when = sml.items(
        sml.unsigned(kind), sml.items(seconds, sml.signed(60, 2), sml.signed(60, 2)) if kind == 3 else seconds
    )
    telegram = one(sml.telegram(sml.values([sml.entry("0100010800ff", sml.unsigned(1), when=when)], when=when)))
    assert telegram.time_ms == expected
    assert telegram.points[-1].time_ms == expected
    assert ("sec_index" in points(telegram)) == (kind == 1)


def test_a_clock_that_was_never_set_is_no_time() -> None:
    """Unix time 0."""
    body = sml.values([sml.entry("0100010800ff", sml.unsigned(1))], when=sml.time(0, 2))
    assert one(sml.telegram(body)).time_ms is None


def test_a_time_without_its_type_is_seconds_since_power_up() -> None:
    """The Holley DTZ541 sends the bare number."""
    entry = sml.entry("0100010800ff", sml.unsigned(1), when=sml.unsigned(77, 4))
    telegram = one(sml.telegram(sml.values([entry], when=sml.unsigned(77, 4))))
    assert points(telegram) == {"sec_index": "77 s", "1-0:1.8.0": "1"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (sml.signed(-1, 8), "-1"),
        (sml.signed(-(2**39), 5), str(-(2**39))),
        (sml.unsigned(2**64 - 1, 8), str(2**64 - 1)),
        (b"\x42\x01", "true"),
        (b"\x42\x00", "false"),
        (b"\x01", "! the value is left out"),
        (b"\x80\x02", "! the text is empty"),
        (sml.octets(b"\x00\xff"), "00ff"),
        (sml.octets(b"1.02.007"), "1.02.007"),
        (sml.items(sml.unsigned(1), sml.time(77)), "77 s"),
        (sml.items(sml.unsigned(1), sml.time(1_600_000_000, 2)), "2020-09-13T12:26:40+00:00"),
        (sml.items(sml.unsigned(2), sml.unsigned(1)), "! a list is no value: 7262026201"),
        (sml.items(), "! a list is no value: 70"),
    ],
)
def test_each_kind_of_value_is_a_number_a_text_or_a_fault(value: bytes, expected: str) -> None:
    """Whatever the value is, nothing becomes 0."""
    raw = sml.telegram(sml.values([sml.entry("0100010800ff", value)]))
    assert points(one(raw))["1-0:1.8.0"] == expected


def test_the_first_of_two_values_of_one_code_is_kept() -> None:
    """In one list, and in two lists of one meter."""
    first, second = (sml.entry("0100010800ff", sml.unsigned(number), unit=30) for number in (1, 2))
    other = sml.entry("0100020800ff", sml.unsigned(3), unit=30)
    for raw in (
        sml.telegram(sml.values([first, second, other])),
        sml.telegram(sml.values([first]), sml.values([second, other])),
    ):
        telegram = one(raw)
        assert points(telegram) == {"1-0:1.8.0": "1 Wh", "1-0:2.8.0": "3 Wh"}
        assert telegram.remarks == ("1-0:1.8.0 stands more than once; the first is kept",)


def test_lists_of_two_meters_are_two_telegrams() -> None:
    """Each with all bytes."""
    bodies = [sml.values([sml.entry("0100010800ff", sml.unsigned(at))], server=b"meter%d" % at) for at in (1, 2)]
    raw = sml.telegram(*bodies)
    found = run(SmlDecoder(), raw)
    assert [(one.meter, one.raw) for one in found if isinstance(one, Telegram)] == [("meter1", raw), ("meter2", raw)]


def test_other_messages_are_remarked() -> None:
    """An attention response and a message that is not looked into do not harm the values beside them."""
    body = sml.values([sml.entry("0100010800ff", sml.unsigned(1))])
    strange = sml.message(0x0501, sml.items(sml.ABSENT, sml.items(sml.items(sml.time(1)))))
    attention = sml.message(0xFF01, sml.items(sml.octets(b"server"), sml.octets(b"81"), sml.ABSENT, sml.ABSENT))
    telegram = one(sml.framed(strange + attention + sml.message(0x0701, body)))
    assert telegram.remarks == ("message 0x0501 is not looked into", "the meter sent an attention response")
    assert points(telegram) == {"1-0:1.8.0": "1"}


@pytest.mark.parametrize(
    ("option", "power", "remark"),
    [
        (None, "-327.31 W", "1-0:16.7.0 may be meant unsigned: compare it with the meter's display and set dzg_sign"),
        (True, "328.05 W", "1-0:16.7.0 is read as unsigned, as dzg_sign says: the meter sent -32731"),
        (False, "-327.31 W", None),
    ],
)
def test_the_sign_of_a_suspect_meter_is_the_operators_to_tell(
    option: bool | None, power: str, remark: str | None
) -> None:
    """Never corrected in silence, never without being told."""
    entry = sml.entry("0100100700ff", bytes.fromhex("538025"), unit=27, scaler=-2)
    telegram = one(sml.telegram(sml.values([entry])), dzg_sign=option)
    assert points(telegram)["1-0:16.7.0"] == power
    assert telegram.remarks == ((remark,) if remark else ())
    assert telegram.points[-1].raw.hex() == "538025"


@pytest.mark.parametrize(
    "entry",
    [
        sml.entry("0100100700ff", sml.signed(-126061, 4), unit=27, scaler=-2),
        sml.entry("0100100700ff", sml.signed(100, 2), unit=27, scaler=-2),
        sml.entry("0100010800ff", sml.signed(-100, 2), unit=30, scaler=-2),
    ],
    ids=["four bytes", "positive", "energy"],
)
def test_only_short_negative_power_is_read_as_unsigned(entry: bytes) -> None:
    """Its long negative numbers are right."""
    raw = sml.telegram(sml.values([entry]))
    assert one(raw, dzg_sign=True) == one(raw, dzg_sign=False)


def test_dzg_sign_changes_no_other_meter() -> None:
    """And says so."""
    entry = sml.entry("0100100700ff", sml.signed(-100, 2), unit=27)
    telegram = one(sml.telegram(sml.values([entry], server=bytes.fromhex("0a01454d480000bc614e"))), dzg_sign=True)
    assert points(telegram)["1-0:16.7.0"] == "-100 W"
    assert telegram.remarks == ("1-0:16.7.0 is read as sent: dzg_sign is set, but this is no meter of DZG",)


def test_codes_units_and_ids_are_written_as_usual() -> None:
    """Group F is left out where it is 255; unknown units keep their number."""
    assert obis(bytes.fromhex("0100010800ff")) == "1-0:1.8.0"
    assert obis(bytes.fromhex("010060320101")) == "1-0:96.50.1*1"
    assert obis(bytes.fromhex("0100")) == "0100"
    assert [unit(code) for code in (None, 0, 27, 30, 44, 255, 58)] == ["", "", "W", "Wh", "Hz", "", "dlms58"]
    assert all(symbol for symbol in UNITS.values())
    assert text(bytes.fromhex("06454d4801027153b4d2")) == "06454d4801027153b4d2"
    assert text(bytes.fromhex("0a01445a47000282225e")) == "1DZG0042082910"
