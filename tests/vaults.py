"""A vault in memory for tests of what stands in front of one; it keeps the contract of ``gateway.signing.Vault``."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import SignerError


class MemoryVault:
    """AES-256-GCM under a key of its own; *secrets* are those it sealed."""

    def __init__(self, key: bytes | None = None) -> None:
        self._cipher = AESGCM(key or os.urandom(32))
        self.secrets: list[bytes] = []

    def seal(self, secret: bytes) -> bytes:
        assert len(secret) <= 64, "a vault takes at most 64 bytes"
        self.secrets.append(secret)
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, secret, b"")

    def unseal(self, blob: bytes) -> bytes:
        try:
            return self._cipher.decrypt(blob[:12], blob[12:], b"")
        except (InvalidTag, ValueError) as error:
            raise SignerError("this vault did not seal it") from error
