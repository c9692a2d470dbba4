"""Public keys as strangers take them: C2SP verifier keys, PEM and did:key, and the check of one signature.

A verifier key (C2SP signed-note) is one line of text::

    <name>+<key id, 8 lower-case hex digits>+<base64 of signature type || key>

split at the first two ``+``, since base64 may hold more of them. The name is not empty and has neither spaces nor
``+``. The types we verify:

====  ===========  ==========================================  ====================================================
type  algorithm    key                                         key id
====  ===========  ==========================================  ====================================================
0x01  Ed25519      32 bytes (RFC 8032)                         SHA-256(name || 0x0A || 0x01 || key), first 4 bytes
0x02  ECDSA P-256  SubjectPublicKeyInfo, DER, uncompressed     SHA-256(key), first 4 bytes: without name or type
                   point (RFC 5480)
====  ===========  ==========================================  ====================================================

An Ed25519 signature is 64 bytes over the text; an ECDSA signature is ASN.1 DER over its SHA-256. For an ECDSA
signature (r, s) another one, (r, n - s), verifies as well: signatures are not unique and identify nothing.

PEM is the SubjectPublicKeyInfo of RFC 8410 or RFC 5480. did:key is ``did:key:z`` and base58btc of the multicodec
prefix (0xED 0x01 Ed25519, 0x80 0x24 P-256, 0xE7 0x01 secp256k1) with the raw key or the compressed point.

Base64 is RFC 4648 section 4, with padding; unused bits must be zero.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import MalformedError
from gateway.log.tree import HASH_SIZE
from gateway.signing import Algorithm, PublicKey, verify_signature
from gateway.signing.keys import SPKI_HEADS

KEY_ID_SIZE = 4
MAX_VKEY = 1024
_ED25519_SIZE = 32
_ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")
_P256_SPKI = SPKI_HEADS[Algorithm.ECDSA_P256]
_P256_SIZE = len(_P256_SPKI) + 64
#: Multicodec prefixes of public keys, as varints.
_MULTICODEC = {
    Algorithm.ED25519: b"\xed\x01",
    Algorithm.ECDSA_P256: b"\x80\x24",
    Algorithm.ECDSA_SECP256K1: b"\xe7\x01",
}
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key under the name that its signatures carry."""

    name: str
    key_id: bytes
    public_key: PublicKey

    @classmethod
    def of(cls, name: str, public_key: PublicKey) -> VerifierKey:
        """The verifier key of *public_key* under *name*. Raises MalformedError for a name that cannot be one."""
        if not is_key_name(name):
            raise MalformedError(f"key name {name!r}: it must not be empty, nor hold spaces, controls or a plus sign")
        _check_key(public_key)
        return cls(name=name, key_id=_key_id(name, public_key), public_key=public_key)

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The inverse of *text*. Raises MalformedError for anything else, a key id of another key included."""
        if len(text) > MAX_VKEY:
            raise MalformedError(f"verifier key of {len(text)} characters: the limit is {MAX_VKEY}")
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise MalformedError(f"verifier key {text!r}: it must read NAME+KEYID+BASE64")
        name, key_id, material = parts[0], parts[1], decode_base64(parts[2], "verifier key")
        key = cls.of(name, _public_key(material))
        if key.key_id.hex() != key_id:
            raise MalformedError(f"verifier key {text!r}: its key id is {key.key_id.hex()}, not {key_id}; was it cut?")
        return key

    @property
    def text(self) -> str:
        """``NAME+KEYID+BASE64``."""
        material = bytes([self.public_key.algorithm.value]) + self.public_key.data
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(material).decode()}"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether *signature* is this key's over *message*."""
        return verify_signature(self.public_key, message, signature)


def is_key_name(text: str) -> bool:
    """Whether *text* may name a key: not empty, no Unicode spaces, no control characters, no plus sign."""
    return bool(text) and not any(char.isspace() or char == "+" or char < " " for char in text)


def pem(public_key: PublicKey) -> str:
    """The SubjectPublicKeyInfo as PEM (RFC 7468), which openssl and every library read."""
    return pem_of(spki(public_key))


def pem_of(der: bytes) -> str:
    """The PEM of a SubjectPublicKeyInfo in DER, or of what somebody says is one."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def spki(public_key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo, DER."""
    if public_key.algorithm is Algorithm.ED25519:
        return _ED25519_SPKI + public_key.data
    return public_key.data


def did_key(public_key: PublicKey) -> str:
    """The did:key identifier (W3C did:key method)."""
    data = public_key.data
    if public_key.algorithm is not Algorithm.ED25519:
        # The point, compressed.
        data = bytes([2 + (data[-1] & 1)]) + data[-64:-32]
    return "did:key:z" + _base58(_MULTICODEC[public_key.algorithm] + data)


def decode_base64(text: str, what: str) -> bytes:
    """The bytes of base64 *text*; raises MalformedError, naming *what*, unless it is their one encoding."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedError(f"{what}: {text[:80]!r} is not base64 ({error})") from error
    # The decoder ignores unused bits of the last digit; two texts for one value would let a byte change unnoticed.
    if base64.b64encode(data).decode() != text:
        raise MalformedError(f"{what}: {text[:80]!r} is not canonical base64")
    return data


def decode_hash(text: str, what: str) -> bytes:
    """The hash whose base64 is *text*; raises MalformedError as ``decode_base64`` does, and for another length."""
    data = decode_base64(text, what)
    if len(data) != HASH_SIZE:
        raise MalformedError(f"{what}: a hash of {len(data)} bytes, not {HASH_SIZE}")
    return data


def _public_key(material: bytes) -> PublicKey:
    known = {algorithm.value: algorithm for algorithm in Algorithm if algorithm.value}
    kind = material[0] if material else 0
    if kind not in known:
        raise MalformedError(f"verifier key: signature type {kind:#04x} is unknown; known: 0x01 Ed25519, 0x02 P-256")
    return PublicKey(algorithm=known[kind], data=material[1:])


def _check_key(key: PublicKey) -> None:
    if not key.algorithm.value:
        raise MalformedError(f"a {key.algorithm.text} key signs no notes: C2SP has no signature type for it")
    if key.algorithm is Algorithm.ED25519 and len(key.data) != _ED25519_SIZE:
        raise MalformedError(f"an Ed25519 key has {_ED25519_SIZE} bytes, not {len(key.data)}")
    if key.algorithm is Algorithm.ECDSA_P256 and not (len(key.data) == _P256_SIZE and key.data.startswith(_P256_SPKI)):
        raise MalformedError("an ECDSA key must be the DER SubjectPublicKeyInfo of an uncompressed P-256 point")


def _key_id(name: str, key: PublicKey) -> bytes:
    prefix = b"" if key.algorithm is Algorithm.ECDSA_P256 else name.encode() + b"\n" + bytes([key.algorithm.value])
    return sha256(prefix + key.data).digest()[:KEY_ID_SIZE]


def _base58(data: bytes) -> str:
    # Leading zero bytes would each become a 1; multicodec prefixes never start with one.
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return digits
