"""Recognises the bytes of a plain reading entry without decoding them: what most of a log consists of.

``gateway.log.entry`` owns the format and decides what is an entry. This module knows its deterministic encoding (RFC
8949 section 4.2.1) as a regular expression, for those readings whose points have at most 16 raw bytes each: what it
recognises, ``parse`` accepts, and what it does not recognise must be given to ``parse``. It lets a check of a whole log
take half the time.
"""

from __future__ import annotations

import re
from functools import cache

from gateway.log.kinds import Kind

#: Integers in their shortest form, of at most 63 bits.
_POSITIVE = (
    rb"(?:[\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)....|\x1b(?!\x00\x00\x00\x00)[\x00-\x7f].......)"
)
_NEGATIVE = (
    rb"(?:[\x20-\x37]|\x38[\x18-\xff]|\x39(?!\x00)..|\x3a(?!\x00\x00)....|\x3b(?!\x00\x00\x00\x00)[\x00-\x7f].......)"
)
_INTEGER = rb"(?:" + _POSITIVE + rb"|" + _NEGATIVE + rb")"
#: Byte strings of up to 16 bytes.
_RAW = rb"(?:" + rb"|".join(b"\\x%02x.{%d}" % (0x40 + length, length) for length in range(17)) + rb")"
#: Statuses with a value, exponents from -64 to 64; statuses without one.
_POINT = (
    rb"(?:\x84[\x00-\x03]" + _RAW + _INTEGER + rb"(?:[\x20-\x37]|[\x00-\x17]|\x38[\x18-\x3f]|\x18[\x18-\x40])"
    rb"|\x82[\x10-\x15]" + _RAW + rb")"
)
#: Boot, boot time, wall clock, quality, error bound; definition, the meter's own clock, and how many points.
_HEAD = re.compile(
    _POSITIVE + _POSITIVE + _INTEGER + rb"\x61[UISR](?:\x20|" + _POSITIVE + rb")\x83" + _POSITIVE
    + rb"(?:\x80|\x81" + _INTEGER + rb")([\x80-\x97])",
    re.DOTALL,
)  # fmt: skip
_BEGIN = bytes([0x8A, 1, Kind.READING])
_PREV = b"\x58\x20"


@cache
def _points(count: int) -> re.Pattern[bytes]:
    """That many points and nothing behind; there are 24 such expressions at most."""
    return re.compile(_POINT + b"{%d}" % count, re.DOTALL)


def is_plain_reading(data: bytes, seq: int, prev: bytes) -> bool:
    """Whether these bytes are surely a reading entry *seq* behind that of leaf hash *prev*; False says nothing."""
    if not 1 << 8 <= seq < 1 << 32:
        return False
    head = b"\x1a" + seq.to_bytes(4, "big") if seq >> 16 else b"\x19" + seq.to_bytes(2, "big")
    begin = _BEGIN + head + _PREV + prev
    if not data.startswith(begin) or (match := _HEAD.match(data, len(begin))) is None:
        return False
    return _points(data[match.end() - 1] & 0x1F).fullmatch(data, match.end()) is not None
