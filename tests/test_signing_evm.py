"""What chains want of a signature, against other people's libraries, and the examples of EIP-55 and EIP-155."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from coincurve import PrivateKey
from coincurve import PublicKey as CoincurveKey
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from drivers.keys.checked import CheckedKey
from gateway.errors import ConfigError, SignerError
from gateway.signing import Algorithm, KeyFacts, PublicKey, Purpose, ecdsa_key
from gateway.signing.evm import ORDER, address, did_ethr, keccak256, recoverable

#: EIP-155: nonce 9, 20 Gwei, 21,000 gas, one ether to 0x35…35, chain 1.
EIP155 = bytes.fromhex("ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080")
EIP155_HASH = bytes.fromhex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
EIP155_SECRET = b"\x46" * 32
EIP155_R = 0x28EF6134_0BD939BC_2195FE53_75678660_03E1A15D_3C71FF63_E1590620_AA636276
EIP155_S = 0x67CBE9D8_997F761A_ECB70330_4B3800CC_F555C9F3_DC64214B_297FB196_6A3B6D83
EIP155_V = 37


def other_keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def point_of(secret: PrivateKey) -> bytes:
    return secret.public_key.format(compressed=False)


def raw_of(secret: PrivateKey, digest: bytes) -> bytes:
    """r and s, the lower one, as libsecp256k1 makes them (RFC 6979)."""
    return secret.sign_recoverable(digest, hasher=None)[:64]


def negated(raw: bytes) -> bytes:
    """The other signature that verifies, with the higher s."""
    return raw[:32] + (ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")


def test_the_digest_is_keccak_of_every_short_length() -> None:
    """Around the rate of 136 bytes as well, where the padding is one byte or a whole block."""
    source = random.Random(7)
    for length in range(301):
        data = source.randbytes(length)
        assert keccak256(data) == other_keccak(data), length
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(st.binary(max_size=2000))
def test_the_digest_is_keccak_of_anything(data: bytes) -> None:
    """For bytes that nobody chose."""
    assert keccak256(data) == other_keccak(data)


@pytest.mark.parametrize(
    "text",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_addresses_carry_the_checksum_of_eip_55(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The EIP's own examples: accounts whose keys nobody published, so their account is put in the digest's place."""
    account = bytes.fromhex(text[2:])

    def digest(data: bytes) -> bytes:
        return bytes(12) + account if len(data) == 64 else other_keccak(data)

    monkeypatch.setattr("gateway.signing.evm.keccak256", digest)
    assert address(b"\4" + bytes(64)) == text


def test_the_account_of_a_key_is_that_of_eip_155() -> None:
    """The example's sender, and the did:ethr names that belong to it."""
    point = point_of(PrivateKey(EIP155_SECRET))
    assert address(point) == "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
    key = ecdsa_key(Algorithm.ECDSA_SECP256K1, point)
    assert did_ethr(key, "ewc") == "did:ethr:ewc:0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"
    assert did_ethr(key, "volta") == "did:ethr:volta:0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"


@pytest.mark.parametrize("chain", ["", "EWC", "mainnet", "ewc:x"])
def test_a_name_on_an_unknown_chain_is_refused(chain: str) -> None:
    """The known ones are listed."""
    key = ecdsa_key(Algorithm.ECDSA_SECP256K1, point_of(PrivateKey(EIP155_SECRET)))
    with pytest.raises(ConfigError, match="known: ewc, volta"):
        did_ethr(key, chain)


def test_a_key_of_another_curve_has_no_account() -> None:
    """Its last 64 bytes would give one that nobody can spend from."""
    with pytest.raises(ConfigError, match="has no account"):
        did_ethr(PublicKey(algorithm=Algorithm.ED25519, data=bytes(32)), "ewc")


def test_the_transaction_of_eip_155_is_signed_as_the_eip_says() -> None:
    """Digest, r, s, and v = 35 + 2 × chain + recovery id; libsecp256k1 gives the same."""
    secret = PrivateKey(EIP155_SECRET)
    assert keccak256(EIP155) == EIP155_HASH
    raw = EIP155_R.to_bytes(32, "big") + EIP155_S.to_bytes(32, "big")
    signature = recoverable(raw, EIP155_HASH, point_of(secret))
    assert signature == secret.sign_recoverable(EIP155_HASH, hasher=None)
    assert signature[:64] == raw
    assert signature[64] == EIP155_V - 35 - 2 * 1


def test_the_recovery_id_is_the_one_that_leads_back_to_the_key() -> None:
    """300 keys: both ids occur, and the foreign library recovers the key and takes the signature for its own."""
    source, ids = random.Random(155), set()
    for _ in range(300):
        secret, digest = PrivateKey(source.randbytes(32)), source.randbytes(32)
        raw = raw_of(secret, digest)
        signature = recoverable(negated(raw) if source.random() < 0.5 else raw, digest, point_of(secret))
        assert signature == secret.sign_recoverable(digest, hasher=None)
        found = CoincurveKey.from_signature_and_message(signature, digest, hasher=None)
        assert found.format(compressed=False) == point_of(secret)
        ids.add(signature[64])
    assert ids == {0, 1}


@pytest.mark.parametrize("secret", [1, 2, 3, ORDER // 2, ORDER - 2, ORDER - 1])
def test_keys_at_the_ends_of_the_order_are_recovered(secret: int) -> None:
    """With 1 and -1 the key is the base point or its negative: sums of equal and of opposite points."""
    key = PrivateKey(secret.to_bytes(32, "big"))
    for digest in (bytes(32), b"\xff" * 32, ORDER.to_bytes(32, "big"), sha256(b"x").digest()):
        assert recoverable(raw_of(key, digest), digest, point_of(key)) == key.sign_recoverable(digest, hasher=None)


def test_a_high_s_becomes_the_low_one_and_the_recovery_id_follows() -> None:
    """EIP-2: both forms verify, the chain takes one."""
    secret = PrivateKey(EIP155_SECRET)
    raw = raw_of(secret, EIP155_HASH)
    high = negated(raw)
    assert int.from_bytes(high[32:], "big") > ORDER // 2
    assert recoverable(high, EIP155_HASH, point_of(secret)) == recoverable(raw, EIP155_HASH, point_of(secret))


def _flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


BASE = raw_of(PrivateKey(EIP155_SECRET), EIP155_HASH)
WRONG = {
    "no bytes": b"",
    "r is zero": bytes(32) + BASE[32:],
    "s is zero": BASE[:32] + bytes(32),
    "r is the order": ORDER.to_bytes(32, "big") + BASE[32:],
    "s is the order": BASE[:32] + ORDER.to_bytes(32, "big"),
    "r above the order": b"\xff" * 32 + BASE[32:],
    "r changed": _flipped(BASE, 31),
    "s changed": _flipped(BASE, 63),
    "a byte more": BASE + b"\0",
    "a byte less": BASE[:-1],
    "swapped": BASE[32:] + BASE[:32],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_key_did_not_sign_gets_no_recovery_id(name: str) -> None:
    """Each rule, broken once."""
    with pytest.raises(SignerError, match="the key did not make"):
        recoverable(WRONG[name], EIP155_HASH, point_of(PrivateKey(EIP155_SECRET)))


def test_a_signature_by_another_key_or_over_another_digest_is_refused() -> None:
    """Though some key could be recovered from it."""
    source = random.Random(2)
    for _ in range(50):
        secret, other, digest = PrivateKey(source.randbytes(32)), PrivateKey(source.randbytes(32)), source.randbytes(32)
        with pytest.raises(SignerError):
            recoverable(raw_of(other, digest), digest, point_of(secret))
        with pytest.raises(SignerError):
            recoverable(raw_of(secret, digest), _flipped(digest, 7), point_of(secret))


def _store(sign: PrivateKey) -> CheckedKey:
    """A store that holds *sign* and says it holds the key of EIP-155; it gives the higher s, as tokens may."""

    def facts() -> KeyFacts:
        raise SignerError("a test's store tells nothing")

    return CheckedKey(
        "memory:eip155",
        Purpose.TRANSACTION,
        ecdsa_key(Algorithm.ECDSA_SECP256K1, point_of(PrivateKey(EIP155_SECRET))),
        lambda _message, digest: negated(raw_of(sign, digest)),
        facts=facts,
    )


def test_a_store_signs_the_transaction_of_eip_155() -> None:
    """Through the checks that every store shares: 65 bytes, the lower s, the recovery id."""
    signature = _store(PrivateKey(EIP155_SECRET)).sign(Purpose.TRANSACTION, EIP155)
    assert signature == EIP155_R.to_bytes(32, "big") + EIP155_S.to_bytes(32, "big") + bytes([EIP155_V - 37])


def test_a_store_that_signs_with_another_key_gives_nothing_away() -> None:
    """A mistaken label in a token ends in an error, not in a transaction of somebody else."""
    with pytest.raises(SignerError, match="does not verify"):
        _store(PrivateKey(b"\x45" * 32)).sign(Purpose.TRANSACTION, EIP155)
