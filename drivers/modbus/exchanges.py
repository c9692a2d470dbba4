"""Reads in a capture with what answered them, whatever the framing.

Replies are held to the same rules as on the line (``drivers/modbus/frame.py``). Requests that are no reads are passed
over, with their replies. Over TCP several requests may be under way; a reply finds its own by the transaction id.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from drivers.capture import TO_METER, Capture, Piece
from drivers.crc16 import crc16
from drivers.modbus.frame import READ_FUNCTIONS, BadReply, Request, cut_tcp, parse_rtu, parse_tcp
from gateway.errors import MeterRefused

_RTU_REQUEST = struct.Struct(">BBHHH")
_TCP_REQUEST = struct.Struct(">HHHBBHH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One read."""

    #: The request's line in the capture.
    line: int
    #: Unix milliseconds of the reply, or of the request where none came.
    time_ms: int
    request: Request
    #: The register bytes; None where there are none.
    registers: bytes | None = None
    #: The exception code of a refusal.
    refusal: int | None = None
    #: Why there are no registers, in words; empty where there are some.
    fault: str = ""


def exchanges(capture: Capture) -> list[Exchange]:
    """All reads, in the order of their requests."""
    found = _rtu(capture.pieces) if capture.framing == "rtu" else _tcp(capture.pieces)
    return sorted(found, key=lambda exchange: exchange.line)


def _rtu(pieces: Sequence[Piece]) -> Iterator[Exchange]:
    asked: tuple[Piece, Request] | None = None
    reply: list[Piece] = []
    for piece in pieces:
        if piece.direction != TO_METER:
            reply.append(piece)
            continue
        if asked is not None:
            yield _answered_rtu(*asked, reply)
        request, reply = _rtu_request(piece.data), []
        asked = None if request is None else (piece, request)
    if asked is not None:
        yield _answered_rtu(*asked, reply)


def _answered_rtu(piece: Piece, request: Request, reply: Sequence[Piece]) -> Exchange:
    if not reply:
        return _unanswered(piece, request)
    frame = b"".join(part.data for part in reply)
    return _answered(piece, request, reply[-1].time_ms, partial(parse_rtu, request, frame))


def _tcp(pieces: Sequence[Piece]) -> Iterator[Exchange]:
    waiting: dict[int, tuple[Piece, Request]] = {}
    stream = b""
    for piece in pieces:
        if piece.direction == TO_METER:
            stream = b""  # what is left of a reply will not be finished
            found = _tcp_request(piece.data)
            if found is not None:
                waiting[found[0]] = piece, found[1]
            continue
        stream += piece.data
        try:
            while (cut := cut_tcp(stream)) is not None:
                reply, stream = cut[0], stream[cut[1] :]
                if reply.transaction in waiting:
                    asked, request = waiting.pop(reply.transaction)
                    yield _answered(asked, request, piece.time_ms, partial(parse_tcp, request, reply))
        except BadReply:
            stream = b""
    for asked, request in waiting.values():
        yield _unanswered(asked, request)


def _answered(piece: Piece, request: Request, time_ms: int, registers: Callable[[], bytes]) -> Exchange:
    made = partial(Exchange, line=piece.line, time_ms=time_ms, request=request)
    try:
        return made(registers=registers())
    except MeterRefused as error:
        return made(refusal=error.code, fault=str(error))
    except BadReply as error:
        return made(fault=str(error))


def _unanswered(piece: Piece, request: Request) -> Exchange:
    return Exchange(line=piece.line, time_ms=piece.time_ms, request=request, fault=f"{request}: no usable reply")


def _rtu_request(frame: bytes) -> Request | None:
    if len(frame) != _RTU_REQUEST.size or crc16(frame):
        return None
    unit, fc, address, count, _ = _RTU_REQUEST.unpack(frame)
    return _read(unit, fc, address, count)


def _tcp_request(frame: bytes) -> tuple[int, Request] | None:
    if len(frame) != _TCP_REQUEST.size:
        return None
    transaction, _, _, unit, fc, address, count = _TCP_REQUEST.unpack(frame)
    request = _read(unit, fc, address, count)
    return None if request is None else (transaction, request)


def _read(unit: int, fc: int, address: int, count: int) -> Request | None:
    if fc not in READ_FUNCTIONS:
        return None
    try:
        return Request(unit=unit, fc=fc, address=address, count=count)
    except ValueError:
        return None
