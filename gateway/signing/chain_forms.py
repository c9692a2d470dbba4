"""The forms of what secp256k1 keys sign for chains beside transactions (``gateway.signing.purpose``).

A personal message (EIP-191, version 0x45)::

    0x19 ‖ "Ethereum Signed Message:" ‖ line feed ‖ length in decimal digits ‖ text

The text is UTF-8 that people can read. One of 32 bytes is none: contracts wrap digests so, and the signer would not see
what it agrees to. A meta-transaction is what an ERC-1056 registry hashes (EIP-191, version 0x00)::

    0x19 ‖ 0x00 ‖ registry 20 ‖ nonce 32 ‖ identity 20 ‖ function name ‖ arguments

The arguments stand one behind the other without padding, at most one of them of any length, so that there is one way to
read them. A name, of an attribute or of a delegate's type, is 1 to 32 printable ASCII characters and zeros behind them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.errors import MalformedError

META_HEAD = b"\x19\x00"
PERSONAL_HEAD = b"\x19Ethereum Signed Message:\n"
#: What OCMF's payloads begin with; they are signed with other keys, and over SHA-256.
BILL_HEAD = b'{"FV":'
#: The length of a digest, of which a personal message tells nothing.
DIGEST_BYTES = 32
#: Bytes before the function's name.
_META_BODY = 2 + 20 + 32 + 20
_NONCE_BYTES_MAX = 8
#: Function → the sizes of its arguments; 0 for the one that has any size.
META_FUNCTIONS: dict[str, tuple[int, ...]] = {
    "changeOwner": (20,),
    "addDelegate": (32, 20, 32),
    "revokeDelegate": (32, 20),
    "setAttribute": (32, 0, 32),
    "revokeAttribute": (32, 0),
}
_NAME = re.compile(rb"[!-~]{1,32}\0*")


def is_personal(message: bytes) -> bool:
    """Whether it is a personal message of a text."""
    if not message.startswith(PERSONAL_HEAD):
        return False
    rest = message[len(PERSONAL_HEAD) :]
    # The length is that of what stands behind it: one number of digits fits at most.
    for digits in range(1, min(len(rest), 9) + 1):
        if rest[:digits] == str(len(rest) - digits).encode():
            return is_personal_text(rest[digits:])
    return False


def is_personal_text(text: bytes) -> bool:
    """Whether a personal message may hold it."""
    try:
        plain = text.decode()
    except UnicodeDecodeError:
        return False
    return len(text) != DIGEST_BYTES and all(line.isprintable() for line in plain.split("\n"))


def is_payload(message: bytes) -> bool:
    """Whether it is one JSON object (RFC 8259) that is no bill."""
    if not (message.startswith(b"{") and message.endswith(b"}")) or message.startswith(BILL_HEAD):
        return False
    try:
        return isinstance(json.loads(message.decode(), parse_constant=_no_number), dict)
    except (ValueError, RecursionError):
        return False


def _no_number(text: str) -> Any:
    raise ValueError(text)


def is_meta_transaction(message: bytes) -> bool:
    """Whether an ERC-1056 registry could hash it."""
    try:
        meta_arguments(message)
    except MalformedError:
        return False
    return True


def meta_arguments(message: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Function and arguments of what is signed of a meta-transaction. Raises MalformedError for what is none."""
    body = message[_META_BODY:]
    nonce = message[22:54]
    if message.startswith(META_HEAD) and not any(nonce[:-_NONCE_BYTES_MAX]):
        for function, sizes in META_FUNCTIONS.items():
            name = function.encode()
            if body.startswith(name):
                arguments = _split(body[len(name) :], sizes)
                if arguments is not None and (len(sizes) == 1 or _NAME.fullmatch(arguments[0])):
                    return function, arguments
    raise MalformedError(f"{len(message)} bytes are no change of an identity that a registry (ERC-1056) knows")


def _split(data: bytes, sizes: tuple[int, ...]) -> tuple[bytes, ...] | None:
    free = len(data) - sum(sizes)
    if free < 0 or (free and 0 not in sizes):
        return None
    parts, at = [], 0
    for size in sizes:
        width = size or free
        parts.append(data[at : at + width])
        at += width
    return tuple(parts)
