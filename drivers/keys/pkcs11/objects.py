"""Keys in a token: found by name, with their public halves, what they were made for, and whether they can leave.

=================  ===================================================================================================
attribute          what is read from it
=================  ===================================================================================================
CKA_EC_PARAMS      the curve: the DER of its object identifier, or of its name (PKCS#11 v3.0, section 2.3.3)
CKA_EC_POINT       of the public key: an OCTET STRING around 0x04 and 64 bytes, or around the 32 bytes of Ed25519; some
                   tokens leave the wrapping away, or take a BIT STRING
CKA_ID             the same for both halves; ``mg-PURPOSE-`` and eight hexadecimal digits where the key was made here,
                   without ``id`` in the URI: what it was made for
=================  ===================================================================================================
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.keys.pkcs11.constants import (
    CKA_ALWAYS_SENSITIVE,
    CKA_CLASS,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_EXTRACTABLE,
    CKA_ID,
    CKA_KEY_TYPE,
    CKA_LABEL,
    CKA_LOCAL,
    CKA_NEVER_EXTRACTABLE,
    CKA_PUBLIC_KEY_INFO,
    CKA_SENSITIVE,
    CKA_VALUE,
    CKK_EC,
    CKK_EC_EDWARDS,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
)
from drivers.keys.pkcs11.cryptoki import CryptokiError
from drivers.keys.pkcs11.session import Attributes, Session
from drivers.keys.pkcs11.uri import Pkcs11Uri
from gateway.errors import SignerError
from gateway.signing import Algorithm, PublicKey, Purpose, ecdsa_key

#: The curves, each in the forms that tokens know it by; the first is tried first for a new key.
CURVES: dict[Algorithm, tuple[bytes, ...]] = {
    Algorithm.ED25519: (
        # PrintableString "edwards25519", which SoftHSM gives; then RFC 8410, and the OID that GnuPG had before it.
        bytes.fromhex("130c656477617264733235353139"),
        bytes.fromhex("06032b6570"),
        bytes.fromhex("06092b06010401da470f01"),
    ),
    Algorithm.ECDSA_P256: (bytes.fromhex("06082a8648ce3d030107"),),
    Algorithm.ECDSA_SECP256K1: (bytes.fromhex("06052b8104000a"),),
}
_POINT_HEADS = {b"\x04\x41": 65, b"\x04\x20": 32, b"\x03\x21\x00": 32, b"\x03\x42\x00": 65}
_ID_FORM = re.compile(rb"mg-([a-z-]+)-[0-9a-f]{8}")
#: A SubjectPublicKeyInfo of Ed25519 but for its last 32 bytes (RFC 8410).
_ED25519_HEAD = bytes.fromhex("302a300506032b6570032100")
_SAID = {
    "CKA_SENSITIVE": CKA_SENSITIVE,
    "CKA_EXTRACTABLE": CKA_EXTRACTABLE,
    "CKA_ALWAYS_SENSITIVE": CKA_ALWAYS_SENSITIVE,
    "CKA_NEVER_EXTRACTABLE": CKA_NEVER_EXTRACTABLE,
    "CKA_LOCAL": CKA_LOCAL,
}
_SAFE = {
    "CKA_SENSITIVE": True,
    "CKA_EXTRACTABLE": False,
    "CKA_ALWAYS_SENSITIVE": True,
    "CKA_NEVER_EXTRACTABLE": True,
    "CKA_LOCAL": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A private key of one session."""

    handle: int
    public_key: PublicKey
    made_for: Purpose | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a token says about the ways out for one of its keys."""

    said: dict[str, bool | None]
    #: Why the value was not given; None: it was.
    refusal: str | None

    @property
    def exportable(self) -> bool | None:
        """Whether the key can leave; None where the token does not tell."""
        if self.refusal is None:
            return True
        return self.said["CKA_EXTRACTABLE"]

    @property
    def faults(self) -> tuple[str, ...]:
        """Why this is no key that was made inside and never could leave; none: it is."""
        faults = [f"reports {name} as {value}" for name, value in self.said.items() if value is (not _SAFE[name])]
        faults += [
            f"does not report {name}" for name in ("CKA_SENSITIVE", "CKA_EXTRACTABLE") if self.said[name] is None
        ]
        return tuple(faults if self.refusal else [*faults, "gave the key's value to whoever asked"])

    @property
    def evidence(self) -> tuple[str, ...]:
        """The same as sentences."""
        words = {True: "true", False: "false", None: "not told"}
        said = ", ".join(f"{name} {words[value]}" for name, value in self.said.items())
        read = "gave the value" if self.refusal is None else f"was refused: {self.refusal}"
        return (f"The token reports {said}.", f"Reading CKA_VALUE {read}.")


def confinement(session: Session, handle: int) -> Confinement:
    """Asks the token about a private or secret key, and tries to read its value."""
    said = {name: session.truth(handle, kind) for name, kind in _SAID.items()}
    try:
        value = session.attribute(handle, CKA_VALUE)
    except CryptokiError as error:
        return Confinement(said=said, refusal=error.name)
    return Confinement(said=said, refusal=None if value else "no such attribute")


def named(uri: Pkcs11Uri, kind: int) -> Attributes:
    """The search for what *uri* names."""
    attributes: Attributes = {CKA_CLASS: kind}
    if uri.object is not None:
        attributes[CKA_LABEL] = uri.object.encode()
    if uri.id is not None:
        attributes[CKA_ID] = uri.id
    return attributes


def find_key(session: Session, uri: Pkcs11Uri) -> TokenKey | None:
    """The private key that *uri* names; None when there is none. Raises SignerError for several, or another kind."""
    handles = session.find(named(uri, CKO_PRIVATE_KEY))
    if len(handles) > 1:
        raise SignerError(f"names {len(handles)} private keys; add ;id= to name one (meter-gateway key list shows ids)")
    if not handles:
        return None
    key_id = session.attribute(handles[0], CKA_ID) or b""
    return TokenKey(handle=handles[0], public_key=_public_key(session, handles[0], key_id), made_for=made_for(key_id))


def algorithm_of(session: Session, *handles: int) -> Algorithm | None:
    """The algorithm of a key, as the first of its halves tells; None for one that is not used here."""
    for handle in handles:
        if session.number(handle, CKA_KEY_TYPE) in (CKK_EC, CKK_EC_EDWARDS):
            curve = session.attribute(handle, CKA_EC_PARAMS)
            found = [algorithm for algorithm, forms in CURVES.items() if curve in forms]
            if found:
                return found[0]
    return None


def _public_key(session: Session, private: int, key_id: bytes) -> PublicKey:
    label = session.attribute(private, CKA_LABEL) or b""
    halves = session.find({CKA_CLASS: CKO_PUBLIC_KEY, **({CKA_ID: key_id} if key_id else {CKA_LABEL: label})})
    algorithm = algorithm_of(session, private, *halves)
    if algorithm is None:
        raise SignerError("is no Ed25519, P-256 or secp256k1 key; make another one with key new")
    points = {session.attribute(half, CKA_EC_POINT) or b"" for half in halves}
    points = points or {
        session.attribute(private, CKA_EC_POINT) or session.attribute(private, CKA_PUBLIC_KEY_INFO) or b""
    }
    if len(points) > 1:
        raise SignerError(
            f"has {len(points)} public keys of the same id {key_id.hex()}, left by a creation that was broken off; "
            "delete those that are not its own (pkcs11-tool --delete-object --type pubkey)"
        )
    return public_key_of(algorithm, points.pop())


def public_key_of(algorithm: Algorithm, point: bytes) -> PublicKey:
    """The public key of a CKA_EC_POINT or CKA_PUBLIC_KEY_INFO. Raises SignerError for what is neither."""
    if not point:
        raise SignerError("has no public key beside it in the token; import the public half under the same id")
    if algorithm is Algorithm.ED25519:
        raw = point.removeprefix(_ED25519_HEAD) if len(point) > 40 else _unwrapped(point, 32)
        if len(raw) != 32:
            raise SignerError(f"has a public key of {len(point)} bytes, which is none of Ed25519")
        return PublicKey(algorithm=algorithm, data=raw)
    return ecdsa_key(algorithm, point[-65:] if len(point) > 80 else _unwrapped(point, 65))


def _unwrapped(point: bytes, size: int) -> bytes:
    for head, inner in _POINT_HEADS.items():
        if inner == size and point.startswith(head) and len(point) == len(head) + size:
            return point[len(head) :]
    return point


def made_for(key_id: bytes) -> Purpose | None:
    """What a key of this id was made for; None where that was not noted."""
    found = _ID_FORM.fullmatch(key_id)
    words: Sequence[Purpose] = [purpose for purpose in Purpose if found and purpose.value == found[1].decode()]
    return words[0] if words else None


def new_id(word: str) -> bytes:
    """A new id that notes what the key is made for."""
    return f"mg-{word}-{os.urandom(4).hex()}".encode()
