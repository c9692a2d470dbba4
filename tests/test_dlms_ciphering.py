"""Ciphering of suite 0 (drivers/dlms/ciphering.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.dlms import ciphering
from drivers.dlms.ciphering import Keys, Undeciphered
from gateway.errors import GatewayError
from tests.dlms_telegrams import KEYS, TITLE


class TestCiphering:
    """IEC 62056-5-3, suite 0."""

    def test_the_green_books_example(self) -> None:
        """Glo-get-request with authenticated encryption (Green Book, table "Example for ciphered APDUs")."""
        keys = Keys(
            unicast=bytes.fromhex("000102030405060708090A0B0C0D0E0F"),
            authentication=bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"),
        )
        plain = bytes.fromhex("C0010000080000010000FF0200")
        sealed = ciphering.seal(plain, keys, bytes.fromhex("4D4D4D0000BC614E"), 0x01234567, 0x30)
        assert sealed.text.hex().upper() == "411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"
        assert ciphering.open_(sealed, keys).apdu == plain
        only = ciphering.seal(plain, keys, bytes.fromhex("4D4D4D0000BC614E"), 0x01234567, 0x10)
        assert only.text.hex().upper() == "C0010000080000010000FF020006725D910F9221D263877516"
        assert ciphering.open_(only, keys).apdu == plain

    @given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.sampled_from([0x10, 0x20, 0x30, 0x31, 0x70]))
    def test_what_is_sealed_is_opened(self, apdu: bytes, counter: int, control: int) -> None:
        """Both ways of writing it, with and without the authentication key."""
        sealed = ciphering.seal(apdu, KEYS, TITLE, counter, control)
        assert ciphering.parse_general(ciphering.build_general(sealed)) == sealed
        opened = ciphering.open_(sealed, KEYS)
        assert (opened.apdu, opened.authentic) == (apdu, bool(control & 0x10))
        assert ciphering.open_(sealed, Keys(unicast=KEYS.unicast)).apdu == apdu
        specific = ciphering.parse_specific(ciphering.build_specific(sealed, 0xC8))
        assert ciphering.open_(specific, KEYS, TITLE).apdu == apdu

    @given(st.binary(max_size=80))
    def test_any_bytes_are_taken_apart_or_refused(self, data: bytes) -> None:
        """With errors that the gateway knows."""
        try:
            ciphering.open_(ciphering.parse_general(b"\xdb" + data), KEYS)
        except GatewayError:
            return
        pytest.fail("a random tag was right")

    def test_the_broadcast_bit_takes_the_broadcast_key(self) -> None:
        """Where there is one."""
        keys = Keys(unicast=b"\x01" * 16, broadcast=b"\x02" * 16, authentication=b"\x03" * 16)
        sealed = ciphering.seal(b"abc", keys, TITLE, 1, 0x70)
        assert ciphering.open_(sealed, keys).apdu == b"abc"
        with pytest.raises(Undeciphered, match="not authentic"):
            ciphering.open_(sealed, Keys(unicast=b"\x01" * 16, authentication=b"\x03" * 16))

    def test_keys_are_not_shown(self) -> None:
        """In no representation."""
        assert "00" not in repr(KEYS).replace("0x", "")

    def test_a_missing_title_is_said(self) -> None:
        """glo- forms leave it to the association."""
        sealed = ciphering.parse_specific(ciphering.build_specific(ciphering.seal(b"x", KEYS, TITLE, 1, 0x30), 0xC8))
        with pytest.raises(Undeciphered, match="without a system title"):
            ciphering.open_(sealed, KEYS)
