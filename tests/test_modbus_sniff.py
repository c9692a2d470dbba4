"""A capture of a Modbus line becomes replies with the addresses of their requests; noise costs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.modbus.frame import rtu_frame
from drivers.modbus.sniff import RtuSniffer
from drivers.telegram import BrokenTelegram, Decoder, Telegram
from tests.contract_decoder import DecoderContract, run

ASK = rtu_frame(1, bytes.fromhex("0400000002"))
ANSWER = rtu_frame(1, bytes.fromhex("040443663334"))
ASK_OTHER = rtu_frame(2, bytes.fromhex("0300480004"))
ANSWER_OTHER = rtu_frame(2, bytes.fromhex("03080001000200030004"))


class TestContract(DecoderContract):
    @pytest.fixture
    def make(self) -> Callable[[], Decoder]:
        return RtuSniffer

    @pytest.fixture
    def stream(self) -> bytes:
        return (ASK + ANSWER + ASK_OTHER + ANSWER_OTHER) * 3


def test_registers_have_the_addresses_that_were_asked_for() -> None:
    first, second = run(RtuSniffer(), ASK + ANSWER + ASK_OTHER + ANSWER_OTHER)
    assert isinstance(first, Telegram)
    assert isinstance(second, Telegram)
    assert [(point.code, point.raw.hex()) for point in first.points] == [("fc4 0x0000", "4366"), ("fc4 0x0001", "3334")]
    assert [point.code for point in second.points] == [f"fc3 0x{address:04x}" for address in range(0x48, 0x4C)]
    assert (first.meter, second.meter) == ("unit 1", "unit 2")


def test_a_reply_alone_has_no_addresses_and_says_so() -> None:
    [reply] = run(RtuSniffer(), ANSWER)
    assert isinstance(reply, Telegram)
    assert [point.code for point in reply.points] == ["fc4 +0", "fc4 +1"]
    assert "request was not heard" in reply.remarks[0]


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (
            ASK + rtu_frame(1, b"\x84\x02"),
            "unit 1 answers to unit 1 fc4 0x0000+2 with exception 2 (illegal data address)",
        ),
        (ASK + ASK + ANSWER, "nobody answered unit 1 fc4 0x0000+2"),
        (ASK[:-1] + bytes([ASK[-1] ^ 1]), "8 bytes that are no frame"),
    ],
)
def test_what_is_no_reading_is_told(stream: bytes, says: str) -> None:
    found = run(RtuSniffer(), stream)
    assert isinstance(found[0], BrokenTelegram)
    assert says in found[0].error


def test_a_reply_that_looks_like_a_request_is_a_reply_to_what_was_asked() -> None:
    """Eight bytes with a good CRC can be both: the request before decides."""
    ask = rtu_frame(1, bytes.fromhex("0300000001"))
    # A reply of one register is seven bytes; one of three registers is eleven: no reply has eight, but a stray one may.
    [reply] = run(RtuSniffer(), ask + rtu_frame(1, bytes.fromhex("03020007")))
    assert isinstance(reply, Telegram)
    assert [point.code for point in reply.points] == ["fc3 0x0000"]
