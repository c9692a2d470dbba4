"""``file:`` keys: an unencrypted PKCS#8 private key in a PEM file, Ed25519 or ECDSA P-256.

The URI is ``file:`` and a path: ``file:device-key.pem`` is relative to the base directory,
``file:/etc/keys/device.pem`` and ``file:///etc/keys/device.pem`` are absolute. Unlike in RFC 8089 the path is taken
as it stands, without percent-decoding, as everywhere else in the config. A new key is Ed25519 unless P-256 is asked
for, in a file of mode 0600 (RFC 7468, label PRIVATE KEY; RFC 8410 or RFC 5915 inside, version 1). The file must be a
regular one that only its owner can read.
Whoever can read the file can sign: such a key is for development and for boards without a key store.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.errors import ConfigError, SignerError
from gateway.signing import Algorithm, PublicKey, Purpose, Signer, may_sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

MAX_FILE = 16_384
_MODE = 0o600
_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
#: An Ed25519 PKCS#8 key without attributes, but for its last 32 bytes.
_ED25519_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")

#: Writes a new file of this mode, durably and never over another: FileExistsError.
Create = Callable[[Path, bytes, int], None]


def open_file_key(uri: str, base: Path, purpose: Purpose = Purpose.CHECKPOINT) -> Signer:
    """The key in the file that *uri* names, relative to *base*; it signs for *purpose* and nothing else.

    Raises ConfigError for a URI that names no file, SignerError for a file that is missing, unsafe or no key.
    """
    path = file_path(uri, base)
    return _load(uri, purpose, path, _read(path))


def create_file_key(
    uri: str,
    base: Path,
    create: Create,
    purpose: Purpose = Purpose.CHECKPOINT,
    algorithm: Algorithm = Algorithm.ED25519,
) -> Signer:
    """Makes a new key in the file that *uri* names, and opens it.

    Raises ConfigError for a URI that names no file, SignerError when the file exists or cannot be made.
    """
    path = file_path(uri, base)
    pem = _pem(_new_p256() if algorithm is Algorithm.ECDSA_P256 else _new_ed25519())
    try:
        create(path, pem, _MODE)
    except FileExistsError as error:
        raise SignerError(f"key file {path}: exists already and is never overwritten; name another file") from error
    except OSError as error:
        raise SignerError(f"key file {path}: cannot be made ({error.strerror}); check the directory") from error
    return open_file_key(uri, base, purpose)


def file_path(uri: str, base: Path) -> Path:
    """The file that *uri* names. Raises ConfigError for anything but a ``file:`` URI with a path."""
    scheme, colon, rest = uri.partition(":")
    if scheme != "file" or not colon:
        raise ConfigError(f"key {uri!r}: not a file: URI, such as file:device-key.pem")
    if rest.startswith("//"):
        if not rest.startswith("///"):
            raise ConfigError(f"key {uri!r}: names a host; write file:/absolute/path or file:relative/path")
        rest = rest[2:]
    if "\0" in rest or Path(rest).name in ("", ".."):
        raise ConfigError(f"key {uri!r}: names no file; write file:device-key.pem")
    return base / rest


class _Key:
    """What both algorithms share: purpose, and the check of each signature before it leaves."""

    def __init__(self, uri: str, purpose: Purpose, public_key: PublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._uri = uri
        self._purpose = purpose
        self._public_key = public_key
        self._sign: Callable[[bytes], bytes] | None = sign

    @property
    def uri(self) -> str:
        """The key's URI."""
        return self._uri

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public_key

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """See ``gateway.signing.Signer``."""
        if not may_sign(self._purpose, purpose):
            raise SignerError(f"key {self._uri}: is opened to sign a {self._purpose.value} only, not for {purpose}")
        if self._sign is None:
            raise SignerError(f"key {self._uri}: is closed")
        try:
            return self._sign(message)
        except InvalidSignature as error:
            raise SignerError(f"key {self._uri}: made a signature that does not verify; the hardware fails") from error

    def close(self) -> None:
        """Forgets the private key."""
        self._sign = None


def _read(path: Path) -> bytes:
    try:
        # O_NONBLOCK: a pipe in place of the file must not hang the gateway.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
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
    if error.errno == errno.ENOENT:
        return "does not exist; make it with key new"
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


def _load(uri: str, purpose: Purpose, path: Path, data: bytes) -> Signer:
    der = _pkcs8(path, data)
    if der.startswith(_ED25519_PKCS8) and len(der) == len(_ED25519_PKCS8) + 32:
        return _ed25519(uri, purpose, Ed25519PrivateKey.from_private_bytes(der[-32:]))
    # Imported late: the key formats' module costs 3 MB that the usual key does not need.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        key = load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SignerError(f"key file {path}: its content is no private key; restore it or make a new one") from error
    if isinstance(key, Ed25519PrivateKey):
        return _ed25519(uri, purpose, key)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return _p256(uri, purpose, key)
    raise SignerError(f"key file {path}: the key is neither Ed25519 nor ECDSA P-256; make one with key new")


def _pkcs8(path: Path, data: bytes) -> bytes:
    wanted = f"key file {path}: must be one PEM block PRIVATE KEY"
    if len(data) > MAX_FILE:
        raise SignerError(f"{wanted} of at most {MAX_FILE} bytes")
    lines = [line.strip() for line in data.decode("latin-1").strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise SignerError(f"{wanted}, unencrypted (openssl pkcs8 -topk8 -nocrypt makes it of other forms)")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError as error:
        raise SignerError(f"{wanted}, but its base64 is damaged; restore it or make a new key") from error


def _new_ed25519() -> bytes:
    return _ED25519_PKCS8 + Ed25519PrivateKey.generate().private_bytes_raw()


def _new_p256() -> bytes:
    # Imported late, with the key formats above.
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _pem(pkcs8: bytes) -> bytes:
    body = base64.b64encode(pkcs8).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def _ed25519(uri: str, purpose: Purpose, key: Ed25519PrivateKey) -> Signer:
    public = key.public_key()

    def sign(message: bytes) -> bytes:
        signature = key.sign(message)
        public.verify(signature, message)
        return signature

    return _Key(uri, purpose, PublicKey(algorithm=Algorithm.ED25519, data=public.public_bytes_raw()), sign)


def _p256(uri: str, purpose: Purpose, key: EllipticCurvePrivateKey) -> Signer:
    # Imported late, with the key formats above.
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public, scheme = key.public_key(), ECDSA(SHA256())

    def sign(message: bytes) -> bytes:
        signature = key.sign(message, scheme)
        public.verify(signature, message, scheme)
        return signature

    data = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _Key(uri, purpose, PublicKey(algorithm=Algorithm.ECDSA_P256, data=data), sign)
