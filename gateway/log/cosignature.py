r"""Cosignatures: what a witness says of a checkpoint, and when (C2SP tlog-cosignature).

A witness is a key that signs no log of its own: it says that, at this time, the checkpoint was the largest that it
had seen of that log, and that it extends all that it had seen before. Its line in the note looks like any other; the
bytes behind the key id are the time and the signature::

    time       8 bytes, big-endian: seconds since 1970, at most 2^63 - 1
    signature  64 bytes Ed25519, or 2,420 bytes ML-DSA-44

The witness's verifier key is ``NAME+KEYID+BASE64`` as in ``gateway.log.vkey``, the key id is the first four bytes of
``SHA-256(name || 0x0A || type || key)``:

====  =========  ===========  ======================================================================================
type  algorithm  key          signed bytes
====  =========  ===========  ======================================================================================
0x04  Ed25519    32 bytes     ``cosignature/v1``, a newline, ``time T`` in decimal, a newline, the note's whole text
0x06  ML-DSA-44  1,312 bytes  ``subtree/v1\n\0``, name, time, origin, start (0), end (size), root; integers 8 bytes
                              big-endian, name and origin with their length in one byte before them
====  =========  ===========  ======================================================================================

ML-DSA-44 is verified where the installed ``cryptography`` and its OpenSSL can. Where they cannot, a line of that type
counts as an unknown key's: it is ignored, and a quorum that needs it is not met. The note's limit of 16 KiB leaves room
for four such lines.

A line of a known witness whose signature is wrong condemns the note, as that of a log key does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from gateway.errors import MalformedError, TamperError
from gateway.log.note import Checkpoint, NoteSignature, parse_checkpoint, split_note
from gateway.log.tree import MAX_SIZE
from gateway.log.vkey import KEY_ID_SIZE, decode_base64, is_key_name
from gateway.signing import Algorithm, PublicKey, verify_signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

ED25519, ML_DSA_44 = 0x04, 0x06
MAX_VKEY = 4096
_KEY_SIZES = {ED25519: 32, ML_DSA_44: 1312}
_SIGNATURE_SIZES = {ED25519: 64, ML_DSA_44: 2420}
_TIME_SIZE = 8
_MAX_NAME = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessKey:
    """A witness's public key under the name that its lines carry; *kind* is the signature type."""

    name: str
    key_id: bytes
    kind: int
    data: bytes

    @classmethod
    def of(cls, name: str, kind: int, data: bytes) -> WitnessKey:
        """The key under *name*. Raises MalformedError for a name or a key that cannot be one."""
        if not is_key_name(name) or len(name.encode()) > _MAX_NAME:
            raise MalformedError(
                f"witness name {name[:80]!r}: take 1 to {_MAX_NAME} bytes without spaces or a plus sign"
            )
        if kind not in _KEY_SIZES:
            raise MalformedError(
                f"witness key of {name}: type {kind:#04x} is no cosignature; known: 0x04 Ed25519, 0x06 ML-DSA-44"
                + ("; 0x01 and 0x02 are keys of logs" if kind in (1, 2) else "")
            )
        if len(data) != _KEY_SIZES[kind]:
            raise MalformedError(f"witness key of {name}: it has {_KEY_SIZES[kind]} bytes, not {len(data)}")
        key_id = sha256(name.encode() + b"\n" + bytes([kind]) + data).digest()[:KEY_ID_SIZE]
        return cls(name=name, key_id=key_id, kind=kind, data=data)

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """The inverse of *text*. Raises MalformedError for anything else, a key id of another key included."""
        if len(text) > MAX_VKEY:
            raise MalformedError(f"witness key of {len(text)} characters: the limit is {MAX_VKEY}")
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise MalformedError(f"witness key {text[:80]!r}: it must read NAME+KEYID+BASE64")
        material = decode_base64(parts[2], "witness key")
        key = cls.of(parts[0], material[0] if material else 0, material[1:])
        if key.key_id.hex() != parts[1]:
            raise MalformedError(f"witness key {text[:80]!r}: its key id is {key.key_id.hex()}; was it cut?")
        return key

    @property
    def text(self) -> str:
        """``NAME+KEYID+BASE64``."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.data).decode()}"

    @property
    def verifiable(self) -> bool:
        """Whether the installed library can check this kind of signature."""
        return self.kind == ED25519 or _ml_dsa() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A verified statement: *key* had seen no larger checkpoint of this log at *time_s*, seconds since 1970."""

    key: WitnessKey
    time_s: int


def cosigned_message(text: bytes, time_s: int) -> bytes:
    """The bytes that an Ed25519 witness signs for the note *text*."""
    return f"cosignature/v1\ntime {time_s}\n".encode() + text


def cosignature_line(key: WitnessKey, time_s: int, signature: bytes) -> bytes:
    """The witness's line of a note, newline included."""
    blob = key.key_id + time_s.to_bytes(_TIME_SIZE, "big") + signature
    return f"\u2014 {key.name} {base64.b64encode(blob).decode()}\n".encode()


def cosignatures(note: bytes, keys: Iterable[WitnessKey]) -> list[Cosignature]:
    """What those of *keys* said of the checkpoint *note*, each once: the latest time. Lines of others are ignored.

    Raises MalformedError for what is no checkpoint, TamperError when a known witness's line is wrong.
    """
    checkpoint = parse_checkpoint(note)
    text, lines = split_note(note)
    known = {(key.name, key.key_id): key for key in keys if key.verifiable}
    found: dict[tuple[str, bytes], Cosignature] = {}
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        time_s = _verified_time(key, checkpoint, text, line)
        before = found.get((key.name, key.key_id))
        if before is None or time_s > before.time_s:
            found[key.name, key.key_id] = Cosignature(key=key, time_s=time_s)
    return list(found.values())


def _verified_time(key: WitnessKey, checkpoint: Checkpoint, text: bytes, line: NoteSignature) -> int:
    time_s, signature = int.from_bytes(line.signature[:_TIME_SIZE], "big"), line.signature[_TIME_SIZE:]
    check = _verify_ed25519 if key.kind == ED25519 else _verify_ml_dsa
    if time_s >= MAX_SIZE or not check(key, checkpoint, text, time_s, signature):
        raise TamperError(
            f"the cosignature of {key.name} (key id {key.key_id.hex()}) does not fit the checkpoint "
            f"of size {checkpoint.size}"
        )
    return time_s


def _verify_ed25519(key: WitnessKey, _checkpoint: Checkpoint, text: bytes, time_s: int, signature: bytes) -> bool:
    public_key = PublicKey(algorithm=Algorithm.ED25519, data=key.data)
    return verify_signature(public_key, cosigned_message(text, time_s), signature)


def _verify_ml_dsa(key: WitnessKey, checkpoint: Checkpoint, _text: bytes, time_s: int, signature: bytes) -> bool:
    # Imported late, as in gateway.log.vkey.
    from cryptography.exceptions import InvalidSignature

    public_key, origin = _ml_dsa(), checkpoint.origin.encode()
    if public_key is None or len(origin) > _MAX_NAME:
        return False
    try:
        public_key.from_public_bytes(key.data).verify(signature, subtree_message(key, checkpoint, time_s))
    except (InvalidSignature, ValueError):
        return False
    return True


def subtree_message(key: WitnessKey, checkpoint: Checkpoint, time_s: int) -> bytes:
    """The bytes that an ML-DSA-44 witness signs for *checkpoint*."""
    name, origin = key.name.encode(), checkpoint.origin.encode()
    parts = [b"subtree/v1\n\0", bytes([len(name)]), name, time_s.to_bytes(8, "big"), bytes([len(origin)]), origin]
    return b"".join([*parts, bytes(8), checkpoint.size.to_bytes(8, "big"), checkpoint.root])


def _ml_dsa() -> type[MLDSA44PublicKey] | None:
    """The library's class of ML-DSA-44 public keys; None where it, or its OpenSSL, has none."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

        MLDSA44PublicKey.from_public_bytes(bytes(_KEY_SIZES[ML_DSA_44]))
    except (ImportError, UnsupportedAlgorithm):
        return None
    return MLDSA44PublicKey


def parse_lines(data: bytes) -> tuple[NoteSignature, ...]:
    """Signature lines by themselves, as a witness answers with. Raises MalformedError."""
    return split_note(b"any\n\n" + data)[1]


def join(note: bytes, lines: Iterable[NoteSignature]) -> bytes:
    """*note* with *lines* added; a line replaces an earlier one of the same key. Raises MalformedError."""
    text, present = split_note(note)
    new = {(line.name, line.key_id): line for line in lines}
    kept = [new.pop((line.name, line.key_id), line) for line in present]
    return assemble(text, [*kept, *new.values()])


def assemble(text: bytes, lines: Iterable[NoteSignature]) -> bytes:
    """The note of *text* and *lines*. Raises MalformedError when that is none: too long, or without a line."""
    note = text + b"\n" + b"".join(map(_line, lines))
    split_note(note)
    return note


def carry(note: bytes, older: bytes | None) -> bytes:
    """*note* with those lines of *older* that it lacks, if both have the same text; else *note* itself."""
    if older is None or older == note:
        return note
    (text, lines), (text_before, lines_before) = split_note(note), split_note(older)
    present = {(line.name, line.key_id) for line in lines}
    missing = [line for line in lines_before if (line.name, line.key_id) not in present]
    return join(note, missing) if text == text_before and missing else note


def signers_of(note: bytes, keys: Sequence[WitnessKey]) -> list[WitnessKey]:
    """Those of *keys* that have a line in *note*; nothing is verified. Raises MalformedError."""
    # Most checkpoints of a log have no such line: they are not taken apart for it.
    if not any(f"\n\u2014 {key.name} ".encode() in note for key in keys):
        return []
    present = {(line.name, line.key_id) for line in split_note(note)[1]}
    return [key for key in keys if (key.name, key.key_id) in present]


def is_cosigned(note: bytes) -> bool:
    """Whether *note* has a line that looks like a witness's, whoever it may be; nothing is verified."""
    sizes = {_TIME_SIZE + _SIGNATURE_SIZES[kind] for kind in _KEY_SIZES}
    # An ECDSA signature of the same length begins with 0x30, a time with zero for the next two thousand million years.
    return any(len(line.signature) in sizes and not line.signature[0] for line in split_note(note)[1])


def _line(line: NoteSignature) -> bytes:
    return f"\u2014 {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n".encode()
