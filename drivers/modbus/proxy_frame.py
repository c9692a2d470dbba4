"""What a client of a Modbus TCP server may send, and what it gets: no I/O.

Sources: MODBUS Messaging on TCP/IP V1.0b (section 3.1.3), MODBUS Application Protocol V1.1b3 (sections 6.3, 6.4, 7).

- A frame is transaction id, protocol id 0, length of what follows (2 to 254), unit, PDU; all big-endian. Whoever sends
  another header is out of step for good: the connection ends.
- Reads of registers (functions 3 and 4) become a ``Request``; every other function is exception 1, a read of no or too
  many registers, or one with bytes missing or added, exception 3, and one beyond the last address exception 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from drivers.modbus.frame import EXCEPTION, MAX_REGISTERS, READ_FUNCTIONS, Request, tcp_frame

HEADER_SIZE = 7
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY = 1, 2, 3, 6
PATH_UNAVAILABLE, TARGET_SILENT = 10, 11
_MBAP = struct.Struct(">HHHB")
_LENGTHS = range(2, 255)
_READ = struct.Struct(">BHH")


class OutOfStep(Exception):  # noqa: N818  (a state of the connection)
    """What came is no Modbus TCP header."""


class Refusal(Exception):  # noqa: N818  (an answer)
    """The request is answered with exception *code*."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first seven bytes of a frame."""

    transaction: int
    unit: int
    #: Bytes of the PDU that follows.
    size: int


def parse_header(data: bytes) -> Header:
    """The header in its seven bytes. Raises OutOfStep."""
    transaction, protocol, length, unit = _MBAP.unpack(data)
    if protocol != 0 or length not in _LENGTHS:
        raise OutOfStep(data.hex(" "))
    return Header(transaction=transaction, unit=unit, size=length - 1)


def parse_request(unit: int, pdu: bytes) -> Request:
    """What is to be read. Raises Refusal."""
    if pdu[0] not in READ_FUNCTIONS:
        raise Refusal(ILLEGAL_FUNCTION)
    if len(pdu) != _READ.size:
        raise Refusal(ILLEGAL_VALUE)
    fc, address, count = _READ.unpack(pdu)
    if not 1 <= count <= MAX_REGISTERS:
        raise Refusal(ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise Refusal(ILLEGAL_ADDRESS)
    return Request(unit=unit, fc=fc, address=address, count=count)


def answer(header: Header, request: Request, registers: bytes) -> bytes:
    """The frame that answers with registers."""
    return tcp_frame(header.transaction, header.unit, bytes([request.fc, len(registers)]) + registers)


def refusal(header: Header, fc: int, code: int) -> bytes:
    """The frame that answers with an exception."""
    return tcp_frame(header.transaction, header.unit, bytes([fc | EXCEPTION, code]))
