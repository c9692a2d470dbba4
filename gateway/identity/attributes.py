"""Attributes of a did:ethr identity, in both dialects: the keys and services that they publish.

The name of an attribute is ASCII with zeros behind, 32 bytes together::

    did/pub/ALGORITHM/USE/ENCODING    a key; USE is veriKey, sigAuth or enc, ENCODING hex where none stands there
    did/svc/TYPE                      a service

The value is where the dialects differ:

=========  ===========================================================================================================
plain      (did:ethr) the key's raw bytes; a service's URI as text, or JSON of one or more
Energy     JSON: ``{"publicKey": TEXT, "tag": TAG}``, where the key is hex, base64 or PEM and the tag becomes its id in
Web        the document; ``{"id": DID#…, "type": TYPE, "serviceEndpoint": TEXT, …}``
=========  ===========================================================================================================

A resolver for the plain dialect shows that JSON as if it were a key, so a value is told by its form: no key is JSON.
Whoever owns an identity writes what it likes. What is not exactly of one of these forms is left out, and why is said:
text is printable ASCII, keys are points of their curve, an id names this identity and none of the ids that a document
gives by itself, and every size is bounded.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from gateway.errors import MalformedError
from gateway.identity.did import Did, parse_did
from gateway.signing.evm import uncompressed

VALUE_MAX = 8192
#: JSON in a value is nested this deep at most.
_DEPTH_MAX = 6
_NAME = re.compile(r"did/(pub|svc)/(\w+)(?:/(\w+))?(?:/(\w+))?", re.ASCII)
#: What may be an id in a document, and the ids that a document gives by itself.
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OWN_ID = re.compile(r"controller|controllerKey|owner|(delegate|service)-[0-9]+")
TEXT = re.compile(r"[ -~]{1,4096}")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----[\n -~]+-----END [A-Z ]+-----\n?")
_HEX = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})+)")
USES = ("veriKey", "sigAuth", "enc")
#: (algorithm, use) → the type in the document, as did:ethr has them; P-256 is Energy Web's Secp256r1.
_TYPES = {
    ("Secp256k1", "veriKey"): "EcdsaSecp256k1VerificationKey2019",
    ("Secp256k1", "sigAuth"): "EcdsaSecp256k1VerificationKey2019",
    ("Secp256r1", "veriKey"): "EcdsaSecp256r1VerificationKey2019",
    ("Secp256r1", "sigAuth"): "EcdsaSecp256r1VerificationKey2019",
    ("Ed25519", "veriKey"): "Ed25519VerificationKey2018",
    ("Ed25519", "sigAuth"): "Ed25519VerificationKey2018",
    ("RSA", "veriKey"): "RSAVerificationKey2018",
    ("Rsa", "veriKey"): "RSAVerificationKey2018",
    ("X25519", "enc"): "X25519KeyAgreementKey2019",
}
_RAW_SIZES = {"Ed25519": (32,), "X25519": (32,), "Secp256k1": (33, 65), "Secp256r1": (33, 65)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKey:
    """A key that an attribute publishes."""

    #: The type in the document.
    kind: str
    algorithm: str
    use: str
    #: The field of a W3C document, such as publicKeyHex, and its text.
    field: str
    text: str
    #: Its id in the document, in Energy Web's dialect; None in the plain one.
    tag: str | None
    #: The key's bytes, where it is one of those that are known here.
    raw: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedService:
    """A service that an attribute publishes."""

    kind: str
    #: A text, or JSON.
    endpoint: Any
    #: What stands behind # in its id, in Energy Web's dialect; None in the plain one.
    tag: str | None
    #: Energy Web's further fields: hash, hashAlg, description.
    more: tuple[tuple[str, str], ...] = ()


def attribute_name(data: bytes) -> str:
    """The name of 32 bytes. Raises MalformedError for one that is not ASCII with zeros behind."""
    name = data.rstrip(b"\0")
    if not name or not all(0x20 < byte < 0x7F for byte in name):
        raise MalformedError(f"a name of {len(name)} bytes that is not printable ASCII")
    return name.decode("ascii")


def published(name: str, value: bytes, did: Did) -> PublishedKey | PublishedService:
    """What the attribute publishes of *did*, which says its chain. Raises MalformedError for what is in no dialect."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise MalformedError(f"{name!r} names no key and no service")
    if len(value) > VALUE_MAX:
        raise MalformedError(f"{name!r} has a value of {len(value)} bytes, more than {VALUE_MAX}")
    section, word, use, encoding = match.groups()
    if section == "svc":
        if use is not None:
            raise MalformedError(f"{name!r} has more than the type of a service")
        return _service(word, value, did)
    fields = _json_object(value)
    if fields is not None and "publicKey" in fields:
        return _tagged_key(word, use, fields)
    if encoding not in (None, "hex", "base64", "base58", "pem"):
        raise MalformedError(f"{name!r} has an encoding that is not known")
    return _plain_key(word, use, encoding or "hex", value)


def is_tag(text: str) -> bool:
    """Whether *text* may be the id of a key or service in a document."""
    return _TAG.fullmatch(text) is not None and _OWN_ID.fullmatch(text) is None


def _json(value: bytes) -> Any:
    """What JSON the value is; None where it is none. Raises MalformedError for one that is doubtful."""
    try:
        found = json.loads(value.decode(), object_pairs_hook=_fields, parse_constant=_no_number)
        deep = _depth(found) > _DEPTH_MAX
    except ValueError:
        return None
    except RecursionError:
        deep = True
    if deep:
        raise MalformedError(f"JSON that is nested deeper than {_DEPTH_MAX}")
    return found


def _json_object(value: bytes) -> dict[str, Any] | None:
    found = _json(value)
    return found if isinstance(found, dict) else None


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedError("JSON that has a field twice")
    return fields


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _kind(algorithm: str, use: str | None) -> str:
    return _TYPES.get((algorithm, use or ""), algorithm)


def _tag(value: Any) -> str:
    if not isinstance(value, str) or not is_tag(value):
        raise MalformedError(f"the id {value!r:.80} cannot be one in this document")
    return value


def _tagged_key(algorithm: str, use: str | None, fields: dict[str, Any]) -> PublishedKey:
    """Energy Web's: what the text is shows in the text, since its encoding is often called hex whatever it is."""
    text, tag = fields["publicKey"], _tag(fields.get("tag"))
    if not isinstance(text, str) or len(text) > VALUE_MAX:
        raise MalformedError(f"key {tag}: its publicKey is no text")
    found = _HEX.fullmatch(text)
    if found:
        raw = bytes.fromhex(found[1])
        return _key(algorithm, use, "publicKeyHex", raw.hex(), tag, raw)
    if _PEM.fullmatch(text):
        return _key(algorithm, use, "publicKeyPem", text, tag, None)
    try:
        raw = b64decode(text, validate=True)
    except ValueError as error:
        raise MalformedError(f"key {tag}: is neither hex nor base64 nor PEM") from error
    return _key(algorithm, use, "publicKeyBase64", text, tag, raw)


def _plain_key(algorithm: str, use: str | None, encoding: str, value: bytes) -> PublishedKey:
    if encoding == "pem":
        text = value.decode("latin-1")
        if not _PEM.fullmatch(text):
            raise MalformedError(f"{algorithm} key: is called PEM, and is none")
        return _key(algorithm, use, "publicKeyPem", text, None, None)
    if not value:
        raise MalformedError(f"{algorithm} key: of no bytes")
    if encoding == "base58":
        # Not encoded so here: the bytes are what counts, and base58 of long ones takes long.
        encoding = "hex"
    if encoding == "base64":
        return _key(algorithm, use, "publicKeyBase64", b64encode(value).decode(), None, value)
    return _key(algorithm, use, "publicKeyHex", value.hex(), None, value)


def _key(algorithm: str, use: str | None, field: str, text: str, tag: str | None, raw: bytes | None) -> PublishedKey:
    sizes = _RAW_SIZES.get(algorithm)
    if raw is not None and sizes is not None and len(raw) not in sizes:
        raise MalformedError(f"{algorithm} key {tag or ''}: of {len(raw)} bytes, not {' or '.join(map(str, sizes))}")
    if raw is not None and algorithm == "Secp256k1":
        uncompressed(raw)
    kind = _kind(algorithm, use)
    return PublishedKey(
        kind=kind,
        algorithm=algorithm,
        use=use or "veriKey",
        field=field,
        text=text,
        tag=tag,
        raw=raw if sizes else None,
    )


def _service(kind: str, value: bytes, did: Did) -> PublishedService:
    found = _json(value)
    if isinstance(found, dict) and "serviceEndpoint" in found:
        return _tagged_service(kind, found, did)
    text = value.decode("latin-1")
    if found is None or isinstance(found, (str, int, float, bool)):
        if not TEXT.fullmatch(text):
            raise MalformedError(f"service {kind}: its endpoint is no printable text")
        return PublishedService(kind=kind, endpoint=text, tag=None)
    return PublishedService(kind=kind, endpoint=found, tag=None)


def _tagged_service(kind: str, fields: dict[str, Any], did: Did) -> PublishedService:
    """Energy Web's. Its id must lie in this identity's document: another's would take that one's place."""
    whose, _, fragment = str(fields.get("id", "")).partition("#")
    said_did = parse_did(whose)
    if said_did.address != did.address or said_did.chain not in (None, did.chain):
        raise MalformedError(f"service {kind}: its id {fields.get('id')!r:.100} belongs to somebody else")
    endpoint, said = fields["serviceEndpoint"], fields.get("type", kind)
    for text in (endpoint, said):
        if not isinstance(text, str) or not TEXT.fullmatch(text):
            raise MalformedError(f"service {kind}: {text!r:.80} is no printable text")
    more = [(name, fields[name]) for name in ("description", "hash", "hashAlg") if name in fields]
    if not all(isinstance(text, str) and text.isprintable() and len(text) <= VALUE_MAX for _, text in more):
        raise MalformedError(f"service {kind}: a description or hash that is no printable text")
    return PublishedService(kind=said, endpoint=endpoint, tag=_tag(fragment), more=tuple(more))
