"""Gives key stores a deadline: a call that hangs in a driver or a chip holds up nobody, and is not followed by others.

Each call runs in a daemon thread of its own. When the deadline passes, the caller gets a SignerError and the call is
left alone; until it returns, no other one is made. What it brings late is discarded: a key that was opened is closed, a
signature is forgotten, which is safe, since what was to be signed was remembered before (``gateway.log.signer_state``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gateway.errors import SignerError
from gateway.signing import Attestation, Counter, DeviceKey, KeyFacts, PublicKey, Purpose, Vault

T = TypeVar("T")
#: How long one call to a key store may take. Slow chips need 0.6 s for a signature and seconds to make a key.
CALL_S = 10.0
#: Making a key: slow chips look for a while. Less than the time that a stop may take (TimeoutStopSec=).
CREATE_S = 40.0


class Patience:
    """One key's calls, one at a time."""

    def __init__(self, uri: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._uri = uri
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None

    def call(self, work: Callable[[], T], what: str, limit_s: float, discard: Callable[[T], None] | None = None) -> T:
        """What *work* returns or raises, within *limit_s* seconds; *discard* gets what it returns later.

        Raises SignerError when the time is over, or a call before is not done.
        """
        with self._lock:
            if self._since is not None:
                stuck_s = self._clock() - self._since
                raise SignerError(f"key {self._uri}: has not answered for {stuck_s:.0f} s; look at the key store")
            self._since = self._clock()
        call = _Call(work, discard, self._done)
        try:
            threading.Thread(target=call.run, name="key-store", daemon=True).start()
        except RuntimeError as error:
            # Nothing was begun, so the next call may be made.
            self._done()
            raise SignerError(f"key {self._uri}: {what}: {error}; the machine is short of memory or tasks") from error
        if not call.wait(limit_s):
            raise SignerError(f"key {self._uri}: {what} took more than {limit_s:.0f} s; look at the key store")
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def _done(self) -> None:
        with self._lock:
            self._since = None


class _Call:
    """One call; whoever comes second to the lock knows what the first one did."""

    def __init__(
        self, work: Callable[[], Any], discard: Callable[[Any], None] | None, done: Callable[[], None]
    ) -> None:
        self._work, self._discard, self._done = work, discard, done
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._abandoned = self._finished = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            result, error = self._work(), None
        except BaseException as raised:  # noqa: BLE001  (raised again where it is waited for)
            result, error = None, raised
        with self._lock:
            abandoned, self._finished = self._abandoned, True
            self.result, self.error = result, error
        try:
            if abandoned and error is None and self._discard is not None:
                self._discard(result)
        finally:
            self._done()
            self._ended.set()

    def wait(self, limit_s: float) -> bool:
        """Whether it ended in time; if not, what it brings is discarded."""
        if self._ended.wait(limit_s):
            return True
        with self._lock:
            self._abandoned = not self._finished
        return not self._abandoned and self._ended.wait()


class PatientKey:
    """A ``gateway.signing.DeviceKey`` whose every call has a deadline."""

    def __init__(self, key: DeviceKey, patience: Patience) -> None:
        self._key = key
        self._patience = patience

    @property
    def uri(self) -> str:
        """The key's URI, without secrets."""
        return self._key.uri

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._key.public_key

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """See ``gateway.signing.Signer``."""
        return self._patience.call(lambda: self._key.sign(purpose, message), "a signature", CALL_S)

    def facts(self) -> KeyFacts:
        """See ``gateway.signing.DeviceKey``."""
        return self._patience.call(self._key.facts, "a question", CALL_S)

    def attest(self, challenge: bytes) -> Sequence[Attestation]:
        """See ``gateway.signing.DeviceKey``."""
        return self._patience.call(lambda: self._key.attest(challenge), "an attestation", CALL_S)

    def close(self) -> None:
        """Releases the store; where that hangs, the end of the process does it."""
        try:
            self._patience.call(self._key.close, "closing", CALL_S)
        except SignerError:
            # Nothing is lost: what was signed left before, and nothing else is asked of this key.
            return


class PatientCounter:
    """A ``gateway.signing.Counter`` whose every call has a deadline."""

    def __init__(self, counter: Counter, patience: Patience) -> None:
        self._counter = counter
        self._patience = patience

    @classmethod
    def open(cls, open_counter: Callable[[], Counter], patience: Patience) -> PatientCounter:
        """The counter that *open_counter* opens."""
        return cls(patience.call(open_counter, "opening it", CALL_S), patience)

    @property
    def uri(self) -> str:
        """The counter's URI, without secrets."""
        return self._counter.uri

    def read(self) -> int:
        """See ``gateway.signing.Counter``."""
        return self._patience.call(self._counter.read, "reading it", CALL_S)

    def increase(self) -> int:
        """See ``gateway.signing.Counter``."""
        return self._patience.call(self._counter.increase, "increasing it", CALL_S)

    def certify(self, challenge: bytes) -> Sequence[Attestation]:
        """See ``gateway.signing.Counter``."""
        return self._patience.call(lambda: self._counter.certify(challenge), "an attestation", CALL_S)


class PatientVault:
    """A ``gateway.signing.Vault`` whose every call has a deadline."""

    def __init__(self, vault: Vault, patience: Patience) -> None:
        self._vault = vault
        self._patience = patience

    @classmethod
    def open(cls, open_vault: Callable[[], Vault], patience: Patience) -> PatientVault:
        """The vault that *open_vault* opens."""
        return cls(patience.call(open_vault, "opening it", CALL_S), patience)

    def seal(self, secret: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        return self._patience.call(lambda: self._vault.seal(secret), "sealing", CALL_S)

    def unseal(self, blob: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        return self._patience.call(lambda: self._vault.unseal(blob), "unsealing", CALL_S)


def open_patiently(open_key: Callable[[], DeviceKey], patience: Patience, *, create: bool = False) -> PatientKey:
    """The key that *open_key* opens. Raises as it does, and SignerError when it takes too long."""
    limit_s = CREATE_S if create else CALL_S
    key = patience.call(open_key, "opening it", limit_s, discard=lambda late: late.close())
    return PatientKey(key, patience)
