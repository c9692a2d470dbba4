"""What all key stores share: each signature is for the key's purpose, in its form, and verified before it leaves.

A store gives the private operation alone::

    sign(message, digest)   64 bytes: the Ed25519 signature (RFC 8032) of *message*, or r and s, 32 bytes each,
                            big-endian, of the ECDSA signature over *digest*, which is *message* hashed

and raises SignerError when it is away. Everything else is here, so that no store forgets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from gateway.errors import KeyUnfit, MalformedError, SignerError
from gateway.signing import (
    ON_CHAIN,
    Algorithm,
    Attestation,
    KeyFacts,
    PublicKey,
    Purpose,
    der_signature,
    has_form_of,
    may_open,
    may_sign,
    verify_digest,
    verify_signature,
)

PrivateOperation = Callable[[bytes, bytes], bytes]
RAW_SIZE = 64
#: What secp256k1 is for; the log's own signatures have no C2SP type for it.
_SECP256K1 = ON_CHAIN | {Purpose.VOTE, Purpose.CHALLENGE}


def require_fit(uri: str, purpose: Purpose, algorithm: Algorithm, made_for: Purpose | None = None) -> None:
    """Raises KeyUnfit unless a key of this *algorithm*, made for *made_for*, may be opened for *purpose*."""
    if not may_open(made_for, purpose):
        made = made_for.value if made_for else "nothing"
        raise KeyUnfit(f"key {uri}: was made for {made}, and is never opened for {purpose.value}; make another one")
    on_chain = algorithm is Algorithm.ECDSA_SECP256K1
    if not (purpose in _SECP256K1 if on_chain else purpose not in ON_CHAIN):
        raise KeyUnfit(
            f"key {uri}: is {algorithm.text}, which signs no {purpose.value}; what is for chains needs secp256k1, the "
            "log ed25519 or p256"
        )


def default_algorithm(purpose: Purpose, possible: tuple[Algorithm, ...]) -> Algorithm:
    """The first of *possible* that signs for *purpose*. Raises SignerError when there is none."""
    on_chain = purpose in ON_CHAIN
    for algorithm in possible:
        if (algorithm is Algorithm.ECDSA_SECP256K1) == on_chain:
            return algorithm
    raise SignerError(f"this store has no algorithm for {purpose.value}; it has {names(possible)}")


def names(algorithms: tuple[Algorithm, ...]) -> str:
    """The algorithms in words."""
    return ", ".join(algorithm.text for algorithm in algorithms) or "none that is known here"


class CheckedKey:
    """A ``gateway.signing.DeviceKey`` around a store's private operation."""

    def __init__(
        self,
        uri: str,
        purpose: Purpose,
        public_key: PublicKey,
        sign: PrivateOperation,
        *,
        facts: Callable[[], KeyFacts],
        attest: Callable[[bytes], Sequence[Attestation]] = lambda _challenge: (),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._uri = uri
        self._purpose = purpose
        self._public_key = public_key
        self._sign: PrivateOperation | None = sign
        self._facts, self._attest, self._close = facts, attest, close

    @property
    def uri(self) -> str:
        """The key's URI."""
        return self._uri

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public_key

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """See ``gateway.signing.Signer``."""
        if not may_sign(self._purpose, purpose):
            raise SignerError(f"key {self._uri}: is opened to sign a {self._purpose.value} only, not for {purpose}")
        if not has_form_of(purpose, message):
            raise SignerError(f"key {self._uri}: will not sign what is no {purpose.value} by its form")
        sign = self._open()
        if purpose in ON_CHAIN:
            return self._sign_recoverably(sign, message)
        raw = sign(message, sha256(message).digest())
        signature = raw if self._public_key.algorithm is Algorithm.ED25519 else self._encoded(raw)
        if not verify_signature(self._public_key, message, signature):
            raise self._false_signature()
        return signature

    def _sign_recoverably(self, sign: PrivateOperation, message: bytes) -> bytes:
        # Imported late: only chains need it.
        from gateway.signing.evm import keccak256, recoverable

        digest = keccak256(message)
        raw = sign(message, digest)
        if not verify_digest(self._public_key, digest, self._encoded(raw)):
            raise self._false_signature()
        return recoverable(raw, digest, self._public_key.data[-65:])

    def _open(self) -> PrivateOperation:
        if self._sign is None:
            raise SignerError(f"key {self._uri}: is closed")
        return self._sign

    def _encoded(self, raw: bytes) -> bytes:
        try:
            return der_signature(raw)
        except MalformedError as error:
            raise self._false_signature() from error

    def _false_signature(self) -> SignerError:
        return SignerError(f"key {self._uri}: made a signature that does not verify; the hardware fails")

    def facts(self) -> KeyFacts:
        """See ``gateway.signing.DeviceKey``."""
        self._open()
        return self._facts()

    def attest(self, challenge: bytes) -> Sequence[Attestation]:
        """See ``gateway.signing.DeviceKey``."""
        self._open()
        return self._attest(challenge)

    def close(self) -> None:
        """Releases the store, once."""
        if self._sign is not None:
            self._sign = None
            self._close()
