"""``tpm2:nv=`` counters: an NV index of the type TPM_NT_COUNTER, which no copy of the disk takes back.

It is defined with the owner's auth value; whoever reaches the TPM may read and increase it. The owner can remove it and
define it again, but a TPM starts a new counter above the highest value that its removed counters had (TPM 2.0 Library,
part 3, TPM2_NV_Increment), so it does not go back even then. A new counter has no value until it is first increased,
which is done where it is made. NV memory wears out: some 100,000 increases are safe, so count by the hour, not by the
entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from drivers.keys.tpm2.auth import auth_value
from drivers.keys.tpm2.codec import RC_HANDLE, RC_NV_UNINITIALIZED, TpmRefused
from drivers.keys.tpm2.key import Tpm2Key, require_challenge
from drivers.keys.tpm2.operation import TIMEOUT_S, Operation, operation
from drivers.keys.tpm2.statements import (
    get_time,
    nv_certify,
    nv_define_counter,
    nv_increment,
    nv_read,
    nv_read_public,
)
from drivers.keys.tpm2.uri import Place, parse_uri
from gateway.errors import ConfigError, KeyReplaced, SignerError
from gateway.signing import Attestation, KeyRequest


def open_tpm2_counter(wanted: KeyRequest, signed_by: str = "", timeout_s: float = TIMEOUT_S) -> Tpm2Counter:
    """The counter that ``wanted.uri`` names; it is made when it is missing and ``wanted.create`` is set.

    *signed_by* is the URI of the key that certifies it; ``signed-by=`` in the counter's URI is such.
    ``auth-source`` is that key's, since a counter has no auth value. Raises ConfigError, SignerError.
    """
    place = parse_uri(wanted.uri, wanted.base)
    if place.index is None:
        raise ConfigError(f"counter {wanted.uri!r}: names none; write tpm2:nv=0x01800010")
    key = _signing_key(wanted, place, signed_by, timeout_s)
    counter = Tpm2Counter(place, place.index, wanted.secret, key, timeout_s)
    counter.open(create=wanted.create)
    return counter


def _signing_key(wanted: KeyRequest, place: Place, signed_by: str, timeout_s: float) -> Tpm2Key | None:
    if not signed_by and place.signed_by:
        query = wanted.uri.partition("?")[2].split("&")
        signed_by = f"tpm2:{place.signed_by}?" + "&".join(item for item in query if not item.startswith("signed-by="))
    if not signed_by:
        return None
    request = replace(wanted, uri=signed_by, create=False)
    key = Tpm2Key(request, timeout_s)
    if key.place.tcti != place.tcti:
        raise ConfigError(
            f"counter {wanted.uri}: is certified by a key in the same TPM only; {signed_by} is in another"
        )
    key.open(request)
    if not key.area.is_restricted:
        raise SignerError(
            f"key {signed_by}: is not restricted, so what it certifies proves nothing; make one with key new"
        )
    return key


class Tpm2Counter:
    """A ``gateway.signing.Counter``."""

    def __init__(
        self, place: Place, index: int, secret: Callable[[str], bytes], key: Tpm2Key | None, timeout_s: float
    ) -> None:
        self._place = place
        self._index = index
        self._secret = secret
        self._key = key
        self._timeout_s = timeout_s
        self._highest = 0

    @property
    def uri(self) -> str:
        """The counter's URI."""
        return self._place.uri

    def open(self, *, create: bool) -> None:
        """Finds the counter, or makes it. Raises SignerError."""
        with operation(self._place.tcti, self._timeout_s) as running:
            if not self._find(running):
                if not create:
                    raise SignerError(f"counter {self.uri}: does not exist in TPM {running.where}; make it first")
                running.run(nv_define_counter(self._auth(self._place.owner_auth_source), self._index))
            try:
                self._read(running)
            except TpmRefused as error:
                # A crash between definition and first increase leaves it so as well.
                if error.reason != RC_NV_UNINITIALIZED or not create:
                    raise
                running.run(nv_increment(self._index))
                self._read(running)

    def read(self) -> int:
        """See ``gateway.signing.Counter``."""
        with operation(self._place.tcti, self._timeout_s) as running:
            return self._read(running)

    def increase(self) -> int:
        """See ``gateway.signing.Counter``. An error leaves open whether it was increased: read it again."""
        with operation(self._place.tcti, self._timeout_s) as running:
            running.run(nv_increment(self._index))
            return self._read(running)

    def certify(self, challenge: bytes) -> Sequence[Attestation]:
        """TPM2_NV_Certify of the value, then TPM2_GetTime, by the device key; nothing without such a key."""
        require_challenge(self.uri, challenge)
        key = self._key
        if key is None:
            return ()
        endorsement_auth = self._auth(self._place.endorsement_auth_source)
        with operation(self._place.tcti, self._timeout_s) as running:
            handle, key_auth = key.reach(running)
            with key_auth.given(running, counted=key.area.is_guarded) as auth:
                value = running.run(nv_certify(handle, auth, self._index, challenge))
            # Outside: a refusal here is about the endorsement hierarchy's auth value, since the key's was accepted.
            clock = running.run(get_time(handle, auth, endorsement_auth, challenge))
        return key.attestation(value), key.attestation(clock)

    def _auth(self, source: str) -> bytes:
        return auth_value(self.uri, source, self._secret)

    def _find(self, running: Operation) -> bool:
        try:
            found = running.run(nv_read_public(self._index))
        except TpmRefused as error:
            if error.reason == RC_HANDLE:
                return False
            raise
        if not found.is_counter:
            raise SignerError(f"counter {self.uri}: the NV index holds something else; name another index")
        return True

    def _read(self, running: Operation) -> int:
        value = running.run(nv_read(self._index))
        if value < self._highest:
            raise KeyReplaced(
                f"counter {self.uri}: went back from {self._highest} to {value}; TPM {running.where} was replaced, or "
                "its state was restored from a copy"
            )
        self._highest = value
        return value
