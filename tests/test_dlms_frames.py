"""Frames and what is found in streams (drivers/dlms/hdlc.py, mbus.py, wrapper.py, framing.py), blocks, codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.dlms import assembly, axdr, cosem, hdlc, mbus, wrapper
from drivers.dlms.assembly import Block
from drivers.dlms.framing import Noise, Scanner, Unit, Whole, Wrong


class TestHdlc:
    """IEC 62056-46, frame type 3."""

    def test_the_checksum_is_that_of_x25(self) -> None:
        """Its check value (V.41 catalogue: CRC-16/IBM-SDLC)."""
        assert hdlc.crc16(b"123456789") == 0x906E

    def test_a_golden_frame(self) -> None:
        """SNRM of client 16 to server 1, as every description of DLMS has it."""
        assert hdlc.build(b"\x03", b"\x21", 0x93).hex() == "7ea0070321930f017e"

    @given(st.binary(max_size=1000), st.sampled_from([b"\x03", b"\x02\x23", b"\x00\x02\x00\x23"]), st.booleans())
    def test_what_is_built_is_found(self, information: bytes, address: bytes, segmented: bool) -> None:
        """Addresses of 1, 2 and 4 bytes."""
        frame = hdlc.build(address, b"\x21", 0x13, information, segmented=segmented)
        found = hdlc.find(bytearray(frame), 0)
        assert isinstance(found, Whole)
        unit = found.unit
        assert (unit.destination, unit.source, unit.control, unit.more) == (address, b"\x21", 0x13, segmented)
        assert unit.data == (information[3:] if unit.opens else information)
        assert unit.raw == frame

    @given(st.binary(min_size=1, max_size=100), st.data())
    def test_any_damage_is_found(self, information: bytes, source: st.DataObject) -> None:
        """Bursts of up to 16 bits, by the two checksums."""
        frame = bytearray(hdlc.build(b"\x03", b"\x21", 0x13, information))
        at = source.draw(st.integers(3, len(frame) - 3))
        burst = source.draw(st.integers(1, 0xFFFF))
        frame[at] ^= burst >> 8
        frame[at + 1 if at + 1 < len(frame) - 1 else at] ^= burst & 0xFF
        if bytes(frame) != hdlc.build(b"\x03", b"\x21", 0x13, information):
            assert not isinstance(hdlc.find(frame, 0), Whole)

    @pytest.mark.parametrize(
        ("parts", "size", "encoded"),
        [((1, None), 0, "03"), ((16, None), 0, "21"), ((1, 17), 0, "0223"), ((1, 17), 4, "00020023")],
    )
    def test_addresses(self, parts: tuple[int, int | None], size: int, encoded: str) -> None:
        """Green Book 8.4.2.2: 7 bits each, the lowest bit marks the last byte."""
        assert hdlc.address(*parts, size).hex() == encoded

    def test_an_address_that_does_not_fit_is_refused(self) -> None:
        """It would be another meter's."""
        for parts in ((128, None), (0x4000, 1)):
            with pytest.raises(ValueError, match="does not fit"):
                hdlc.address(*parts)
        assert hdlc.address(200, 1).hex() == "02900003"

    def test_a_frame_too_long_for_its_length_is_refused(self) -> None:
        """11 bits."""
        with pytest.raises(ValueError, match="at most 2047 fit"):
            hdlc.build(b"\x03", b"\x21", 0x13, b"\x00" * 2040)


class TestScanner:
    """Streams of anything."""

    @given(st.lists(st.binary(min_size=1, max_size=60), max_size=20))
    def test_pieces_do_not_matter_and_no_byte_is_lost(self, pieces: list[bytes]) -> None:
        """All that is not idle flags is in a frame or in noise."""
        framings = {hdlc.FLAG: hdlc.find, mbus.START: mbus.find}
        whole, scanner = Scanner(framings), Scanner(framings)
        data = b"".join(pieces)
        expected = whole.feed(data) + whole.end()
        assert [found for piece in pieces for found in scanner.feed(piece)] + scanner.end() == expected
        assert all(isinstance(found, Noise) for found in expected)
        kept = b"".join(found.raw for found in expected)
        assert kept.replace(b"\x7e", b"") == data.replace(b"\x7e", b"")

    def test_much_noise_is_told_in_portions(self) -> None:
        """Of 4,096 bytes."""
        scanner = Scanner({hdlc.FLAG: hdlc.find})
        found = scanner.feed(b"\x55" * 10_000)
        assert [len(noise.raw) for noise in found] == [4096, 4096]
        assert [len(noise.raw) for noise in scanner.end()] == [10_000 - 2 * 4096]

    def test_a_false_start_costs_no_frame(self) -> None:
        """The real one lies within the length that it announces."""
        frame = hdlc.build(b"\x03", b"\x21", 0x13, b"hello")
        scanner = Scanner({hdlc.FLAG: hdlc.find})
        found = scanner.feed(b"\x7e\xa7\xff" + frame) + scanner.end()
        assert [type(one) for one in found] == [Noise, Unit]


class TestOthers:
    """M-Bus, wrapper, blocks, codes, units."""

    @given(st.binary(min_size=1, max_size=245), st.integers(0, 15), st.booleans())
    def test_mbus_frames_are_found(self, data: bytes, number: int, last: bool) -> None:
        """Whatever their number."""
        found = mbus.find(bytearray(mbus.build(data, number, last=last)), 0)
        assert isinstance(found, Whole)
        assert (found.unit.data, found.unit.number, found.unit.more) == (data, number, not last)

    def test_an_mbus_frame_of_another_protocol_is_named(self) -> None:
        """CI 0x72 is M-Bus's own."""
        found = mbus.find(bytearray.fromhex("680f0f6808017278563412"), 0)
        assert found == Wrong("an M-Bus frame with CI 0x72, which carries no DLMS")

    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=300))
    def test_the_wrapper_is_found(self, source: int, destination: int, apdu: bytes) -> None:
        """With its ports."""
        found = wrapper.find(bytearray(wrapper.build(source, destination, apdu)), 0)
        assert isinstance(found, Whole)
        assert found.unit.data == apdu
        assert int.from_bytes(found.unit.source, "big") == source

    @given(
        st.builds(
            Block,
            last=st.booleans(),
            streaming=st.booleans(),
            window=st.integers(0, 63),
            number=st.integers(0, 0xFFFF),
            acknowledged=st.integers(0, 0xFFFF),
            data=st.binary(max_size=300),
        )
    )
    def test_blocks_are_read_as_built(self, block: Block) -> None:
        """general-block-transfer."""
        assert assembly.parse_block(assembly.build_block(block)) == block

    @given(st.binary(min_size=6, max_size=6))
    def test_codes_are_read_as_written(self, name: bytes) -> None:
        """With F where it is not 255."""
        assert cosem.logical_name(cosem.code(name)) == name

    @pytest.mark.parametrize("text", ["1.8.0", "1-0:1.8.256", "1-0:1.8.0*", "", "x-0:1.8.0"])
    def test_what_is_no_code_is_refused(self, text: str) -> None:
        """And an example is given."""
        with pytest.raises(ValueError, match="write it as 1-0"):
            cosem.logical_name(text)

    def test_units_without_a_symbol_are_named_by_number(self) -> None:
        """Nothing is left out."""
        assert (cosem.unit(30), cosem.unit(255), cosem.unit(199)) == ("Wh", "", "unit-199")
        assert cosem.scaler_unit(axdr.parse(bytes.fromhex("0202 0ffe 1621"))) == (-2, "A")
        assert cosem.scaler_unit(axdr.parse(bytes.fromhex("0202 0f00 0f00"))) is None
