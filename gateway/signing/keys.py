"""What a key store offers: signers, and what a store says of itself, counts and seals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from gateway.errors import SignerError
from gateway.signing.purpose import Purpose


class Algorithm(Enum):
    """Signature algorithms; the value is the C2SP signed-note signature type, where there is one."""

    ED25519 = 0x01
    ECDSA_P256 = 0x02
    #: ECDSA over secp256k1: for chains only; there is no note signature of this kind, hence no type.
    ECDSA_SECP256K1 = 0x00

    @property
    def text(self) -> str:
        """The name that commands take and print."""
        return {0x01: "ed25519", 0x02: "p256", 0x00: "secp256k1"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A public key: 32 raw bytes for Ed25519 (RFC 8032), the SPKI DER of an uncompressed point for ECDSA (RFC 5480)."""

    algorithm: Algorithm
    data: bytes


#: All of a SubjectPublicKeyInfo but the 64 bytes of its uncompressed point (RFC 5480; SEC 2 for secp256k1).
SPKI_HEADS = {
    Algorithm.ECDSA_P256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    Algorithm.ECDSA_SECP256K1: bytes.fromhex("3056301006072a8648ce3d020106052b8104000a03420004"),
}


def ecdsa_key(algorithm: Algorithm, point: bytes) -> PublicKey:
    """The ECDSA public key of an uncompressed *point*: 0x04 and 64 bytes. Raises SignerError for anything else."""
    if len(point) != 65 or point[0] != 0x04:
        raise SignerError(f"a public point of {len(point)} bytes that is not uncompressed")
    return PublicKey(algorithm=algorithm, data=SPKI_HEADS[algorithm] + point[1:])


def no_secret(source: str) -> bytes:
    """Stands where nobody can fetch secrets. Raises SignerError."""
    raise SignerError(f"secret {source}: nothing here fetches secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """Which key to open, and for what."""

    uri: str
    #: The directory that relative paths in the URI start from.
    base: Path
    #: What the key is opened for, and made for.
    purpose: Purpose = Purpose.CHECKPOINT
    #: Make the key when it is missing, of this algorithm; None: the store's best that signs for this purpose.
    create: bool = False
    algorithm: Algorithm | None = None
    #: Fetches the PIN or passphrase that a source in the URI names (``gateway.secrets``), without a line end.
    secret: Callable[[str], bytes] = no_secret
    #: A person asked: a store that counts wrong PINs may be tried once more. The running gateway never does that.
    attended: bool = False


class Signer(Protocol):
    """One private key in its store. The contract test is ``tests/contract_signer.py``."""

    @property
    def uri(self) -> str:
        """The key's URI, without secrets."""

    @property
    def public_key(self) -> PublicKey:
        """The public half; fixed for the life of the object."""

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """Signature over *message*: 64 bytes for Ed25519, ASN.1 DER for ECDSA, over SHA-256.

        For a purpose in ``ON_CHAIN`` it is 65 bytes over Keccak-256: r, s (the lower one) and the recovery id, 0 or 1.
        Verified against the public key before it is returned. Blocks; call it from a thread with a deadline.
        Raises SignerError when the store is away, the purpose is not this key's, or *message* has not its form.
        """

    def close(self) -> None:
        """Releases the store; the object is not used afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What a store says of itself, signed in the store."""

    #: ``tpm2``: *data* is a TPMS_ATTEST (TPM 2.0 Library, part 2, 10.12.12).
    kind: str
    data: bytes
    #: Over *data*, by *public_key*: ASN.1 DER over SHA-256, which ``openssl dgst -verify`` checks.
    signature: bytes
    public_key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """What a store says of one of its keys."""

    #: Which store: product, token, serial number.
    store: str
    #: What keys this store can make.
    algorithms: tuple[Algorithm, ...]
    #: Whether the private key can leave the store; None where the store does not tell.
    exportable: bool | None
    #: How that is known, a sentence each, such as the attributes that the store reports and the refusal of a read.
    evidence: tuple[str, ...]
    #: What the key was made for; None where the store does not keep it.
    made_for: Purpose | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyListing:
    """One key of a store, as ``key list`` shows it."""

    #: The URI that opens it, without secrets.
    uri: str
    #: None for a kind of key that is not used here; *kind* says what it is in the store's words.
    algorithm: Algorithm | None
    kind: str
    made_for: Purpose | None


class DeviceKey(Signer, Protocol):
    """A signer that tells of its store; all of ours do."""

    def facts(self) -> KeyFacts:
        """What the store says of this key. Blocks. Raises SignerError."""

    def attest(self, challenge: bytes) -> Sequence[Attestation]:
        """The store's word, over at most 32 bytes of *challenge*, that this key lives in it, and in what state it is.

        Empty where the store gives none. Blocks. Raises SignerError.
        """


class Counter(Protocol):
    """A number in a key store that only grows, and that no copy of the disk takes back."""

    @property
    def uri(self) -> str:
        """The counter's URI, without secrets."""

    def read(self) -> int:
        """Its value. Blocks. Raises SignerError."""

    def increase(self) -> int:
        """Adds one, durably; returns the value. Blocks. Raises SignerError."""

    def certify(self, challenge: bytes) -> Sequence[Attestation]:
        """The store's word on its value now, and on its clock, over at most 32 bytes of *challenge*; maybe none.

        Blocks. Raises SignerError.
        """


class Vault(Protocol):
    """Seals small secrets so that only this store opens them."""

    def seal(self, secret: bytes) -> bytes:
        """A blob of which only this store makes *secret* (at most 64 bytes) again. Blocks. Raises SignerError."""

    def unseal(self, blob: bytes) -> bytes:
        """The inverse of ``seal``. Blocks. Raises SignerError when this store did not seal it, or is away."""
