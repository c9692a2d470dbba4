"""Signed notes and checkpoints: C2SP signed-note and tlog-checkpoint, byte for byte.

A note is UTF-8 without control characters other than newline, and ends with a newline::

    <text, ending with a newline>
    <empty line>
    — <key name> <base64 of key id (4 bytes) || signature>
    ...

The text includes its last newline but not the empty line; it may hold empty lines itself, so the note is split at the
last one. A signature line begins with U+2014 and a space. Each signature is over the text. A key is known by name and
key id together: lines of unknown keys are ignored, which is what lets keys be rotated and witnesses co-sign; a line
of a known key whose signature is wrong condemns the whole note.

A checkpoint is a note whose text is at least three lines, none of them empty: the origin (which log this is), the
size in decimal without leading zeros, and the base64 of the 32-byte root of the tree of that size. Further lines are
extensions, which we neither write nor interpret. The root of size 0 is SHA-256 of nothing. A genuine key can sign
another log, so a verifier pins the origin as well as the key; our key names are the origin.

Limits: 16 KiB a note, 64 signatures (C2SP asks for at least 16).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.tree import EMPTY_ROOT, HASH_SIZE, MAX_SIZE
from gateway.log.vkey import KEY_ID_SIZE, VerifierKey, decode_base64, did_key, is_key_name, pem
from gateway.signing import Purpose, Signer

__all__ = [
    "Checkpoint",
    "NoteSignature",
    "VerifierKey",
    "checkpoint_text",
    "decode_decimal",
    "did_key",
    "of_origin",
    "open_note",
    "parse_checkpoint",
    "pem",
    "sign_note",
    "split_note",
    "verify_checkpoint",
]

MAX_NOTE = 16_384
MAX_SIGNATURES = 64
MAX_ORIGIN = 255
_DASH = "\u2014 "
_MAX_DIGITS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line; nothing is verified yet."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a checkpoint says. Its signatures are verified only where verify_checkpoint() returned it."""

    origin: str
    size: int
    root: bytes
    #: The whole signed note, verbatim.
    note: bytes
    extensions: tuple[str, ...] = ()


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """The text to be signed. Raises ConfigError for an origin that cannot be a key name of at most 255 bytes."""
    if not is_key_name(origin) or len(origin.encode()) > MAX_ORIGIN:
        raise ConfigError(
            f"origin {origin[:80]!r}: take 1 to {MAX_ORIGIN} bytes without spaces or +, such as example.org/roof-7"
        )
    if not 0 <= size <= MAX_SIZE or len(root) != HASH_SIZE:
        raise ValueError(f"size {size} with a root of {len(root)} bytes is no tree")
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def sign_note(text: bytes, name: str, *signers: Signer, purpose: Purpose = Purpose.CHECKPOINT) -> bytes:
    """The note of *text* with one line per signer, all under *name*. Raises SignerError; blocks as long as they do."""
    note = text + b"\n"
    for signer in signers:
        key = VerifierKey.of(name, signer.public_key)
        blob = key.key_id + signer.sign(purpose, text)
        note += f"{_DASH}{name} {base64.b64encode(blob).decode()}\n".encode()
    # What we could not read back ourselves is not a note.
    if split_note(note)[0] != text:
        raise MalformedError("the text is no note text: it must end with a newline")
    return note


def split_note(note: bytes) -> tuple[bytes, tuple[NoteSignature, ...]]:
    """The text and the signature lines; nothing is verified. Raises MalformedError."""
    content = _content(note)
    text, blank, tail = content.rpartition("\n\n")
    if not blank or not text or not tail:
        raise MalformedError("note: there is no empty line with signatures after it")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"note: {len(lines)} signatures; the limit is {MAX_SIGNATURES}")
    return f"{text}\n".encode(), tuple(_signature(line) for line in lines)


def _content(note: bytes) -> str:
    if len(note) > MAX_NOTE:
        raise MalformedError(f"note of {len(note)} bytes: the limit is {MAX_NOTE}")
    try:
        content = note.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"note: byte {error.start} is not UTF-8") from error
    for position, char in enumerate(content):
        if char < " " and char != "\n":
            raise MalformedError(f"note: control character {ord(char):#04x} at character {position}")
    if not content.endswith("\n"):
        raise MalformedError("note: it does not end with a newline; was it cut?")
    return content


def _signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_key_name(name):
        raise MalformedError(f"note: {line[:80]!r} is no signature line")
    blob = decode_base64(encoded, f"signature of {name[:80]}")
    if len(blob) <= KEY_ID_SIZE:
        raise MalformedError(f"note: the signature of {name[:80]!r} is empty")
    return NoteSignature(name=name, key_id=blob[:KEY_ID_SIZE], signature=blob[KEY_ID_SIZE:])


def open_note(note: bytes, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Those of *keys* that signed the note, each once; maybe none. Lines of unknown keys are ignored.

    Raises MalformedError for what is no note, TamperError when a known key's signature is wrong.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed: dict[tuple[str, bytes], VerifierKey] = {}
    for line in signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not key.verify(text, line.signature):
            raise TamperError(f"the signature of {key.name} (key id {key.key_id.hex()}) does not fit the note's text")
        signed[line.name, line.key_id] = key
    return list(signed.values())


def parse_checkpoint(note: bytes) -> Checkpoint:
    """What the note says; no signature is verified. Raises MalformedError unless it is a checkpoint."""
    text, _ = split_note(note)
    lines = text.decode()[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise MalformedError("checkpoint: the text must be origin, size and root, one to a line, and no empty line")
    origin, size, root = lines[0], decode_decimal(lines[1], "checkpoint size"), decode_base64(lines[2], "root")
    if len(root) != HASH_SIZE:
        raise MalformedError(f"checkpoint: the root has {len(root)} bytes, not {HASH_SIZE}")
    if size == 0 and root != EMPTY_ROOT:
        raise MalformedError("checkpoint: the root of size 0 is not SHA-256 of nothing")
    return Checkpoint(origin=origin, size=size, root=root, note=note, extensions=tuple(lines[3:]))


def verify_checkpoint(
    note: bytes, *, origin: str, keys: Sequence[VerifierKey], quorum: int | None = None
) -> Checkpoint:
    """The checkpoint, signed by all *keys*, or by at least *quorum* of them, and of the log *origin*.

    Raises ConfigError when the request could prove nothing, MalformedError for what is no checkpoint, TamperError
    when it is of another log, a signature is wrong, or a required one is missing.
    """
    distinct = {(key.name, key.key_id) for key in keys}
    needed = len(distinct) if quorum is None else quorum
    if not 1 <= needed <= len(distinct):
        raise ConfigError(f"{needed} of {len(distinct)} verifier keys cannot be asked for; give at least one key")
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != origin:
        raise TamperError(f"the checkpoint is of the log {checkpoint.origin[:80]!r}, not of {origin!r}")
    signed = open_note(note, keys)
    if len(signed) < needed:
        missing = ", ".join(key.name + "+" + key.key_id.hex() for key in keys if key not in signed)
        raise TamperError(f"the checkpoint of size {checkpoint.size} is not signed by {missing}")
    return checkpoint


def of_origin(origin: str, key_name: str) -> bool:
    """Whether a log of this *origin* may be signed by a key of this name: the same, or an epoch of it."""
    head, _, number = origin.rpartition("/epoch-")
    return origin == key_name or (head == key_name and number.isdecimal())


def decode_decimal(text: str, what: str) -> int:
    """A whole number up to 2^63 in ASCII decimal without leading zeros. Raises MalformedError, naming *what*."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise MalformedError(f"{what}: {text[:80]!r} is not a whole number")
    if text[0] == "0" and text != "0":
        raise MalformedError(f"{what}: {text!r} has a leading zero")
    number = int(text)
    if number > MAX_SIZE:
        raise MalformedError(f"{what}: {text} is above 2^63")
    return number
