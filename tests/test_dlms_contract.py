"""``drivers.dlms.push.DlmsDecoder`` keeps the contract of a decoder, in each framing."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from drivers.dlms.push import DlmsDecoder
from drivers.telegram import Decoder
from tests.contract_decoder import DecoderContract, good, run
from tests.dlms_telegrams import (
    EK,
    KEY_TEXT,
    aidon,
    austrian,
    in_blocks,
    kaifa,
    kamstrup,
    notification,
    over_hdlc,
    over_mbus,
    over_wrapper,
    sealed,
    swiss,
)


class TestHdlc(DecoderContract):
    """Frames in the clear, of several makers behind one another."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return DlmsDecoder

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(over_hdlc(notification(body)) for body in (aidon(), kaifa(), kamstrup(), swiss()))


class TestHdlcSharedFlags(TestHdlc):
    """One flag ends a frame and begins the next one."""

    @pytest.fixture
    def stream(self) -> bytes:
        frames = [over_hdlc(notification(aidon(energy))) for energy in range(100, 104)]
        return frames[0] + b"".join(frame[1:] for frame in frames[1:])


class TestHdlcSegments(TestHdlc):
    """Each telegram in several frames."""

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(over_hdlc(notification(aidon(energy)), 60) for energy in range(100, 103))


class TestBlocksCiphered(DecoderContract):
    """Ciphered and authenticated, in blocks, as Landis+Gyr sends it."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: DlmsDecoder(KEY_TEXT)

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(in_blocks(sealed(notification(swiss(number)), number), 60) for number in range(100, 103))


class TestMbusCiphered(DecoderContract):
    """Ciphered without a tag, in M-Bus frames, as in Austria."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: DlmsDecoder(EK.hex())

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(
            over_mbus(sealed(notification(austrian(number)), number, control=0x20), 80) for number in range(100, 103)
        )


class TestWrapperCiphered(DecoderContract):
    """No checksum at all: the tag alone protects it."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: DlmsDecoder(KEY_TEXT, "wrapper")

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(over_wrapper(sealed(notification(aidon(number)), number)) for number in range(100, 104))

    def test_a_flipped_bit_harms_one_telegram_and_gives_no_wrong_value(
        self, make: Callable[[], Decoder], stream: bytes
    ) -> None:
        """Values are compared, not bytes, and no count: nothing protects the ports and the length in the header."""
        whole = run(make(), stream)
        known = {telegram.points for telegram in good(whole)}
        source = random.Random(11)
        for _ in range(300):
            damaged = bytearray(stream)
            damaged[source.randrange(len(stream))] ^= 1 << source.randrange(8)
            found = run(make(), bytes(damaged))
            assert {telegram.points for telegram in good(found)} <= known
            assert found
