"""P1 telegrams out of a stream, in the clear and encrypted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.dsmr.decoder import DsmrDecoder
from drivers.dsmr.encrypted import EncryptedDsmrDecoder, Keys, parse_keys
from drivers.iec62056.parity import with_even_parity
from drivers.telegram import BrokenTelegram, Decoder, Telegram
from gateway.errors import ConfigError
from tests import p1_telegrams as p1
from tests.contract_decoder import DecoderContract, good, run
from tests.parts import vectors

KEYS = Keys(encryption=p1.KEY, authentication=p1.AUTHENTICATION_KEY)
TELEGRAMS = [
    p1.with_crc(p1.NETHERLANDS_5),
    p1.with_crc(p1.FLUVIUS, "/FLU5\\253769484_A"),
    p1.with_crc(p1.SWEDEN, "/ELL5\\253833635_A"),
    p1.with_crc(p1.LUXEMBOURG, "/Lux5\\253663629_D"),
]
FRAMES = [p1.encrypted(telegram, counter) for counter, telegram in enumerate(TELEGRAMS, 7)]
#: A telegram of one line, counter 1.
GOLDEN_FRAME = (
    "db0853414767000000013f3000000001971e857cffb31e505387c712f7b71aad2edb8d1ac1e17a702ba4e84d06f463a20b3d"
    "77406b588c1eda96e9fc97c24f3bce55a323ca4ddc552be0"
)
FRAMES += [
    p1.encrypted(p1.with_crc(["1-0:1.8.0(1*kWh)"] * 5), 11),
    p1.encrypted(p1.with_crc(["1-0:1.8.0(1*kWh)"]), 12),
]


class TestDsmrDecoder(DecoderContract):
    """Versions 4 and 5."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return DsmrDecoder

    @pytest.fixture
    def stream(self) -> bytes:
        return b"".join(TELEGRAMS)


class TestOldDsmrDecoder(DecoderContract):
    """Versions 2.2 and 3 have no CRC; there the parity of each character finds a flipped bit."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: DsmrDecoder(even_parity=True)

    @pytest.fixture
    def stream(self) -> bytes:
        return with_even_parity(p1.without_crc(p1.OLD_2_2) + p1.without_crc(p1.OLD_3) + p1.without_crc(p1.OLD_2_2))


class TestEncryptedDsmrDecoder(DecoderContract):
    """The stream has each form of a length."""

    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return lambda: EncryptedDsmrDecoder(KEYS)

    @pytest.fixture
    def stream(self) -> bytes:
        assert {0x81, 0x82, len(FRAMES[-1]) - 11} == {frame[10] for frame in FRAMES}
        return b"".join(FRAMES)


def error(found: list[Telegram | BrokenTelegram]) -> str:
    (one,) = found
    assert isinstance(one, BrokenTelegram), one
    return one.error


def test_a_telegram_comes_out_with_its_last_byte() -> None:
    """And not before the next one begins."""
    decoder = DsmrDecoder()
    assert decoder.feed(TELEGRAMS[0][:-1]) == []
    (found,) = decoder.feed(TELEGRAMS[0][-1:])
    assert found.raw == TELEGRAMS[0]


def test_a_last_line_end_may_be_missing_at_the_end() -> None:
    """A capture was cut there; with its CRC the telegram is proved."""
    assert len(good(run(DsmrDecoder(), TELEGRAMS[0][:-2]))) == 1
    assert "the CRC is 21A, and that of the bytes 21AA" in error(run(DsmrDecoder(), TELEGRAMS[0][:-3]))
    assert error(run(DsmrDecoder(), TELEGRAMS[0][:-9])).endswith("it is cut off")


def test_a_start_ends_what_was_in_front_of_it() -> None:
    """A reader that is plugged in late sees half a telegram."""
    found = run(DsmrDecoder(), TELEGRAMS[0][100:], TELEGRAMS[0][:100], TELEGRAMS[1])
    assert [type(one) for one in found] == [BrokenTelegram, BrokenTelegram, Telegram]
    assert isinstance(found[1], BrokenTelegram)
    assert found[1].error == "at 100: a telegram begins before the one in front of it has ended"


def test_a_telegram_that_never_ends_is_given_up() -> None:
    """After 16 KiB, and the next one is found."""
    endless = b"/ISk5\\2\r\n\r\n" + b"1-0:1.8.0(1*kWh)\r\n" * 2000
    found = run(DsmrDecoder(), endless, TELEGRAMS[0])
    assert isinstance(found[0], BrokenTelegram)
    assert found[0].error == "it does not end within 16384 bytes"
    assert isinstance(found[-1], Telegram)


def test_empty_lines_between_telegrams_are_nothing() -> None:
    """Some adapters send them."""
    assert len(run(DsmrDecoder(), b"\r\n", TELEGRAMS[0], b"\r\n\0\r\n", TELEGRAMS[1], b"\r\n")) == 2


def test_an_encrypted_telegram_without_a_key_asks_for_one() -> None:
    """Or its reader would look for a broken cable."""
    frame = FRAMES[0].replace(b"/", b".")
    assert "encrypted, and need a key" in error(run(DsmrDecoder(), frame))


def test_an_encrypted_telegram_says_what_the_plain_one_says() -> None:
    """But that its bytes are the frame."""
    for frame, telegram in zip(FRAMES, TELEGRAMS, strict=False):
        (opened,), (plain,) = run(EncryptedDsmrDecoder(KEYS), frame), run(DsmrDecoder(), telegram)
        assert isinstance(plain, Telegram)
        assert opened == replace(plain, raw=frame)


def test_a_golden_frame() -> None:
    """The bytes of the format, once written down."""
    assert p1.encrypted(p1.with_crc(["1-0:1.8.0(1*kWh)"]), 1).hex() == GOLDEN_FRAME
    (found,) = good(run(EncryptedDsmrDecoder(KEYS), bytes.fromhex(GOLDEN_FRAME)))
    assert [(point.code, str(point.value)) for point in found.points] == [("1-0:1.8.0", "1")]


def test_a_wrong_key_says_so() -> None:
    """Either key; without the second one it names the one that was tried."""
    wrong = Keys(encryption=p1.KEY, authentication=p1.KEY)
    assert "wrong key: the tag of frame 7 of system title 5341476700000001 does not fit the key;" in error(
        run(EncryptedDsmrDecoder(wrong), FRAMES[0])
    )
    assert "the key with Luxembourg's authentication key" in error(
        run(EncryptedDsmrDecoder(parse_keys(p1.KEY.hex())), FRAMES[0])
    )


def test_one_key_goes_with_luxembourgs_authentication_key() -> None:
    """Two are taken as they are, the second with or without the byte 30 in front."""
    frame = p1.encrypted(TELEGRAMS[3], 1, authentication=p1.LUXEMBOURG_KEY)
    assert len(good(run(EncryptedDsmrDecoder(parse_keys(p1.KEY.hex())), frame))) == 1
    for second in (p1.AUTHENTICATION_KEY.hex(), "30" + p1.AUTHENTICATION_KEY.hex().upper()):
        assert parse_keys(f"{p1.KEY.hex()}:{second}") == KEYS


@pytest.mark.parametrize("text", ["", "00", "zz" * 16, p1.KEY.hex() + ":", p1.KEY.hex() + ":" + "00" * 15, ":"])
def test_a_key_of_another_form_is_refused_without_repeating_it(text: str) -> None:
    """It is a secret even where it is wrong."""
    with pytest.raises(ConfigError) as caught:
        parse_keys(text)
    assert len(text) < 3 or text not in str(caught.value)
    assert p1.KEY.hex() not in repr(KEYS)


def test_a_counter_that_does_not_rise_is_a_remark() -> None:
    """A recorded telegram is played again; another meter's counter is its own."""
    other = p1.encrypted(TELEGRAMS[0], 3, title=b"SAGother")
    found = good(run(EncryptedDsmrDecoder(KEYS), FRAMES[1], FRAMES[0], FRAMES[0], FRAMES[1], other))
    assert [bool(one.remarks[-1:]) and "frame counter" in one.remarks[-1] for one in found] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert found[1].remarks == ("the frame counter 7 follows 8: replayed, or the meter was replaced",)


def test_another_security_control_is_named() -> None:
    """Encrypted, but not authenticated."""
    frame = bytearray(FRAMES[0])
    frame[frame.index(0x30, 10)] = 0x20
    assert "its security control is 20" in error(run(EncryptedDsmrDecoder(KEYS), bytes(frame)))


def test_a_plain_telegram_is_none_where_a_key_is_set() -> None:
    """Whoever can write to the line could forge it."""
    assert "they look unencrypted" in error(run(EncryptedDsmrDecoder(KEYS), TELEGRAMS[0]))


def test_a_frame_that_holds_no_telegram_is_broken() -> None:
    """The key fits, and the content is still checked."""
    assert error(run(EncryptedDsmrDecoder(KEYS), p1.encrypted(TELEGRAMS[0][:-8], 1))).startswith("decrypted: ")


def test_the_published_frame_opens() -> None:
    """A meter in Luxembourg sent it; its key was published with it."""
    found = sorted(vectors("dsmr").glob("*encrypted*.hex"))
    if not found:
        pytest.skip("FOREIGN VECTORS MISSING: dsmr/*encrypted*.hex, a key and a frame in it")
    for path in found:
        key, frame = path.read_text().split()
        (one,) = run(EncryptedDsmrDecoder(parse_keys(key)), bytes.fromhex(frame))
        assert isinstance(one, Telegram), one
        assert one.points


@given(
    st.lists(st.sampled_from([*TELEGRAMS, *FRAMES, b"/", b"!", b"\xdb\x08", b"\r\n!", b"\n"]) | st.binary(max_size=40))
)
def test_pieces_do_not_matter_whatever_they_are(parts: list[bytes]) -> None:
    """Telegrams, frames and garbage in any order, in pieces and as a whole."""
    for make in (DsmrDecoder, lambda: EncryptedDsmrDecoder(KEYS)):
        assert run(make(), *parts) == run(make(), b"".join(parts))


@given(st.binary(max_size=200), st.integers(0, 3))
def test_a_telegram_behind_garbage_is_found(garbage: bytes, which: int) -> None:
    """Whatever the garbage is, even the start of a frame: once nothing more comes."""
    assert good(run(DsmrDecoder(), garbage, TELEGRAMS[which]))[-1].raw == TELEGRAMS[which]
    assert good(run(EncryptedDsmrDecoder(KEYS), garbage, FRAMES[which]))[-1].raw == FRAMES[which]
