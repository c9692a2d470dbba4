"""What keys sign: no bytes have the form of two purposes, so no signature for one can pass for another."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.log.cosignature import cosigned_message
from gateway.log.key_statement import sign_revocation, sign_rotation
from gateway.log.note import Checkpoint, checkpoint_text, split_note
from gateway.log.tree import EMPTY_ROOT
from gateway.log.view import LogView
from gateway.log.vkey import VerifierKey
from gateway.signing import MADE_FOR, Purpose, has_form_of, may_open, may_sign
from gateway.views import evidence
from gateway.views.cose import Proved, receipt
from gateway.views.ocmf import Issuer, fiscal, transaction
from gateway.views.source import Selection, Source
from tests.chain_messages import NEAR, meta_transactions, payloads, personal_messages
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, log_key
from tests.view_log import FIRST_READING, LAST_READING, some_log

ROOT_HASH = hashlib.sha256(b"root").digest()
#: With this origin the text of a checkpoint of size 1 has 52 bytes and begins with 0xf3, the head of an RLP list of 51.
LIKE_RLP = "\U000f0000"
ED25519, P256 = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32), derive_private_key(7, SECP256R1())


def rlp(item: bytes | list[object]) -> bytes:
    """An RLP item (Yellow Paper, appendix B)."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _rlp_head(0x80, len(item)) + item
    body = b"".join(rlp(part) for part in item)  # type: ignore[arg-type]
    return _rlp_head(0xC0, len(body)) + body


def _rlp_head(base: int, size: int) -> bytes:
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + size]) if size < 56 else bytes([base + 55 + len(digits)]) + digits


def checkpoints() -> list[bytes]:
    found = [checkpoint_text(ORIGIN, size, ROOT_HASH) for size in (1, 9, 4_711, 2**63 - 1)]
    found += [
        checkpoint_text(name, 5, ROOT_HASH) for name in ("{", "0\u0082", "cosignature/v1", "meter-gateway/vote/v1")
    ]
    found += [checkpoint_text(f"meter-gateway/key-{name}/v1", 5, ROOT_HASH) for name in ("rotation", "boot")]
    return [
        *found,
        checkpoint_text(ORIGIN, 0, EMPTY_ROOT),
        checkpoint_text(LIKE_RLP, 1, ROOT_HASH),
        found[0] + b"more\n",
    ]


def statements() -> list[bytes]:
    old, new = Ed25519Signer(1), P256Signer(2)
    notes = [
        sign_rotation(ORIGIN, 9, old, new, name=ORIGIN, reason="a new board"),
        sign_rotation(f"{ORIGIN}/epoch-2", 0, new, old, name=ORIGIN, reason="7"),
        sign_revocation(ORIGIN, 12, new, log_key(1), after_size=9, after_time_s=0, reason="copied"),
    ]
    return [split_note(note)[0] for note in notes]


def receipts() -> list[bytes]:
    signed: list[bytes] = []
    for signer in (Ed25519Signer(), P256Signer()):
        key = VerifierKey.of(ORIGIN, signer.public_key)

        def sign(message: bytes, signer: Ed25519Signer | P256Signer = signer) -> bytes:
            signed.append(message)
            return signer.sign(Purpose.CHECKPOINT, message)

        for size in (1, 300):
            checkpoint = Checkpoint(origin=ORIGIN, size=size, root=ROOT_HASH, note=b"")
            receipt(checkpoint=checkpoint, proved=[Proved(seq=0, hashes=[])], key=key, sign=sign)
    return signed


def bills() -> list[bytes]:
    with TemporaryDirectory() as folder:
        station = some_log(Path(folder))
        station.log.close()
        view = LogView(station.directory)
        readings = {one.entry.seq: one for one in Source(view, Selection()).readings()}
        issuer = Issuer(checkpoint=evidence.newest_checkpoint(view), version="1", serial="S-1")
        texts = [fiscal(issuer, reading) for reading in readings.values()]
        texts.append(transaction(issuer, readings[FIRST_READING], readings[LAST_READING]))
        return [text.encode() for text in texts if text is not None]


def requests() -> list[bytes]:
    found = []
    for names in ([], [("serialNumber", "7")], [("organizationName", "x" * 64), ("commonName", "y" * 64)]):
        name = x509.Name([x509.NameAttribute(getattr(x509.NameOID, _OIDS[kind]), text) for kind, text in names])
        extension = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("did:key:z6Mk" + "x" * 44)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(extension, critical=False)
        found += [builder.sign(P256, SHA256()), builder.sign(ED25519, None)]
    return [request.tbs_certrequest_bytes for request in found]


_OIDS = {"serialNumber": "SERIAL_NUMBER", "organizationName": "ORGANIZATION_NAME", "commonName": "COMMON_NAME"}


def transactions() -> list[bytes]:
    """EIP-155's own example, one with data for the Volta chain (73799), one that makes a contract; two of EIP-1559."""
    price, to = (20_000_000_000).to_bytes(5, "big"), b"\x35" * 20
    eip155: list[object] = [b"\x09", price, b"\x52\x08", to, (10**18).to_bytes(8, "big"), b"", b"\x01", b"", b""]
    volta: list[object] = [b"", price, b"\xff\xff", to, b"", bytes(4) + ROOT_HASH, (73799).to_bytes(3, "big"), b"", b""]
    contract: list[object] = [b"\x01", price, b"\x0f\x42\x40", b"", b"", b"\x60" * 3000, b"\x00\xf6", b"", b""]
    fees: list[object] = [b"\xf6", b"\x09", b"\x01", price, b"\x52\x08", to, b"", ROOT_HASH]
    access: list[object] = [[to, [ROOT_HASH]]]
    return [rlp(eip155), rlp(volta), rlp(contract), b"\x02" + rlp([*fees, []]), b"\x02" + rlp([*fees, access])]


MADE: dict[Purpose, Callable[[], list[bytes]]] = {
    Purpose.CHECKPOINT: checkpoints,
    Purpose.KEY_STATEMENT: statements,
    Purpose.COSIGNATURE: lambda: [
        cosigned_message(text, time) for text in checkpoints() for time in (0, 1_800_000_000)
    ],
    Purpose.RECEIPT: receipts,
    Purpose.BILLING: bills,
    Purpose.ENROLMENT: requests,
    Purpose.TRANSACTION: transactions,
    Purpose.META_TRANSACTION: meta_transactions,
    Purpose.PERSONAL: personal_messages,
    Purpose.PAYLOAD: payloads,
    Purpose.VOTE: lambda: [b"meter-gateway/vote/v1\n" + tail for tail in (b"", b"round 7\n", bytes(range(256)))],
    Purpose.CHALLENGE: lambda: [b"meter-gateway/challenge/v1\n" + tail for tail in (b"", b"nonce 7\n", b"\xff" * 32)],
}


@cache
def examples(purpose: Purpose) -> tuple[bytes, ...]:
    return tuple(MADE[purpose]())


def forms(message: bytes) -> list[Purpose]:
    return [purpose for purpose in Purpose if has_form_of(purpose, message)]


@pytest.mark.parametrize("purpose", list(Purpose))
def test_what_is_signed_for_a_purpose_has_its_form_and_no_other(purpose: Purpose) -> None:
    """Made by the code that makes it, as far as there is one."""
    assert len(examples(purpose)) >= 3
    for message in examples(purpose):
        assert forms(message) == [purpose], message


def test_the_example_of_eip_155_is_among_them() -> None:
    """Its bytes, from the EIP."""
    assert transactions()[0].hex() == (
        "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    )


def _certificate(builder: x509.CertificateBuilder) -> bytes:
    moment, name = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), x509.Name([])
    builder = builder.subject_name(name).issuer_name(name).not_valid_before(moment).not_valid_after(moment)
    return builder.public_key(P256.public_key()).sign(P256, SHA256()).tbs_certificate_bytes


def _revocation_list() -> bytes:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x" * 64)])
    builder = x509.CertificateRevocationListBuilder().issuer_name(name).last_update(moment).next_update(moment)
    return builder.sign(P256, SHA256()).tbs_certlist_bytes


_REQUEST = requests()[0]
NOTHING = {
    **NEAR,
    "no bytes": b"",
    "one byte": b"\x30",
    "the head of a request": b"\x30\x81",
    "the head of a longer request": b"\x30\x82",
    "an empty request": b"\x30\x82\x00\x00",
    "a request that ends early": _REQUEST[:-1],
    "a request and a byte": _REQUEST + b"\0",
    "a request of version 1": _REQUEST.replace(b"\x02\x01\x00", b"\x02\x01\x01", 1),
    "a request with an indefinite length": b"\x30\x80" + _REQUEST[3:] + b"\0\0",
    "a certificate": _certificate(x509.CertificateBuilder().serial_number(1)),
    "a revocation list": _revocation_list(),
    "a transaction for any chain": rlp([b"\x09", b"\x01", b"\x52\x08", b"\x35" * 20, b"\x01", b""]),
    "a transaction for chain nothing": rlp([b"\x09", b"\x01", b"\x52\x08", b"\x35" * 20, b"\x01", b"", b"", b"", b""]),
    "a signed transaction": rlp([b"\x09", b"\x01", b"\x52\x08", b"\x35" * 20, b"\x01", b"", b"\x25", b"\x11", b"\x12"]),
    "a transaction and a byte": transactions()[0] + b"\0",
    "a transaction that ends early": transactions()[1][:-1],
    "a transaction of type 1": b"\x01" + transactions()[3][1:],
    "a length of a length": b"\xff" * 9,
    "a vote that is a checkpoint": b"meter-gateway/vote/v1\n7\n",
    "a cosignature that is a size": b"cosignature/v1\n7\n",
    "another context of COSE": b"\x85\x69Signature" + bytes(40),
    "a subtree": b"subtree/v1\n\0" + bytes(80),
    "a bill of two lines": b'{"FV":\n"1.3"}',
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_near_to_a_form_has_none(name: str) -> None:
    """It is refused in silence: no index error for what ends early."""
    assert forms(NOTHING[name]) == []


def test_a_vote_or_challenge_that_a_log_could_have_signed_is_none() -> None:
    """An origin may be any text: where a size follows the title, it is a checkpoint and nothing else."""
    for title in ("meter-gateway/vote/v1", "meter-gateway/challenge/v1", "cosignature/v1", "meter-gateway/key-boot/v1"):
        assert forms(checkpoint_text(title, 7, ROOT_HASH)) == [Purpose.CHECKPOINT]


_TITLES = [
    "cosignature/v1",
    "meter-gateway/vote/v1",
    "meter-gateway/challenge/v1",
    "meter-gateway/key-boot/v1",
    "{",
    "}",
]
_LINE = st.sampled_from([*_TITLES, "7", "0", "\u0663", "\u00b2", "time 7", "", LIKE_RLP, "\u0180"]) | st.text(
    max_size=6
)
_TEXTS = st.lists(_LINE, max_size=6).map(lambda lines: "\n".join(lines).encode(errors="surrogatepass"))
_CHAIN_HEADS = [b"\x19\0", b"\x19Ethereum Signed Message:\n", b'{"FV":']
_HEADS = st.sampled_from(
    [*_CHAIN_HEADS, b"\x30\x81", b"\x30\x82", b"\x84\x6aSignature1", b"{", b"\x02", b"\xc6", b"\xf3", b"\xf8", b""]
)
_ITEMS = st.lists(st.binary(max_size=24), min_size=6, max_size=9)
_LISTS = _ITEMS.map(lambda items: rlp([*items]))


@st.composite
def _spliced(draw: st.DrawFn) -> bytes:
    """The beginning of one example and the end of another, with a byte changed."""
    every = [message for purpose in Purpose for message in examples(purpose)]
    one, other = bytearray(draw(st.sampled_from(every))), draw(st.sampled_from(every))
    at, byte = draw(st.integers(0, 60)), draw(st.integers(0, 255))
    one[at % len(one)] = byte if draw(st.booleans()) else one[at % len(one)]
    return bytes(one[: draw(st.integers(0, len(one)))]) + other[draw(st.integers(0, len(other))) :]


@st.composite
def _sized(draw: st.DrawFn) -> bytes:
    """A text, or anything, with a first byte or two that state its length as RLP or DER does."""
    body = draw(_TEXTS.map(lambda text: text + b"\n") | st.binary(max_size=300))
    head = draw(st.sampled_from([0xC0, 0x80, 0x30]))
    size = len(body)
    if head == 0x30:
        return bytes([0x30, 0x81, size]) + body if size < 256 else b"\x30\x82" + size.to_bytes(2, "big") + body
    return bytes([min(255, head + size)]) + body


@settings(max_examples=2000)
@given(st.one_of(_spliced(), _sized(), _LISTS, st.builds(bytes.__add__, _HEADS, _TEXTS | st.binary()), _TEXTS))
@example(b"\xc6\x80\n1\nA\n")
@example(LIKE_RLP.encode() + b"\n1\n" + b"A" * 43 + b"=\n")
def test_no_bytes_have_the_form_of_two_purposes(message: bytes) -> None:
    """Generated near the formats: mixtures of real examples, lengths that fit, texts of titles and sizes."""
    assert len(forms(message)) <= 1


def test_every_purpose_can_be_opened_by_some_key_and_each_key_signs_little() -> None:
    """A device key speaks of its own log; a key of anything else does one thing."""
    for purpose in Purpose:
        assert any(may_open(made_for, purpose) for made_for in MADE_FOR)
        assert may_open(None, purpose)
        assert may_sign(purpose, purpose)
    for made_for, opened in MADE_FOR.items():
        assert made_for in opened
        assert made_for in (Purpose.CHECKPOINT, Purpose.TRANSACTION) or opened == {made_for}
    assert MADE_FOR[Purpose.TRANSACTION] == {Purpose.TRANSACTION, Purpose.META_TRANSACTION}
    pairs = {(opened, signed) for opened in Purpose for signed in Purpose if may_sign(opened, signed)}
    assert pairs == {(one, one) for one in Purpose} | {(Purpose.CHECKPOINT, Purpose.KEY_STATEMENT)}
