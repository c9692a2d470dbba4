"""An account on a chain: a secp256k1 key in its store, which signs nothing but transactions."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.chain.transaction import Transaction, transaction_hash
from gateway.errors import KeyUnfit
from gateway.signing import Algorithm, Purpose, Signer
from gateway.signing.evm import address


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A transaction as it is sent, and its hash."""

    raw: bytes
    hash: bytes


class Account:
    """The account of *signer*, which must have been opened for Purpose.TRANSACTION."""

    def __init__(self, signer: Signer) -> None:
        """Raises KeyUnfit for a key of another curve."""
        if signer.public_key.algorithm is not Algorithm.ECDSA_SECP256K1:
            made = "meter-gateway key new --purpose transaction makes one"
            raise KeyUnfit(f"key {signer.uri}: {signer.public_key.algorithm.text} has no account on a chain; {made}")
        self._signer = signer
        #: With the checksum of EIP-55, for people.
        self.address = address(signer.public_key.data[-65:])

    def sign(self, transaction: Transaction) -> Signed:
        """The transaction, signed. Blocks: call it from a thread. Raises SignerError."""
        raw = transaction.signed(self._signer.sign(Purpose.TRANSACTION, transaction.unsigned))
        return Signed(raw=raw, hash=transaction_hash(raw))

    def close(self) -> None:
        """Releases the key's store."""
        self._signer.close()
