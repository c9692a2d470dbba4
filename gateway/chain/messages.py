"""What an account signs beside transactions: texts and JSON objects; and the account that made a signature.

=================  ===================================================================================================
personal message   EIP-191, version 0x45: ``0x19 ‖ "Ethereum Signed Message:" ‖ line feed ‖ length ‖ text``, the length
                   in decimal digits and bytes; as wallets sign it, and ``personal_sign`` of nodes
payload            the bytes of one JSON object alone, as the message broker of Energy Web (DDHub) has them signed
signature          65 bytes: r, s (the lower one, EIP-2), v; in texts as hex, where v is 27 or 28; here 0 or 1
=================  ===================================================================================================

Both are signed over Keccak-256, by keys of their own (``gateway.signing.purpose``). What comes back from ``recover`` is
an account for any digest: it says who signed only when it is compared with who should have.
"""

from __future__ import annotations

import re

from gateway.errors import ConfigError, MalformedError
from gateway.signing.chain_forms import DIGEST_BYTES, PERSONAL_HEAD, is_payload, is_personal_text
from gateway.signing.evm import address, keccak256, recovered_point

#: Of what the broker takes (8 MiB) as much as is hashed here in two seconds or three.
PAYLOAD_BYTES_MAX = 1024 * 1024
TEXT_BYTES_MAX = 64 * 1024
_SIGNATURE = re.compile(r"(?:0x)?([0-9a-fA-F]{130})")
#: v as texts have it → as it is here.
_RECOVERY_IDS = {0: 0, 1: 1, 27: 0, 28: 1}


def personal_message(text: str) -> bytes:
    """What is signed of *text*. Raises ConfigError for a text that is none to read, or that could hide a digest."""
    data = text.encode(errors="surrogatepass")
    if len(data) == DIGEST_BYTES:
        raise ConfigError(f"a text of {DIGEST_BYTES} bytes could be the digest of anything; add a word to it")
    if len(data) > TEXT_BYTES_MAX or not is_personal_text(data):
        raise ConfigError(f"text {text[:40]!r}: write up to {TEXT_BYTES_MAX} bytes of printable characters and lines")
    return PERSONAL_HEAD + str(len(data)).encode() + data


def payload_message(payload: str) -> bytes:
    """What is signed of *payload*. Raises ConfigError for anything but one JSON object, without blanks around it."""
    data = payload.encode(errors="surrogatepass")
    if len(data) > PAYLOAD_BYTES_MAX or not is_payload(data):
        raise ConfigError(
            f"payload {payload[:40]!r}: is not one JSON object of up to {PAYLOAD_BYTES_MAX} bytes, from its brace to "
            "its brace; a bill (OCMF) is signed with another key"
        )
    return data


def recover(digest: bytes, signature: bytes) -> str:
    """The account (EIP-55) whose key made *signature* (65 bytes, v 0, 1, 27 or 28) over *digest* (32 bytes).

    Raises MalformedError for what no key made, and for the higher s.
    """
    if len(digest) != DIGEST_BYTES or len(signature) != 65 or signature[64] not in _RECOVERY_IDS:
        raise MalformedError(f"a signature of {len(signature)} bytes that is not r, s and a v of 0, 1, 27 or 28")
    return address(recovered_point(digest, signature[:64] + bytes([_RECOVERY_IDS[signature[64]]])))


def signer_of(message: bytes, signature: bytes) -> str:
    """The account that signed *message*, the bytes that a signer was given. Raises MalformedError as ``recover``."""
    return recover(keccak256(message), signature)


def signature_text(signature: bytes) -> str:
    """The hex of a signature as wallets and contracts have it: ``0x``, r, s, and 27 or 28."""
    return "0x" + (signature[:64] + bytes([signature[64] + 27])).hex()


def parse_signature(text: str) -> bytes:
    """The inverse of ``signature_text``; also without ``0x``, and with 0 or 1. Raises MalformedError."""
    match = _SIGNATURE.fullmatch(text)
    data = bytes.fromhex(match[1]) if match else b""
    if not data or data[64] not in _RECOVERY_IDS:
        raise MalformedError(f"signature {text[:20]!r}…: is not the hex of r, s and a v of 27 or 28")
    return data[:64] + bytes([_RECOVERY_IDS[data[64]]])
