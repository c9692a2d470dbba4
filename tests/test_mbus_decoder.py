"""Telegrams of wired M-Bus (drivers/mbus): the contract, frames, headers, names, and any bytes at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mbus.decoder import MORE_FOLLOW, MbusDecoder
from drivers.mbus.frame import JUNK_SIZE_MAX, long, short
from drivers.mbus.header import letters, maker
from drivers.telegram import BrokenTelegram, Decoder, Telegram
from tests.contract_decoder import DecoderContract, run
from tests.mbus_telegrams import ENERGY, VOLUME, header, only, telegram, told


class TestMbusDecoder(DecoderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return MbusDecoder

    @pytest.fixture
    def stream(self) -> bytes:
        """Three meters; among the bytes are E5, 10, 68 and 16, as in real ones."""
        return (
            telegram(ENERGY, "02 5A E5 10", "0F 68 10 E5 16")
            + telegram(VOLUME, "42 6C BF 15", "04 6D 09 0D CD 13", address=2)
            + telegram("05 2E B1 D1 2E BE", "0D FD 11 03 43 42 41", "1F", address=3)
        )


def test_the_same_name_twice_is_counted() -> None:
    """In the order of the telegram, and never a name that is there already."""
    found = only(ENERGY, ENERGY, "04 7C 01 41 01 00 00 00", "04 7C 01 41 01 00 00 00", "04 7C 03 32 20 41 01 00 00 00")
    assert [one.code for one in found.points] == ["energy", "energy_2", "plain_a", "plain_a_2", "plain_a_2_2"]


def test_the_rest_is_the_manufacturers_and_fillers_are_skipped() -> None:
    found = only("2F 2F", ENERGY, "2F", "0F 01 02 03")
    assert [one.code for one in found.points] == ["energy", "manufacturer_data"]
    assert found.points[1].text == "01 02 03"
    assert MORE_FOLLOW in only(ENERGY, "1F").remarks


def test_the_meters_time_needs_a_zone() -> None:
    """A meter tells local time: with an offset it is a moment, without one it is a text."""
    assert only("04 6D 09 0D CD 13").time_ms == 1394712540000
    assert only("04 6D 09 8D CD 13").time_ms == 1394712540000 - 3_600_000
    (found,) = MbusDecoder().feed(telegram("04 6D 09 0D CD 13"))
    assert isinstance(found, Telegram)
    assert found.time_ms is None
    assert only("44 6D 09 0D CD 13").time_ms is None, "a stored time is not the present one"


def test_highest_byte_first() -> None:
    """CI 76: the same meter and value as with CI 72, each field turned round."""
    head = bytes.fromhex("12345678 1593 01 07 00 00 0000")
    found = only("04 03 00 00 30 39", "0D FD 11 03 41 42 43", ci=0x76, head=head)
    assert found.meter == only(ENERGY).meter
    assert [told(one) for one in found.points] == ["12345", "ABC"]


def test_headers_of_each_kind() -> None:
    """A short header and none at all leave the primary address as the name."""
    short_head = only(ENERGY, ci=0x7A, head=bytes.fromhex("2A 04 0000"))
    assert (short_head.meter, short_head.remarks) == ("1", ("status 04: power low",))
    assert only(ENERGY, ci=0x78, head=b"").meter == "1"
    alarm = only(ci=0x71, head=b"\x01").points[0]
    assert (alarm.code, alarm.fault) == ("alarm", "alarm 01")
    assert only(ENERGY, ci=0xA0, head=b"").points[0].fault == "CI A0 is not read"


def test_what_is_encrypted_is_no_value() -> None:
    head = header()[:-2] + bytes.fromhex("10 05")
    (found,) = only(ENERGY, head=head).points
    assert (found.code, found.value, found.raw) == ("encrypted", None, ENERGY)
    assert "mode 5" in found.fault


@pytest.mark.parametrize(
    ("units", "counters", "codes", "values"),
    [
        ("E9 7E", "01000000 35010000", ["volume", "volume_s1"], ["0.001", "0.135"]),
        ("05 69", "31650000 69000000", ["energy", "volume"], ["6531000", "0.069"]),
        ("14 2F", "12000000 12000000", ["power", "volume_flow"], ["12", "0.000012"]),
        ("00 3A", "12000000 12000000", ["unit_00", "unit_3a"], ["", ""]),
    ],
)
def test_the_fixed_structure(units: str, counters: str, codes: list[str], values: list[str]) -> None:
    found = only("78563412 0A 00", units, counters, ci=0x73, head=b"")
    assert found.meter == "12345678"
    assert [one.code for one in found.points] == codes
    assert [told(one) for one in found.points] == values


def test_the_fixed_structure_in_binary() -> None:
    found = only("78563412 0A 03 05 29 FF000000 02000000", ci=0x73, head=b"")
    assert [(one.code, told(one)) for one in found.points] == [("energy_s1", "255000"), ("volume_s1", "0.002")]


def test_what_holds_no_values_is_told() -> None:
    """A tap on the line hears both sides."""
    found = run(MbusDecoder(), short(0x7B, 1) + telegram(ENERGY) + b"\xe5" + long(0x53, 1, 0x50))
    assert all(isinstance(one, Telegram) and one.protocol == "mbus" for one in found)
    assert [len(one.points) for one in found if isinstance(one, Telegram)] == [0, 1, 0, 0]
    assert [one.raw for one in found][2] == b"\xe5"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ("68 02 02 68", "offset 1: length 2"),
        ("68 05 06", "offset 2: length 05 and then 06"),
        ("68 05 05 67", "offset 3: 67 instead of the second 68"),
        ("68 03 03 68 08 01 70 79 17", "offset 8: a frame of length 3 ends with 16, not 17"),
        ("68 03 03 68 08 01 70 78 16", "offset 7: checksum 78, the bytes add up to 79"),
        ("10 40 01 42 16", "offset 3: checksum 42, the bytes add up to 41"),
        ("10 40 01 41 17", "offset 4: a short frame ends with 16, not 17"),
        ("68 03 03 68 08", "cut after 5 bytes, 4 are missing"),
        ("AA", "offset 0: AA starts no frame"),
    ],
)
def test_a_broken_frame_says_where(data: str, error: str) -> None:
    (found,) = run(MbusDecoder(), bytes.fromhex(data))
    assert isinstance(found, BrokenTelegram)
    assert found.error.startswith(error)
    assert found.raw == bytes.fromhex(data)


def test_a_frame_that_a_false_start_swallowed_is_found_at_the_end() -> None:
    found = run(MbusDecoder(), bytes.fromhex("68 FF FF 68") + telegram(ENERGY))
    assert [type(one) for one in found] == [BrokenTelegram, Telegram]


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
def test_any_bytes_come_out_as_they_went_in(data: bytes, cuts: list[int]) -> None:
    """Nothing is raised, nothing is lost or invented, and the pieces do not matter."""
    at = sorted({cut for cut in cuts if cut < len(data)})
    pieces = [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]
    found = run(MbusDecoder(), *pieces)
    assert b"".join(one.raw for one in found) == data
    assert found == run(MbusDecoder(), data)
    assert all(len(one.raw) <= JUNK_SIZE_MAX for one in found if isinstance(one, BrokenTelegram))


@given(st.integers(0x70, 0x7F), st.binary(max_size=240))
def test_any_user_data_is_read_or_refused(ci: int, data: bytes) -> None:
    """A frame with a right checksum and anything in it: each point has a value, a text or a fault, and its own name."""
    (found,) = run(MbusDecoder(zone_min=60), long(0x08, 1, ci, data))
    if isinstance(found, Telegram):
        assert all(one.value is not None or one.text or one.fault for one in found.points)
        assert all(one.value is None or not one.fault for one in found.points)
        assert len({one.code for one in found.points}) == len(found.points)


@given(st.integers(0, 0x7FFF))
def test_manufacturers_are_three_letters(code: int) -> None:
    name = letters(code)
    if name.isalpha() and name.isupper():
        assert maker(name) == code
    else:
        with pytest.raises(ValueError, match="no manufacturer"):
            maker(name)
