"""What a log and a witness say to each other: C2SP tlog-witness, ``add-checkpoint``, byte for byte.

The log posts to ``<prefix>/add-checkpoint``; each line ends with a newline::

    old <size of the checkpoint that the witness cosigned last, 0 for none>
    <base64 of a 32-byte hash>           the consistency proof from there (RFC 9162 section 2.1.4), at most 63 lines
    ...
    <empty line>
    <the signed checkpoint, verbatim>

The witness looks in this order and answers with the first thing that is wrong:

======  ================================================================================================
status  meaning
======  ================================================================================================
400     no such request, or no checkpoint in it
404     a log that the witness does not know
403     no signature of a key that it trusts for this log
400     the old size is larger than the checkpoint's
409     the old size is not that of the checkpoint cosigned last: the body is that size and a newline, the
        content type ``text/x.tlog.size``
422     the proof does not lead from there to this checkpoint, or a second root for one size
200     the body holds one or more signature lines of the witness
======  ================================================================================================

The proof is empty when the old size is 0, and when both sizes are the same. The newest cosigned checkpoint of a log
is at ``<prefix>/<SHA-256 of the origin, hex>/checkpoint``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from gateway.errors import MalformedError
from gateway.log.note import MAX_NOTE, Checkpoint, decode_decimal, parse_checkpoint
from gateway.log.vkey import decode_hash

ADD_CHECKPOINT = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
MAX_HASHES = 63
#: The old size, 63 hashes of 44 characters, the empty line and a note.
MAX_REQUEST = 32 + MAX_HASHES * 45 + MAX_NOTE
OK, BAD, FORBIDDEN, UNKNOWN, BEHIND, REFUSED, UNAVAILABLE = 200, 400, 403, 404, 409, 422, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One add-checkpoint request; nothing is verified yet."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, as far as the protocol uses it."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


def encode_request(old: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of the request."""
    lines = [f"old {old}", *(base64.b64encode(item).decode() for item in proof), "", ""]
    return "\n".join(lines).encode() + note


def decode_request(body: bytes) -> Request:
    """The inverse of ``encode_request``. Raises MalformedError for anything else."""
    if len(body) > MAX_REQUEST:
        raise MalformedError(f"request of {len(body)} bytes: the limit is {MAX_REQUEST}")
    head, blank, note = body.partition(b"\n\n")
    try:
        first, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"request: byte {error.start} is not ASCII") from error
    if not blank or not first.startswith("old "):
        raise MalformedError(
            "request: it must begin with the line old SIZE and hold an empty line before the checkpoint"
        )
    if len(hashes) > MAX_HASHES:
        raise MalformedError(f"request: {len(hashes)} hashes; at most {MAX_HASHES} are allowed")
    old = decode_decimal(first.removeprefix("old "), "request, old size")
    return Request(
        old=old,
        proof=tuple(decode_hash(line, "request, consistency proof") for line in hashes),
        checkpoint=parse_checkpoint(note),
    )


def encode_size(size: int) -> bytes:
    """The body of a 409."""
    return b"%d\n" % size


def decode_size(body: bytes) -> int:
    """The inverse of ``encode_size``. Raises MalformedError for anything else."""
    text = body.decode("latin-1")
    if not text.endswith("\n"):
        raise MalformedError("the witness's size: it does not end with a newline")
    return decode_decimal(text[:-1], "the witness's size")


def origin_hash(origin: str) -> str:
    """How a log is called in a witness's paths."""
    return sha256(origin.encode()).hexdigest()
