"""Who may sign what: the key store's interface, the purposes of keys, and public keys as verifiers see them.

A purpose separates domains: a key opened for one purpose refuses the others, whoever asks. What is signed tells the
purposes apart as well, so that no signature made for one of them can be shown as one for another:

=============  ======================================================================================================
purpose        bytes signed
=============  ======================================================================================================
CHECKPOINT     the note text of a C2SP signed note, without any wrapping, so that every C2SP tool verifies them: at
               least three lines, the second a size
KEY_STATEMENT  the same, of a statement about the key's own succession (``gateway.log.key_statement``), whose second
               line is no size; a key opened for checkpoints signs these as well
COSIGNATURE    what a witness says of another log's checkpoint (``gateway.log.cosignature``): begins with the line
               ``cosignature/v1``, which is no origin in a checkpoint that counts, since the line behind it is no size
RECEIPT        the Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4): begins with 0x84, which no UTF-8 text does
BILLING        the payload of an OCMF record: one JSON object, begins with a brace and holds no newline
=============  ======================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol


class Purpose(Enum):
    """What a signature is for. Each key is opened for one purpose."""

    CHECKPOINT = "checkpoint"
    KEY_STATEMENT = "key-statement"
    RECEIPT = "receipt"
    BILLING = "billing"
    COSIGNATURE = "cosignature"


#: What the key of a log may sign: its checkpoints, and statements about its own succession.
_LOG_KEY = frozenset({Purpose.CHECKPOINT, Purpose.KEY_STATEMENT})


def may_sign(opened: Purpose, purpose: Purpose) -> bool:
    """Whether a key that was opened for one purpose may sign for another."""
    return purpose is opened or (opened is Purpose.CHECKPOINT and purpose in _LOG_KEY)


class Algorithm(Enum):
    """Signature algorithms; the value is the C2SP signed-note signature type."""

    ED25519 = 0x01
    ECDSA_P256 = 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key: 32 raw bytes for Ed25519 (RFC 8032), the SPKI DER for ECDSA P-256 (RFC 5480)."""

    algorithm: Algorithm
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """Which key to open, and for what."""

    uri: str
    #: The directory that relative paths in the URI start from.
    base: Path
    purpose: Purpose = Purpose.CHECKPOINT
    #: Make the key when it is missing, of this algorithm.
    create: bool = False
    algorithm: Algorithm = Algorithm.ED25519


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
