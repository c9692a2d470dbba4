"""Ciphered APDUs of security suites 0 and 1 (IEC 62056-5-3, section 5): AES-128 in Galois/Counter mode.

Security header: one control byte (bits 0 to 3 suite, 4 authenticated, 5 encrypted, 6 broadcast key, 7 compressed) and
the invocation counter (4 bytes), which its sender never uses twice with one key.

- initialisation vector: system title of the sender (8 bytes), invocation counter;
- additional data: control byte and authentication key, and the text too where it is only authenticated;
- tag: the first 12 bytes of GCM's, behind the text.

A tag can be checked only with the authentication key. Many grid operators hand out the encryption key alone; then the
text is decrypted and ``authentic`` is False: it is as trustworthy as the line's checksum. Compressed text is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.dlms import axdr
from gateway.errors import ConfigError, MeterProtocolError

TAG_SIZE = 12
GENERAL_GLO, GENERAL_DED = 0xDB, 0xDC
AUTHENTICATED, ENCRYPTED, BROADCAST, COMPRESSED = 0x10, 0x20, 0x40, 0x80
#: An APDU's tag → that of its form ciphered with the global key; the dedicated key's is 8 more for get, set, action.
GLO = {0x01: 0x21, 0x08: 0x28, 0xC0: 0xC8, 0xC1: 0xC9, 0xC2: 0xCA, 0xC3: 0xCB, 0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF}
DED = {tag: glo + 8 for tag, glo in GLO.items() if tag >= 0xC0}


class Undeciphered(MeterProtocolError):  # noqa: N818  (named by what came)
    """A ciphered APDU that these keys do not open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys of one meter, 16 bytes each; empty where there is none."""

    #: Global unicast encryption key (GUEK).
    unicast: bytes = field(default=b"", repr=False)
    #: Authentication key (GAK).
    authentication: bytes = field(default=b"", repr=False)
    #: Global broadcast encryption key (GBEK).
    broadcast: bytes = field(default=b"", repr=False)
    #: Dedicated key of one association.
    dedicated: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A ciphered APDU, taken apart but not opened."""

    #: 8 bytes; empty where the APDU does not tell (glo- and ded- forms).
    title: bytes
    control: int
    counter: int
    text: bytes

    @property
    def tag(self) -> bytes:
        """The authentication tag; empty where it is not authenticated."""
        return self.text[-TAG_SIZE:] if self.control & AUTHENTICATED else b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What was in it."""

    apdu: bytes
    #: The tag was checked with the authentication key.
    authentic: bool


def parse_keys(text: str) -> Keys:
    """``KEY``, ``KEY:AK`` or ``KEY:AK:BROADCAST``, each 32 hexadecimal digits. Raises ConfigError, without the keys."""
    parts = text.split(":")
    try:
        values = [bytes.fromhex(part) for part in parts]
    except ValueError:
        raise ConfigError("the DLMS key is not hexadecimal; write it as KEY or KEY:AK, 32 digits each") from None
    if len(values) > 3 or any(len(value) not in (0, 16) for value in values) or (text and not values[0]):
        sizes = ", ".join(str(len(part)) for part in parts)
        raise ConfigError(f"the DLMS key has parts of {sizes} digits; write it as KEY or KEY:AK, 32 digits each")
    names = ("unicast", "authentication", "broadcast")
    return Keys(**dict(zip(names, values, strict=False)))


def parse_general(apdu: bytes) -> Sealed:
    """A general-glo- or general-ded-ciphering APDU. Raises axdr.Malformed."""
    size, start = axdr.read_length(apdu, 1)
    if size not in (0, 8):
        raise axdr.Malformed(f"offset 1: a system title of {size} bytes; it has 8")
    return _sealed(apdu, start + size, title=apdu[start : start + size])


def parse_specific(apdu: bytes) -> Sealed:
    """A glo- or ded- APDU, which leaves the system title to the association. Raises axdr.Malformed."""
    return _sealed(apdu, 1, title=b"")


def _sealed(apdu: bytes, at: int, title: bytes) -> Sealed:
    size, start = axdr.read_length(apdu, at)
    if start + size > len(apdu):
        raise axdr.CutShort(f"offset {at}: {size} ciphered bytes are announced, {len(apdu) - start} are there")
    if start + size != len(apdu):
        raise axdr.Malformed(f"offset {start + size}: bytes follow the ciphered ones")
    if size < 5:
        raise axdr.Malformed(f"offset {at}: {size} bytes hold no security header")
    counter = int.from_bytes(apdu[start + 1 : start + 5], "big")
    return Sealed(title=title, control=apdu[start], counter=counter, text=apdu[start + 5 :])


def build_general(sealed: Sealed, tag: int = GENERAL_GLO) -> bytes:
    """The inverse of ``parse_general``."""
    return bytes([tag]) + axdr.length(len(sealed.title)) + sealed.title + _body(sealed)


def build_specific(sealed: Sealed, tag: int) -> bytes:
    """The inverse of ``parse_specific``."""
    return bytes([tag]) + _body(sealed)


def _body(sealed: Sealed) -> bytes:
    body = bytes([sealed.control]) + sealed.counter.to_bytes(4, "big") + sealed.text
    return axdr.length(len(body)) + body


def seal(apdu: bytes, keys: Keys, title: bytes, counter: int, control: int) -> Sealed:
    """*apdu* ciphered as *control* says. Raises Undeciphered when a key for it is missing."""
    key = _key(control, keys, dedicated=False)
    if control & AUTHENTICATED and not keys.authentication:
        raise Undeciphered("the authentication key is missing")
    vector = title + counter.to_bytes(4, "big")
    extra = bytes([control]) + keys.authentication if control & AUTHENTICATED else b""
    if control & ENCRYPTED:
        text, tag = _encrypt(key, vector, extra, apdu)
    else:
        text, (_, tag) = apdu, _encrypt(key, vector, extra + apdu, b"")
    text += tag[:TAG_SIZE] if control & AUTHENTICATED else b""
    return Sealed(title=title, control=control, counter=counter, text=text)


def open_(sealed: Sealed, keys: Keys, title: bytes = b"", *, dedicated: bool = False) -> Opened:
    """What is in *sealed*; *title* is the sender's where the APDU does not tell. Raises Undeciphered."""
    title = sealed.title or title
    who = f"the APDU of system title {title.hex() or 'unknown'}, counter {sealed.counter},"
    if len(title) != 8:
        raise Undeciphered(f"{who} cannot be opened without a system title")
    if sealed.control & COMPRESSED:
        raise Undeciphered(f"{who} is compressed; that is not supported")
    if sealed.control & 0x0F > 1:
        raise Undeciphered(f"{who} uses security suite {sealed.control & 0x0F}; 0 and 1 are supported")
    key = _key(sealed.control, keys, dedicated=dedicated, who=who)
    vector = title + sealed.counter.to_bytes(4, "big")
    tag = sealed.tag
    if sealed.control & AUTHENTICATED and len(tag) != TAG_SIZE:
        raise Undeciphered(f"{who} ends before its authentication tag")
    text = sealed.text[: len(sealed.text) - len(tag)]
    if not tag or not keys.authentication:
        return Opened(apdu=_decrypt(key, vector, text) if sealed.control & ENCRYPTED else text, authentic=False)
    extra = bytes([sealed.control]) + keys.authentication
    if sealed.control & ENCRYPTED:
        plain = _check(key, vector, extra, text, tag)
    else:
        plain = text if _check(key, vector, extra + text, b"", tag) is not None else None
    if plain is None:
        raise Undeciphered(f"{who} is not authentic: a key is wrong, or the APDU was altered")
    return Opened(apdu=plain, authentic=True)


def _key(control: int, keys: Keys, *, dedicated: bool, who: str = "the APDU") -> bytes:
    name = "dedicated" if dedicated else "broadcast" if control & BROADCAST else "unicast"
    # Where one key is configured, it is the one for both.
    key: bytes = getattr(keys, name) or (keys.unicast if name == "broadcast" else b"")
    if not key:
        raise Undeciphered(f"{who} is ciphered with the {name} key, which is not configured")
    return key


def _encrypt(key: bytes, vector: bytes, extra: bytes, text: bytes) -> tuple[bytes, bytes]:
    # Late: a gateway whose meters do not cipher does not load OpenSSL's ciphers.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.GCM(vector)).encryptor()
    encryptor.authenticate_additional_data(extra)
    return encryptor.update(text) + encryptor.finalize(), encryptor.tag


def _check(key: bytes, vector: bytes, extra: bytes, text: bytes, tag: bytes) -> bytes | None:
    """The plain text; None where the tag is not its."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    decryptor = Cipher(algorithms.AES(key), modes.GCM(vector, tag, min_tag_length=TAG_SIZE)).decryptor()
    decryptor.authenticate_additional_data(extra)
    plain = decryptor.update(text)
    try:
        return plain + decryptor.finalize()
    except InvalidTag:
        return None


def _decrypt(key: bytes, vector: bytes, text: bytes) -> bytes:
    """GCM without its tag: counter mode, from 2 on (NIST SP 800-38D, section 7.1)."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(key), modes.CTR(vector + b"\x00\x00\x00\x02")).decryptor().update(text)
