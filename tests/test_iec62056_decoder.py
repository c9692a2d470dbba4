"""Read-outs of IEC 62056-21 meters: data sets, checks, and what is left of a damaged one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.iec62056.dataset import DataSet, block_check, number, obis, parse_line, parse_lines
from drivers.iec62056.decoder import Iec62056Decoder, parse_readout
from drivers.iec62056.parity import DAMAGED, check_even_parity, with_even_parity
from drivers.telegram import BrokenTelegram, Decoder, Telegram, TelegramPoint
from gateway.reading import Scaled
from tests import d0_readouts as d0
from tests.contract_decoder import DecoderContract, good, run

READOUTS = [d0.checked(d0.HOUSEHOLD), d0.checked(d0.INDUSTRY, "/LGZ5\\2ZMD3104407.B32"), d0.pushed(d0.PUSHED)]


class TestCheckedReadouts(DecoderContract):
    """Modes A, B and C, with parity: the BCC does not cover the identification."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: Iec62056Decoder(even_parity=True)

    @pytest.fixture
    def stream(self) -> bytes:
        return with_even_parity(READOUTS[0] + READOUTS[1] + READOUTS[0])


class TestPushedReadouts(DecoderContract):
    """Mode D has no other check than parity."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: Iec62056Decoder(even_parity=True)

    @pytest.fixture
    def stream(self) -> bytes:
        return with_even_parity(READOUTS[2] * 3)


def readout(raw: bytes) -> Telegram:
    (found,) = run(Iec62056Decoder(), raw)
    assert isinstance(found, Telegram), found
    return found


def points(raw: bytes) -> dict[str, TelegramPoint]:
    return {point.code: point for point in readout(raw).points}


def error(raw: bytes) -> str:
    found = run(Iec62056Decoder(), raw)[0]
    assert isinstance(found, BrokenTelegram), found
    return found.error


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("1.8.0", "1-0:1.8.0"),
        ("1.8.0*255", "1-0:1.8.0"),
        ("1.8.0*01", "1-0:1.8.0*01"),
        ("1.8.0&01", "1-0:1.8.0*01"),
        ("1-1:1.8.0*01", "1-1:1.8.0*01"),
        ("32.7", "1-0:32.7.0"),
        ("F.F", "1-0:97.97.0"),
        ("C.1.0", "1-0:96.1.0"),
        ("1-1:P.01", "1-1:99.01.0"),
        ("L.1*126", "1-0:98.1.0*126"),
        ("0-0:96.1.255*255", "0-0:96.1.255"),
        ("1.8.0.0.1", "1.8.0.0.1"),
        ("X.1", "X.1"),
        ("", ""),
    ],
)
def test_a_short_code_has_one_full_form(address: str, code: str) -> None:
    """Letters are numbers, E is 0, F is 255; another name stays as it is."""
    assert obis(address) == code


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("000123.45", Scaled(mantissa=12345, exponent=-2)),
        ("-0.5", Scaled(mantissa=-5, exponent=-1)),
        ("+7", Scaled(mantissa=7, exponent=0)),
        ("  12 ", Scaled(mantissa=12, exponent=0)),
        ("1.", None),
        (".5", None),
        ("1,5", None),
        ("1e5", None),
        ("0x10", None),
        ("٣", None),
        ("1" * 33, None),
        ("", None),
        ("-", None),
        ("1 2", None),
    ],
)
def test_a_number_is_digits_and_one_point(text: str, value: Scaled | None) -> None:
    """Nothing else is one, and its length has a limit."""
    assert number(text) == value


@pytest.mark.parametrize(
    "line", ["", "1.8.0", "1.8.0(1", "1.8.0)1(", "1.8.0((1))", "1.8.0(1)x", "1.8.0(\x07)", "é(1)", "1" * 65 + "(1)"]
)
def test_a_line_that_is_no_data_sets_is_refused(line: str) -> None:
    """All of it, from the first to the last character."""
    with pytest.raises(ValueError, match=r"is no data set|is empty"):
        parse_line(line)


def test_a_group_without_an_address_continues_the_line_before() -> None:
    """And where there is none, it is a fault."""
    sets, faults = parse_lines(["(1)", "1.8.0(2)", "(3)(4)", "x", "1.8.1(5)2.8.1(6)"])
    assert sets == [
        DataSet(address="1.8.0", text="(2)(3)(4)"),
        DataSet(address="1.8.1", text="(5)"),
        DataSet(address="2.8.1", text="(6)"),
    ]
    assert faults == ["data line 1: '(1)' continues no line", "data line 4: 'x' is no data set"]


def test_a_golden_household_readout() -> None:
    """Short codes, blanks, two-part codes."""
    raw = READOUTS[0]
    assert raw[-1] == 0x74
    found, by_code = readout(raw), points(raw)
    assert (found.protocol, found.meter, found.time_ms, found.remarks) == ("iec62056", "13647123", None, ())
    assert list(by_code) == [obis(line.partition("(")[0]) for line in d0.HOUSEHOLD]
    assert by_code["1-0:1.8.1"] == TelegramPoint(
        code="1-0:1.8.1", unit="kWh", value=Scaled(mantissa=42951721, exponent=-3), raw=b"(042951.721*kWh)"
    )
    assert (by_code["1-0:97.97.0"].text, by_code["1-0:0.0.0"].text, by_code["1-0:0.2.0"].text) == (
        "00",
        "120858",
        "M26",
    )
    assert (by_code["1-0:96.1.1"].text, by_code["1-0:96.1.1"].fault) == ("", "it is empty")
    assert (str(by_code["1-0:32.7.0"].value), by_code["1-0:32.7.0"].unit) == ("241", "V")


def test_a_golden_industry_readout() -> None:
    """Full codes, billing periods, times without a zone, and a profile."""
    found, by_code = readout(READOUTS[1]), points(READOUTS[1])
    assert found.meter == "LGZ5\\2ZMD3104407.B32"
    peak = by_code["1-1:1.6.1"]
    assert (str(peak.value), peak.unit, peak.time_ms, peak.raw) == ("27.19", "kW", None, b"(27.19*kW)(1702090945)")
    assert (str(by_code["1-1:1.8.0*18"].value), by_code["1-1:1.8.0*18"].unit) == ("49555", "")
    assert str(by_code["1-1:1.8.0*17"].value) == "45862"
    assert (str(by_code["1-1:1.8.1"].value), str(by_code["1-1:1.8.2"].value)) == ("1.5", "2.25")
    assert str(by_code["1-1:2.7.0"].value) == "-0.25"
    assert by_code["1-1:99.01.0"].text == "(170214)(00000000)(15)(6)(1-1:1.5.0)(kW)"
    assert (by_code["1-1:0.9.1"].text, by_code["1-1:0.9.2"].text) == ("155420", "170214")


def test_a_golden_pushed_readout() -> None:
    """Mode D: no STX, no BCC, an empty line."""
    found, by_code = readout(READOUTS[2]), points(READOUTS[2])
    assert found.meter == "1336001560"
    assert str(by_code["1-0:1.8.0"].value) == "32549.5061662"
    assert (by_code["1-0:96.5.5"].text, by_code["0-0:96.1.255"].text) == ("80", "1ESY1336001560")


def test_one_readout_is_parsed_without_a_stream() -> None:
    """Or refused."""
    assert parse_readout(READOUTS[0]) == readout(READOUTS[0])
    assert parse_readout(b"x" + READOUTS[0]).raw == b"x" + READOUTS[0]
    assert isinstance(parse_readout(b"x" + READOUTS[0]), BrokenTelegram)


def test_what_a_head_echoes_is_passed_over() -> None:
    """Request, acknowledgement, and what the change of the rate made of the bytes in between."""
    identification, stx, rest = READOUTS[0].partition(b"\x02")
    raw = b"/?12345678!\r\n" + identification + b"\x06050\r\n\x00\xff\x00" + stx + rest
    assert [str(point.value) for point in readout(raw).points] == [
        str(point.value) for point in readout(READOUTS[0]).points
    ]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (READOUTS[0].replace(b"042951", b"042950"), "the block check character is 74, and that of the bytes 75"),
        (READOUTS[0].replace(b"\x03", b""), "it is cut off"),
        (READOUTS[0][:-1], "it is cut off"),
        (READOUTS[0].replace(b"\x02", b""), "at 19: STX is missing, and ETX at 225 says"),
        (READOUTS[0].replace(b"\x02", b"")[:-1], "at 19: STX is missing, and ETX at 225 says"),
        (READOUTS[0].replace(b"\x02", b"B")[:-2], "there is no block check, and 'BF.F' is no OBIS code"),
        (READOUTS[2].replace(b"\r\n", b"\n"), "is no identification"),
        (READOUTS[2].replace(b"(80)", b"(80"), "there is no block check, and data line 4:"),
        (READOUTS[2].replace(b"!\r\n", b"!6EEE\r\n"), "is no end of a block without a block check"),
        (d0.checked([]), "it holds no data line"),
        (d0.pushed([]), "it holds no data line"),
        (b"/1234\r\n", "b'/1234\\r\\n' is no identification"),
        (b"/" + b"A" * 80 + b"\r\n", "is no identification"),
        (b"/LGZ4\r\n\x02" + b"1.8.0(1)\r\n" * 2000 + b"!\r\n\x03", "it does not end within 16384 bytes"),
    ],
)
def test_bytes_that_are_no_readout_say_why(raw: bytes, why: str) -> None:
    """One fault each."""
    assert why in error(raw)


def test_a_block_without_a_check_and_an_empty_line_is_ended_by_what_follows() -> None:
    """Silence, or another read-out; ETX would say that STX was lost."""
    raw = READOUTS[2].replace(b"\r\n\r\n", b"\r\n")
    decoder = Iec62056Decoder()
    assert decoder.feed(raw) == []
    assert [one.raw for one in decoder.end()] == [raw]
    assert [one.raw for one in run(Iec62056Decoder(), raw, READOUTS[0])] == [raw, READOUTS[0]]


def test_a_readout_that_was_interrupted_gives_way_to_the_next() -> None:
    """An identification in the middle of a block begins a new one."""
    found = run(Iec62056Decoder(), READOUTS[0][:100], READOUTS[1])
    assert [type(one) for one in found] == [BrokenTelegram, Telegram]


def test_under_a_right_check_an_odd_line_is_a_remark() -> None:
    """A slash in a value is none: only an identification begins a read-out."""
    found = readout(d0.checked(["1.8.0(1*kWh)", "0.9.2(14/02/26)", "odd", "1.8.0(2*kWh)", "MANUFACTURER(7)"]))
    assert [point.code for point in found.points] == ["1-0:1.8.0", "1-0:0.9.2", "MANUFACTURER"]
    assert found.remarks == (
        "data line 3: 'odd' is no data set",
        "1-0:1.8.0 stands there again with (2*kWh); the first counts",
    )


def test_parity_finds_each_flipped_bit_and_adds_up() -> None:
    """In all 128 characters; what has eight bits is damaged."""
    every = bytes(range(128))
    line = with_even_parity(every)
    assert all(byte.bit_count() % 2 == 0 for byte in line)
    assert check_even_parity(line) == every
    for bit in range(8):
        assert set(check_even_parity(bytes(byte ^ 1 << bit for byte in line))) == {DAMAGED}


def test_the_bytes_of_a_telegram_keep_their_parity() -> None:
    """They stay as they came."""
    line = with_even_parity(READOUTS[0])
    (found,) = run(Iec62056Decoder(even_parity=True), line)
    assert isinstance(found, Telegram)
    assert (found.raw, found.meter) == (line, "13647123")


@given(st.binary())
def test_the_block_check_is_longitudinal_parity(data: bytes) -> None:
    """As counted bit by bit."""
    assert block_check(data) == d0.lrc(data)


_WORD = st.text(st.sampled_from("0123456789ABCDEFghijkl .:-&;,+#_"), max_size=12)


@given(st.lists(st.tuples(_WORD.filter(bool), st.lists(_WORD, min_size=1, max_size=4)), min_size=1, max_size=5))
def test_data_sets_come_out_as_they_were_written(sets: list[tuple[str, list[str]]]) -> None:
    """Several in a line, each with its groups."""
    line = "".join(address + "".join(f"({group})" for group in groups) for address, groups in sets)
    assert [(one.address, one.groups) for one in parse_line(line)] == sets


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**8), max_value=10**8))
def test_every_number_comes_out_with_its_digits(value: Decimal) -> None:
    """Exactly."""
    (point,) = readout(d0.checked([f"1.8.0({value:f}*kWh)"])).points
    assert point.value is not None
    assert Decimal(str(point.value)) == value


@given(
    st.lists(
        st.sampled_from([*READOUTS, b"/", b"/LGZ", b"\x02", b"\x03", b"!\r\n", b"\r\n", b"/?!\r\n", b"\x06050\r\n"])
        | st.binary(max_size=40)
    ),
    st.booleans(),
)
def test_pieces_do_not_matter_whatever_they_are(parts: list[bytes], even_parity: bool) -> None:
    """Read-outs and garbage in any order, in pieces and as a whole."""
    if even_parity:
        parts = [with_even_parity(part) for part in parts]
    whole = run(Iec62056Decoder(even_parity=even_parity), b"".join(parts))
    assert run(Iec62056Decoder(even_parity=even_parity), *parts) == whole


@given(st.binary(max_size=200).filter(lambda data: b"\x02" not in data), st.integers(0, 2))
def test_a_readout_behind_garbage_is_found(garbage: bytes, which: int) -> None:
    """Whatever the garbage is."""
    assert good(run(Iec62056Decoder(), garbage, READOUTS[which]))[-1].raw.endswith(READOUTS[which])
