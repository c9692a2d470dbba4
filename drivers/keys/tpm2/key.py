"""``tpm2:`` keys: ECDSA P-256 in a TPM 2.0 that never leave it, and that speak the truth about it.

A key that is made here is *restricted*: its TPM signs with it only digests that it computed itself, of data that do
not begin like a statement of the TPM (ff544347). So nobody, root included, gets a false statement signed, and signing
is two commands: TPM2_Hash, which gives a ticket, and TPM2_Sign, which wants it. Messages are 4 bytes or longer. A key
of others that is not restricted signs any digest.

What the key is made for is its authPolicy (``gateway.signing.tpm_attest.purpose_policy``), and so a part of its Name.
Every use looks whether the TPM still has the very key that was opened.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.keys.checked import CheckedKey, require_fit
from drivers.keys.tpm2.area import Area, parse_area
from drivers.keys.tpm2.auth import KeyAuth, auth_value
from drivers.keys.tpm2.commands import (
    BUFFER_SIZE,
    NO_TICKET,
    Hashed,
    hash_data,
    hash_sequence_start,
    sequence_complete,
    sequence_update,
    sign,
)
from drivers.keys.tpm2.facts import key_facts
from drivers.keys.tpm2.operation import TIMEOUT_S, Operation, operation
from drivers.keys.tpm2.statements import Statement, certify, quote
from drivers.keys.tpm2.stored import Create, StoredKey
from drivers.keys.tpm2.uri import Place, key_place
from gateway.errors import KeyAbsent, SignerError
from gateway.signing import (
    MADE_FOR,
    Algorithm,
    Attestation,
    KeyFacts,
    KeyRequest,
    PublicKey,
    der_signature,
    verify_signature,
)
from gateway.signing.tpm_attest import key_area

CHALLENGE_SIZE_MAX = 32
_TICKET_SIZE_MIN = 4


def open_tpm2_key(wanted: KeyRequest, create: Create, timeout_s: float = TIMEOUT_S) -> CheckedKey:
    """The key that ``wanted.uri`` names; it is made when it is missing and ``wanted.create`` is set.

    *create* writes new files; an operation on the TPM lasts at most *timeout_s*. Raises ConfigError for a URI that
    names no key, SignerError when the TPM is away, the key is missing, or does not fit.
    """
    key = Tpm2Key(wanted, timeout_s)
    key.open(wanted, create)
    return CheckedKey(wanted.uri, wanted.purpose, key.public_key, key.sign, facts=key.facts, attest=key.attest)


class Tpm2Key:
    """A key in a TPM, pinned to the public area that it had when it was opened."""

    def __init__(self, wanted: KeyRequest, timeout_s: float) -> None:
        self.place: Place = key_place(wanted.uri, wanted.base)
        self._timeout_s = timeout_s
        self._stored = StoredKey(self.place, wanted.secret)
        self._auth = KeyAuth(wanted.uri, self.place.auth_source, wanted.secret, attended=wanted.attended)
        self._data = b""
        self._area: Area | None = None

    def open(self, wanted: KeyRequest, create: Create | None = None) -> None:
        """Finds the key, or makes it; checks that it fits. Raises SignerError."""
        if wanted.create and wanted.algorithm not in (None, Algorithm.ECDSA_P256):
            raise SignerError(f"key {wanted.uri}: a TPM has neither Ed25519 nor secp256k1; make a p256 key")
        with operation(self.place.tcti, self._timeout_s) as running:
            found = self._stored.find(running)
            if found is None and wanted.create and create is not None:
                self._make(running, wanted, create)
                found = self._stored.find(running)
            if found is None:
                raise KeyAbsent(f"key {wanted.uri}: does not exist in TPM {running.where}; make it with key new")
            self._data, self._area = found, parse_area(found)
            require_fit(wanted.uri, wanted.purpose, self.public_key.algorithm, self._area.made_for)
            self._stored.reach(running, found)

    def _make(self, running: Operation, wanted: KeyRequest, create: Create) -> None:
        if wanted.purpose not in MADE_FOR:
            made_for = ", ".join(purpose.value for purpose in MADE_FOR)
            raise SignerError(
                f"key {wanted.uri}: no key is made for {wanted.purpose.value} alone; name one of {made_for}"
            )
        require_fit(wanted.uri, wanted.purpose, Algorithm.ECDSA_P256, wanted.purpose)
        auth = auth_value(wanted.uri, self.place.auth_source, wanted.secret)
        self._stored.make(running, create, key_area(b"", wanted.purpose, guarded=bool(auth)), auth)

    @property
    def area(self) -> Area:
        """The public area; the key is open."""
        assert self._area is not None
        return self._area

    @property
    def public_key(self) -> PublicKey:
        """The public half. Raises SignerError where it is no key that signs here."""
        if self.area.public_key is None:
            raise SignerError(
                f"key {self.place.uri}: is {self.area.kind}, no key that signs with ECDSA P-256, SHA-256; name another"
            )
        return self.area.public_key

    def sign(self, message: bytes, digest: bytes) -> bytes:
        """The raw signature over *message*, of which *digest* is the SHA-256; see ``drivers.keys.checked``."""
        if self.area.is_restricted and len(message) < _TICKET_SIZE_MIN:
            raise SignerError(
                f"key {self.place.uri}: signs no message of less than {_TICKET_SIZE_MIN} bytes; it is restricted"
            )
        with operation(self.place.tcti, self._timeout_s) as running:
            handle = self._stored.reach(running, self._data)
            ticket = NO_TICKET
            if self.area.is_restricted:
                hashed = _hash_inside(running, message)
                if hashed.digest != digest:
                    raise SignerError(f"key {self.place.uri}: TPM {running.where} computes another SHA-256; it fails")
                ticket = hashed.ticket
            with self._auth.given(running, counted=self.area.is_guarded) as auth:
                return running.run(sign(handle, auth, digest, ticket))

    def attest(self, challenge: bytes) -> Sequence[Attestation]:
        """TPM2_Certify of the key by itself, then TPM2_Quote of the PCRs 0 to 9, over *challenge*, signed by the key.

        The first holds the key's Name, the second what firmware, boot loader and kernel measured, where they do.
        Whoever knows that a restricted key of this Name lives in a TPM (a person who saw it made, an endorsement
        certificate, TPM2_ActivateCredential) learns that this TPM has it loaded now, that it never leaves it (fixedTPM,
        fixedParent) and what it is made for. Without that knowledge it proves no TPM: a program with a key of its own
        can sign the same bytes.
        """
        require_challenge(self.place.uri, challenge)
        with operation(self.place.tcti, self._timeout_s) as running:
            handle = self._stored.reach(running, self._data)
            with self._auth.given(running, counted=self.area.is_guarded) as auth:
                statements = running.run(certify(handle, auth, challenge)), running.run(quote(handle, auth, challenge))
        return tuple(map(self.attestation, statements))

    def reach(self, running: Operation) -> tuple[int, KeyAuth]:
        """The key's handle in *running*, and its auth value: for what else the key signs (``counter``)."""
        return self._stored.reach(running, self._data), self._auth

    def attestation(self, statement: Statement) -> Attestation:
        """What this key signed, once the signature is found right. Raises SignerError."""
        signature = der_signature(statement.signature)
        if not verify_signature(self.public_key, statement.data, signature):
            raise SignerError(f"key {self.place.uri}: made a signature that does not verify; the hardware fails")
        return Attestation(kind="tpm2", data=statement.data, signature=signature, public_key=self.public_key)

    def facts(self) -> KeyFacts:
        """See ``gateway.signing.DeviceKey``."""
        with operation(self.place.tcti, self._timeout_s) as running:
            self._stored.reach(running, self._data)
            return key_facts(running, self.area)


def require_challenge(uri: str, challenge: bytes) -> None:
    """Raises SignerError for a challenge that is too long."""
    if len(challenge) > CHALLENGE_SIZE_MAX:
        raise SignerError(f"key {uri}: a challenge of {len(challenge)} bytes; it has at most {CHALLENGE_SIZE_MAX}")


def _hash_inside(running: Operation, message: bytes) -> Hashed:
    """The digest as the TPM computes it, with its ticket."""
    if len(message) <= BUFFER_SIZE:
        return running.run(hash_data(message))
    sequence = running.load(hash_sequence_start())
    last = (len(message) - 1) // BUFFER_SIZE * BUFFER_SIZE
    for start in range(0, last, BUFFER_SIZE):
        running.run(sequence_update(sequence, message[start : start + BUFFER_SIZE]))
    hashed = running.run(sequence_complete(sequence, message[last:]))
    running.release(sequence)
    return hashed
