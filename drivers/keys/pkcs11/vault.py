"""Seals small secrets under an AES-256 key that never leaves its token.

A blob is::

    bytes 0 to 7     mgvault1
    bytes 8 to 19    the nonce, random
    the rest         AES-256-GCM (NIST SP 800-38D) of the secret, with the first 8 bytes as additional data, and
                     behind it the tag of 16 bytes

Random nonces of 96 bits are good for 2^32 blobs of one key; a gateway makes a few in its life.
"""

from __future__ import annotations

import os

from drivers.keys.pkcs11.constants import (
    CKA_KEY_TYPE,
    CKK_AES,
    CKM_AES_GCM,
    CKM_AES_KEY_GEN,
    CKO_SECRET_KEY,
)
from drivers.keys.pkcs11.create import make_secret_key
from drivers.keys.pkcs11.cryptoki import CryptokiError
from drivers.keys.pkcs11.held import Held
from drivers.keys.pkcs11.layout import GcmMechanism
from drivers.keys.pkcs11.login import Login
from drivers.keys.pkcs11.modules import load_module
from drivers.keys.pkcs11.objects import named
from drivers.keys.pkcs11.session import Session
from drivers.keys.pkcs11.uri import parse_uri
from gateway.errors import ConfigError, SignerError
from gateway.signing import KeyRequest

SECRET_MAX = 64
_MAGIC, _NONCE, _TAG = b"mgvault1", 12, 16
_HEAD = len(_MAGIC) + _NONCE


def open_pkcs11_vault(wanted: KeyRequest) -> Pkcs11Vault:
    """The secret key that the URI names; made when it is missing and the request says so.

    Raises ConfigError for a wrong URI, SignerError when the token, its library or the key is away or refuses.
    """
    return Pkcs11Vault(wanted)


class Pkcs11Vault:
    """A ``gateway.signing.Vault`` in a token."""

    def __init__(self, wanted: KeyRequest) -> None:
        self._uri = parse_uri(wanted.uri)
        if self._uri.type not in (None, "secret-key"):
            raise ConfigError(f"key {self._uri.text()}: is no secret key; write type=secret-key")
        login = Login(self._uri.pin_source, wanted.secret, attended=wanted.attended)
        self._held = Held(self._uri, load_module(self._uri), login, self._find)
        opened = False
        try:
            if wanted.create:
                self._held.write(self._make_missing)
            self._held.use(lambda _session, _key: None)
            opened = True
        finally:
            if not opened:
                self.close()

    def seal(self, secret: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        if len(secret) > SECRET_MAX:
            raise SignerError(f"a secret of {len(secret)} bytes; a vault seals at most {SECRET_MAX}")
        head = _MAGIC + os.urandom(_NONCE)
        with_head = _gcm(head)
        return head + self._held.use(lambda session, key: session.encrypt(with_head.mechanism, key, secret))

    def unseal(self, blob: bytes) -> bytes:
        """See ``gateway.signing.Vault``."""
        if not blob.startswith(_MAGIC) or not _HEAD + _TAG <= len(blob) <= _HEAD + SECRET_MAX + _TAG:
            raise SignerError(f"a blob of {len(blob)} bytes that no vault sealed")
        with_head = _gcm(blob[:_HEAD])

        def work(session: Session, key: int) -> bytes:
            try:
                return session.decrypt(with_head.mechanism, key, blob[_HEAD:])
            except CryptokiError as error:
                raise SignerError(
                    f"opened no blob: this key did not seal it, or the token is away ({error})"
                ) from error

        return self._held.use(work)

    def close(self) -> None:
        """Ends the session."""
        self._held.close()

    def _find(self, session: Session) -> int:
        handles = session.find({**named(self._uri, CKO_SECRET_KEY), CKA_KEY_TYPE: CKK_AES})
        if len(handles) != 1:
            fault = "add ;id= to name one" if handles else "make it first"
            raise SignerError(f"names {len(handles)} AES keys in {session.token.text}; {fault}")
        return handles[0]

    def _make_missing(self, session: Session) -> None:
        if session.find(named(self._uri, CKO_SECRET_KEY)):
            return
        if not session.library.mechanisms(session.token.slot) >= {CKM_AES_GCM, CKM_AES_KEY_GEN}:
            raise SignerError(f"{session.token.text} has no AES-GCM, so it seals nothing; use another vault")
        make_secret_key(session, self._uri)


def _gcm(head: bytes) -> GcmMechanism:
    return GcmMechanism(CKM_AES_GCM, head[len(_MAGIC) :], _MAGIC)
