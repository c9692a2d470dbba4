"""The certificate chain that a CA issued for the device key: read, checked, stored and shown.

The chain is PEM, the device's certificate first, each one issued by the next (in the order of RFC 8446, 4.4.2). It
is stored as ``device-chain.pem`` in the state directory: certificates only, whatever else the CA's file held.
The checks are those of RFC 5280 section 6 that find an operator's mistake: names, signatures, who may issue, how many
below, and validity. Whoever relies on the chain checks it again, against roots, revocations and policies of his own.
A board without a clock may think that it is 1970: what is not valid yet is a warning, what has expired a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.durable import write_atomically
from gateway.errors import ConfigError
from gateway.log.vkey import spki
from gateway.show import printable, rfc3339
from gateway.signing import PublicKey

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import BasicConstraints, Certificate, KeyUsage

CHAIN_FILE = "device-chain.pem"
MAX_CHAIN = 64 * 1024
MAX_CERTIFICATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Certificates that were checked, the device's first, and what the operator should know of them."""

    certificates: tuple[Certificate, ...]
    warnings: tuple[str, ...]


def read_chain(data: bytes, public_key: PublicKey, *, now_s: int, roots: bytes | None = None) -> Chain:
    """The chain for *public_key* in the PEM *data*, at *now_s*, Unix seconds.

    With *roots*, PEM too, it must end with one of them, or with what one of them issued. Raises ConfigError.
    """
    with _in_words("chain"):
        found, anchors = _load(data, "chain"), _load(roots, "roots") if roots is not None else []
        _check_device(found[0], public_key)
        for below, (certificate, issuer) in enumerate(pairwise(found)):
            _check_issued(certificate, issuer, below)
        warnings = list(_clock_warnings(found, now_s))
        if roots is not None:
            _check_root(found, anchors)
        else:
            warnings += _end_warnings(found)
        # Shown once, so that what cannot be read of them is found here.
        for certificate in found:
            _object(certificate)
        return Chain(certificates=tuple(found), warnings=tuple(warnings))


def store_chain(chain: Chain, state_dir: Path) -> Path:
    """Stores *chain*, durably, in the place of an earlier one; a crash leaves one of the two. Raises ConfigError."""
    from cryptography.hazmat.primitives.serialization import Encoding

    path = state_dir / CHAIN_FILE
    try:
        write_atomically(path, b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain.certificates))
    except OSError as error:
        raise ConfigError(f"chain file {path}: cannot be written ({error.strerror}); check the directory") from error
    return path


def load_chain(state_dir: Path, public_key: PublicKey, *, now_s: int) -> Chain | None:
    """The stored chain, checked again; None where none is stored. Raises ConfigError: for a key that changed, too."""
    path = state_dir / CHAIN_FILE
    data = read_pem(path) if path.exists() else None
    return None if data is None else read_chain(data, public_key, now_s=now_s)


def read_pem(path: Path) -> bytes:
    """The content of a file of certificates, at most one byte more than is allowed. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CHAIN + 1)
    except OSError as error:
        raise ConfigError(f"chain file {path}: cannot be read ({error.strerror})") from error


def chain_objects(chain: Chain) -> list[dict[str, Any]]:
    """Each certificate for JSON: names (RFC 4514), serial and SHA-256 in hex, times in RFC 3339, whether it is a CA."""
    return [_object(certificate) for certificate in chain.certificates]


def _object(certificate: Certificate) -> dict[str, Any]:
    from cryptography.hazmat.primitives.hashes import SHA256

    constraints = _constraints(certificate)
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "not_before": rfc3339(_seconds(certificate.not_valid_before_utc) * 1000),
        "not_after": rfc3339(_seconds(certificate.not_valid_after_utc) * 1000),
        "ca": constraints is not None and constraints.ca,
        "sha256": certificate.fingerprint(SHA256()).hex(),
    }


@contextmanager
def _in_words(what: str) -> Iterator[None]:
    """The library reads a certificate's parts when they are asked for, and complains in many ways."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

    try:
        yield
    except (
        *(ValueError, TypeError, KeyError, OverflowError),
        *(UnsupportedAlgorithm, DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType),
    ) as error:
        reason = printable(str(error))[:200]
        raise ConfigError(f"{what}: a certificate cannot be read ({reason}); ask the CA for PEM (RFC 7468)") from error


def _load(data: bytes, what: str) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    if len(data) > MAX_CHAIN:
        raise ConfigError(f"{what}: more than {MAX_CHAIN} bytes; give the PEM certificates alone")
    count = data.count(b"-----BEGIN CERTIFICATE-----")
    if not 0 < count <= MAX_CERTIFICATES:
        raise ConfigError(
            f"{what}: {count} PEM blocks CERTIFICATE, where 1 to {MAX_CERTIFICATES} are allowed; for DER: "
            "openssl x509 -inform DER"
        )
    with _in_words(what):
        found = load_pem_x509_certificates(data)
    if len(found) != count:
        # The library passes over a block without an end.
        raise ConfigError(f"{what}: {count} PEM blocks CERTIFICATE begin and {len(found)} end; was the file cut?")
    return found


def _check_device(certificate: Certificate, public_key: PublicKey) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key != spki(public_key):
        raise ConfigError(
            f"{_named(certificate)}: is not for the device's key; put the device's certificate first, or make a new "
            "request (key request) if the key has changed"
        )
    constraints, usage = _constraints(certificate), _usage(certificate)
    if constraints is not None and constraints.ca:
        raise ConfigError(f"{_named(certificate)}: makes the device a CA; ask for an end-entity certificate")
    if usage is not None and not usage.digital_signature:
        raise ConfigError(f"{_named(certificate)}: its keyUsage has no digitalSignature; ask the CA to grant it")


def _check_issued(certificate: Certificate, issuer: Certificate, below: int) -> None:
    """*below* is the number of CAs between *issuer* and the device's certificate."""
    from cryptography.exceptions import InvalidSignature

    if certificate.issuer != issuer.subject:
        raise ConfigError(
            f"{_named(certificate)}: was issued by {_name(certificate.issuer.rfc4514_string())}, but "
            f"{_name(issuer.subject.rfc4514_string())} follows; order the chain from the device up, with none missing"
        )
    constraints, usage = _constraints(issuer), _usage(issuer)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise ConfigError(f"{_named(issuer)}: issued {_named(certificate)} but is no CA; ask for the CA's own chain")
    if constraints.path_length is not None and constraints.path_length < below:
        raise ConfigError(
            f"{_named(issuer)}: allows {constraints.path_length} CAs below itself and has {below}; "
            "ask for another chain"
        )
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        # The latter two: a key of another kind.
        raise ConfigError(
            f"{_named(certificate)}: its signature is not by the key of {_named(issuer)}, though the names fit; "
            "ask for the chain of the CA's present key"
        ) from error


def _check_root(found: Sequence[Certificate], roots: Sequence[Certificate]) -> None:
    last = found[-1]
    if last in roots:
        return
    fits = [root for root in roots if root.subject == last.issuer]
    if not fits:
        known = "; ".join(_name(root.subject.rfc4514_string()) for root in roots)
        raise ConfigError(
            f"{_named(last)}: ends the chain, but none of the roots issued it (roots: {known}); add what is missing"
        )
    *others, final = fits
    for root in others:
        # A CA that renewed its key has two roots of one name.
        with suppress(ConfigError):
            _check_issued(last, root, len(found) - 1)
            return
    _check_issued(last, final, len(found) - 1)


def _clock_warnings(found: Sequence[Certificate], now_s: int) -> Iterator[str]:
    for certificate in found:
        before, after = _seconds(certificate.not_valid_before_utc), _seconds(certificate.not_valid_after_utc)
        if now_s > after:
            raise ConfigError(
                f"{_named(certificate)}: expired at {rfc3339(after * 1000)}, and it is {rfc3339(now_s * 1000)}; "
                "ask for a new one (key request)"
            )
        if now_s < before:
            yield (
                f"{_named(certificate)}: is not valid before {rfc3339(before * 1000)}, and the clock says "
                f"{rfc3339(now_s * 1000)}; check the clock"
            )


def _end_warnings(found: Sequence[Certificate]) -> Iterator[str]:
    last = found[-1]
    if last.issuer == last.subject:
        _check_issued(last, last, max(0, len(found) - 2))
        return
    yield (
        f"{_named(last)}: ends the chain, and its issuer {_name(last.issuer.rfc4514_string())} is not here to "
        "check its signature; give the roots"
    )


def _constraints(certificate: Certificate) -> BasicConstraints | None:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value
    except ExtensionNotFound:
        return None


def _usage(certificate: Certificate) -> KeyUsage | None:
    from cryptography.x509 import ExtensionNotFound, KeyUsage

    try:
        return certificate.extensions.get_extension_for_class(KeyUsage).value
    except ExtensionNotFound:
        return None


def _named(certificate: Certificate) -> str:
    return f"certificate {_name(certificate.subject.rfc4514_string())}"


def _name(text: str) -> str:
    return printable(text)[:200] or "without a name"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
