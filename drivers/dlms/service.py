"""The services of a client that reads, as APDUs (IEC 62056-5-3, section 6): GET, and ACTION for the authentication.

    C0 01 id attribute [selection]        C4 01 id (00 data | 01 result)
    C0 02 id block                        C4 02 id last block (00 octets | 01 result)
    C0 03 id n × (attribute [selection])  C4 03 id n × (00 data | 01 result)
    C3 01 id method 01 data               C7 01 id result [01 (00 data | 01 result)]

*id* is the invoke id (bits 0 to 3) with bit 6 (confirmed) and 7 (high priority); the reply repeats it, which is what
ties it to its request. A meter may also answer ``0E`` (confirmed-service-error) or ``D8`` (exception-response).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.dlms import axdr
from drivers.dlms.apdu import Attribute
from gateway.errors import MeterProtocolError, MeterRefused

GET, GET_RESPONSE, ACTION, ACTION_RESPONSE = 0xC0, 0xC4, 0xC3, 0xC7
SERVICE_ERROR, EXCEPTION = 0x0E, 0xD8
_NORMAL, _BLOCK, _LIST = 1, 2, 3
_PRIORITY = 0xC0

#: Data-access-result.
RESULTS = {
    1: "hardware fault", 2: "temporary failure", 3: "read or write denied", 4: "object undefined",
    9: "object class inconsistent", 11: "object unavailable", 12: "type unmatched", 13: "scope of access violated",
    14: "data block unavailable", 15: "long get aborted", 16: "no long get in progress", 250: "other reason",
}  # fmt: skip
_STATE_ERRORS = {1: "service not allowed", 2: "service unknown"}
_SERVICE_ERRORS = {
    1: "operation not possible", 2: "service not supported", 3: "other reason", 4: "PDU too long",
    5: "deciphering error", 6: "invocation counter error",
}  # fmt: skip


class Refused(MeterRefused):
    """The meter answered that it does not; ``code`` is its data-access-result, or 250."""


class BadReply(MeterProtocolError):  # noqa: N818  (named by what came)
    """An APDU that is no reply to what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One attribute to read."""

    attribute: Attribute
    #: What of it: the access selector and its encoded parameters; 0 for all.
    selector: int = 0
    parameters: bytes = b""

    def encode(self) -> bytes:
        """As it stands in a request."""
        selection = bytes([1, self.selector]) + self.parameters if self.selector else b"\x00"
        return self.attribute.encode() + selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What stands in place of a value."""

    code: int

    def __str__(self) -> str:
        return RESULTS.get(self.code, f"data-access-result {self.code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A reply with all that was asked for, in order."""

    values: tuple[axdr.Datum | Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultBlock:
    """A part of a reply."""

    last: bool
    number: int
    data: bytes


def get(invoke_id: int, wanted: Sequence[Wanted]) -> bytes:
    """A request for one attribute or more."""
    if len(wanted) == 1:
        return bytes([GET, _NORMAL, _PRIORITY | invoke_id]) + wanted[0].encode()
    listed = b"".join(one.encode() for one in wanted)
    return bytes([GET, _LIST, _PRIORITY | invoke_id]) + axdr.length(len(wanted)) + listed


def get_next(invoke_id: int, block: int) -> bytes:
    """A request for the block after *block*."""
    return bytes([GET, _BLOCK, _PRIORITY | invoke_id]) + block.to_bytes(4, "big")


def action(invoke_id: int, method: Attribute, parameters: bytes) -> bytes:
    """A call of a method."""
    return bytes([ACTION, _NORMAL, _PRIORITY | invoke_id]) + method.encode() + b"\x01" + parameters


def invoke_id(apdu: bytes) -> int:
    """The invoke id of a response; -1 of an APDU that has none."""
    return apdu[2] & 0x0F if len(apdu) > 2 and apdu[0] in (GET_RESPONSE, ACTION_RESPONSE) else -1


def parse_get(apdu: bytes) -> Results | ResultBlock:
    """A GET response. Raises BadReply, axdr.Malformed, or Refused where it is an error as a whole."""
    check(apdu, GET_RESPONSE)
    kind, at = apdu[1], 3
    if kind == _BLOCK:
        return _block(apdu)
    count = 1
    if kind == _LIST:
        count, at = axdr.read_length(apdu, 3)
    elif kind != _NORMAL:
        raise BadReply(f"a GET response of kind {kind}")
    values, stop = read_results(apdu, at, count)
    if stop != len(apdu):
        raise BadReply(f"offset {stop}: {len(apdu) - stop} bytes follow the GET response")
    return Results(values=values)


def read_results(data: bytes, at: int, count: int) -> tuple[tuple[axdr.Datum | Failure, ...], int]:
    """That many Get-Data-Results, and the offset after them. Raises BadReply or axdr.Malformed."""
    values: list[axdr.Datum | Failure] = []
    for _ in range(count):
        choice, code = data[at : at + 1], data[at + 1 : at + 2]
        if choice == b"\x00":
            value, at = axdr.read(data, at + 1)
            values.append(value)
        elif choice == b"\x01" and code:
            values.append(Failure(code=code[0]))
            at += 2
        else:
            raise BadReply(f"offset {at}: no result begins with {choice.hex() or 'nothing'}")
    return tuple(values), at


def _block(apdu: bytes) -> ResultBlock:
    if len(apdu) < 10:
        raise BadReply("a block of a GET response ends in its header")
    if apdu[8] != 0:
        raise Refused(f"the meter broke the block transfer off: {Failure(code=apdu[9])}", code=apdu[9] or 250)
    size, start = axdr.read_length(apdu, 9)
    if start + size != len(apdu):
        raise BadReply(f"a block announces {size} bytes and has {len(apdu) - start}")
    return ResultBlock(last=bool(apdu[3]), number=int.from_bytes(apdu[4:8], "big"), data=apdu[start:])


def parse_action(apdu: bytes) -> axdr.Datum | None:
    """What a method returned. Raises BadReply, axdr.Malformed, or Refused."""
    check(apdu, ACTION_RESPONSE)
    if apdu[1] != _NORMAL or len(apdu) < 5:
        raise BadReply(f"an ACTION response of kind {apdu[1]}")
    if apdu[3] != 0:
        raise Refused(f"the method was refused: {Failure(code=apdu[3])}", code=apdu[3])
    if apdu[4] == 0:
        return None
    values, _ = read_results(apdu, 5, 1)
    if isinstance(values[0], Failure):
        raise Refused(f"the method returned no value: {values[0]}", code=values[0].code or 250)
    return values[0]


def check(apdu: bytes, tag: int) -> None:
    """Raises BadReply when *apdu* is not of that kind, and Refused when it says why not."""
    if apdu[:1] == bytes([EXCEPTION]) and len(apdu) >= 3:
        state = _STATE_ERRORS.get(apdu[1], f"state error {apdu[1]}")
        reason = _SERVICE_ERRORS.get(apdu[2], f"service error {apdu[2]}")
        raise Refused(f"the meter refuses: {state}, {reason}", code=250)
    if apdu[:1] == bytes([SERVICE_ERROR]):
        raise Refused(f"the meter refuses: confirmed-service-error {apdu[1:4].hex()}", code=250)
    if len(apdu) < 4 or apdu[0] != tag:
        raise BadReply(f"the reply begins with 0x{apdu[:1].hex()} instead of 0x{tag:02x}")
