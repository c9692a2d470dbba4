"""What a TPM seals: a keyed-hash object under the storage primary, which only this TPM opens again.

A blob is a TPM2B_PRIVATE and a TPM2B_PUBLIC. It has no auth value and no policy: whoever reaches this TPM, with the
owner's auth value where there is one, can open it. It keeps a secret from those who have the disk without the board. A
clear of the TPM destroys it.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.keys.tpm2.area import SEALED, STORAGE_PRIMARY
from drivers.keys.tpm2.auth import auth_value
from drivers.keys.tpm2.codec import sized
from drivers.keys.tpm2.commands import Made, create, create_primary, load, unseal
from drivers.keys.tpm2.operation import TIMEOUT_S, Operation, operation
from drivers.keys.tpm2.uri import Place, parse_uri
from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing import KeyRequest
from gateway.signing.tpm_attest import TpmReader

SECRET_SIZE_MAX = 64


def open_tpm2_vault(wanted: KeyRequest, timeout_s: float = TIMEOUT_S) -> Tpm2Vault:
    """The vault of the TPM that ``wanted.uri`` names, such as ``tpm2:``. Raises ConfigError; does not ask the TPM."""
    place = parse_uri(wanted.uri, wanted.base)
    if place.handle is not None or place.path is not None or place.index is not None:
        raise ConfigError(f"vault {wanted.uri}: names a key or counter; write tpm2: or tpm2:?tcti=…")
    return Tpm2Vault(place, wanted.secret, timeout_s)


class Tpm2Vault:
    """A ``gateway.signing.Vault``."""

    def __init__(self, place: Place, secret: Callable[[str], bytes], timeout_s: float) -> None:
        self._place = place
        self._secret = secret
        self._timeout_s = timeout_s

    def seal(self, secret: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        if not 1 <= len(secret) <= SECRET_SIZE_MAX:
            raise SignerError(f"vault {self._place.uri}: seals 1 to {SECRET_SIZE_MAX} bytes, not {len(secret)}")
        with operation(self._place.tcti, self._timeout_s) as running:
            made = running.run(create(self._primary(running), b"", SEALED, b"", secret))
        return sized(made.private) + sized(made.public)

    def unseal(self, blob: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        made = self._made(blob)
        with operation(self._place.tcti, self._timeout_s) as running:
            return running.run(unseal(running.load(load(self._primary(running), b"", made))))

    def _made(self, blob: bytes) -> Made:
        reader = TpmReader(blob)
        try:
            made = Made(private=reader.sized(), public=reader.sized())
            reader.end()
        except MalformedError as error:
            raise SignerError(f"vault {self._place.uri}: a sealed blob is damaged ({error}); restore it") from error
        return made

    def _primary(self, running: Operation) -> int:
        owner_auth = auth_value(self._place.uri, self._place.owner_auth_source, self._secret)
        return running.load(create_primary(owner_auth, STORAGE_PRIMARY))
