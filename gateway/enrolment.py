"""Enrolment: the certificate request by which a CA learns of the device key (the answer: ``gateway.device_chain``).

The request is PKCS#10 (RFC 2986), for a device identity in the manner of IEEE 802.1AR, signed by the device key::

    subject         O, OU, CN, where the operator names them; serialNumber (X.520, 2.5.4.5), always
    public key      the device key, Ed25519 (RFC 8410) or P-256 (RFC 5480)
    keyUsage        digitalSignature, critical
    subjectAltName  otherName hardwareModuleName (RFC 4108 section 5): type of the hardware, an OID, and serial number;
                    URI: the did:key of the device key

A key on secp256k1 is for chains, whose accounts need no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ConfigError, SignerError
from gateway.log.vkey import did_key, spki
from gateway.signing import Algorithm, PublicKey, Purpose, Signer

if TYPE_CHECKING:
    from cryptography.x509 import CertificateSigningRequestBuilder, Name

#: Upper bound of the texts in a subject (RFC 5280, appendix A.1).
MAX_NAME = 64
#: The type of hardware where its maker states none: an OID that needs no registration (X.667), of the version 5 UUID of
#: ``meter-gateway`` as a DNS name.
HARDWARE_TYPE = "2.25.279315186692007833393160156533267178414"
_HARDWARE_MODULE_NAME = "1.3.6.1.5.5.7.8.4"
#: AlgorithmIdentifier of the signature (RFC 8410 section 3; RFC 5758 section 3.2).
_SIGNED_WITH = {
    Algorithm.ED25519: bytes.fromhex("300506032b6570"),
    Algorithm.ECDSA_P256: bytes.fromhex("300a06082a8648ce3d040302"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the request says the device is; texts of 1 to 64 characters."""

    #: The device's serial number: letters, digits, and what else a PrintableString may hold.
    serial: str
    organization: str | None = None
    unit: str | None = None
    common_name: str | None = None
    #: The OID of the hardware's type, in dots.
    hardware_type: str = HARDWARE_TYPE


def parse_subject(text: str, serial: str, hardware_type: str = HARDWARE_TYPE) -> Subject:
    """The subject that *text* (RFC 4514: ``CN=roof-7,OU=Roofs,O=Example``, or nothing) and *serial* say.

    Raises ConfigError.
    """
    from cryptography.x509 import Name, NameOID

    fields = {
        NameOID.ORGANIZATION_NAME: "organization",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "unit",
        NameOID.COMMON_NAME: "common_name",
    }
    try:
        name = Name.from_rfc4514_string(text) if text else Name([])
    except ValueError as error:
        raise ConfigError(f"subject {text[:80]!r}: is no name; write it like CN=roof-7,OU=Roofs,O=Example") from error
    values: dict[str, str] = {}
    for attribute in name:
        field = fields.get(attribute.oid)
        if field is None or field in values:
            raise ConfigError(
                f"subject {text[:80]!r}: holds O, OU and CN, each at most once; --serial names the device"
            )
        values[field] = str(attribute.value)
    return Subject(serial=serial, hardware_type=hardware_type, **values)


def request_pem(signer: Signer, subject: Subject) -> str:
    """The certificate request of *signer*'s key, PEM. Blocks. Raises ConfigError, SignerError."""
    # Imported late, as everywhere here: a running gateway needs no certificates.
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_der_x509_csr

    key = signer.public_key
    info = _request_info(key, subject)
    signature = signer.sign(Purpose.ENROLMENT, info)
    request = load_der_x509_csr(_der(0x30, info, _SIGNED_WITH[key.algorithm], _der(0x03, b"\0", signature)))
    if not request.is_signature_valid:
        raise SignerError(f"key {signer.uri}: the signature of the certificate request does not verify")
    return request.public_bytes(Encoding.PEM).decode()


def _request_info(key: PublicKey, subject: Subject) -> bytes:
    """The CertificationRequestInfo. The library lays it out for a key of its own, whose place the device's then takes.

    Both keys have the same length, so nothing else changes. (A private key class that asks the store is no way: each
    release of the library may want more methods of it.)
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if key.algorithm not in _SIGNED_WITH:
        raise ConfigError(
            f"a {key.algorithm.text} key gets no certificate: its name is the account's did:ethr; "
            "enrol an ed25519 or p256 key"
        )
    ed25519 = key.algorithm is Algorithm.ED25519
    own = Ed25519PrivateKey.generate() if ed25519 else generate_private_key(SECP256R1())
    laid_out = _builder(key, subject).sign(own, None if ed25519 else SHA256()).tbs_certrequest_bytes
    placeholder = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert laid_out.count(placeholder) == 1
    assert len(placeholder) == len(spki(key))
    return laid_out.replace(placeholder, spki(key))


def _builder(key: PublicKey, subject: Subject) -> CertificateSigningRequestBuilder:
    from cryptography import x509

    module = _der(0x30, _oid(subject.hardware_type), _der(0x04, subject.serial.encode()))
    names = [
        x509.OtherName(x509.ObjectIdentifier(_HARDWARE_MODULE_NAME), module),
        x509.UniformResourceIdentifier(did_key(key)),
    ]
    uses = dict.fromkeys(
        (
            *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_name(subject))
        .add_extension(x509.KeyUsage(digital_signature=True, **uses), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def _name(subject: Subject) -> Name:
    from cryptography import x509

    texts = {
        x509.NameOID.ORGANIZATION_NAME: subject.organization,
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME: subject.unit,
        x509.NameOID.COMMON_NAME: subject.common_name,
        x509.NameOID.SERIAL_NUMBER: subject.serial,
    }
    for text in texts.values():
        if text is not None and not (0 < len(text) <= MAX_NAME and text.isprintable()):
            raise ConfigError(f"subject: {text[:80]!r} is not 1 to {MAX_NAME} printable characters")
    if not all(char.isascii() and (char.isalnum() or char in " '()+,-./:=?") for char in subject.serial):
        raise ConfigError(f"serial {subject.serial!r}: take letters, digits and ' ( ) + , - . / : = ?")
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in texts.items() if text is not None])


def _der(tag: int, *parts: bytes) -> bytes:
    """One DER item (X.690 section 8.1)."""
    content = b"".join(parts)
    size = len(content)
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, size] if size < 0x80 else [tag, 0x80 + len(digits), *digits]) + content


def _oid(text: str) -> bytes:
    """An OBJECT IDENTIFIER (X.690 section 8.19) in dots. Raises ConfigError."""
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() and part == str(int(part[:40])) for part in parts):
        parts = []
    arcs = [int(part) for part in parts]
    if len(arcs) < 3 or arcs[0] > 2 or (arcs[0] < 2 and arcs[1] > 39):
        raise ConfigError(f"hardware type {text[:80]!r}: is no OID, such as 1.3.6.1.4.1.99999.7")
    content = b""
    for arc in (40 * arcs[0] + arcs[1], *arcs[2:]):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return _der(0x06, content)
