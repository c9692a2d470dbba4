"""Signers and logs for tests of notes, proofs and tiles: fixed keys, so that golden bytes stay the same."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.log.note import VerifierKey, checkpoint_text, sign_note
from gateway.log.tree import Frontier, HashStore, inclusion_proof, leaf_hash
from gateway.signing import Algorithm, PublicKey, Purpose, may_sign

ORIGIN = "meters.example.org/roof-7"


class Ed25519Signer:
    """An in-memory Ed25519 key made from 32 equal bytes."""

    uri = "memory:ed25519"

    def __init__(self, seed: int = 7) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public_key = PublicKey(algorithm=Algorithm.ED25519, data=self._key.public_key().public_bytes_raw())

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        assert may_sign(Purpose.CHECKPOINT, purpose)
        return self._key.sign(message)

    def close(self) -> None:
        """Nothing is held."""


class P256Signer:
    """An in-memory P-256 key made from a number."""

    uri = "memory:p256"

    def __init__(self, secret: int = 7) -> None:
        self._key = derive_private_key(secret, SECP256R1())
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = PublicKey(algorithm=Algorithm.ECDSA_P256, data=spki)

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        assert may_sign(Purpose.CHECKPOINT, purpose)
        return self._key.sign(message, ECDSA(SHA256()))

    def close(self) -> None:
        """Nothing is held."""


def log_key(seed: int = 7) -> VerifierKey:
    """The verifier key of Ed25519Signer(seed) under ORIGIN."""
    return VerifierKey.of(ORIGIN, Ed25519Signer(seed).public_key)


def entry_bytes(seq: int) -> bytes:
    """Some bytes that differ for each seq, of several lengths."""
    return b"entry %d " % seq + bytes([seq & 255]) * (seq % 7)


def entries_from(start: int) -> Iterator[bytes]:
    """All entries from *start* on, without end."""
    while True:
        yield entry_bytes(start)
        start += 1


def note_of(size: int, origin: str = ORIGIN, seed: int = 7) -> bytes:
    """The signed checkpoint of the first *size* entries."""
    tree = Frontier()
    tree.extend(leaf_hash(entry_bytes(seq)) for seq in range(size))
    return sign_note(checkpoint_text(origin, size, tree.root()), origin, Ed25519Signer(seed))


def hashes_of(index: int, size: int) -> list[bytes]:
    """The inclusion proof of an entry."""
    store = HashStore(leaf_hash(entry_bytes(seq)) for seq in range(size))
    return inclusion_proof(store.node, index, size)
