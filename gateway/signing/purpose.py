"""The purposes of keys: what each may sign, and by what the bytes of each purpose are told apart.

A purpose separates domains. A key is *made for* one purpose, which its store keeps beside it where it can; it is
*opened for* one purpose, and refuses the others, whoever asks. What is signed tells the purposes apart as well, and a
signer looks (``has_form_of``): no signature made for one of them can be shown as one for another.

A signer is always given the bytes, and hashes them itself: none signs a digest that its caller computed, since it could
not see of what. Ed25519 keys sign the bytes, ECDSA keys their SHA-256. What is for chains (``ON_CHAIN``) is signed over
Keccak-256, recoverably, and by secp256k1 keys alone. Where an application wants a "raw digest" signed, its bytes are
given, and have a form of their own below.

================  ======================================================================================================
purpose           bytes signed
================  ======================================================================================================
CHECKPOINT        the note text of a C2SP signed note, without any wrapping, so that every C2SP tool verifies them: at
                  least three lines, the second a size
KEY_STATEMENT     the same, of a statement about the key's own succession or its boot (``gateway.log.key_statement``):
                  begins with ``meter-gateway/key-``, and its second line is no size
COSIGNATURE       what a witness says of another log's checkpoint (``gateway.log.cosignature``): begins with the line
                  ``cosignature/v1``, behind which no size stands
RECEIPT           the Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4): begins with 0x84, which no UTF-8 text does
BILLING           the payload of an OCMF record: one JSON object, begins with ``{"FV":`` and holds no newline
ENROLMENT         the CertificationRequestInfo of a certificate request (RFC 2986): DER of 128 bytes or more, so that
                  its second byte, 0x81 or 0x82, is not UTF-8 either; a version 0, two sequences and attributes, which
                  no certificate and no revocation list is
TRANSACTION       an unsigned EVM transaction: one whole RLP list of nine items, alone and with the chain in it
                  (EIP-155: ends with 0x8080, as no text does), or behind 0x02 (EIP-1559)
META_TRANSACTION  a change of a did:ethr identity that somebody else sends and pays (EIP-191 version 0, as an ERC-1056
                  registry hashes it): begins with 0x1900, as no note, RLP list, DER or CBOR array does, and is one of
                  five functions with whole arguments
PERSONAL          a text for others to check against an account (EIP-191 version 0x45): begins with 0x19 and
                  ``Ethereum Signed Message:``; no text of 32 bytes, since that is how contracts wrap a digest
PAYLOAD           what is said to a message broker (DDHub): one JSON object; it begins with a brace and ends with one,
                  and does not begin as BILLING does
VOTE              a worker's vote: begins with the line ``meter-gateway/vote/v1``, behind which no size stands
CHALLENGE         the proof of possession that a login asks for: begins with the line ``meter-gateway/challenge/v1``,
                  behind which no size stands
================  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from gateway.signing.chain_forms import BILL_HEAD, is_meta_transaction, is_payload, is_personal

#: Tag or first byte of each item, and its content.
Items = tuple[tuple[int, bytes], ...]


class Purpose(Enum):
    """What a signature is for. Each key is opened for one purpose."""

    CHECKPOINT = "checkpoint"
    KEY_STATEMENT = "key-statement"
    RECEIPT = "receipt"
    BILLING = "billing"
    COSIGNATURE = "cosignature"
    ENROLMENT = "enrolment"
    TRANSACTION = "transaction"
    META_TRANSACTION = "meta-transaction"
    PERSONAL = "personal"
    PAYLOAD = "payload"
    VOTE = "vote"
    CHALLENGE = "challenge"


#: Signed over Keccak-256 by a secp256k1 key: 65 bytes, from which the key is found again.
ON_CHAIN = frozenset((Purpose.TRANSACTION, Purpose.META_TRANSACTION, Purpose.PERSONAL, Purpose.PAYLOAD))
#: What a key is made for → what it may be opened for. A device key speaks of its own log; most others do one thing.
#:
#: The key of an account may change the identity (did:ethr) of that account as well: it could anyway, by a transaction
#: to the registry, so a meta-transaction gives it no power but to have another pay. The other way round, a key made for
#: meta-transactions never pays, and what coins are sent to it nobody can take. Personal messages and payloads are never
#: signed with an account's key: what they allow is up to sites and contracts that nobody here knows, where the account
#: may own something. They take keys of their own, which the identity's document names.
MADE_FOR: dict[Purpose, frozenset[Purpose]] = {
    Purpose.CHECKPOINT: frozenset(
        (Purpose.CHECKPOINT, Purpose.KEY_STATEMENT, Purpose.RECEIPT, Purpose.BILLING, Purpose.ENROLMENT)
    ),
    Purpose.COSIGNATURE: frozenset((Purpose.COSIGNATURE,)),
    Purpose.TRANSACTION: frozenset((Purpose.TRANSACTION, Purpose.META_TRANSACTION)),
    Purpose.META_TRANSACTION: frozenset((Purpose.META_TRANSACTION,)),
    Purpose.PERSONAL: frozenset((Purpose.PERSONAL,)),
    Purpose.PAYLOAD: frozenset((Purpose.PAYLOAD,)),
    Purpose.VOTE: frozenset((Purpose.VOTE,)),
    Purpose.CHALLENGE: frozenset((Purpose.CHALLENGE,)),
}
#: What the key of a log may sign: its checkpoints, and statements about its own succession.
_LOG_KEY = frozenset({Purpose.CHECKPOINT, Purpose.KEY_STATEMENT})


def may_open(made_for: Purpose | None, purpose: Purpose) -> bool:
    """Whether a key that was made for *made_for* (None: nobody noted it) may be opened for *purpose*."""
    return made_for is None or purpose in MADE_FOR.get(made_for, ())


def may_sign(opened: Purpose, purpose: Purpose) -> bool:
    """Whether a key that was opened for one purpose may sign for another."""
    return purpose is opened or (opened is Purpose.CHECKPOINT and purpose in _LOG_KEY)


def has_form_of(purpose: Purpose, message: bytes) -> bool:
    """Whether *message* is what is signed for that purpose, as far as the module's table tells."""
    return _FORMS[purpose](message)


def _note_lines(message: bytes) -> list[str]:
    """The lines of a note's text; none where it is no text."""
    try:
        text = message.decode()
    except UnicodeDecodeError:
        return []
    if not text.endswith("\n") or any(char < " " and char != "\n" for char in text):
        return []
    return text[:-1].split("\n")


def _is_checkpoint(message: bytes) -> bool:
    lines = _note_lines(message)
    return len(lines) >= 3 and all(lines) and lines[1].isascii() and lines[1].isdigit()


def _is_statement(message: bytes) -> bool:
    lines = _note_lines(message)
    return len(lines) >= 2 and lines[0].startswith("meter-gateway/key-") and not lines[1].isdigit()


def _is_cosignature(message: bytes) -> bool:
    lines = _note_lines(message)
    return len(lines) >= 2 and lines[0] == "cosignature/v1" and not lines[1].isdigit()


def _is_bill(message: bytes) -> bool:
    return message.startswith(BILL_HEAD) and message.endswith(b"}") and b"\n" not in message


def _is_request(message: bytes) -> bool:
    outer = _der_items(message) if len(message) >= 128 else ()
    if len(outer) != 1 or outer[0][0] != 0x30:
        return False
    items = _der_items(outer[0][1])
    return [tag for tag, _ in items] == [0x02, 0x30, 0x30, 0xA0] and items[0][1] == b"\0"


def _der_items(data: bytes) -> Items:
    """Tag and content of each DER item (X.690, 8.1 and 10.1); nothing where *data* is no row of whole items.

    Lengths up to 65,535 in their shortest form; tags of one byte.
    """
    items: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        size = data[at + 1] if at + 1 < len(data) else 0xFF
        width = size - 0x80 if size >= 0x80 else 0
        start = at + 2 + width
        if size >= 0x80:
            size = int.from_bytes(data[at + 2 : start], "big")
            if width > 2 or size < (0x10000, 0x80, 0x100)[width]:
                return ()
        if start + size > len(data):
            return ()
        items.append((data[at], data[start : start + size]))
        at = start + size
    return tuple(items)


def _is_transaction(message: bytes) -> bool:
    body = message[1:] if message[:1] == b"\x02" else message
    outer = _rlp_items(body)
    if len(outer) != 1 or outer[0][0] < 0xC0:
        return False
    items = _rlp_items(outer[0][1])
    # Without its chain (EIP-155: chain id, nothing, nothing) a transaction could be repeated on another chain.
    return len(items) == 9 and (body is not message or (items[7:] == ((0x80, b""),) * 2 and items[6][1] != b""))


def _rlp_items(data: bytes) -> Items:
    """First byte and content of each RLP item (Yellow Paper, appendix B); nothing where *data* is no row of whole ones.

    A byte below 0x80 is itself. A string of up to 55 bytes follows 0x80 + its length, a list 0xc0 + its length; of
    longer ones 0xb7 or 0xf7 + the length's length, and the length in its shortest form. At most 65,535 bytes.
    """
    items: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        head = data[at]
        short = head % 0x40
        width = short - 55 if head >= 0x80 and short > 55 else 0
        start = at + (head >= 0x80) + width
        size = 1 if head < 0x80 else int.from_bytes(data[at + 1 : start], "big") if width else short
        if width > 2 or start + size > len(data) or (width and size < (56, 0x100)[width - 1]):
            return ()
        items.append((head, data[start : start + size]))
        at = start + size
    return tuple(items)


def _headed(title: bytes) -> Callable[[bytes], bool]:
    """The form of what begins with the line *title*, behind which no size stands: no checkpoint of a log so named."""
    head = title + b"\n"
    return lambda message: message.startswith(head) and not message[len(head) :].partition(b"\n")[0].isdigit()


_FORMS: dict[Purpose, Callable[[bytes], bool]] = {
    Purpose.CHECKPOINT: _is_checkpoint,
    Purpose.KEY_STATEMENT: _is_statement,
    Purpose.COSIGNATURE: _is_cosignature,
    Purpose.RECEIPT: lambda message: message.startswith(b"\x84\x6aSignature1"),
    Purpose.BILLING: _is_bill,
    Purpose.ENROLMENT: _is_request,
    Purpose.TRANSACTION: _is_transaction,
    Purpose.META_TRANSACTION: is_meta_transaction,
    Purpose.PERSONAL: is_personal,
    Purpose.PAYLOAD: is_payload,
    Purpose.VOTE: _headed(b"meter-gateway/vote/v1"),
    Purpose.CHALLENGE: _headed(b"meter-gateway/challenge/v1"),
}
