"""Personal messages and payloads, and who signed: with ethers, libsecp256k1 and the broker's golden vector."""

from __future__ import annotations

import random

import pytest
from coincurve import PrivateKey
from Crypto.Hash import keccak

from drivers.keys.checked import CheckedKey
from gateway.chain.messages import (
    PAYLOAD_BYTES_MAX,
    TEXT_BYTES_MAX,
    parse_signature,
    payload_message,
    personal_message,
    recover,
    signature_text,
    signer_of,
)
from gateway.errors import ConfigError, MalformedError, SignerError
from gateway.signing import Algorithm, KeyFacts, Purpose, ecdsa_key
from gateway.signing.evm import ORDER, address, compressed, keccak256, recovered_point, uncompressed
from tests.ethers import ethers

#: The golden vector of DDHub: the public test key 1, and what its client signs (RFC 6979).
PAYLOAD = '{"meter":"M1","wh":1000}'
PAYLOAD_DIGEST = "691b2f4ba5fa90b00eca60972a95e7574598a97bba475d6c4ad1681f7342b90d"
PAYLOAD_SIGNATURE = (
    "785461d127e3e70f1cc764138663177e41445ebc91539351527469c09a66f386"
    "23f6565b94611469573e1afa53d1a97cf06c6825039c7bcb301e540bd5ba30ff1b"
)
ONE = PrivateKey((1).to_bytes(32, "big"))
ONES_ACCOUNT = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"
TEXTS = ["", "hello", "Guten Tag, Zähler 7", "two\nlines", "2 kWh at noon", "x" * 31, "x" * 33, "€" * 400]


def point_of(secret: PrivateKey) -> bytes:
    return secret.public_key.format(compressed=False)


def store(purpose: Purpose, secret: PrivateKey = ONE) -> CheckedKey:
    """A key store that signs as RFC 6979 says, so that its signatures are known beforehand."""

    def facts() -> KeyFacts:
        raise SignerError("a test's store tells nothing")

    key = ecdsa_key(Algorithm.ECDSA_SECP256K1, point_of(secret))
    return CheckedKey(
        "memory:key",
        purpose,
        key,
        lambda _message, digest: secret.sign_recoverable(digest, hasher=None)[:64],
        facts=facts,
    )


def test_a_payload_is_signed_as_the_broker_has_it() -> None:
    """Digest, signature and account of the golden vector, through the checks that every store shares."""
    message = payload_message(PAYLOAD)
    assert keccak256(message).hex() == PAYLOAD_DIGEST
    signature = store(Purpose.PAYLOAD).sign(Purpose.PAYLOAD, message)
    assert signature_text(signature) == f"0x{PAYLOAD_SIGNATURE}"
    assert signer_of(message, parse_signature(PAYLOAD_SIGNATURE)) == ONES_ACCOUNT


def test_personal_messages_are_those_of_wallets() -> None:
    """ethers computes the same digests and signatures, and finds our account in ours."""
    signed = [store(Purpose.PERSONAL).sign(Purpose.PERSONAL, personal_message(text)) for text in TEXTS]
    theirs = ethers(
        "const {Wallet, utils} = ethers, wallet = new Wallet('0x' + '1'.padStart(64, '0'));"
        "return Promise.all(given.map(async ([text, signature]) => ["
        "utils.hashMessage(text), await wallet.signMessage(text), utils.verifyMessage(text, signature)]))",
        [[text, signature_text(signature)] for text, signature in zip(TEXTS, signed, strict=True)],
    )
    for text, signature, (digest, their_signature, their_account) in zip(TEXTS, signed, theirs, strict=True):
        assert keccak256(personal_message(text)).hex() == digest[2:]
        assert signature_text(signature) == their_signature
        assert their_account == ONES_ACCOUNT
        assert signer_of(personal_message(text), parse_signature(their_signature)) == ONES_ACCOUNT


@pytest.mark.parametrize(
    "text",
    ["x" * 32, "a\0b", "a\u202eb", "a\tb", "\udc80", "x" * (TEXT_BYTES_MAX + 1), "\x19Ethereum"],
    ids=lambda text: ascii(text[:20]),
)
def test_a_text_that_people_cannot_read_is_no_personal_message(text: str) -> None:
    """Nor one that has a digest's length."""
    with pytest.raises(ConfigError, match="text"):
        personal_message(text)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "[]",
        "1",
        " {}",
        "{}\n",
        '{"a":1',
        '{"FV":"1.0"}',
        '{"a":NaN}',
        '{"a":"\udc80"}',
        "{" + "a" * PAYLOAD_BYTES_MAX,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_what_is_not_one_json_object_is_no_payload(payload: str) -> None:
    """And a bill is none."""
    with pytest.raises(ConfigError, match="is not one JSON object"):
        payload_message(payload)


def test_the_account_behind_a_signature_is_found_again() -> None:
    """100 keys and digests, against libsecp256k1; each of the four values of v."""
    source = random.Random(191)
    for round_number in range(100):
        secret, digest = PrivateKey(source.randbytes(32)), source.randbytes(32)
        signature = secret.sign_recoverable(digest, hasher=None)
        assert recovered_point(digest, signature) == point_of(secret)
        shown = signature[:64] + bytes([signature[64] + 27 * (round_number % 2)])
        assert recover(digest, shown) == address(point_of(secret))


@pytest.mark.parametrize("secret", [1, 2, 3, ORDER // 2, ORDER - 2, ORDER - 1])
def test_keys_at_the_ends_of_the_order_are_found(secret: int) -> None:
    """Over digests of nothing, of all ones, and of the order, which is 0."""
    key = PrivateKey(secret.to_bytes(32, "big"))
    for digest in (bytes(32), b"\xff" * 32, ORDER.to_bytes(32, "big")):
        assert recovered_point(digest, key.sign_recoverable(digest, hasher=None)) == point_of(key)


def test_a_changed_signature_or_message_is_somebody_elses() -> None:
    """Each byte of r, s, v and of the digest counts: another account, or none."""
    message = payload_message(PAYLOAD)
    signature, digest = parse_signature(PAYLOAD_SIGNATURE), keccak256(message)
    for at in range(65):
        for bit in (0, 7) if at < 64 else (0,):
            changed = signature[:at] + bytes([signature[at] ^ 1 << bit]) + signature[at + 1 :]
            try:
                assert recover(digest, changed) != ONES_ACCOUNT, at
            except MalformedError:
                continue
    for at in range(len(message)):
        changed = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        assert signer_of(changed, signature) != ONES_ACCOUNT


R, S = PAYLOAD_SIGNATURE[:64], PAYLOAD_SIGNATURE[64:128]
HIGH_S = f"{ORDER - int(S, 16):064x}"


@pytest.mark.parametrize(
    "text",
    [
        *("", R + S, f"{R}{S}02", f"{R}{S}1d", f"{R}{S}1b00", f"{'0' * 64}{S}1b", f"{R}{'0' * 64}1b", f"{R}{HIGH_S}1c"),
        *(f"{ORDER:064x}{S}1b", f"{R}{ORDER:064x}1b", f"{'f' * 64}{S}1b", f"{5:064x}{S}1b", f"0x0x{R}{S}1b"),
    ],
)
def test_what_no_key_signed_is_refused(text: str) -> None:
    """The other s of the same signature as well: with it one message would have two signatures; and x 5 is no point."""
    with pytest.raises(MalformedError, match="signature"):
        recover(bytes.fromhex(PAYLOAD_DIGEST), parse_signature(text))


@pytest.mark.parametrize(
    ("digest", "signature"),
    [
        (bytes(31), ONE.sign_recoverable(bytes(32), hasher=None)),
        (bytes(33), ONE.sign_recoverable(bytes(32), hasher=None)),
        (bytes(32), ONE.sign_recoverable(bytes(32), hasher=None)[:64]),
        (bytes(32), ONE.sign_recoverable(bytes(32), hasher=None) + b"\0"),
        (b"", b""),
    ],
)
def test_bytes_that_are_no_digest_or_no_signature_are_refused(digest: bytes, signature: bytes) -> None:
    with pytest.raises(MalformedError, match="that is not r, s and a v"):
        recover(digest, signature)


@pytest.mark.parametrize("recovery_id", [2, 3, 27])
def test_a_recovery_id_that_no_signature_of_ours_has_leads_to_no_key(recovery_id: int) -> None:
    """2 and 3 are of an x above the order, which nobody meets."""
    signature = ONE.sign_recoverable(bytes(32), hasher=None)
    with pytest.raises(MalformedError, match="that no key made"):
        recovered_point(bytes(32), signature[:64] + bytes([recovery_id]))


def test_points_are_compressed_and_back() -> None:
    """As libsecp256k1 does; what is no point of the curve is refused."""
    source = random.Random(33)
    for _ in range(40):
        secret = PrivateKey(source.randbytes(32))
        short = secret.public_key.format()
        assert compressed(point_of(secret)) == short
        assert uncompressed(short) == uncompressed(point_of(secret)) == point_of(secret)
    good = point_of(ONE)
    for data in (
        b"",
        b"\4",
        b"\x02" + (5).to_bytes(32, "big"),
        b"\x05" + good[1:33],
        good[:-1] + b"\0",
        b"\2" + b"\xff" * 32,
    ):
        with pytest.raises(MalformedError, match="no point"):
            uncompressed(data)


def test_the_digest_of_a_payload_is_keccak_and_no_sha3() -> None:
    """Another library agrees on the vector."""
    assert keccak.new(digest_bits=256, data=PAYLOAD.encode()).hexdigest() == PAYLOAD_DIGEST
