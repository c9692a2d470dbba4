"""Modbus frames of a master that reads registers: requests out, replies checked byte by byte.

Sources: MODBUS Application Protocol V1.1b3 (sections 4.1, 6.3, 6.4, 7), MODBUS over Serial Line V1.02 (section
2.5.1 and appendix B), MODBUS Messaging on TCP/IP V1.0b (section 3.1.3).

- Request PDU: function 3 or 4, address (2 bytes), register count (2 bytes, 1 to 125), big-endian.
- Reply PDU: function, byte count = 2 × registers, that many bytes; or function + 0x80 and an exception code.
- RTU frame: unit, PDU, CRC-16 (polynomial 0xA001 reflected, start 0xFFFF), low byte first.
- TCP frame: transaction id, protocol id 0, length of what follows, unit, PDU; all big-endian.

A reply is one only if unit, function and byte count are those asked for, the CRC is right, nothing follows it, and
over TCP transaction id, protocol id and length fit. Everything else is a BadReply; its bytes are never looked at.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from drivers.crc16 import crc16
from gateway.errors import MeterProtocolError, MeterRefused

MAX_REGISTERS = 125
READ_FUNCTIONS = (3, 4)
EXCEPTION = 0x80
RTU_REQUEST_SIZE = 8
RTU_EXCEPTION_SIZE = 5
#: An RTU frame is at most 256 bytes (serial line section 2.5.1).
MAX_RTU_FRAME = 256
#: What the MBAP length field may say: unit and PDU, 3 (an exception) to 254 bytes.
_MBAP_LENGTHS = range(3, 255)
_MBAP = struct.Struct(">HHHB")

EXCEPTION_TEXT = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, not done yet",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target gave no reply",
}


class BadReply(MeterProtocolError):  # noqa: N818  (named by what came)
    """Bytes that are no reply to what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One read of *count* registers from *address* of *unit*."""

    unit: int
    fc: int
    address: int
    count: int

    def __post_init__(self) -> None:
        if not (
            0 <= self.unit <= 255
            and self.fc in READ_FUNCTIONS
            and 1 <= self.count <= MAX_REGISTERS
            and 0 <= self.address <= 0x10000 - self.count
        ):
            raise ValueError(f"{self} cannot be asked")

    @property
    def pdu(self) -> bytes:
        """Function, address, count."""
        return struct.pack(">BHH", self.fc, self.address, self.count)

    @property
    def shape(self) -> tuple[int, int, int]:
        """What a reply shows of its request: two requests of one shape can be answered by each other's reply."""
        return self.unit, self.fc, self.count

    @property
    def rtu_reply_size(self) -> int:
        """Bytes of the RTU frame that answers with registers."""
        return 5 + 2 * self.count

    def __str__(self) -> str:
        return f"unit {self.unit} fc{self.fc} 0x{self.address:04x}+{self.count}"


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """*pdu* as it goes over a serial line."""
    body = bytes([unit]) + pdu
    return body + struct.pack("<H", crc16(body))


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """*pdu* as it goes over TCP."""
    return _MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def missing_rtu(request: Request, data: bytes | bytearray) -> int:
    """How many bytes of the reply to *request* are still to come after *data*; 0 when complete.

    Raises BadReply as soon as *data* cannot become the reply.
    """
    if data and data[0] != request.unit:
        raise BadReply(f"{request}: unit {data[0]} answered")
    if len(data) < 2:
        return RTU_EXCEPTION_SIZE - len(data)
    if data[1] == request.fc | EXCEPTION:
        size = RTU_EXCEPTION_SIZE
    elif data[1] != request.fc:
        raise BadReply(f"{request}: function {data[1]} answered")
    else:
        size = request.rtu_reply_size
        if len(data) > 2 and data[2] != 2 * request.count:
            raise BadReply(f"{request}: byte count {data[2]} instead of {2 * request.count}")
    if len(data) > size:
        raise BadReply(f"{request}: {len(data) - size} bytes too many")
    return size - len(data)


def parse_rtu(request: Request, frame: bytes) -> bytes:
    """The registers of a complete reply. Raises BadReply, or MeterRefused for an exception reply."""
    if missing_rtu(request, frame) != 0:
        raise BadReply(f"{request}: reply cut after {len(frame)} bytes")
    if crc16(frame):
        raise BadReply(f"{request}: CRC is wrong")
    return parse_pdu(request, frame[1:-2])


def parse_pdu(request: Request, pdu: bytes) -> bytes:
    """The register bytes of a reply PDU. Raises BadReply or MeterRefused."""
    if len(pdu) == 2 and pdu[0] == request.fc | EXCEPTION:
        code = pdu[1]
        text = EXCEPTION_TEXT.get(code, "unknown exception")
        raise MeterRefused(f"{request}: refused with exception {code} ({text})", code=code)
    if len(pdu) != 2 + 2 * request.count or pdu[0] != request.fc or pdu[1] != 2 * request.count:
        raise BadReply(f"{request}: reply {pdu[:4].hex()}… of {len(pdu)} bytes does not fit")
    return pdu[2:]


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpReply:
    """One frame cut from a TCP stream, not yet compared with any request."""

    transaction: int
    unit: int
    pdu: bytes


def cut_tcp(stream: bytes) -> tuple[TcpReply, int] | None:
    """The first frame of *stream* and its size; None while it is incomplete.

    Raises BadReply when *stream* is not Modbus TCP: the connection is then out of step for good.
    """
    if len(stream) < _MBAP.size:
        return None
    transaction, protocol, length, unit = _MBAP.unpack_from(stream)
    if protocol != 0 or length not in _MBAP_LENGTHS:
        raise BadReply(f"no Modbus TCP header: {stream[: _MBAP.size].hex()}")
    size = 6 + length
    if len(stream) < size:
        return None
    return TcpReply(transaction=transaction, unit=unit, pdu=stream[_MBAP.size : size]), size


def parse_tcp(request: Request, reply: TcpReply) -> bytes:
    """The register bytes of a reply that carries the transaction id of *request*. Raises BadReply or MeterRefused."""
    if reply.unit != request.unit:
        raise BadReply(f"{request}: unit {reply.unit} answered")
    return parse_pdu(request, reply.pdu)
