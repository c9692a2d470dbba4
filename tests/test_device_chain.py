"""The certificate chain of the device key, from a CA that nobody here wrote: openssl issued it from our request."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.device_chain import CHAIN_FILE, MAX_CHAIN, Chain, chain_objects, load_chain, read_chain, store_chain
from gateway.errors import ConfigError
from gateway.signing import Algorithm
from tests.authority import BOTH, Authority, authority, issued_s, openssl, signer_of

DAY = 86_400


def read(data: bytes, *, after_s: int = DAY, roots: bytes | None = None, seed: int = 7) -> Chain:
    key = signer_of(Algorithm.ECDSA_P256, seed).public_key
    return read_chain(data, key, now_s=issued_s() + after_s, roots=roots)


@BOTH
def test_a_chain_that_openssl_issued_from_the_request_is_taken(algorithm: Algorithm, tmp_path: Path) -> None:
    """With the root in it, and without where the roots are given; openssl verifies the same chain."""
    ca, key = authority(algorithm), signer_of(algorithm).public_key
    now_s = int(x509.load_pem_x509_certificate(ca.chain("device")).not_valid_before_utc.timestamp())
    for names, roots in ((("inner", "outer", "root"), None), (("inner", "outer"), "root"), (("inner",), "outer")):
        found = read_chain(
            ca.chain("device", *names), key, now_s=now_s, roots=None if roots is None else ca.chain(roots)
        )
        assert len(found.certificates) == 1 + len(names)
        assert found.warnings == ()
    (ca.folder / "untrusted.pem").write_bytes(ca.chain("inner", "outer"))
    openssl(ca.folder, "verify", "-CAfile", "root.pem", "-untrusted", "untrusted.pem", "device.pem")


def test_a_certificate_without_any_extension_is_taken() -> None:
    """Many CAs grant none of what was asked."""
    assert read(authority().chain("bare", "inner", "outer", "root")).warnings == ()


def test_a_chain_is_shown_as_json() -> None:
    """Names, times, and who is a CA."""
    found = chain_objects(read(authority().chain("device", "inner", "outer", "root")))
    assert [one["ca"] for one in found] == [False, True, True, True]
    assert found[0]["subject"] == "2.5.4.5=MG-0042/a,CN=roof-7,OU=Roofs,O=Example Öl & Co"
    assert found[0]["issuer"] == found[1]["subject"] == "CN=inner,O=Test"
    assert set(found[0]) == {"subject", "issuer", "serial", "not_before", "not_after", "ca", "sha256"}
    assert json.loads(json.dumps(found)) == found


def test_without_root_the_end_of_the_chain_is_a_warning() -> None:
    """Nothing was checked against; the message says what to give."""
    (warning,) = read(authority().chain("device", "inner", "outer")).warnings
    assert "CN=outer,O=Test: ends the chain, and its issuer CN=root,O=Test is not here" in warning


def test_a_clock_that_is_behind_is_a_warning() -> None:
    """A board without a clock thinks that it is 1970."""
    found = read(authority().chain("device", "inner", "outer", "root"), after_s=-issued_s())
    assert len(found.warnings) == 4
    assert "the clock says 1970-01-01T00:00:00.000Z; check the clock" in found.warnings[0]


def test_a_ca_that_renewed_its_key_has_two_roots_of_one_name() -> None:
    """In either order, the one that fits is found; with the other one alone, none."""
    ca = authority()
    for roots in (("root", "renewed"), ("renewed", "root")):
        assert read(ca.chain("device", "inner", "outer"), roots=ca.chain(*roots)).warnings == ()
    with pytest.raises(ConfigError, match="its signature is not by the key of certificate CN=root"):
        read(ca.chain("device", "inner", "outer"), roots=ca.chain("renewed"))


#: What is wrong → the file, and the words of the refusal.
FAULTS: dict[str, tuple[Callable[[Authority], bytes], str]] = {
    "wrong order": (lambda ca: ca.chain("root", "outer", "inner", "device"), "CN=root.*is not for the device's key"),
    "issuers swapped": (lambda ca: ca.chain("device", "outer", "inner"), "issued by CN=inner.*but CN=outer.*follows"),
    "one is missing": (
        lambda ca: ca.chain("device", "outer", "root"),
        "issued by CN=inner.*but CN=outer.*none missing",
    ),
    "a namesake": (lambda ca: ca.chain("device", "twin"), "signature is not by the key of certificate CN=inner"),
    "no CA": (lambda ca: ca.chain("by-no-ca", "no-ca"), "CN=no-ca.*issued certificate .*roof-7.* but is no CA"),
    "no word of a CA": (lambda ca: ca.chain("by-v1-like", "v1-like"), "CN=v1-like.*but is no CA"),
    "a CA for lists alone": (lambda ca: ca.chain("by-no-signer", "no-signer"), "CN=no-signer.*but is no CA"),
    "too many below": (lambda ca: ca.chain("by-short", "below-short", "short"), "CN=short.*allows 0 CAs.*has 1"),
    "the device a CA": (lambda ca: ca.chain("as-ca", "inner"), "makes the device a CA"),
    "not to sign with": (lambda ca: ca.chain("no-use", "inner"), "keyUsage has no digitalSignature"),
    "no bytes": (lambda _ca: b"", "0 PEM blocks CERTIFICATE"),
    "garbage": (lambda _ca: bytes(range(256)) * 9, "0 PEM blocks CERTIFICATE"),
    "DER": (
        lambda ca: x509.load_pem_x509_certificate(ca.chain("device")).public_bytes(Encoding.DER),
        "for DER: openssl",
    ),
    "the request": (lambda ca: (ca.folder / "device.csr").read_bytes(), "0 PEM blocks CERTIFICATE"),
    "damaged base64": (lambda ca: ca.chain("device").replace(b"MII", b"M!I", 1), "cannot be read"),
    "damaged DER": (lambda ca: ca.chain("device").replace(b"MII", b"MIJ", 1), "cannot be read"),
    "cut": (
        lambda ca: ca.chain("device", "inner")[:-200],
        "2 PEM blocks CERTIFICATE begin and 1 end; was the file cut",
    ),
    "nine certificates": (lambda ca: ca.chain("device", *["inner"] * 8), "9 PEM blocks CERTIFICATE, where 1 to 8"),
    "a huge file": (lambda ca: ca.chain("device") + b"\n" * MAX_CHAIN, f"more than {MAX_CHAIN} bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_chain_with_a_fault_is_refused_in_words(name: str) -> None:
    """Each names the certificate and the fault."""
    made, words = FAULTS[name]
    with pytest.raises(ConfigError, match=words):
        read(made(authority()))


def test_a_chain_for_another_key_is_refused() -> None:
    """The message names the certificate and the remedy."""
    with pytest.raises(ConfigError, match=r"roof-7.*is not for the device's key.*key request"):
        read(authority().chain("device", "inner", "outer", "root"), seed=8)


def test_an_expired_certificate_is_refused_to_the_second() -> None:
    """The device's after 365 days; its last second is valid (RFC 5280, 4.1.2.5)."""
    chain = authority().chain("device", "inner", "outer", "root")
    assert read(chain, after_s=365 * DAY).warnings == ()
    with pytest.raises(ConfigError, match=r"roof-7.*expired at 20\d\d-.*ask for a new one"):
        read(chain, after_s=365 * DAY + 1)


def test_an_expired_ca_is_refused_as_well() -> None:
    """A bare chain of CAs ends with the shortest life."""
    with pytest.raises(ConfigError, match="expired"):
        read(authority().chain("by-root", "root"), after_s=4000 * DAY)


@pytest.mark.parametrize("names", [("device",), ("device", "inner"), ("device", "inner", "outer")])
def test_with_roots_what_is_missing_is_a_fault(names: tuple[str, ...]) -> None:
    """Rather than a warning: the roots that there are are named."""
    with pytest.raises(ConfigError, match=r"none of the roots issued it \(roots: CN=stranger,O=Test\)"):
        read(authority().chain(*names), roots=authority().chain("stranger"))


def test_a_certificate_that_the_device_made_itself_is_no_chain() -> None:
    """No CA said anything."""
    own = derive_private_key(7, SECP256R1())
    given = x509.load_pem_x509_certificate(authority().chain("device"))
    name = given.subject
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.not_valid_before(given.not_valid_before_utc).not_valid_after(given.not_valid_after_utc)
    made = builder.public_key(own.public_key()).sign(own, SHA256()).public_bytes(Encoding.PEM)
    with pytest.raises(ConfigError, match="but is no CA"):
        read(made)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_no_bit_of_the_devices_certificate_can_be_changed() -> None:
    """Every one is refused in words: it cannot be read, or its signature does not fit."""
    certificate = x509.load_pem_x509_certificate(authority().chain("device"))
    der, rest = certificate.public_bytes(Encoding.DER), authority().chain("inner", "outer", "root")
    # The library takes any number of unused bits before the signature, if they are zero: that is no other certificate.
    unused_bits = len(der) - len(certificate.signature) - 1
    for at in {*range(len(der))} - {unused_bits}:
        changed = der[:at] + bytes([der[at] ^ (1 << at % 8)]) + der[at + 1 :]
        block = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(changed) + b"-----END CERTIFICATE-----\n"
        with pytest.raises(ConfigError):
            read(block + rest)


def test_a_stored_chain_is_certificates_alone_and_replaces_the_one_before(tmp_path: Path) -> None:
    """A private key that the CA's tool left in the file is not copied."""
    ca = authority()
    key = signer_of(Algorithm.ECDSA_P256).public_key
    assert load_chain(tmp_path, key, now_s=issued_s()) is None
    store_chain(read(ca.chain("by-root", "root")), tmp_path)
    secret = (ca.folder / "inner.key").read_bytes()
    path = store_chain(read(b"comment\n" + secret + ca.chain("device", "inner", "outer")), tmp_path)
    assert path == tmp_path / CHAIN_FILE
    assert path.read_bytes().count(b"-----BEGIN CERTIFICATE-----\n") == path.read_bytes().count(b"BEGIN") == 3
    assert [item.name for item in tmp_path.iterdir()] == [CHAIN_FILE]
    found = load_chain(tmp_path, key, now_s=issued_s())
    assert found is not None
    assert len(found.certificates) == 3
    with pytest.raises(ConfigError, match="is not for the device's key"):
        load_chain(tmp_path, signer_of(Algorithm.ECDSA_P256, 8).public_key, now_s=issued_s())
