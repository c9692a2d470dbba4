"""What a mutant is, and the small operations that make one.

A mutant is the golden evidence with one thing changed. ``seen_by`` names the foreign checkers that can see the change;
all others are blind to it, each for a reason that its adapter in ``tests/foreign`` states. The gateway's own verifier
and ``docs/verify.py`` must see every mutant there is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

import cbor2

from tests.mutation.golden import golden

EXPORT, PROOF, EVIDENCE = "export", "proof", "evidence"
#: Evidence with field lines, and with rotation lines; the export of a pruned log. Only the gateway reads them.
DISCLOSURE, ROTATED, PRUNED = "disclosure", "rotated", "pruned"
#: The forms that are a directory.
DIRECTORIES = frozenset({EXPORT, PRUNED})
#: The foreign checkers; see ``tests/checkers.py``.
GO, AICS, OPENSSL, SIGNIFY, PYMERKLE, OTS = "go", "aics-tlog", "openssl", "signify", "pymerkle", "ots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Changed evidence; a proof and an evidence file are one file under the name of their form."""

    name: str
    form: str
    files: dict[str, bytes]
    seen_by: frozenset[str]
    #: A checkpoint that the verifier kept from elsewhere.
    known: bytes = field(default_factory=lambda: golden().old_note)
    #: The entry whose inclusion a checker looks at that does not read all of a log.
    entry: int = 0


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """One bit of one byte; *at* may count from the end."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """The first *old* as *new*; it must be there."""
    assert old in data
    return data.replace(old, new, 1)


def replaced_last(data: bytes, old: bytes, new: bytes) -> bytes:
    """The same from the end."""
    head, found, tail = data.rpartition(old)
    assert found
    return head + new + tail


def without(files: dict[str, bytes], path: str) -> dict[str, bytes]:
    """The export with one file less."""
    assert path in files
    return {name: data for name, data in files.items() if name != path}


def unused_bits(text: bytes) -> bytes:
    """Other base64 text for the same bytes: the last digit before the padding has bits that nobody reads."""
    digits = text.rstrip(b"=")
    assert 0 < len(text) - len(digits) <= 2
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = digits[:-1] + alphabet[alphabet.index(digits[-1:]) ^ 1 :][:1] + text[len(digits) :]
    assert base64.b64decode(changed) == base64.b64decode(text)
    assert changed != text
    return changed


_HEAD = ("version", "kind", "seq", "prev", "boot", "boot time", "wall clock", "clock quality", "clock error")


def byte_classes(entry: bytes) -> Iterator[tuple[str, int]]:
    """(what it says, offset) of one byte of each item of an entry, and of the heads of its arrays."""
    items = cbor2.loads(entry)
    yield "array head", 0
    yield from _last_bytes(_HEAD, items, 1)
    body = 1 + sum(len(cbor2.dumps(item)) for item in items[:9])
    yield "body head", body
    if items[1] == 2:
        definition, clock, points = items[9]
        yield "definition", body + len(cbor2.dumps(definition))
        first = body + 1 + len(cbor2.dumps(definition)) + len(cbor2.dumps(clock))
        yield "points head", first
        yield "point head", first + 1
        yield from _last_bytes(("status", "raw words", "mantissa", "exponent"), points[0], first + 2)
    yield "last byte", len(entry) - 1


def _last_bytes(names: tuple[str, ...], items: list[object], at: int) -> Iterator[tuple[str, int]]:
    for name, item in zip(names, items, strict=False):
        at += len(cbor2.dumps(item))
        yield name, at - 1
