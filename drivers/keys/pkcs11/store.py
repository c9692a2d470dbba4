"""``pkcs11:`` keys: made in a token, used in it, and never outside: SoftHSM, OP-TEE, TPM, YubiHSM, smart cards.

The URI is that of RFC 7512 (``uri``), the library one of ``modules`` or any other. A key that is made here is made by
the token itself, sensitive and not extractable, and is proved to be so before it is used, or removed again. A key of
the URI's name that is there already is never overwritten.
PyKCS11 was not taken, since it lets no other thread run while a token works, nor python-pkcs11, which is in no Debian
and has no wheel for armv7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from drivers.keys.checked import CheckedKey, default_algorithm, names, require_fit
from drivers.keys.pkcs11.constants import (
    CKA_CLASS,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKM_ECDSA,
    CKM_EDDSA,
    CKO_PRIVATE_KEY,
    KEY_TYPES,
)
from drivers.keys.pkcs11.create import make_pair, possible_algorithms
from drivers.keys.pkcs11.held import Held
from drivers.keys.pkcs11.login import Login
from drivers.keys.pkcs11.modules import load_module, module_of
from drivers.keys.pkcs11.objects import TokenKey, algorithm_of, confinement, find_key, made_for
from drivers.keys.pkcs11.session import Session
from drivers.keys.pkcs11.uri import Pkcs11Uri, parse_uri
from gateway.errors import ConfigError, KeyAbsent, KeyReplaced, SignerError
from gateway.signing import Algorithm, KeyFacts, KeyListing, KeyRequest, PublicKey


def open_pkcs11_key(wanted: KeyRequest) -> CheckedKey:
    """The private key that the URI names; made when it is missing and the request says so.

    Raises ConfigError for a wrong URI, SignerError when the token, its library or the key is away or refuses.
    """
    uri = parse_uri(wanted.uri)
    if uri.type not in (None, "private"):
        raise ConfigError(f"key {uri.text()}: is a {uri.type}, which signs nothing; write type=private")
    return _OpenKey(wanted, uri).checked()


class _OpenKey:
    """What a CheckedKey of this store works with."""

    def __init__(self, wanted: KeyRequest, uri: Pkcs11Uri) -> None:
        self._wanted, self._uri = wanted, uri
        #: The public half, once the key was found.
        self._public_key: PublicKey | None = None
        self._library = load_module(uri)
        login = Login(uri.pin_source, wanted.secret, attended=wanted.attended)
        self._held = Held(uri, self._library, login, self._find)

    def checked(self) -> CheckedKey:
        """The key, open."""
        key = None
        try:
            if self._wanted.create:
                self._held.write(self._make_missing)
            key = self._held.use(lambda _session, key: key)
        finally:
            if key is None:
                self.close()
        self._public_key = key.public_key
        return CheckedKey(
            self._uri.text(), self._wanted.purpose, key.public_key, self.sign, facts=self.facts, close=self.close
        )

    def _find(self, session: Session) -> TokenKey:
        key = find_key(session, self._uri)
        if key is None and self._public_key is not None:
            raise KeyReplaced(
                f"the key is gone from {session.token.text}: the token was swapped or cleared; put it back, or restart "
                "the gateway with the key that is to follow"
            )
        if key is None:
            raise KeyAbsent(f"no such private key in {session.token.text}; make it with key new")
        if self._public_key not in (None, key.public_key):
            raise KeyReplaced(
                f"the token was swapped for another: {session.token.text} has a key of this name, but not the key that "
                "was opened; put the token back, or restart the gateway with the key that is to follow"
            )
        require_fit(self._uri.text(), self._wanted.purpose, key.public_key.algorithm, key.made_for)
        return key

    def _make_missing(self, session: Session) -> None:
        if find_key(session, self._uri) is None:
            make_pair(session, self._uri, self._wanted.purpose, self._algorithm(session))

    def _algorithm(self, session: Session) -> Algorithm:
        possible = possible_algorithms(session, module_of(self._uri))
        wanted = self._wanted.algorithm
        if wanted is None:
            return default_algorithm(self._wanted.purpose, possible)
        if wanted not in possible:
            raise SignerError(f"{session.token.text} makes no {wanted.text} key; it makes {names(possible)}")
        return wanted

    def sign(self, message: bytes, digest: bytes) -> bytes:
        """The private operation, in the token."""

        def work(session: Session, key: TokenKey) -> bytes:
            if key.public_key.algorithm is Algorithm.ED25519:
                return session.sign(CKM_EDDSA, key.handle, message)
            return session.sign(CKM_ECDSA, key.handle, digest)

        try:
            return self._held.use(work)
        except ConfigError as error:
            # The secret source was changed while the gateway ran.
            raise SignerError(str(error)) from error

    def facts(self) -> KeyFacts:
        """See ``gateway.signing.DeviceKey``."""
        return self._held.use(self._facts)

    def _facts(self, session: Session, key: TokenKey) -> KeyFacts:
        found = confinement(session, key.handle)
        return KeyFacts(
            store=f"PKCS#11 token {session.token.text}, through {self._library.name}",
            algorithms=possible_algorithms(session, module_of(self._uri)),
            exportable=found.exportable,
            evidence=found.evidence,
            made_for=key.made_for,
        )

    def close(self) -> None:
        """Ends the session; the library stays initialised, since others of this process may use it."""
        self._held.close()


def list_pkcs11_keys(uri: str, secret: Callable[[str], bytes], *, attended: bool = True) -> Sequence[KeyListing]:
    """The private keys of the token that *uri* names; it needs no object. Raises ConfigError, SignerError."""
    parsed = parse_uri(uri, needs_object=False)
    held = Held(parsed, load_module(parsed), Login(parsed.pin_source, secret, attended=attended), _all)
    try:
        return held.use(lambda session, handles: [_listing(session, handle, parsed) for handle in handles])
    finally:
        held.close()


def _all(session: Session) -> Sequence[int]:
    return session.find({CKA_CLASS: CKO_PRIVATE_KEY})


def _listing(session: Session, handle: int, token: Pkcs11Uri) -> KeyListing:
    label = (session.attribute(handle, CKA_LABEL) or b"").decode(errors="replace")
    key_id = session.attribute(handle, CKA_ID) or b""
    alone = "\ufffd" not in label and len(session.find({CKA_CLASS: CKO_PRIVATE_KEY, CKA_LABEL: label.encode()})) == 1
    uri = replace(token, object=None if "\ufffd" in label else label or None, id=None if alone else key_id or None)
    algorithm = algorithm_of(session, handle)
    kind = session.number(handle, CKA_KEY_TYPE)
    words = algorithm.text if algorithm else KEY_TYPES.get(kind or 0, f"key type 0x{kind or 0:X}")
    return KeyListing(uri=uri.text(), algorithm=algorithm, kind=words, made_for=made_for(key_id))
