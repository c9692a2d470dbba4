"""A-XDR data (drivers/dlms/axdr.py) and date-times (clock.py)."""

from __future__ import annotations

import contextlib
import struct
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.dlms import axdr, clock
from drivers.dlms.axdr import CutShort, Datum, Malformed
from gateway.reading import Scaled

LEAVES = st.one_of(
    st.just(b"\x00"),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: axdr.integer(axdr.INT32, value)),
    st.integers(0, 2**64 - 1).map(lambda value: axdr.integer(axdr.UINT64, value)),
    st.integers(0, 255).map(lambda value: axdr.integer(axdr.ENUM, value)),
    st.binary(max_size=200).map(axdr.octets),
    st.booleans().map(lambda value: bytes([axdr.BOOLEAN, value])),
)
DATA = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4).map(lambda items: axdr.structure(*items)))


class TestAxdr:
    """IEC 61334-6."""

    @given(DATA)
    def test_what_is_written_is_read(self, data: bytes) -> None:
        """And nothing of it is left."""
        assert axdr.parse(data).raw == data

    @given(st.binary(max_size=300))
    @example(b"\x13\x02\x00\x00")
    @example(b"\x01\x84\xff\xff\xff\xff")
    @example(b"\x13\x01\xff\xff\x01\xff\xff\x00\x01\x00")
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        """With one kind of error."""
        with contextlib.suppress(Malformed):
            axdr.read(data)

    @given(DATA, st.data())
    def test_data_that_end_early_are_told_from_wrong_ones(self, data: bytes, source: st.DataObject) -> None:
        """A stream without lengths needs to know."""
        cut = source.draw(st.integers(0, len(data) - 1))
        with pytest.raises(CutShort):
            axdr.read(data[:cut])

    def test_a_compact_array_is_taken_apart(self) -> None:
        """Structures of (long-unsigned, octet-string of two)."""
        found = axdr.parse(bytes.fromhex("13 02 02 12 09 0a 0001 02aabb 0002 02ccdd"))
        assert [[item.value for item in row.items] for row in found.items] == [[1, b"\xaa\xbb"], [2, b"\xcc\xdd"]]
        array = axdr.parse(bytes.fromhex("13 01 0002 11 04 01020304"))
        assert [[item.value for item in row.items] for row in array.items] == [[1, 2], [3, 4]]

    @pytest.mark.parametrize("data", ["13 02 02 12 12 03 000100", "13 00 01 00", "13 12 02 00"])
    def test_a_compact_array_that_does_not_fill_its_bytes_is_refused(self, data: str) -> None:
        """Elements of no size would go on for ever."""
        with pytest.raises(Malformed):
            axdr.parse(bytes.fromhex(data))

    def test_nesting_is_bounded(self) -> None:
        """No input recurses deeper."""
        with pytest.raises(Malformed, match="nested more than 12 deep"):
            axdr.parse(b"\x02\x01" * 200 + b"\x00")

    def test_the_number_of_elements_is_bounded(self) -> None:
        """All of them together, before they are read."""
        with pytest.raises(Malformed, match="more than 20000 elements"):
            axdr.parse(b"\x01\x83\x00\xff\xff" + b"\x00" * 0xFFFF)

    def test_longer_lengths_than_needed_are_read(self) -> None:
        """Kamstrup and Landis+Gyr send them."""
        assert axdr.parse(bytes.fromhex("09 81 02 abcd")).value == bytes.fromhex("abcd")
        assert axdr.parse(bytes.fromhex("09 82 0002 abcd")).value == bytes.fromhex("abcd")

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_a_float_is_its_shortest_decimal(self, number: float) -> None:
        """As Python prints it."""
        found = axdr.parse(b"\x18" + struct.pack(">d", number)).value
        assert isinstance(found, Scaled)
        assert Decimal(found.mantissa).scaleb(found.exponent) == Decimal(repr(number)) + 0

    def test_an_integer_beyond_its_type_is_refused(self) -> None:
        """Nothing is cut off in silence."""
        with pytest.raises(ValueError, match="256 does not fit tag 17"):
            axdr.integer(axdr.UINT8, 256)


class TestClock:
    """IEC 62056-6-2, 4.1.6.1."""

    @pytest.mark.parametrize(
        ("data", "time_ms", "text"),
        [
            ("07ea010f040c000000ffc400", 1_768_474_800_000, "2026-01-15T12:00:00+01:00"),
            ("07ea0715020a000000ff8880", 1_784_620_800_000, "2026-07-21T10:00:00+02:00"),
            ("07ea010f040c000032000000", 1_768_478_400_500, "2026-01-15T12:00:00.50+00:00"),
            ("07ea010fff0c0000ff000000", 1_768_478_400_000, "2026-01-15T12:00:00+00:00"),
            ("07ea010f040c000000012c00", 1_768_496_400_000, "2026-01-15T12:00:00-05:00"),
            ("07ea010f040c000000800000", None, "2026-01-15T12:00:00"),
            ("ffff010f040c000000000000", None, "????-01-15T12:00:00+00:00"),
            ("07ea0230040c000000000000", None, "2026-02-48T12:00:00+00:00"),
            ("07ea010f0418000000000000", None, "2026-01-15T24:00:00+00:00"),
        ],
    )
    def test_a_date_time_is_unix_time_or_none(self, data: str, time_ms: int | None, text: str) -> None:
        """The deviation is what is added to get UTC: -60 in a central European winter."""
        stamp = clock.parse(bytes.fromhex(data))
        assert (stamp.time_ms, stamp.text) == (time_ms, text)

    @given(st.integers(0, 4_000_000_000))
    def test_a_moment_is_read_as_written(self, seconds: int) -> None:
        """To a hundredth of a second."""
        moment_ms = seconds * 1000 + 120
        assert clock.parse(clock.encode(moment_ms)).time_ms == moment_ms

    @given(st.binary(min_size=12, max_size=12), st.none() | st.integers(-900, 900))
    def test_any_twelve_bytes_are_a_stamp(self, data: bytes, offset: int | None) -> None:
        """Some without a time, and then with a reason."""
        stamp = clock.parse(data, offset)
        assert stamp.time_ms is not None or stamp.remarks

    def test_another_size_is_refused(self) -> None:
        """A date alone is none."""
        with pytest.raises(ValueError, match="12 bytes, not 5"):
            clock.parse(b"\x07\xea\x01\x0f\x04")


def test_a_datum_shows_its_elements() -> None:
    """And nothing of a plain value."""
    assert Datum(tag=axdr.UINT8, value=1, raw=b"\x11\x01").items == ()
    assert axdr.parse(bytes.fromhex("0201 1101")).items[0].value == 1
