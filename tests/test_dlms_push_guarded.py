"""Pushed telegrams that are ciphered, and telegrams with gaps (drivers/dlms/push.py, assembly.py)."""

from __future__ import annotations

import pytest

from drivers.dlms.push import DlmsDecoder
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError
from tests import dlms_telegrams as made
from tests.contract_decoder import run
from tests.dlms_read import broken, telegram, values
from tests.dlms_telegrams import notification, over_hdlc, over_mbus, sealed


class TestCiphered:
    """Who has a key takes nothing less than it protects."""

    apdu = notification(made.aidon())

    def test_an_authentic_telegram_is_opened_and_shows_its_counter(self) -> None:
        """The counter lets a telegram that is played again be seen."""
        found = telegram(over_hdlc(sealed(self.apdu, 41)), DlmsDecoder(made.KEY_TEXT))
        assert found.remarks == ()
        assert values(found)["invocation_counter"] == "41"
        assert values(found)["1-0:1.8.0"] == "10049926 Wh"

    def test_without_the_authentication_key_it_is_opened_and_says_so(self) -> None:
        """Many grid operators hand out one key only."""
        found = telegram(over_hdlc(sealed(self.apdu)), DlmsDecoder(made.EK.hex()))
        assert found.remarks == ("its authenticity was not checked: the authentication key is not configured",)

    def test_a_flipped_bit_anywhere_in_it_is_seen(self) -> None:
        """The mutation test of the tag."""
        good = sealed(self.apdu)
        for place in range(2, len(good)):
            bad = bytearray(good)
            bad[place] ^= 0x01
            (found,) = run(DlmsDecoder(made.KEY_TEXT), over_hdlc(bytes(bad)))
            assert isinstance(found, BrokenTelegram), place

    def test_wrong_keys_are_named_as_a_possible_cause(self) -> None:
        """Either key, with the tag or without."""
        data = over_hdlc(sealed(self.apdu))
        assert "a key is wrong" in broken(data, DlmsDecoder(f"{'11' * 16}:{made.AK.hex()}"))
        assert "a key is wrong" in broken(data, DlmsDecoder(f"{made.EK.hex()}:{'11' * 16}"))
        assert "is the key right?" in broken(data, DlmsDecoder("11" * 16))

    def test_no_key_says_whose_key_is_needed(self) -> None:
        """The system title and the counter stand in the clear."""
        error = broken(over_hdlc(sealed(self.apdu)))
        assert "system title 5453540000000102, counter 7," in error
        assert "unicast key, which is not configured" in error

    def test_less_than_is_configured_is_refused(self) -> None:
        """In the clear where there is a key; without a tag where there is an authentication key."""
        assert "in the clear" in broken(over_hdlc(self.apdu), DlmsDecoder(made.EK.hex()))
        error = broken(over_hdlc(sealed(self.apdu, control=0x20)), DlmsDecoder(made.KEY_TEXT))
        assert "has no tag" in error

    @pytest.mark.parametrize(("control", "error"), [(0xB0, "compressed"), (0x32, "security suite 2")])
    def test_what_is_not_supported_is_said(self, control: int, error: str) -> None:
        """Compression and suite 2."""
        found = sealed(self.apdu).replace(b"\x30\x00\x00\x00\x07", bytes([control]) + b"\x00\x00\x00\x07", 1)
        assert error in broken(over_hdlc(found), DlmsDecoder(made.KEY_TEXT))

    @pytest.mark.parametrize("key", ["12", "zz" * 16, f"{'00' * 16}:11", ":".join(["00" * 16] * 4), f":{'00' * 16}"])
    def test_a_key_that_is_none_is_refused_without_being_shown(self, key: str) -> None:
        """At once, and to the operator."""
        with pytest.raises(ConfigError, match="KEY or KEY:AK") as caught:
            DlmsDecoder(key)
        assert key not in str(caught.value)


class TestGaps:
    """Nothing is put together across a gap."""

    def test_a_missing_segment_breaks_the_telegram(self) -> None:
        """Noise in its place shows that it is missing."""
        first, second, third = split(over_hdlc(notification(made.aidon()), 60))[:3]
        rest = b"".join(split(over_hdlc(notification(made.aidon()), 60))[3:])
        found = run(DlmsDecoder(), first + b"\x55" * 20 + third + rest)
        assert all(isinstance(one, BrokenTelegram) for one in found)
        assert "noise cuts the message" in [one.error for one in found if isinstance(one, BrokenTelegram)]
        assert isinstance(run(DlmsDecoder(), first + second + third + rest)[0], Telegram)

    def test_a_missing_block_is_named(self) -> None:
        """Blocks count."""
        frames = split(made.in_blocks(notification(made.aidon()), 60))
        assert len(frames) > 2
        found = run(DlmsDecoder(), frames[0] + b"".join(frames[2:]))
        errors = [one.error for one in found if isinstance(one, BrokenTelegram)]
        assert errors[:2] == ["block 2 is missing", "block 3 without the ones before"]

    def test_a_repeated_block_breaks_the_telegram(self) -> None:
        """It could be another telegram's."""
        frames = split(made.in_blocks(notification(made.aidon()), 60))
        found = run(DlmsDecoder(), frames[0] + frames[1] + b"".join(frames[1:]))
        assert not [one for one in found if isinstance(one, Telegram)]

    def test_a_missing_mbus_frame_is_named(self) -> None:
        """They count, too."""
        data = over_mbus(notification(made.austrian()), 40)
        size = 4 + 45 + 2
        found = run(DlmsDecoder(), data[:size] + data[2 * size :])
        errors = [one.error for one in found if isinstance(one, BrokenTelegram)]
        assert errors[0] == "frame 1 of the message is missing"

    def test_a_new_telegram_ends_one_that_is_incomplete(self) -> None:
        """The old one is told as broken, the new one comes."""
        whole = over_hdlc(notification(made.aidon()), 60)
        found = run(DlmsDecoder(), split(whole)[0] + whole)
        assert [type(one) for one in found] == [BrokenTelegram, Telegram]


def split(frames: bytes) -> list[bytes]:
    """HDLC frames one by one."""
    found, at = [], 0
    while at < len(frames):
        size = (int.from_bytes(frames[at + 1 : at + 3], "big") & 0x7FF) + 2
        found.append(frames[at : at + size])
        at += size
    return found
