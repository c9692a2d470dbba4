"""For each purpose a message of its form, and some that are of no form at all."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from gateway.signing import Purpose

ROOT = "A" * 43 + "="


def _request() -> bytes:
    """What is signed of a certificate request."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "7" * 64)]))
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    return request.tbs_certrequest_bytes


def transaction(nonce: int) -> bytes:
    """The legacy transaction that EIP-155 has as its example, which has nonce 9; 1 to 127."""
    return bytes.fromhex(
        f"ec{nonce:02x}8504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    )


def meta_transaction(nonce: int = 7) -> bytes:
    """What a did:ethr identity signs to have its owner changed, as a registry (ERC-1056) hashes it."""
    return b"\x19\0" + b"\x11" * 20 + nonce.to_bytes(32, "big") + b"\x22" * 20 + b"changeOwner" + b"\x33" * 20


MESSAGES: dict[Purpose, bytes] = {
    Purpose.CHECKPOINT: f"contract.example.org/log\n1\n{ROOT}\n".encode(),
    Purpose.KEY_STATEMENT: b"meter-gateway/key-rotation/v1\norigin contract.example.org/log\n",
    Purpose.COSIGNATURE: f"cosignature/v1\ntime 1700000000\ncontract.example.org/log\n1\n{ROOT}\n".encode(),
    Purpose.RECEIPT: b"\x84\x6aSignature1\x43\xa1\x01\x26\x40\x58\x20" + bytes(32),
    Purpose.BILLING: b'{"FV":"1.0"}',
    Purpose.ENROLMENT: _request(),
    Purpose.TRANSACTION: transaction(9),
    Purpose.META_TRANSACTION: meta_transaction(),
    Purpose.PERSONAL: b"\x19Ethereum Signed Message:\n5hello",
    Purpose.PAYLOAD: b'{"meter":"M1","wh":1000}',
    Purpose.VOTE: b"meter-gateway/vote/v1\n",
    Purpose.CHALLENGE: b"meter-gateway/challenge/v1\n",
}
FORMLESS = (b"", b"text\n", b"pay everything", bytes(10_000))


def checkpoint(lines: int) -> bytes:
    """A checkpoint's text with so many lines behind its root."""
    return MESSAGES[Purpose.CHECKPOINT] + b"extension\n" * lines
