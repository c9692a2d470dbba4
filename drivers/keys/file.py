"""``file:`` keys: a PKCS#8 private key in a PEM file: Ed25519, ECDSA P-256 or secp256k1.

The URI is ``file:`` and a path: ``file:device-key.pem`` is relative to the base directory,
``file:/etc/keys/device.pem`` and ``file:///etc/keys/device.pem`` are absolute. Unlike in RFC 8089 the path is taken
as it stands, without percent-decoding, as everywhere else in the config. ``?passphrase-source=SOURCE`` behind it says
where the passphrase of an encrypted key comes from: ``credential:NAME`` or ``file:PATH``.
A new key is Ed25519 unless another algorithm is asked for, in a file of mode 0600 (RFC 7468, label PRIVATE KEY, with
RFC 8410 or RFC 5915 inside, version 1; with a passphrase ENCRYPTED PRIVATE KEY, RFC 8018). Before the block stands the
line ``Purpose: checkpoint``, say, which is what the key was made for; a file without it was made by something else.
The file must be a regular one that only its owner can read.
Whoever can read the file can sign: such a key is for development and for boards without a key store.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drivers.keys.checked import CheckedKey, PrivateOperation, default_algorithm, require_fit
from gateway.errors import ConfigError, KeyAbsent, SignerError
from gateway.signing import (
    Algorithm,
    KeyFacts,
    KeyRequest,
    PublicKey,
    Purpose,
    raw_signature,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

MAX_FILE = 16_384
ALGORITHMS = (Algorithm.ED25519, Algorithm.ECDSA_P256, Algorithm.ECDSA_SECP256K1)
_MODE = 0o600
_LABEL, _ENCRYPTED = "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"
_MADE_FOR = "Purpose: "
_SOURCE = "?passphrase-source="
#: An Ed25519 PKCS#8 key without attributes, but for its last 32 bytes.
_ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")

#: Writes a new file of this mode, durably and never over another: FileExistsError.
Create = Callable[[Path, bytes, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a key file holds."""

    made_for: Purpose | None
    encrypted: bool
    pkcs8: bytes


def open_file_key(wanted: KeyRequest) -> CheckedKey:
    """The key in the file that the URI names; it signs for the request's purpose and nothing else.

    Raises ConfigError for a URI that names no file, SignerError for a file that is missing, unsafe or no key.
    """
    path, source = _place(wanted)
    found = _parse(path, _read(path))
    pkcs8 = found.pkcs8
    if found.encrypted:
        if not source:
            raise SignerError(f"key file {path}: is encrypted; say where its passphrase is: file:…{_SOURCE}SOURCE")
        pkcs8 = _decrypt(path, pkcs8, wanted.secret(source))
    elif source:
        raise SignerError(f"key file {path}: is not encrypted, but {source} should open it; make it again with key new")
    public_key, sign = _load(path, pkcs8)
    require_fit(wanted.uri, wanted.purpose, public_key.algorithm, found.made_for)
    return CheckedKey(wanted.uri, wanted.purpose, public_key, sign, facts=partial(_facts, path, found))


def create_file_key(wanted: KeyRequest, create: Create) -> CheckedKey:
    """Makes a new key in the file that the URI names, and opens it.

    Raises ConfigError for a URI that names no file, SignerError when the file exists or cannot be made.
    """
    path, source = _place(wanted)
    algorithm = wanted.algorithm or default_algorithm(wanted.purpose, ALGORITHMS)
    require_fit(wanted.uri, wanted.purpose, algorithm)
    pkcs8 = _new_ed25519() if algorithm is Algorithm.ED25519 else _new_ecdsa(algorithm)
    pem = _pem(pkcs8, _LABEL) if not source else _encrypt(pkcs8, wanted.secret(source))
    try:
        create(path, f"{_MADE_FOR}{wanted.purpose.value}\n".encode() + pem, _MODE)
    except FileExistsError as error:
        raise SignerError(f"key file {path}: exists already and is never overwritten; name another file") from error
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be made ({error.strerror}); check the directory") from error
    return open_file_key(wanted)


def file_path(uri: str, base: Path) -> Path:
    """The file that *uri* names. Raises ConfigError for anything but a ``file:`` URI with a path."""
    scheme, colon, rest = uri.partition(_SOURCE)[0].partition(":")
    if scheme != "file" or not colon:
        raise ConfigError(f"key {uri!r}: not a file: URI, such as file:device-key.pem")
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise ConfigError(f"key {uri!r}: names a host; write file:/absolute/path or file:relative/path")
        rest = rest[2:]
    if "\0" in rest or Path(rest).name in ("", ".."):
        raise ConfigError(f"key {uri!r}: names no file; write file:device-key.pem")
    return base / rest


def _place(wanted: KeyRequest) -> tuple[Path, str]:
    return file_path(wanted.uri, wanted.base), wanted.uri.partition(_SOURCE)[2]


def _facts(path: Path, found: _Found) -> KeyFacts:
    kept = "a passphrase protects it" if found.encrypted else "nothing but the file's mode protects it"
    return KeyFacts(
        store=f"file {path}",
        algorithms=ALGORITHMS,
        exportable=True,
        evidence=(f"whoever can read the file can copy the key; {kept}",),
        made_for=found.made_for,
    )


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: a pipe in place of the file must not hang the gateway.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise KeyAbsent(f"key file {path}: does not exist; make it with key new") from error
    except OSError as error:
        raise SignerError(f"key file {path}: {_fault(error)}") from error
    try:
        _require_private(path, os.fstat(fd).st_mode)
        return os.read(fd, MAX_FILE + 1)
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)


def _fault(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a symbolic link; name the file itself"
    return f"cannot be opened ({error.strerror}); check its owner and mode"


def _require_private(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise SignerError(f"key file {path}: is not a regular file")
    if mode & 0o077:
        raise SignerError(
            f"key file {path}: others may use it (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path} "
            "and think about making a new key"
        )


def _parse(path: Path, data: bytes) -> _Found:
    wanted = f"key file {path}: must be one PEM block PRIVATE KEY"
    if len(data) > MAX_FILE:
        raise SignerError(f"{wanted} of at most {MAX_FILE} bytes")
    lines = [line.strip() for line in data.decode("latin-1").strip().splitlines()]
    made_for = None
    if lines and lines[0].startswith(_MADE_FOR):
        made_for = _purpose(path, lines.pop(0).removeprefix(_MADE_FOR))
    label = next((label for label in (_LABEL, _ENCRYPTED) if lines[:1] == [f"-----BEGIN {label}-----"]), None)
    if label is None or len(lines) < 3 or lines[-1] != f"-----END {label}-----":
        raise SignerError(f"{wanted} (openssl pkcs8 -topk8 makes it of other forms)")
    try:
        pkcs8 = base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise SignerError(f"{wanted}, but its base64 is damaged; restore it or make a new key") from error
    return _Found(made_for=made_for, encrypted=label == _ENCRYPTED, pkcs8=pkcs8)


def _purpose(path: Path, text: str) -> Purpose:
    try:
        return Purpose(text)
    except ValueError as error:
        known = ", ".join(purpose.value for purpose in Purpose)
        raise SignerError(f"key file {path}: was made for {text[:40]!r}, which is none of {known}") from error


def _load(path: Path, der: bytes) -> tuple[PublicKey, PrivateOperation]:
    if der.startswith(_ED25519_PKCS8) and len(der) == len(_ED25519_PKCS8) + 32:
        return _ed25519(Ed25519PrivateKey.from_private_bytes(der[-32:]))
    # Imported late: the key formats' module costs 3 MB that the usual key does not need.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignerError(f"key file {path}: its content is no private key; restore it or make a new one") from error
    if isinstance(key, Ed25519PrivateKey):
        return _ed25519(key)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return _ecdsa(Algorithm.ECDSA_P256, key)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256K1):
        return _ecdsa(Algorithm.ECDSA_SECP256K1, key)
    raise SignerError(f"key file {path}: the key is neither Ed25519 nor ECDSA P-256 or secp256k1; make one")


def _decrypt(path: Path, der: bytes, passphrase: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    try:
        key = load_der_private_key(der, passphrase)
    except (ValueError, TypeError) as error:
        raise SignerError(f"key file {path}: the passphrase does not open it; correct its source") from error
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _encrypt(pkcs8: bytes, passphrase: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_der_private_key,
    )

    if not passphrase:
        raise SignerError("a passphrase of no characters protects nothing; put one into its source")
    key = load_der_private_key(pkcs8, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def _new_ed25519() -> bytes:
    return _ED25519_PKCS8 + Ed25519PrivateKey.generate().private_bytes_raw()


def _new_ecdsa(algorithm: Algorithm) -> bytes:
    # Imported late, with the key formats above.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    curve = SECP256R1() if algorithm is Algorithm.ECDSA_P256 else SECP256K1()
    return generate_private_key(curve).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _pem(pkcs8: bytes, label: str) -> bytes:
    body = base64.b64encode(pkcs8).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _ed25519(key: Ed25519PrivateKey) -> tuple[PublicKey, PrivateOperation]:
    public = PublicKey(algorithm=Algorithm.ED25519, data=key.public_key().public_bytes_raw())
    return public, lambda message, _digest: key.sign(message)


def _ecdsa(algorithm: Algorithm, key: EllipticCurvePrivateKey) -> tuple[PublicKey, PrivateOperation]:
    # Imported late, with the key formats above.
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    scheme = ECDSA(Prehashed(SHA256()))
    data = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(algorithm=algorithm, data=data), lambda _message, digest: raw_signature(key.sign(digest, scheme))
