"""Encrypted P1 telegrams (Luxembourg, Austria): DLMS general-global-ciphering around the plain one.

Sources: Luxmetering, "E-Meter P1 specification" 1.1.3 (security layer); IEC 62056-5-3 (general-global-ciphering,
security suite 0); NIST SP 800-38D (GCM). Bytes of a frame, big-endian:

- ``DB 08``, system title (8); length of what follows, as in BER: one byte up to 127, ``81`` and one, or ``82`` and two;
- security control ``30`` (authenticated and encrypted), frame counter (4), ciphertext, tag (12).

AES-128-GCM with the global unicast encryption key; the nonce is system title and frame counter; the additional data
are ``30`` and the authentication key. Luxembourg's authentication key is the same for all meters, and public.

The tag proves that a holder of the key made the frame, and the counter in which order. A counter that does not rise
from one frame to the next is a replay, or a meter that was replaced: the telegram is told, with a remark. What is not
encrypted is none here, whatever it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.dsmr.telegram import PROTOCOL, parse_telegram
from drivers.iec62056.dataset import BLOCK_BYTES_MAX
from drivers.iec62056.stream import BROKEN_BYTES_MAX, Cut, Stream, broken, noise
from drivers.iec62056.values import WINTER_OFFSET_H
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError

#: Luxembourg's authentication key, printed in its specification.
LUXEMBOURG_AUTHENTICATION_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")

KEY_BYTES = 16
_AUTHENTICATED_AND_ENCRYPTED = 0x30
_TAG_BYTES = 12
_COUNTER_AT, _CIPHERTEXT_AT = 1, 5
_LENGTH_MIN = _CIPHERTEXT_AT + _TAG_BYTES + 1
_MARK = b"\xdb\x08"
_HEADER_BYTES_MAX = 13
_HEADER = re.compile(rb"\xdb\x08(.{8})(?:([\x00-\x7f])|\x81(.)|\x82(..))", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What opens the telegrams of one meter."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False, default=LUXEMBOURG_AUTHENTICATION_KEY)

    def __post_init__(self) -> None:
        if len(self.encryption) != KEY_BYTES or len(self.authentication) != KEY_BYTES:
            raise ConfigError("a P1 key has 16 bytes: write KEY or KEY:AUTHENTICATIONKEY, 32 hexadecimal digits each")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, still closed."""

    system_title: bytes
    counter: int
    control: int
    ciphertext: bytes
    tag: bytes


def parse_keys(text: str) -> Keys:
    """Keys from ``KEY`` or ``KEY:AUTHENTICATIONKEY`` in hexadecimal digits; the first alone goes with Luxembourg's.

    The second may also be the whole additional data, which is ``30`` and the key. Raises ConfigError, which never
    repeats a key.
    """
    first, colon, second = text.strip().partition(":")
    try:
        encryption, authentication = bytes.fromhex(first), bytes.fromhex(second)
    except ValueError as error:
        raise ConfigError("a P1 key is written in hexadecimal digits, as KEY or KEY:AUTHENTICATIONKEY") from error
    if not colon:
        return Keys(encryption=encryption)
    if len(authentication) == KEY_BYTES + 1 and authentication[0] == _AUTHENTICATED_AND_ENCRYPTED:
        authentication = authentication[1:]
    return Keys(encryption=encryption, authentication=authentication)


def open_frame(frame: Frame, keys: Keys) -> bytes | None:
    """The plain bytes of *frame*; None where the tag does not fit: another key, or damage."""
    nonce = frame.system_title + frame.counter.to_bytes(4, "big")
    mode = modes.GCM(nonce, frame.tag, min_tag_length=_TAG_BYTES)
    decryptor = Cipher(algorithms.AES(keys.encryption), mode).decryptor()
    decryptor.authenticate_additional_data(bytes([frame.control]) + keys.authentication)
    try:
        return decryptor.update(frame.ciphertext) + decryptor.finalize()
    except InvalidTag:
        return None


class EncryptedDsmrDecoder:
    """Decodes what a P1 port sends encrypted. *winter_offset_h* is that of ``drivers.dsmr.decoder``."""

    def __init__(self, keys: Keys, *, winter_offset_h: int = WINTER_OFFSET_H) -> None:
        self._keys = keys
        self._winter_offset_h = winter_offset_h
        self._counters: tuple[bytes, int] = (b"", -1)
        self._stream = Stream(self._cut)

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        """What is complete after *data* came; keeps the rest. Never raises, whatever the bytes."""
        return self._stream.feed(data)

    def end(self) -> list[Telegram | BrokenTelegram]:
        """The line went silent: what is left is broken, but for whole telegrams that a false start hid."""
        return self._stream.end()

    def _cut(self, data: bytes, final: bool) -> Cut | None:  # noqa: FBT001  (a call-back)
        start, certain = _start(data, 0)
        if start == 0 and certain:
            return self._frame_in_front(data, final=final)
        if not certain and not final:
            # What is there of a header may turn out to be none; as long as it may, nothing behind it counts.
            data = data[:start]
        return noise(
            PROTOCOL, data, start if certain else -1, final=final, sign=b"/", hint="they look unencrypted, see the key"
        )

    def _frame_in_front(self, data: bytes, *, final: bool) -> Cut | None:
        size = _size(data)
        if size > len(data):
            if not final:
                return None
            return broken(PROTOCOL, f"at {len(data)}: it is cut off", data[: _next(data, len(data))])
        frame = _frame(data[:size])
        plain = None if frame.control != _AUTHENTICATED_AND_ENCRYPTED else open_frame(frame, self._keys)
        if plain is None:
            return broken(PROTOCOL, _why(frame, self._keys), data[: _next(data, size)])
        return Cut(size=size, found=self._opened(frame, plain, data[:size]))

    def _opened(self, frame: Frame, plain: bytes, raw: bytes) -> Telegram | BrokenTelegram:
        title, last = self._counters
        self._counters = (frame.system_title, frame.counter)
        found = parse_telegram(plain.rstrip(b"\0"), winter_offset_h=self._winter_offset_h)
        if isinstance(found, BrokenTelegram):
            return replace(found, error=f"decrypted: {found.error}", raw=raw[:BROKEN_BYTES_MAX])
        remarks = found.remarks
        if title == frame.system_title and frame.counter <= last:
            remarks += (f"the frame counter {frame.counter} follows {last}: replayed, or the meter was replaced",)
        return replace(found, raw=raw, remarks=remarks)


def _start(data: bytes, at: int) -> tuple[int, bool]:
    """Where a frame begins, and whether all of its header is there; negative, where it cannot begin."""
    while (at := data.find(_MARK[:1], at)) >= 0:
        match = _HEADER.match(data, at)
        if match and _LENGTH_MIN <= _length(match) <= BLOCK_BYTES_MAX:
            return at, True
        if match is None and len(data) - at < _HEADER_BYTES_MAX and data[at : at + 2] in (_MARK[:1], _MARK):
            return at, False
        at += 1
    return -1, True


def _length(match: re.Match[bytes]) -> int:
    return int.from_bytes(match[2] or match[3] or match[4], "big")


def _size(data: bytes) -> int:
    """Bytes of the frame at the front, whose header is there."""
    match = _HEADER.match(data)
    assert match is not None, "a frame has a header"
    return match.end() + _length(match)


def _next(data: bytes, size: int) -> int:
    """How much to skip of a frame that is none: up to another start within it, since its length may be the damage."""
    inner, certain = _start(data[:size], 1)
    return inner if certain and inner > 0 else size


def _frame(raw: bytes) -> Frame:
    match = _HEADER.match(raw)
    assert match is not None, "a frame has a header"
    body = raw[match.end() :]
    return Frame(
        system_title=match[1],
        control=body[0],
        counter=int.from_bytes(body[_COUNTER_AT:_CIPHERTEXT_AT], "big"),
        ciphertext=body[_CIPHERTEXT_AT:-_TAG_BYTES],
        tag=body[-_TAG_BYTES:],
    )


def _why(frame: Frame, keys: Keys) -> str:
    if frame.control != _AUTHENTICATED_AND_ENCRYPTED:
        return f"its security control is {frame.control:02x}, and only 30 (authenticated and encrypted) is known"
    which = (
        "key" if keys.authentication != LUXEMBOURG_AUTHENTICATION_KEY else "key with Luxembourg's authentication key"
    )
    return (
        f"wrong key: the tag of frame {frame.counter} of system title {frame.system_title.hex()} does not fit the "
        f"{which}; correct it, unless the frame came damaged"
    )
