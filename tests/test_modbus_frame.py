"""Frames: what goes out is what the specification shows, and only the one right reply is taken."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frame import (
    BadReply,
    Request,
    crc16,
    cut_tcp,
    missing_rtu,
    parse_rtu,
    parse_tcp,
    rtu_frame,
    tcp_frame,
)
from gateway.errors import MeterProtocolError, MeterRefused

requests = st.builds(
    Request,
    unit=st.integers(1, 247),
    fc=st.sampled_from([3, 4]),
    address=st.integers(0, 0xFF00),
    count=st.integers(1, 125),
)


def reply_pdu(request: Request, registers: bytes) -> bytes:
    return bytes([request.fc, len(registers)]) + registers


def test_the_specifications_own_examples_come_out_to_the_byte() -> None:
    """Reading registers 108 to 110 (application protocol, 6.3); the CRC of 02 07 (serial line, 6.2.2)."""
    request = Request(unit=17, fc=3, address=107, count=3)
    assert request.pdu.hex() == "03006b0003"
    assert rtu_frame(17, request.pdu).hex() == "1103006b00037687"
    assert struct.pack("<H", crc16(bytes([2, 7]))).hex() == "4112"
    assert tcp_frame(0x1501, 17, request.pdu).hex() == "15010000000611" + "03006b0003"
    pdu = bytes.fromhex("0306022b00000064")
    assert parse_rtu(request, rtu_frame(17, pdu)).hex() == "022b00000064"


@given(requests, st.binary(min_size=250, max_size=250))
def test_a_right_reply_gives_its_registers_over_both_wires(request_: Request, noise: bytes) -> None:
    """What a meter packs is what comes out, and the length still missing counts down to nothing."""
    registers = noise[: 2 * request_.count]
    frame = rtu_frame(request_.unit, reply_pdu(request_, registers))
    assert parse_rtu(request_, frame) == registers
    for size in range(len(frame) + 1):
        missing = missing_rtu(request_, frame[:size])
        assert missing == len(frame) - size if size > 1 else missing > 0
    cut = cut_tcp(tcp_frame(7, request_.unit, reply_pdu(request_, registers)) + noise)
    assert cut is not None
    assert parse_tcp(request_, cut[0]) == registers
    assert cut[1] == 9 + len(registers)


@given(requests, st.binary(max_size=300))
def test_no_bytes_make_a_reply_parser_fail_otherwise(request_: Request, data: bytes) -> None:
    """Any bytes are a reply, incomplete, refused or bad: nothing else comes out."""
    for parse in (missing_rtu, parse_rtu):
        with contextlib.suppress(MeterProtocolError):
            parse(request_, data)
    try:
        cut = cut_tcp(data)
        if cut is not None:
            assert 9 <= cut[1] <= len(data)
            parse_tcp(request_, cut[0])
    except MeterProtocolError:
        pass


@given(requests, st.data())
def test_any_flipped_bit_is_found(request_: Request, data: st.DataObject) -> None:
    """One wrong bit anywhere in an RTU reply makes it bad, or leaves it incomplete; it never gives registers."""
    frame = bytearray(rtu_frame(request_.unit, reply_pdu(request_, bytes(2 * request_.count))))
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MeterProtocolError):
        parse_rtu(request_, bytes(frame))


@given(requests, requests)
def test_a_reply_to_another_shape_is_refused(asked: Request, other: Request) -> None:
    """Unit, function and count must be those asked for."""
    frame = rtu_frame(other.unit, reply_pdu(other, bytes(2 * other.count)))
    if asked.shape != other.shape:
        with pytest.raises(BadReply):
            parse_rtu(asked, frame)


@given(requests, st.integers(0, 255))
def test_an_exception_reply_carries_its_code(request_: Request, code: int) -> None:
    """A refusal is told from garbage, whatever its code."""
    with pytest.raises(MeterRefused) as refused:
        parse_rtu(request_, rtu_frame(request_.unit, bytes([request_.fc | 0x80, code])))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("header", "fault"),
    [("00010001000401", "protocol id"), ("00010000000201", "too short"), ("000100000100ff", "too long")],
)
def test_a_stream_that_is_no_modbus_tcp_is_bad_at_its_header(header: str, fault: str) -> None:
    """Protocol id and length are checked before anything is waited for."""
    with pytest.raises(BadReply, match="no Modbus TCP header"):
        cut_tcp(bytes.fromhex(header))


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"count": 126}, {"fc": 6}, {"address": 0xFFFF, "count": 2}, {"unit": 256}]
)
def test_what_cannot_be_asked_is_never_sent(wrong: dict[str, int]) -> None:
    """A request outside the protocol is a fault of the caller."""
    with pytest.raises(ValueError, match="cannot be asked"):
        Request(**({"unit": 1, "fc": 3, "address": 0, "count": 1} | wrong))
