"""Who may sign what: the key store's interface, the purposes of keys, and public keys as verifiers see them.

A purpose separates domains: a log's key signs checkpoints and statements about its own succession, and refuses
everything else, whoever asks. The bytes signed for either are the note text of a C2SP signed note, without any
wrapping, so that every C2SP tool verifies them; the text itself keeps the two apart (``gateway.log.key_statement``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Purpose(Enum):
    """What a signature is for. The key of a log signs for the purposes in ``LOG_KEY``."""

    CHECKPOINT = "checkpoint"
    KEY_STATEMENT = "key-statement"


#: What the key of a log may sign.
LOG_KEY = frozenset({Purpose.CHECKPOINT, Purpose.KEY_STATEMENT})


class Algorithm(Enum):
    """Signature algorithms; the value is the C2SP signed-note signature type."""

    ED25519 = 0x01
    ECDSA_P256 = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key: 32 raw bytes for Ed25519 (RFC 8032), the SPKI DER for ECDSA P-256 (RFC 5480)."""

    algorithm: Algorithm
    data: bytes


class Signer(Protocol):
    """One private key in its store. The contract test is ``tests/contract_signer.py``."""

    @property
    def uri(self) -> str:
        """The key's URI, without secrets."""

    @property
    def public_key(self) -> PublicKey:
        """The public half; fixed for the life of the object."""

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Signature over *message*: 64 bytes for Ed25519, ASN.1 DER over SHA-256 for ECDSA.

        Verified against the public key before it is returned. Blocks; call it from a thread with a deadline.
        Raises SignerError when the store is away or the purpose is not this key's.
        """

    def close(self) -> None:
        """Releases the store; the object is not used afterwards."""
