"""Sealed configs: text that one key store opens, so that a copy of the card tells nobody what stands in it.

A sealed config is text: two readable lines, an empty one, and base64 (RFC 4648 section 4) in lines of 76 characters, of
which only the last may be shorter. Every line ends with a newline::

    meter-gateway-sealed-config/v1
    vault: pkcs11:token=meter;object=config?pin-source=credential:token-pin

    AFltZ3ZhdWx0MeZ0Fq…

``vault`` is the URI of the key store that opens it, printable ASCII without spaces and without secrets. The base64
holds::

    size        2 bytes, big-endian: the bytes of the next field, 1 to 4,096
    sealed key  the data key, 32 random bytes, as the vault sealed it (``gateway.signing.Vault``)
    nonce       12 bytes, random
    text        AES-256-GCM (NIST SP 800-38D) under the data key, with the tag of 16 bytes behind it

The additional data of the cipher is all that stands before *text*: the lines up to and including the empty one, and the
three fields. There is one encoding of each sealed config; anything else is refused.

What this does: nobody reads the text without the vault, and no part of a file passes with part of another one. What it
does not: whoever can use the vault can open the file, and seal another text. A config is believed because nobody but
root can write it, sealed or not.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing import Vault

#: How every version begins; no YAML config does.
MARK = b"meter-gateway-sealed-config/"
_FIRST, _VAULT = MARK + b"v1\n", b"vault: "
_URI = re.compile(rb"[!-~]{1,1000}")
_LINE = 76
SEALED_KEY_MAX = 4096
_KEY, _NONCE, _TAG = 32, 12, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A sealed config, unopened."""

    #: The URI of the vault that opens it.
    vault: str
    #: The data key, as the vault sealed it.
    sealed_key: bytes
    nonce: bytes
    #: The encrypted text and its tag.
    text: bytes

    @property
    def bound(self) -> bytes:
        """The cipher's additional data: all that stands before the text."""
        return self.head + self._fields

    @property
    def head(self) -> bytes:
        """The readable lines."""
        return _FIRST + _VAULT + self.vault.encode("ascii") + b"\n\n"

    @property
    def body(self) -> bytes:
        """What the base64 holds."""
        return self._fields + self.text

    @property
    def _fields(self) -> bytes:
        return len(self.sealed_key).to_bytes(2, "big") + self.sealed_key + self.nonce


def is_sealed(data: bytes) -> bool:
    """Whether *data* is meant to be a sealed config, of whatever version."""
    return data.startswith(MARK)


def encode(sealed: Sealed) -> bytes:
    """The file."""
    text = base64.b64encode(sealed.body)
    return sealed.head + b"".join(text[at : at + _LINE] + b"\n" for at in range(0, len(text), _LINE))


def decode(data: bytes) -> Sealed:
    """The exact inverse of ``encode``. Raises MalformedError for everything that it does not make."""
    if not data.startswith(_FIRST):
        raise MalformedError(f"is no {_FIRST[:-1].decode()}; a newer release may have made it")
    head, found, rest = data[len(_FIRST) :].partition(b"\n\n")
    uri = head.removeprefix(_VAULT)
    if not found or uri == head or not _URI.fullmatch(uri):
        raise MalformedError("its second line names no vault")
    try:
        body = base64.b64decode(rest.replace(b"\n", b""), validate=True)
    except ValueError as error:
        raise MalformedError("its base64 is damaged") from error
    size = int.from_bytes(body[:2], "big")
    at = 2 + size
    if not 1 <= size <= SEALED_KEY_MAX or len(body) < at + _NONCE + _TAG:
        raise MalformedError("it is cut off, or damaged")
    sealed = Sealed(
        vault=uri.decode("ascii"), sealed_key=body[2:at], nonce=body[at : at + _NONCE], text=body[at + _NONCE :]
    )
    if encode(sealed) != data:
        raise MalformedError("its base64 is not written as it must be")
    return sealed


def seal(text: bytes, uri: str, vault: Vault, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """*text* as a file that only *vault*, which *uri* names, opens. Raises SignerError, ConfigError."""
    # Imported late, as below: only a gateway with a sealed config needs it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not _URI.fullmatch(uri.encode()):
        raise ConfigError("the vault's URI must be up to 1,000 printable ASCII characters; percent-encode the others")
    key = random(_KEY)
    sealed_key = vault.seal(key)
    if not 1 <= len(sealed_key) <= SEALED_KEY_MAX:
        raise SignerError(f"vault {uri}: made a blob of {len(sealed_key)} bytes; at most {SEALED_KEY_MAX} are kept")
    empty = Sealed(vault=uri, sealed_key=sealed_key, nonce=random(_NONCE), text=b"")
    encrypted = AESGCM(key).encrypt(empty.nonce, text, empty.bound)
    return encode(Sealed(vault=uri, sealed_key=sealed_key, nonce=empty.nonce, text=encrypted))


def unseal(sealed: Sealed, vault: Vault) -> bytes:
    """The text. Raises SignerError when the vault does not open it, MalformedError when it was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = vault.unseal(sealed.sealed_key)
    if len(key) != _KEY:
        raise MalformedError("its key is the key of something else")
    try:
        return AESGCM(key).decrypt(sealed.nonce, sealed.text, sealed.bound)
    except InvalidTag as error:
        raise MalformedError("it was changed after it was sealed, or is damaged") from error
