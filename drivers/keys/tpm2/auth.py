"""The auth value of a key, used so that nobody is locked out.

A TPM counts wrong auth values of keys that have one, and locks all of them out after a few (TPM 2.0 Library, part 1,
19.8). Therefore a value that was refused is not tried again until its source gives another one; and while the TPM's
count is above 0, a value that was not accepted before is only tried when a person asks. Keys that are made without an
auth value are not counted (noDA) and not concerned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from drivers.keys.tpm2.codec import RC_AUTH_FAIL, RC_BAD_AUTH, TpmRefused
from drivers.keys.tpm2.commands import list_properties
from drivers.keys.tpm2.operation import Operation
from gateway.errors import SignerError

AUTH_SIZE_MAX = 32
_PT_LOCKOUT_COUNTER = 0x20E


class KeyAuth:
    """Fetches a key's auth value for each use, and remembers how the last one fared."""

    def __init__(self, uri: str, source: str, secret: Callable[[str], bytes], *, attended: bool) -> None:
        self._uri = uri
        self._source = source
        self._secret = secret
        self._attended = attended
        self._refused: bytes | None = None
        self._accepted: bytes | None = None

    @contextlib.contextmanager
    def given(self, running: Operation, *, counted: bool) -> Iterator[bytes]:
        """The value, for one use of the key in *running*; *counted* is whether the TPM counts it when it is wrong.

        Raises SignerError when it should not be tried.
        """
        value = auth_value(self._uri, self._source, self._secret)
        if value == self._refused:
            raise SignerError(
                f"key {self._uri}: the TPM refused this auth value before, so it is not tried again; correct "
                f"{self._source or 'auth-source, which is missing in the URI'}"
            )
        if counted and not self._attended and value != self._accepted:
            self._require_none_wrong(running)
        try:
            yield value
        except TpmRefused as error:
            if error.reason in (RC_AUTH_FAIL, RC_BAD_AUTH):
                self._refused, self._accepted = value, None
            raise
        self._accepted, self._refused = value, None

    def _require_none_wrong(self, running: Operation) -> None:
        wrong = running.run(list_properties(_PT_LOCKOUT_COUNTER, 1)).get(_PT_LOCKOUT_COUNTER, 0)
        if wrong:
            raise SignerError(
                f"key {self._uri}: TPM {running.where} has counted {wrong} wrong auth values, and nobody is there to "
                "try another; test the key by hand, or clear the count (tpm2_dictionarylockout -c)"
            )


def auth_value(uri: str, source: str, secret: Callable[[str], bytes]) -> bytes:
    """The auth value that *source* gives; empty without one. Raises SignerError for one that no TPM takes."""
    value = secret(source) if source else b""
    if len(value) > AUTH_SIZE_MAX:
        raise SignerError(f"key {uri}: {source} gives {len(value)} bytes; an auth value has at most {AUTH_SIZE_MAX}")
    return value
