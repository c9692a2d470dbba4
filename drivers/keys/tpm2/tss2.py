"""``TSS2 PRIVATE KEY`` files: a TPM's key that only this TPM can load, in the form tpm2-openssl and tpm2-tools share.

One PEM block (RFC 7468) of DER (draft-bottomley-tpm2-keys, "ASN.1 Specification for TPM 2.0 Key Files")::

    TPMKey ::= SEQUENCE {
      type       OBJECT IDENTIFIER,               -- 2.23.133.10.1.3, a loadable key
      emptyAuth  [0] EXPLICIT BOOLEAN OPTIONAL,   -- TRUE: the key has no auth value
      parent     INTEGER,                         -- 0x40000001: the owner's storage primary; or a persistent handle
      pubkey     OCTET STRING,                    -- TPM2B_PUBLIC
      privkey    OCTET STRING }                   -- TPM2B_PRIVATE

Keys that need a policy, [1] and more between emptyAuth and parent, are refused.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from drivers.keys.tpm2.codec import sized
from drivers.keys.tpm2.commands import Made
from gateway.errors import MalformedError
from gateway.signing.tpm_attest import TpmReader

FILE_SIZE_MAX = 16_384
_BEGIN, _END = "-----BEGIN TSS2 PRIVATE KEY-----", "-----END TSS2 PRIVATE KEY-----"
_LOADABLE_KEY = bytes.fromhex("06066781050a0103")
_SEQUENCE, _EMPTY_AUTH, _BOOLEAN, _INTEGER, _OCTETS = 0x30, 0xA0, 0x01, 0x02, 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class Tss2Key:
    """What such a file holds."""

    made: Made
    parent: int
    empty_auth: bool


def encode_key(key: Tss2Key) -> bytes:
    """The PEM file."""
    parent = key.parent.to_bytes(5, "big").lstrip(b"\0")
    body = _LOADABLE_KEY
    if key.empty_auth:
        body += _tlv(_EMPTY_AUTH, _tlv(_BOOLEAN, b"\xff"))
    body += _tlv(_INTEGER, b"\0" + parent if parent[0] & 0x80 else parent)
    body += _tlv(_OCTETS, sized(key.made.public)) + _tlv(_OCTETS, sized(key.made.private))
    text = base64.b64encode(_tlv(_SEQUENCE, body)).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def decode_key(data: bytes) -> Tss2Key:
    """The key in a PEM file. Raises MalformedError."""
    lines = [line.strip() for line in data.decode("latin-1").strip().splitlines()]
    if len(data) > FILE_SIZE_MAX or len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise MalformedError(f"not one PEM block TSS2 PRIVATE KEY of at most {FILE_SIZE_MAX} bytes")
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise MalformedError("its base64 is damaged") from error
    outer = TpmReader(der)
    reader = TpmReader(_content(outer, _SEQUENCE, "key"))
    outer.end()
    if reader.take(len(_LOADABLE_KEY)) != _LOADABLE_KEY:
        raise MalformedError("it is no loadable key (2.23.133.10.1.3)")
    tag, empty_auth = reader.number(1), False
    if tag == _EMPTY_AUTH:
        flag = TpmReader(reader.take(_length(reader)))
        empty_auth = _content(flag, _BOOLEAN, "emptyAuth") != b"\0"
        flag.end()
        tag = reader.number(1)
    if tag != _INTEGER:
        raise MalformedError("it needs a policy, or has a field that is not known here")
    parent = int.from_bytes(reader.take(_length(reader)), "big")
    public, private = (TpmReader(_content(reader, _OCTETS, what)) for what in ("pubkey", "privkey"))
    made = Made(public=public.sized(), private=private.sized())
    for part in (reader, public, private):
        part.end()
    if parent >> 32:
        raise MalformedError("its parent is no handle")
    return Tss2Key(made=made, parent=parent, empty_auth=empty_auth)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    )
    return bytes([tag]) + length + content


def _content(reader: TpmReader, tag: int, what: str) -> bytes:
    found = reader.number(1)
    if found != tag:
        raise MalformedError(f"its {what} has the tag {found:02x}, not {tag:02x}")
    return reader.take(_length(reader))


def _length(reader: TpmReader) -> int:
    first = reader.number(1)
    if first < 0x80:
        return first
    if first not in (0x81, 0x82):
        raise MalformedError("a length that is no DER, or too long")
    return reader.number(first & 0x7F)
