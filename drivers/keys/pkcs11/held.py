"""A key in a token, held through a session that is opened when it is needed, and again after it was lost.

Whatever goes wrong in a session, the session is given up: what state it is in, nobody can tell. The call that met the
fault raises; the next call opens a new session, once, logs in under the rules of ``login``, and finds the key again.
Calls take turns. A call that a dead token never answers is abandoned by its caller; those that come after it are told
so within TURN_S_MAX and do not pile up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from drivers.keys.pkcs11.constants import (
    CKF_TOKEN_INITIALIZED,
    CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_DEVICE_ERROR,
    CKR_DEVICE_MEMORY,
    CKR_DEVICE_REMOVED,
    CKR_FUNCTION_FAILED,
    CKR_GENERAL_ERROR,
)
from drivers.keys.pkcs11.cryptoki import CryptokiError, Library, Token
from drivers.keys.pkcs11.login import Login
from drivers.keys.pkcs11.session import Session
from drivers.keys.pkcs11.uri import Pkcs11Uri
from gateway.errors import KeyAbsent, KeyReplaced, KeyUnfit, SignerError

_Key = TypeVar("_Key")
_Result = TypeVar("_Result")
TURN_S_MAX = 10.0
#: What a library that lost its token's server or driver gives until it begins anew.
_BEGIN_ANEW = frozenset(
    (
        CKR_GENERAL_ERROR,
        CKR_FUNCTION_FAILED,
        CKR_DEVICE_ERROR,
        CKR_DEVICE_MEMORY,
        CKR_DEVICE_REMOVED,
        CKR_CRYPTOKI_NOT_INITIALIZED,
    )
)


#: What callers tell apart; what else went wrong with a token is one thing to them.
_TOLD_APART = (KeyAbsent, KeyReplaced, KeyUnfit)


class NoTokenError(SignerError):
    """The library sees no token at all."""


def find_token(library: Library, uri: Pkcs11Uri) -> Token:
    """The one token that *uri* names. Raises SignerError when there is none, or more than one."""
    present = library.tokens()
    tokens = [token for token in present if token.flags & CKF_TOKEN_INITIALIZED]
    found = [token for token in tokens if _is_named(token, uri)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SignerError(f"names {len(found)} tokens: {_texts(found)}; add ;serial= to name one")
    fault = f"no such token in {library.name}, which has {_texts(tokens) or 'none'}; is it plugged in?"
    raise SignerError(fault) if present else NoTokenError(fault)


def _is_named(token: Token, uri: Pkcs11Uri) -> bool:
    wanted = (uri.token, uri.manufacturer, uri.model, uri.serial, uri.slot_id)
    has = (token.label, token.manufacturer, token.model, token.serial, token.slot)
    return all(want is None or want == here for want, here in zip(wanted, has, strict=True))


def _texts(tokens: Sequence[Token]) -> str:
    return "; ".join(token.text for token in tokens)


class Held(Generic[_Key]):
    """The key of *uri*, which *find* finds in a session, and reports on when it is not the key of before."""

    def __init__(self, uri: Pkcs11Uri, library: Library, login: Login, find: Callable[[Session], _Key]) -> None:
        self._uri, self._library, self._login, self._find = uri, library, login, find
        self._turn = threading.Lock()
        self._open: tuple[Session, _Key] | None = None
        self._closed = False

    def use(self, work: Callable[[Session, _Key], _Result]) -> _Result:
        """What *work* does with the key. Raises SignerError, after which the session is opened anew."""
        if not self._turn.acquire(timeout=TURN_S_MAX):
            raise self._named(f"the token has not answered the call before for {TURN_S_MAX:.0f} s")
        done = False
        try:
            session, key = self._opened()
            result = work(session, key)
            done = True
        except SignerError as error:
            raise self._named(error) from error
        finally:
            if not done:
                self._drop()
            self._turn.release()
            if self._closed:
                self.close()
        return result

    def _opened(self) -> tuple[Session, _Key]:
        if self._closed:
            raise SignerError("is closed")
        if self._open is not None and self._open[0].is_void:
            # The library began anew for the sake of another key; that is no fault of this one.
            self._open = None
        if self._open is None:
            session = self._session()
            try:
                self._open = session, self._find(session)
            finally:
                if self._open is None:
                    session.close()
        return self._open

    def write(self, work: Callable[[Session], None]) -> None:
        """Does *work* in a session of its own that may write. Raises SignerError."""
        try:
            with self._session(writes=True) as session:
                work(session)
        except SignerError as error:
            raise self._named(error) from error

    def _session(self, *, writes: bool = False) -> Session:
        """A new session, logged in, which the caller closes.

        Where the library says that something is broken, it begins anew, and is asked once more: tpm2-pkcs11 needs that
        when its TPM was reset, and p11-kit's client when its server died, of which it says that there are no tokens.
        """
        try:
            return self._begun(writes=writes)
        except NoTokenError:
            self._library.initialize_again()
        except CryptokiError as error:
            if error.code not in _BEGIN_ANEW:
                raise
            self._library.initialize_again()
        return self._begun(writes=writes)

    def _begun(self, *, writes: bool) -> Session:
        self._library.initialize()
        session = Session(self._library, find_token(self._library, self._uri), writes=writes)
        done = False
        try:
            self._login.login(session)
            done = True
        finally:
            if not done:
                session.close()
        return session

    def _named(self, fault: SignerError | str) -> SignerError:
        kind = type(fault) if isinstance(fault, _TOLD_APART) else SignerError
        text = str(fault)
        return kind(text if text.startswith("key ") else f"key {self._uri.text()}: {text}")

    def _drop(self) -> None:
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def close(self) -> None:
        """Ends the session: now, or when the call that is under way returns."""
        self._closed = True
        if self._turn.acquire(blocking=False):
            self._drop()
            self._turn.release()
