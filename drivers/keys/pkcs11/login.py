"""The PIN of a token: tried where that cannot lock the token, and never twice when it was refused.

A token counts wrong PINs and locks itself after a few, for good or until its security officer comes. A gateway that
starts again and again with a wrong PIN would use them up within a minute. The token says, in its flags, that a PIN was
refused since the last good one (CK_TOKEN_INFO, PKCS#11 v2.40 section 3.2):

============================  ============================  ================================
flag                          the running gateway           a person asks (*attended*)
============================  ============================  ================================
none                          tries                         tries
CKF_USER_PIN_COUNT_LOW        does not                      tries, and so clears the flag
CKF_USER_PIN_FINAL_TRY        does not                      does not; the vendor's tool does
CKF_USER_PIN_LOCKED           does not                      does not; the vendor's tool does
============================  ============================  ================================

Not every token has these flags (tpm2-pkcs11 has none). Therefore a refused PIN is remembered as well, by its hash, as
long as the process lives: the library's one object keeps it, since a signer that could not log in is made again for the
next try, which comes within seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from drivers.keys.pkcs11.constants import (
    CKF_LOGIN_REQUIRED,
    CKF_PROTECTED_AUTHENTICATION_PATH,
    CKF_USER_PIN_COUNT_LOW,
    CKF_USER_PIN_FINAL_TRY,
    CKF_USER_PIN_LOCKED,
    CKR_PIN_INCORRECT,
    CKR_PIN_INVALID,
    CKR_PIN_LEN_RANGE,
    CKR_PIN_LOCKED,
    CKR_USER_ALREADY_LOGGED_IN,
)
from drivers.keys.pkcs11.cryptoki import CryptokiError, Token
from drivers.keys.pkcs11.session import Session
from gateway.errors import SignerError

_REFUSED = frozenset((CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE))
_LOCKED = "its PIN is locked after wrong ones; the security officer unlocks it with the vendor's tool"


class Login:
    """The PIN that *source* names, as *secret* fetches it."""

    def __init__(self, source: str | None, secret: Callable[[str], bytes], *, attended: bool) -> None:
        self._source, self._secret, self._attended = source, secret, attended

    def login(self, session: Session) -> None:
        """Logs in where the token wants that and nobody of this process has. Raises SignerError, ConfigError."""
        token = session.token
        if not token.flags & CKF_LOGIN_REQUIRED or session.is_logged_in():
            return
        pin = self._pin(token)
        self._require_safe(token)
        refused, mark = session.library.refused_pins, sha256(pin or b"").digest()
        if mark in refused.get(token.text, ()):
            raise SignerError(f"token {token.text}: refused this PIN before; it is not tried again; {self._remedy()}")
        try:
            session.login(pin)
        except CryptokiError as error:
            if error.code in _REFUSED:
                refused.setdefault(token.text, set()).add(mark)
            self._judge(error, token)
        refused.pop(token.text, None)

    def _pin(self, token: Token) -> bytes | None:
        if self._source is not None:
            pin = self._secret(self._source)
            if not pin:
                raise SignerError(f"token {token.text}: {self._source} holds no PIN")
            return pin
        if token.flags & CKF_PROTECTED_AUTHENTICATION_PATH:
            return None
        raise SignerError(
            f"token {token.text}: wants a PIN; add pin-source=credential:NAME or pin-source=file:/path behind the ? of "
            "the key's URI"
        )

    def _require_safe(self, token: Token) -> None:
        if token.flags & CKF_USER_PIN_LOCKED:
            raise SignerError(f"token {token.text}: {_LOCKED}")
        if token.flags & CKF_USER_PIN_FINAL_TRY:
            raise SignerError(
                f"token {token.text}: has one try left before its PIN is locked, which is not made here; log in once "
                "with the vendor's tool (pkcs11-tool --login), then start again"
            )
        if token.flags & CKF_USER_PIN_COUNT_LOW and not self._attended:
            raise SignerError(f"token {token.text}: was given a wrong PIN; none is tried unattended; {self._remedy()}")

    def _judge(self, error: CryptokiError, token: Token) -> None:
        if error.code == CKR_USER_ALREADY_LOGGED_IN:
            return
        if error.code == CKR_PIN_LOCKED:
            raise SignerError(f"token {token.text}: {_LOCKED}") from error
        if error.code in _REFUSED:
            raise SignerError(f"token {token.text}: refused the PIN ({error.name}); {self._remedy()}") from error
        raise error

    def _remedy(self) -> str:
        return f"correct {self._source or 'the PIN'}, then run meter-gateway key show once, which tries it"
