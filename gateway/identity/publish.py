"""The attributes that this device writes of itself, in either dialect (``gateway.identity.attributes``)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gateway.errors import ConfigError
from gateway.identity.attributes import TEXT, is_tag
from gateway.signing import Algorithm, PublicKey
from gateway.signing.evm import compressed

#: Algorithm of a key of ours → its word in a name. P-256 is called so in Energy Web's dialect; the other has no word.
WORDS = {
    Algorithm.ECDSA_SECP256K1: "Secp256k1",
    Algorithm.ECDSA_P256: "Secp256r1",
    Algorithm.ED25519: "Ed25519",
}
#: Under what Energy Web looks for the key of the account itself.
OWNER_TAG = "key-owner"
_TYPE = re.compile(r"[A-Za-z0-9_]{1,24}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute as it is written."""

    #: Without the zeros behind.
    name: str
    value: bytes


def key_attribute(key: PublicKey, use: str, tag: str | None) -> Attribute:
    """The attribute that publishes a key of ours: in Energy Web's dialect under *tag*, in the plain one without it.

    Raises ConfigError for a tag that cannot be an id.
    """
    raw = key.data if key.algorithm is Algorithm.ED25519 else compressed(key.data[-65:])
    name = f"did/pub/{WORDS[key.algorithm]}/{use}/hex"
    if tag is None:
        return Attribute(name=name, value=raw)
    _require_tag(tag)
    return Attribute(name=name, value=_dumped({"publicKey": f"0x{raw.hex()}", "tag": tag}))


def service_attribute(did: str, kind: str, endpoint: str, tag: str | None) -> Attribute:
    """The attribute that publishes a service: in Energy Web's dialect under *tag*, in the plain one without it.

    The plain one is written as a map of one URI (DID Core, 5.4), not as the text alone: where one identity has such a
    text, Energy Web's resolver reads nothing of it any more. Raises ConfigError for a type, a tag or an endpoint that
    is none.
    """
    if not _TYPE.fullmatch(kind):
        raise ConfigError(f"service type {kind[:40]!r}: take up to 24 letters, digits and _")
    if not TEXT.fullmatch(endpoint) or ":" not in endpoint:
        raise ConfigError(f"service endpoint {endpoint[:80]!r}: is no URI, such as https://meters.example.org/roof-7")
    if tag is None:
        return Attribute(name=f"did/svc/{kind}", value=_dumped({"uri": endpoint}))
    _require_tag(tag)
    return Attribute(
        name=f"did/svc/{kind}", value=_dumped({"id": f"{did}#{tag}", "type": kind, "serviceEndpoint": endpoint})
    )


def _require_tag(tag: str) -> None:
    if not is_tag(tag):
        raise ConfigError(
            f"tag {tag[:80]!r}: take up to 64 letters, digits, '.', '_' and '-', such as key-owner; owner, controller, "
            "delegate-1 and service-1 are given by documents themselves"
        )


def _dumped(fields: dict[str, str]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
