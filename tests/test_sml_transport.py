"""SML telegrams cut from a stream, and what is refused (drivers/sml)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.sml.decoder import SmlDecoder
from drivers.sml.transport import RAW_MAX, SIZE_MAX, Frame, Transport
from drivers.telegram import BrokenTelegram, Telegram
from tests import sml_frames as sml
from tests.contract_decoder import good, run
from tests.test_sml import GOLDEN, fault

VALUES = sml.values([sml.entry("0100010800ff", sml.unsigned(12565, 4), unit=30, scaler=-1)])
PLAIN = sml.telegram(VALUES)
START, ESCAPE = sml.START, sml.ESCAPE
#: Streams of whole, cut and confused telegrams.
PARTS = st.lists(
    st.sampled_from([PLAIN, GOLDEN, START, ESCAPE, b"\x1b", b"\x1a", b"\x01", b"noise", PLAIN[:-9], PLAIN[9:]]),
    max_size=12,
)


def frames(*pieces: bytes) -> list[Frame | BrokenTelegram]:
    transport = Transport()
    return [found for piece in pieces for found in transport.feed(piece)] + transport.end()


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\x00", b"\x1b")))
def test_any_payload_comes_back_whatever_escapes_it_needs(payload: bytes) -> None:
    """Runs of 1b of any length, as long as the payload does not end with one: every message ends with 00."""
    payload += b"\0"
    (found,) = frames(sml.framed(payload))
    assert isinstance(found, Frame)
    assert found.payload == payload
    for at in range(len(payload)):
        assert found.raw[found.raw_offset(at)] == payload[at]


@given(PARTS, st.lists(st.integers(0, 3000), max_size=8))
def test_what_comes_out_does_not_depend_on_the_pieces(parts: list[bytes], cuts: list[int]) -> None:
    """Not even the noise."""
    stream = b"".join(parts)
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:stop] for start, stop in itertools.pairwise(bounds)]
    assert frames(*pieces) == frames(stream)


@given(PARTS)
def test_every_byte_is_told(parts: list[bytes]) -> None:
    """Frames and broken bytes, one behind the other, are the stream: nothing is dropped in silence."""
    stream = b"".join(parts)
    assert b"".join(found.raw for found in frames(stream)) == stream


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 8))
def test_lost_bytes_cost_one_telegram(at: int, lost: int) -> None:
    """The one behind them is read, even when the end of the first is what was lost."""
    found = run(SmlDecoder(), PLAIN[:at] + PLAIN[at + lost :] + GOLDEN)
    if at + lost <= len(PLAIN):
        assert good(found)[-1].raw == GOLDEN


def test_a_start_within_a_telegram_starts_another() -> None:
    """The first one lost its end."""
    found = run(SmlDecoder(), PLAIN[:100] + GOLDEN)
    assert [type(one) for one in found] == [BrokenTelegram, Telegram]
    assert isinstance(found[0], BrokenTelegram)
    assert found[0].error == "another telegram starts at offset 100, and this one has no end"


def test_a_telegram_without_end_is_given_up_at_64_kib() -> None:
    """And what follows is found."""
    endless = START + b"x" * (SIZE_MAX + 100)
    found = frames(endless + PLAIN)
    assert isinstance(found[0], BrokenTelegram)
    assert found[0].error == "no end within 65536 bytes"
    assert len(found[0].raw) == RAW_MAX
    assert isinstance(found[-1], Frame)
    assert frames(*[endless[at : at + 999] for at in range(0, len(endless), 999)], PLAIN) == found


def test_a_telegram_of_64_kib_is_read() -> None:
    """1,000 entries with long texts."""
    entries = [sml.entry(f"01{at:08x}ff", sml.octets(b"y" * 40)) for at in range(900)]
    (found,) = run(SmlDecoder(), sml.telegram(sml.values(entries)))
    assert isinstance(found, Telegram)
    assert len(found.points) == 900


@pytest.mark.parametrize(
    ("sequence", "error"),
    [
        (b"\x02\x02\x02\x02", "escape sequence 02020202 at offset 8 is unknown"),
        (b"\x1a\x04\x00\x00", "checksum 0000 at offset 14 should be"),
    ],
)
def test_an_unknown_sequence_is_told(sequence: bytes, error: str) -> None:
    """With where it is."""
    found = frames(START + ESCAPE + sequence)
    assert isinstance(found[0], BrokenTelegram)
    assert found[0].error.startswith(error)


def test_long_noise_is_told_in_pieces_of_4_kib() -> None:
    """Whatever pieces it comes in."""
    noise = b"\x1b\x01" * 5000
    found = frames(noise + PLAIN)
    assert [len(one.raw) for one in found] == [RAW_MAX, RAW_MAX, 10_000 - 2 * RAW_MAX, len(PLAIN)]
    assert frames(*[noise[at : at + 7] for at in range(0, len(noise), 7)], PLAIN) == found


def test_an_error_behind_an_escape_is_told_where_it_is_in_the_telegram() -> None:
    """The doubled bytes count."""
    entries = [sml.entry("0100010800ff", sml.octets(ESCAPE * 2)), sml.items()]
    raw = sml.telegram(sml.values(entries))
    at = raw.index(b"\x70", raw.index(ESCAPE * 4))
    assert fault(raw) == f"list entry: 0 elements instead of 7 at offset {at}"


def test_fill_bytes_are_zeros_and_at_most_three() -> None:
    """A right checksum over a wrong fill is refused."""
    for payload, fill in ((b"\0" * 8, 4), (b"\0\0\0\x07", 2)):
        raw = START + payload + ESCAPE + b"\x1a" + bytes([fill])
        (found,) = frames(raw + sml.X25.of(raw))
        assert isinstance(found, BrokenTelegram)
        assert "fill bytes" in found.error


def test_more_zeros_than_told_do_no_harm() -> None:
    """Between messages and behind them."""
    zeros = b"\0" * 4
    assert len(good(run(SmlDecoder(), sml.framed(zeros + sml.message(0x0701, VALUES) + zeros)))) == 1


_BODY = sml.message(0x0701, VALUES)
_MORE = sml.ABSENT * 8


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "no values in its messages, from offset 8: none"),
        (sml.message(0x0201, sml.items(sml.ABSENT)), "no values in its messages, from offset 8: 0x0201"),
        (sml.message(0x0701, sml.items(*[sml.ABSENT] * 7)), "no values in its messages, from offset 8: 0x0701"),
        (_BODY[:-4] + b"\x63\x00\x00\x00", "checksum of message 0x0701 is 0x0000, should be 0x"),
        (_BODY[:-1] + b"\x07", "message 0x0701 has no end at offset 61"),
        (_BODY[:20], "server id: 10 bytes where 5 are left at offset 22"),
        (b"\x75" + _BODY[1:], "message: 5 elements instead of 6 at offset 8"),
        (b"\x05" + _BODY[1:], "message: octet string instead of a list at offset 8"),
        (b"\x76\x01\x62\0\x62\0\x72\x62\x02\xf0\x0f", "body of 0x0002: 15 elements in 0 bytes at offset 17"),
        (b"\xf6", "message: type and length are cut or longer than 4 bytes at offset 8"),
        (b"\xf0\x86\x80\x80\x06", "message: type and length are cut or longer than 4 bytes at offset 8"),
        (b"\xf0\x76", "message: length goes on with 0x76 at offset 8"),
        (b"\x26", "message: type 2 is unknown at offset 8"),
        (b"\x76\x73\x01" + _MORE, "transaction id: a list instead of a value at offset 9"),
        (b"\x76\x01\x51" + _MORE, "group: an integer of 0 bytes at offset 10"),
        (b"\x76\x01\x6a" + b"\0" * 9, "group: an integer of 9 bytes at offset 10"),
        (b"\x76\x01\x43\0\0" + _MORE, "group: a boolean of 2 bytes at offset 10"),
        (b"\x76\x01\x03\0\0" + _MORE, "group: octet string instead of unsigned at offset 10"),
        (b"\x76\x01\x01\x01\x72\x01\x01", "body tag is left out at offset 14"),
        (b"\x76\x01\x01\x01\x72\x62\x02" + b"\x71" * 12, "body of 0x0002: lists deeper than 8 at offset 23"),
    ],
)  # fmt: skip
def test_a_payload_that_is_no_sml_is_told_with_its_place(payload: bytes, error: str) -> None:
    """Checksums of the transport are right, the content is not."""
    assert fault(sml.framed(payload)).startswith(error)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (sml.items(*[sml.ABSENT] * 6), "list entry: 6 elements instead of 7"),
        (sml.items(*[sml.ABSENT] * 7), "name is left out"),
        (sml.entry("0100010800ff", sml.unsigned(1), when=sml.time(1, 9)), "value time: type 9 is unknown"),
        (sml.entry("0100010800ff", sml.unsigned(1), when=sml.items(sml.ABSENT, sml.ABSENT)), "value time is left out"),
        (sml.entry("0100010800ff", sml.unsigned(1), when=sml.unsigned(1 << 32, 5)), "value time: 4294967296 seconds"),
        (sml.entry("0100010800ff", sml.unsigned(1), scaler=0).replace(b"\x52\0", b"\x53\x01\0"), "power of ten 256"),
    ],
)
def test_an_entry_that_is_no_entry_is_told(entry: bytes, error: str) -> None:
    """Nothing of the telegram is used then."""
    assert fault(sml.telegram(sml.values([entry]))).startswith(error)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(_BODY) - 6), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_no_content_raises_and_nothing_but_sml_is_read(changes: list[tuple[int, int]], with_message: bool) -> None:
    """Payloads with right checksums around wrong bytes reach every line of the parser."""
    body = bytearray(_BODY[:-4])
    for at, byte in changes:
        body[at] = byte
    payload = bytes(body) + sml.unsigned(int.from_bytes(sml.X25.of(bytes(body)), "big"), 2) + b"\0"
    found = run(SmlDecoder(), sml.framed(payload + _BODY if with_message else payload))
    assert found
    for one in found:
        if isinstance(one, Telegram):
            codes = [point.code for point in one.points]
            assert len(codes) == len(set(codes))
            assert all(point.value is not None or point.text or point.fault for point in one.points)
            assert all(str(point.value) for point in one.points)
        else:
            assert one.error


@given(st.binary(max_size=2000))
def test_no_bytes_raise(data: bytes) -> None:
    """Alone, and behind a start."""
    assert not good(run(SmlDecoder(), data))
    run(SmlDecoder(), START + data + ESCAPE + b"\x1a\0\0\0")
