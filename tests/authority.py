"""A CA made by openssl, and keys that ask it for certificates."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drivers.keys.checked import CheckedKey
from gateway.enrolment import Subject, request_pem
from gateway.errors import SignerError
from gateway.signing import Algorithm, KeyFacts, PublicKey, Purpose, ecdsa_key, raw_signature
from tests.parts import need

SUBJECT = Subject(serial="MG-0042/a", organization="Example Öl & Co", unit="Roofs", common_name="roof-7")
BOTH = pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ECDSA_P256], ids=["ed25519", "p256"])


def signer_of(algorithm: Algorithm, seed: int = 7, purpose: Purpose = Purpose.ENROLMENT) -> CheckedKey:
    """A key in memory behind the checks that every store shares."""

    def facts() -> KeyFacts:
        raise SignerError("a test's store tells nothing")

    if algorithm is Algorithm.ED25519:
        own = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        public = PublicKey(algorithm=algorithm, data=own.public_key().public_bytes_raw())
        return CheckedKey("memory:key", purpose, public, lambda message, _digest: own.sign(message), facts=facts)
    ec = derive_private_key(seed, SECP256R1() if algorithm is Algorithm.ECDSA_P256 else SECP256K1())
    public = ecdsa_key(algorithm, ec.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def sign(_message: bytes, digest: bytes) -> bytes:
        return raw_signature(ec.sign(digest, ECDSA(Prehashed(SHA256()))))

    return CheckedKey("memory:key", purpose, public, sign, facts=facts)


def openssl(folder: Path, *arguments: str) -> str:
    done = subprocess.run([need("openssl"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Authority:
    """A folder with CAs and what they issued: NAME.pem, NAME.key."""

    folder: Path

    def root(self, name: str, *, subject: str = "", constraints: str = "critical,CA:TRUE") -> None:
        openssl(
            self.folder,
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/O=Test/CN={subject or name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *(() if constraints.endswith("CA:TRUE") else ("-addext", f"basicConstraints={constraints}")),
        )

    def intermediate(self, name: str, issuer: str, extensions: str = "basicConstraints=critical,CA:TRUE") -> None:
        openssl(
            self.folder,
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
            *("-subj", f"/O=Test/CN={name}"),
        )
        self.issue(name, issuer, days=1000, extensions=extensions)

    def request(self, name: str, key: CheckedKey) -> None:
        (self.folder / f"{name}.csr").write_text(request_pem(key, SUBJECT))

    def issue(self, name: str, issuer: str, *, days: int = 365, extensions: str | None = None) -> None:
        """From NAME.csr, with the extensions that it asks for or with *extensions*."""
        options = ["-copy_extensions", "copy"]
        if extensions is not None:
            (self.folder / f"{name}.ext").write_text(extensions)
            options = ["-extfile", f"{name}.ext"]
        openssl(
            self.folder,
            *("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key"),
            *("-CAcreateserial", "-days", str(days), "-out", f"{name}.pem", *options),
        )

    def chain(self, *names: str) -> bytes:
        return b"".join((self.folder / f"{name}.pem").read_bytes() for name in names)


@cache
def authority(algorithm: Algorithm = Algorithm.ECDSA_P256) -> Authority:
    """device ← inner ← outer ← root, and others that go wrong."""
    found = Authority(Path(mkdtemp(prefix="authority-")))
    for name, subject in (("root", "root"), ("renewed", "root"), ("twin", "inner"), ("stranger", "stranger")):
        found.root(name, subject=subject)
    found.root("short", constraints="critical,CA:TRUE,pathlen:0")
    found.intermediate("outer", "root", "basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=keyCertSign")
    found.intermediate("inner", "outer")
    found.intermediate("below-short", "short")
    found.intermediate("no-ca", "root", "basicConstraints=CA:FALSE")
    found.intermediate("no-signer", "root", "basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign")
    found.intermediate("v1-like", "root", "subjectKeyIdentifier=hash")
    wanted: dict[str, tuple[str, str | None]] = {
        "device": ("inner", None),
        "by-root": ("root", None),
        "by-short": ("below-short", None),
        "by-no-ca": ("no-ca", None),
        "by-no-signer": ("no-signer", None),
        "by-v1-like": ("v1-like", None),
        "as-ca": ("inner", "basicConstraints=CA:TRUE"),
        "no-use": ("inner", "keyUsage=keyEncipherment"),
        "bare": ("inner", ""),
    }
    for name, (issuer, extensions) in wanted.items():
        found.request(name, signer_of(algorithm))
        found.issue(name, issuer, extensions=extensions)
    return found


def issued_s(name: str = "device") -> int:
    """When the certificate begins to be valid, Unix seconds."""
    certificate = x509.load_pem_x509_certificate(authority().chain(name))
    return int(certificate.not_valid_before_utc.timestamp())
