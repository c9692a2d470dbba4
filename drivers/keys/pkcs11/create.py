"""Makes keys in a token, and proves that they never were elsewhere and cannot leave, before anybody uses them."""

from __future__ import annotations

from drivers.keys.checked import require_fit
from drivers.keys.pkcs11.constants import (
    CKA_DECRYPT,
    CKA_EC_PARAMS,
    CKA_ENCRYPT,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_LABEL,
    CKA_PRIVATE,
    CKA_SENSITIVE,
    CKA_SIGN,
    CKA_TOKEN,
    CKA_VALUE_LEN,
    CKA_VERIFY,
    CKM_AES_KEY_GEN,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_EC_KEY_PAIR_GEN,
    CKM_ECDSA,
    CKM_EDDSA,
    CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_CURVE_NOT_SUPPORTED,
    CKR_DOMAIN_PARAMS_INVALID,
    CKR_FUNCTION_FAILED,
    CKR_GENERAL_ERROR,
    CKR_MECHANISM_PARAM_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
)
from drivers.keys.pkcs11.cryptoki import CryptokiError
from drivers.keys.pkcs11.modules import Pkcs11Module, module_of
from drivers.keys.pkcs11.objects import CURVES, confinement, made_for, new_id
from drivers.keys.pkcs11.session import Attributes, Session
from drivers.keys.pkcs11.uri import Pkcs11Uri
from gateway.errors import SignerError
from gateway.signing import Algorithm, Purpose

#: The mechanisms of key generation and signing.
_MECHANISMS = {
    Algorithm.ED25519: (CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA),
    Algorithm.ECDSA_P256: (CKM_EC_KEY_PAIR_GEN, CKM_ECDSA),
    Algorithm.ECDSA_SECP256K1: (CKM_EC_KEY_PAIR_GEN, CKM_ECDSA),
}
#: What a token gives that knows the curve by another of its names, or not at all.
_OTHER_FORM = frozenset(
    (
        CKR_ARGUMENTS_BAD,
        CKR_ATTRIBUTE_VALUE_INVALID,
        CKR_CURVE_NOT_SUPPORTED,
        CKR_DOMAIN_PARAMS_INVALID,
        CKR_FUNCTION_FAILED,
        CKR_GENERAL_ERROR,
        CKR_MECHANISM_PARAM_INVALID,
        CKR_TEMPLATE_INCONSISTENT,
    )
)
_NOTED_BYTES_MIN = 32


def possible_algorithms(session: Session, module: Pkcs11Module) -> tuple[Algorithm, ...]:
    """What the session's token can make and sign with, by its mechanisms and by what is known of its kind."""
    here = session.library.mechanisms(session.token.slot)
    return tuple(algorithm for algorithm in module.algorithms if here.issuperset(_MECHANISMS[algorithm]))


def make_pair(session: Session, uri: Pkcs11Uri, purpose: Purpose, algorithm: Algorithm) -> None:
    """A new key pair in the token, of the name in *uri*. The session is one that writes. Raises SignerError.

    A crash on the way leaves nothing, a whole pair, or a public key alone, which is of no use to anybody.
    """
    names = _names(uri, purpose.value)
    key_id = names[CKA_ID]
    noted = made_for(key_id) if isinstance(key_id, bytes) else None
    require_fit(uri.text(), purpose, algorithm, noted if uri.id is not None else purpose)
    private: Attributes = {**names, CKA_PRIVATE: True, CKA_SENSITIVE: True, CKA_EXTRACTABLE: False, CKA_SIGN: True}
    public: Attributes = {**names, CKA_PRIVATE: False, CKA_VERIFY: True}
    handles = _generated(session, algorithm, public, private)
    _prove(session, handles[1], handles)


def _generated(session: Session, algorithm: Algorithm, public: Attributes, private: Attributes) -> tuple[int, int]:
    mechanism, forms = _MECHANISMS[algorithm][0], CURVES[algorithm]
    fault: CryptokiError | None = None
    for form in forms:
        try:
            return session.generate_pair(mechanism, {**public, CKA_EC_PARAMS: form}, private)
        except CryptokiError as error:
            fault = error
            if error.code not in _OTHER_FORM:
                break
    raise SignerError(f"{session.token.text} made no {algorithm.text} key: {fault}") from fault


def make_secret_key(session: Session, uri: Pkcs11Uri) -> None:
    """A new AES-256 key in the token, of the name in *uri*. The session is one that writes. Raises SignerError."""
    inside: Attributes = {CKA_PRIVATE: True, CKA_SENSITIVE: True, CKA_EXTRACTABLE: False}
    use: Attributes = {CKA_ENCRYPT: True, CKA_DECRYPT: True, CKA_VALUE_LEN: 32}
    handle = session.generate(CKM_AES_KEY_GEN, {**_names(uri, "vault"), **inside, **use})
    _prove(session, handle, (handle,))


def _names(uri: Pkcs11Uri, word: str) -> Attributes:
    if uri.id is None and module_of(uri).id_bytes_max < _NOTED_BYTES_MIN:
        raise SignerError(
            f"cannot note in this token what the key is made for; add ;id= of at most {module_of(uri).id_bytes_max} "
            "bytes to the URI, such as id=%12%34"
        )
    label = (uri.object or "").encode()
    return {CKA_TOKEN: True, CKA_LABEL: label, CKA_ID: new_id(word) if uri.id is None else uri.id}


def _prove(session: Session, handle: int, made: tuple[int, ...]) -> None:
    faults = confinement(session, handle).faults
    if faults:
        for each in made:
            session.destroy(each)
        raise SignerError(
            f"{session.token.text} made a key that could leave it, which was removed again: it {'; it '.join(faults)}"
        )
