"""Attributes of identities, which their owners write as they like: both dialects are told, the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError, MalformedError
from gateway.identity.attributes import (
    USES,
    VALUE_MAX,
    PublishedKey,
    PublishedService,
    attribute_name,
    is_tag,
    published,
)
from gateway.identity.did import Did
from gateway.identity.publish import key_attribute, service_attribute
from gateway.signing import Algorithm, PublicKey, ecdsa_key
from tests.identity_side import SOMEBODY

ME = Did(chain="ewc", address=SOMEBODY)
SHORT = PrivateKey(b"\x07" * 32).public_key.format()
LONG = PrivateKey(b"\x07" * 32).public_key.format(compressed=False)
P256 = derive_private_key(7, SECP256R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
OURS = {
    "Secp256k1": ecdsa_key(Algorithm.ECDSA_SECP256K1, LONG),
    "Secp256r1": PublicKey(algorithm=Algorithm.ECDSA_P256, data=P256),
    "Ed25519": PublicKey(algorithm=Algorithm.ED25519, data=bytes(range(32))),
}
PEM = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZI\n-----END PUBLIC KEY-----\n"


def dumped(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("word", OURS)
@pytest.mark.parametrize("tag", [None, "key-log", "dsb-signature-key"])
def test_a_key_of_ours_is_read_as_it_was_written(word: str, use: str, tag: str | None) -> None:
    """Of each algorithm, for each use, in both dialects; the name fits into 32 bytes."""
    made = key_attribute(OURS[word], use, tag)
    found = published(made.name, made.value, ME)
    assert isinstance(found, PublishedKey)
    assert (found.algorithm, found.use, found.tag) == (word, use, tag)
    assert found.raw is not None
    assert found.text == found.raw.hex()
    assert len(found.raw) == (32 if word == "Ed25519" else 33)
    assert len(made.name) <= 32
    assert attribute_name(made.name.encode().ljust(32, b"\0")) == made.name


def test_a_key_in_energy_webs_dialect_is_the_json_that_their_library_writes() -> None:
    """JSON.stringify of ``{publicKey, tag}``: a revocation must repeat the value to the byte."""
    made = key_attribute(OURS["Secp256k1"], "veriKey", "key-owner")
    assert made.value.decode() == f'{{"publicKey":"0x{SHORT.hex()}","tag":"key-owner"}}'
    assert made.name == "did/pub/Secp256k1/veriKey/hex"


@pytest.mark.parametrize("tag", [None, "svc-1"])
def test_a_service_of_ours_is_read_as_it_was_written(tag: str | None) -> None:
    """In both dialects."""
    made = service_attribute(ME.text, "LogRepo", "https://meters.example.org/roof-7", tag)
    found = published(made.name, made.value, ME)
    assert isinstance(found, PublishedService)
    assert (found.kind, found.tag) == ("LogRepo", tag)
    expected: Any = "https://meters.example.org/roof-7"
    assert found.endpoint == (expected if tag else {"uri": expected})


KEYS: dict[str, tuple[str, bytes, tuple[str, str]]] = {
    "hex, with 0x": ("Secp256k1/veriKey/hex", dumped(publicKey="0x" + SHORT.hex(), tag="a"), ("Hex", SHORT.hex())),
    "hex, upper case": ("Secp256k1/veriKey/hex", dumped(publicKey=LONG.hex().upper(), tag="a"), ("Hex", LONG.hex())),
    "no encoding": ("Secp256k1/sigAuth", dumped(publicKey=SHORT.hex(), tag="a"), ("Hex", SHORT.hex())),
    "PEM that is called hex": ("Rsa/veriKey/hex", dumped(publicKey=PEM, tag="dsb-symmetric-encryption"), ("Pem", PEM)),
    "base64": ("Ed25519/veriKey/base64", dumped(publicKey="A" * 43 + "=", tag="a"), ("Base64", "A" * 43 + "=")),
    "raw": ("Secp256k1/veriKey/hex", SHORT, ("Hex", SHORT.hex())),
    "raw, uncompressed": ("Secp256k1/veriKey/hex", LONG, ("Hex", LONG.hex())),
    "raw in base64": ("Ed25519/veriKey/base64", bytes(32), ("Base64", "A" * 43 + "=")),
    "raw in base58": ("Ed25519/veriKey/base58", bytes(32), ("Hex", "00" * 32)),
    "raw PEM": ("RSA/veriKey/pem", PEM.encode(), ("Pem", PEM)),
    "of an algorithm that nobody knows": ("Bls12/veriKey/hex", b"\1\2\3", ("Hex", "010203")),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_others_is_told(name: str) -> None:
    """As it stands in documents."""
    attribute, value, (field, text) = KEYS[name]
    found = published(f"did/pub/{attribute}", value, ME)
    assert isinstance(found, PublishedKey)
    assert (found.field, found.text) == (f"publicKey{field}", text)


def fields(**more: Any) -> bytes:
    return dumped(**{"id": f"{ME.text}#a", "type": "Repo", "serviceEndpoint": "QmPin", **more})


SERVICES: dict[str, tuple[bytes, Any, str | None]] = {
    "Energy Web's": (fields(hash="ab", hashAlg="SHA256", description="Zähler"), "QmPin", "a"),
    "Energy Web's, without the chain": (fields(id=f"did:ethr:{SOMEBODY}#claims"), "QmPin", "claims"),
    "text": (b"https://example.org", "https://example.org", None),
    "a map": (dumped(uri="https://example.org"), {"uri": "https://example.org"}, None),
    "several": (b'["https://a.example","https://b.example"]', ["https://a.example", "https://b.example"], None),
    "a number is text": (b"7", "7", None),
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_others_is_told(name: str) -> None:
    """In both dialects."""
    value, endpoint, tag = SERVICES[name]
    found = published("did/svc/Repo", value, ME)
    assert isinstance(found, PublishedService)
    assert (found.endpoint, found.tag) == (endpoint, tag)


OTHER = f"did:ethr:ewc:0x{'11' * 20}"
REFUSED: dict[str, tuple[str, bytes]] = {
    "no name of did:ethr": ("hello", b"x"),
    "an unknown section": ("did/auth/x", b"x"),
    "a name with a blank": ("did/pub/Secp256k1/veri Key/hex", SHORT),
    "a name with more parts": ("did/pub/Secp256k1/veriKey/hex/x", SHORT),
    "an unknown encoding": ("did/pub/Secp256k1/veriKey/rot13", SHORT),
    "a key of no bytes": ("did/pub/Ed25519/veriKey/hex", b""),
    "a key that is too short": ("did/pub/Ed25519/veriKey/hex", bytes(31)),
    "a point that is none": ("did/pub/Secp256k1/veriKey/hex", b"\2" + bytes(31) + b"\5"),
    "another point's y": ("did/pub/Secp256k1/veriKey/hex", LONG[:-1] + bytes([LONG[-1] ^ 1])),
    "PEM that is none": ("did/pub/RSA/veriKey/pem", b"hello"),
    "PEM with a control character": ("did/pub/RSA/veriKey/pem", PEM.encode().replace(b"MFww", b"MF\x1bw")),
    "a value that is too long": ("did/pub/X/veriKey/hex", bytes(VALUE_MAX + 1)),
    "a key without a tag": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex())),
    "a tag that is no text": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag=7)),
    "a tag with a mark": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag="a#b")),
    "a tag of another's": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag=f"{OTHER}#a")),
    "the owner's tag": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag="controller")),
    "Energy Web's owner": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag="owner")),
    "a delegate's tag": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag="delegate-1")),
    "a tag that is too long": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=SHORT.hex(), tag="a" * 65)),
    "a publicKey that is no text": ("did/pub/Secp256k1/veriKey/hex", dumped(publicKey=[7], tag="a")),
    "a publicKey in no encoding": ("did/pub/Ed25519/veriKey/hex", dumped(publicKey="\u202e!", tag="a")),
    "a publicKey of another length": ("did/pub/Ed25519/veriKey/hex", dumped(publicKey="00" * 33, tag="a")),
    "a field twice": ("did/pub/Ed25519/veriKey/hex", b'{"tag":"a","tag":"b","publicKey":"%s"}' % (b"00" * 32)),
    "JSON that is very deep": ("did/svc/Repo", b"[" * 4000 + b"]" * 4000),
    "JSON that is deep": ("did/svc/Repo", b"[" * 8 + b"]" * 8),
    "a service with parts": ("did/svc/Repo/x", b"https://example.org"),
    "a service of no bytes": ("did/svc/Repo", b""),
    "a service that is no text": ("did/svc/Repo", b"https://example.org/\x1b[2J"),
    "a service of another's": ("did/svc/Repo", fields(id=f"{OTHER}#a")),
    "a service on another chain": ("did/svc/Repo", fields(id=f"did:ethr:volta:{SOMEBODY}#a")),
    "a service without id": ("did/svc/Repo", dumped(serviceEndpoint="https://example.org")),
    "a service whose id is no text": ("did/svc/Repo", fields(id=["x"])),
    "a service with an id of no name": ("did/svc/Repo", fields(id=ME.text)),
    "a service with the owner's id": ("did/svc/Repo", fields(id=f"{ME.text}#controller")),
    "an endpoint that is no text": ("did/svc/Repo", fields(serviceEndpoint=7)),
    "an endpoint with a line feed": ("did/svc/Repo", fields(serviceEndpoint="https://a\nb")),
    "a type with a control character": ("did/svc/Repo", fields(type="\u0007")),
    "a description that turns the line around": ("did/svc/Repo", fields(description="\u202e")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_of_no_dialect_is_refused(name: str) -> None:
    """With a sentence, and without an error of another kind."""
    attribute, value = REFUSED[name]
    with pytest.raises(MalformedError):
        published(attribute, value, ME)


@pytest.mark.parametrize(
    "data", [bytes(32), b"a\0b".ljust(32, b"\0"), b"\xc3\xa4".ljust(32, b"\0"), b"a b" + bytes(29)]
)
def test_a_name_that_is_no_ascii_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="not printable ASCII"):
        attribute_name(data)


_NAMES = st.sampled_from(
    ["did/pub/Secp256k1/veriKey/hex", "did/pub/RSA/veriKey/pem", "did/svc/Repo", "did/pub/Ed25519"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["publicKey", "tag", "id", "type", "serviceEndpoint"]) | st.text(), inner, max_size=4
        )
    ),
)


@settings(max_examples=300)
@given(_NAMES, st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_no_value_makes_anything_but_a_key_a_service_or_a_refusal(name: str, value: bytes) -> None:
    """And what is told of a key fits on a line of a terminal."""
    try:
        found = published(name, value, ME)
    except MalformedError:
        return
    if isinstance(found, PublishedKey):
        assert found.tag is None or is_tag(found.tag)
        assert all(line.isprintable() for line in found.text.split("\n"))


@pytest.mark.parametrize(
    ("kind", "endpoint", "tag", "fault"),
    [
        ("Log Repo", "https://a.example", None, "service type"),
        ("x" * 25, "https://a.example", None, "service type"),
        ("Log", "nowhere", None, "is no URI"),
        ("Log", "https://a.example/\n", None, "is no URI"),
        ("Log", "https://a.example", "service-1", "tag"),
        ("Log", "https://a.example", "", "tag"),
    ],
)
def test_a_service_that_nobody_could_read_is_not_written(kind: str, endpoint: str, tag: str | None, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        service_attribute(ME.text, kind, endpoint, tag)


def test_a_key_with_a_tag_that_documents_give_is_not_written() -> None:
    for tag in ("owner", "controller", "delegate-7", "a b", "", "x" * 65, "ä"):
        with pytest.raises(ConfigError, match="tag"):
            key_attribute(OURS["Ed25519"], "veriKey", tag)
