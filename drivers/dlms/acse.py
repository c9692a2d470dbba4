"""The association control APDUs (IEC 62056-5-3, section 6.2; ACSE in BER): AARQ, AARE, RLRQ, RLRE.

    60 { A1 context  A6 calling title  8A 0780  8B mechanism  AC { 80 password or challenge }  BE { 04 initiate } }
    61 { A1 context  A2 result  A3 diagnostic  A4 responding title  89 mechanism  AA { 80 challenge }  BE { 04 … } }

The initiate request and response inside are A-XDR, ciphered where the association is. Logical names only.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.dlms import axdr
from drivers.dlms.service import BadReply

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
INITIATE_REQUEST, INITIATE_RESPONSE = 0x01, 0x08
NONE, LOW, HLS_GMAC = 0, 1, 5
#: Object identifier 2.16.756.5.8: 1.n are contexts, 2.n mechanisms.
_CONTEXT, _MECHANISM = bytes.fromhex("60857405080100")[:-1], bytes.fromhex("60857405080200")[:-1]
_PLAIN, _CIPHERED = 1, 3
#: general-protection, block transfer with get, multiple references, get, selective access, action.
MULTIPLE_REFERENCES = 0x00_0200
CONFORMANCE = 0x40_0000 | 0x00_1000 | MULTIPLE_REFERENCES | 0x00_0010 | 0x00_0004 | 0x00_0001
_VERSION = 6

#: Result-source-diagnostic of the service user.
DIAGNOSTICS = {
    0: "no reason", 1: "no reason given", 2: "application context not supported", 3: "calling title not recognised",
    11: "authentication mechanism not recognised", 12: "authentication mechanism required",
    13: "authentication failure", 14: "authentication required",
}  # fmt: skip
AUTHENTICATION_REQUIRED = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an AARE says."""

    result: int
    diagnostic: int
    #: System title of the meter; empty where it tells none.
    title: bytes = b""
    #: The meter's challenge, of high-level security.
    challenge: bytes = b""
    #: The initiate response, perhaps ciphered, or a confirmed-service-error.
    initiate: bytes = b""

    @property
    def reason(self) -> str:
        """The diagnostic in words."""
        return DIAGNOSTICS.get(self.diagnostic, f"diagnostic {self.diagnostic}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What an initiate response says."""

    conformance: int
    #: Longest APDU that the meter takes.
    pdu_max: int

    @property
    def list_max(self) -> int:
        """How many attributes one request may ask for: 1 where the meter takes no lists."""
        if not self.conformance & MULTIPLE_REFERENCES:
            return 1
        # A zero says that there is no limit; a ciphered list has some 40 bytes around its attributes of 10 or 11.
        return max(1, min(10, (self.pdu_max - 40) // 11)) if self.pdu_max else 10


def request(*, ciphered: bool, mechanism: int, title: bytes, secret: bytes, initiate: bytes) -> bytes:
    """An AARQ; *secret* is the password or the challenge."""
    body = _tlv(0xA1, _tlv(0x06, _CONTEXT + bytes([_CIPHERED if ciphered else _PLAIN])))
    if title:
        body += _tlv(0xA6, _tlv(0x04, title))
    if mechanism != NONE:
        body += bytes.fromhex("8a020780") + _tlv(0x8B, _MECHANISM + bytes([mechanism]))
        body += _tlv(0xAC, _tlv(0x80, secret))
    return _tlv(AARQ, body + _tlv(0xBE, _tlv(0x04, initiate)))


def release(initiate: bytes) -> bytes:
    """An RLRQ of normal urgency; *initiate* as in the AARQ where the association is ciphered, else empty."""
    return _tlv(RLRQ, _tlv(0x80, b"\x00") + (_tlv(0xBE, _tlv(0x04, initiate)) if initiate else b""))


def initiate_request(pdu_max: int) -> bytes:
    """No dedicated key, response allowed, no quality of service, version 6, conformance, longest APDU taken."""
    conformance = bytes.fromhex("5f1f0400") + CONFORMANCE.to_bytes(3, "big")
    return bytes([INITIATE_REQUEST, 0, 0, 0, _VERSION]) + conformance + pdu_max.to_bytes(2, "big")


def parse_initiate(data: bytes) -> Agreed:
    """An initiate response in the clear. Raises BadReply."""
    at = 3 if data[1:2] == b"\x01" else 2
    body = data[at:]
    if data[:1] != bytes([INITIATE_RESPONSE]) or len(body) < 10 or body[1:5] != bytes.fromhex("5f1f0400"):
        raise BadReply(f"no initiate response: {data[:16].hex()}")
    if body[0] != _VERSION:
        raise BadReply(f"the meter speaks version {body[0]} of DLMS; 6 is supported")
    return Agreed(conformance=int.from_bytes(body[5:8], "big"), pdu_max=int.from_bytes(body[8:10], "big"))


def parse_aare(apdu: bytes) -> Accepted:
    """An AARE. Raises BadReply or axdr.Malformed."""
    if apdu[:1] != bytes([AARE]):
        raise BadReply(f"the reply to the association request begins with 0x{apdu[:1].hex()}")
    fields = _fields(_value(apdu, AARE))
    result, diagnostic = fields.get(0xA2, b""), fields.get(0xA3, b"")
    if not result or len(diagnostic) < 4:
        raise BadReply("the AARE has no result or no diagnostic")
    return Accepted(
        result=result[-1],
        diagnostic=diagnostic[-1],
        title=_inner(fields.get(0xA4, b""), 0x04),
        challenge=_inner(fields.get(0xAA, b""), 0x80),
        initiate=_inner(fields.get(0xBE, b""), 0x04),
    )


def _tlv(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + axdr.length(len(value)) + value


def _value(data: bytes, tag: int) -> bytes:
    """The value of the one field that *data* is."""
    size, start = axdr.read_length(data, 1)
    if data[0] != tag or start + size != len(data):
        raise BadReply(f"the field 0x{tag:02x} announces {size} bytes and has {len(data) - start}")
    return data[start:]


def _inner(data: bytes, tag: int) -> bytes:
    return _value(data, tag) if data else b""


def _fields(data: bytes) -> dict[int, bytes]:
    found = {}
    at = 0
    while at < len(data):
        size, start = axdr.read_length(data, at + 1)
        if start + size > len(data):
            raise axdr.CutShort(f"offset {at}: a field of the AARE ends early")
        found[data[at]] = data[start : start + size]
        at = start + size
    return found
