"""A proof of one entry in one text file: C2SP tlog-proof, version 1.

::

    c2sp.org/tlog-proof@v1
    extra <base64 of the entry's own bytes>
    index <seq of the entry, decimal without leading zeros>
    <base64 of a 32-byte hash>                     the leaf's sibling first; no line at all at size 1
    ...
    <empty line>
    <the signed checkpoint, verbatim>

Lines end with a newline. C2SP makes the ``extra`` line optional and opaque; ours holds the entry, so that the file is
all that a verifier needs besides the public key. The line itself proves nothing: nobody signed it. The verifier
hashes its bytes (``SHA-256(0x00 || entry)``), follows the hashes to a root (RFC 9162 section 2.1.3.2), and believes
the entry only if that is the root in the checkpoint, and the checkpoint is signed by the keys that the verifier
brought along. A proof is at most 128 KiB.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import MalformedError, TamperError
from gateway.log.key_history import successors
from gateway.log.note import Checkpoint, decode_decimal, of_origin, open_note, parse_checkpoint, verify_checkpoint
from gateway.log.tree import leaf_hash, verify_inclusion
from gateway.log.vkey import VerifierKey, decode_base64, decode_hash

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF = 131_072
MAX_HASHES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The parts of a proof; nothing is verified yet."""

    index: int
    #: What should be the entry's bytes; None where the file has no extra line.
    extra: bytes | None
    hashes: tuple[bytes, ...]
    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofResult:
    """What a proof proved: these bytes are entry *index* of the log that *checkpoint* is of."""

    entry: bytes
    index: int
    checkpoint: Checkpoint
    #: The keys that signed, of those that the verifier brought along.
    signed_by: tuple[VerifierKey, ...]


def write_proof(index: int, entry: bytes, hashes: Sequence[bytes], note: bytes) -> bytes:
    """The file that proves *entry* under the checkpoint *note*; see inclusion_proof() for the hashes."""
    lines = [HEADER, f"extra {_text(entry)}", f"index {index}", *map(_text, hashes), "", ""]
    return "\n".join(lines).encode() + note


def parse_proof(data: bytes) -> Proof:
    """The parts of a proof file. Raises MalformedError for everything that is none; the note is not looked at."""
    if len(data) > MAX_PROOF:
        raise MalformedError(f"proof of {len(data)} bytes: the limit is {MAX_PROOF}")
    head, blank, note = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"proof: byte {error.start} is not ASCII") from error
    if lines.pop(0) != HEADER or not blank:
        raise MalformedError(
            f"proof: it must begin with the line {HEADER} and hold an empty line before the checkpoint"
        )
    extra = decode_base64(lines.pop(0)[6:], "proof, extra line") if lines and lines[0].startswith("extra ") else None
    if not lines or not lines[0].startswith("index "):
        raise MalformedError("proof: there is no index line where it belongs")
    index = decode_decimal(lines.pop(0)[6:], "proof, index line")
    if len(lines) > MAX_HASHES:
        raise MalformedError(f"proof: {len(lines)} hashes; no tree needs more than {MAX_HASHES}")
    return Proof(
        index=index, extra=extra, hashes=tuple(decode_hash(line, "proof, hash line") for line in lines), note=note
    )


def verify_proof(
    data: bytes,
    keys: Sequence[VerifierKey],
    origin: str | None = None,
    *,
    quorum: int | None = None,
    statements: Sequence[bytes] = (),
) -> ProofResult:
    """The entry that *data* proves, under a checkpoint signed by all *keys* or by *quorum* of them.

    *statements* are key statements: where they say so, a key's successor or predecessor must have signed. Without
    *origin*, a key that signed must be named for the log, as the gateway's own key is. Raises MalformedError for what
    is no proof, TamperError for one that proves nothing, ConfigError without keys.
    """
    proof = parse_proof(data)
    if proof.extra is None:
        raise MalformedError("proof: it has no extra line, so there is no entry to verify")
    checkpoint, signed = verified_checkpoint(proof.note, keys, origin, quorum, statements)
    verify_inclusion(leaf_hash(proof.extra), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return ProofResult(entry=proof.extra, index=proof.index, checkpoint=checkpoint, signed_by=signed)


def verified_checkpoint(
    note: bytes,
    keys: Sequence[VerifierKey],
    origin: str | None,
    quorum: int | None,
    statements: Sequence[bytes] = (),
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """The checkpoint at the end of a proof, and those of *keys*, or of their successors, that signed it.

    *statements* link keys to their successors. Without *origin*, a key that signed must be named for the log. Raises
    as verify_checkpoint() does.
    """
    said = parse_checkpoint(note)
    claimed = said.origin
    keys = successors(keys, statements, claimed, said.size, quorum=quorum)
    checkpoint = verify_checkpoint(note, origin=origin or claimed, keys=keys, quorum=quorum)
    signed = open_note(note, keys)
    if origin is None and not any(of_origin(claimed, key.name) for key in signed):
        raise TamperError(f"the checkpoint is of the log {claimed[:80]!r}, which no key that signed it is named for")
    return checkpoint, tuple(signed)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
