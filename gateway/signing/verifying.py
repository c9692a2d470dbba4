"""The check of one signature, and the two forms of an ECDSA signature.

Ed25519 signatures are 64 bytes (RFC 8032); ECDSA signatures are ASN.1 DER over SHA-256, or, where a chain wants them,
over another digest. Key stores give and take the raw form: r and s, 32 bytes each, big-endian.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.errors import MalformedError
from gateway.signing.keys import Algorithm, PublicKey

_SCALAR = 32


def verify_signature(public_key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether *signature* over *message* is by *public_key*; any bytes may be given."""
    # Imported late: cryptography is 8 MB that a reader of config or meters does not spend.
    from cryptography.exceptions import InvalidSignature

    try:
        if public_key.algorithm is Algorithm.ED25519:
            _verify_ed25519(public_key.data, message, signature)
        else:
            _verify_ecdsa(public_key, sha256(message).digest(), signature)
    except (InvalidSignature, ValueError):
        # ValueError: the key is no point of its curve, so nothing verifies under it.
        return False
    return True


def verify_digest(public_key: PublicKey, digest: bytes, signature: bytes) -> bool:
    """Whether the DER *signature* over a *digest* of 32 bytes is by the ECDSA key *public_key*."""
    from cryptography.exceptions import InvalidSignature

    try:
        _verify_ecdsa(public_key, digest, signature)
    except (InvalidSignature, ValueError):
        return False
    return True


def _verify_ed25519(key: bytes, message: bytes, signature: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def _verify_ecdsa(key: PublicKey, digest: bytes, signature: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    curve = ec.SECP256R1() if key.algorithm is Algorithm.ECDSA_P256 else ec.SECP256K1()
    point = ec.EllipticCurvePublicKey.from_encoded_point(curve, key.data[-2 * _SCALAR - 1 :])
    point.verify(signature, digest, ec.ECDSA(Prehashed(SHA256())))


def der_signature(raw: bytes) -> bytes:
    """The ASN.1 DER (RFC 3279 section 2.2.3) of a raw signature of 64 bytes. Raises MalformedError for another size."""
    if len(raw) != 2 * _SCALAR:
        raise MalformedError(f"a raw ECDSA signature of {len(raw)} bytes, not 64")
    body = _integer(raw[:_SCALAR]) + _integer(raw[_SCALAR:])
    return bytes([0x30, len(body)]) + body


def _integer(scalar: bytes) -> bytes:
    digits = scalar.lstrip(b"\0") or b"\0"
    if digits[0] & 0x80:
        digits = b"\0" + digits
    return bytes([0x02, len(digits)]) + digits


def raw_signature(der: bytes) -> bytes:
    """The inverse of ``der_signature``. Raises MalformedError for everything that it does not produce."""
    raw = b""
    at = 2
    for _ in range(2):
        length = der[at + 1] if at + 1 < len(der) else 0
        raw += der[at + 2 : at + 2 + length].lstrip(b"\0").rjust(_SCALAR, b"\0")
        at += 2 + length
    if len(raw) != 2 * _SCALAR or der_signature(raw) != der:
        raise MalformedError(f"an ECDSA signature of {len(der)} bytes that is not DER of two numbers below 2^256")
    return raw
