"""Every signature of the foreign vectors (C2SP wycheproof), before every verifier that we have."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from gateway.errors import MalformedError, SignerError
from gateway.log.vkey import VerifierKey
from gateway.signing import (
    Algorithm,
    PublicKey,
    der_signature,
    ecdsa_key,
    raw_signature,
    verify_digest,
    verify_signature,
)
from gateway.signing.evm import ORDER, recoverable
from tests.parts import ROOT, vectors

Verifier = Callable[[PublicKey, bytes, bytes], bool]

ED25519 = "ed25519_test.json"
P256 = "ecdsa_secp256r1_sha256_test.json"
P256_RAW = "ecdsa_secp256r1_sha256_p1363_test.json"
SECP256K1 = "ecdsa_secp256k1_sha256_bitcoin_test.json"
ALGORITHMS = {
    ED25519: Algorithm.ED25519,
    P256: Algorithm.ECDSA_P256,
    P256_RAW: Algorithm.ECDSA_P256,
    SECP256K1: Algorithm.ECDSA_SECP256K1,
}
#: How many there are; a file that lost some tests less than it seems to.
COUNTS = {ED25519: 151, P256: 484, P256_RAW: 262, SECP256K1: 463}
_HIGH_S = (
    "s is the higher of the two that verify: Bitcoin's rule refuses it and ECDSA (SEC 1, 4.1.4) does not; no chain's "
    "signature reaches us from outside: a node checks them, and ours leave with the lower s (gateway.signing.evm)"
)
#: What we judge otherwise than the file, with the reason: (file, tcId) → reason.
OTHERWISE = {(SECP256K1, 1): _HIGH_S, (SECP256K1, 388): _HIGH_S}
#: Valid, but the nonce's x is above the order, so that the recovery id is 2 or 3: refused. One signature in 2^127.
NO_RECOVERY_ID = [346]


@cache
def cases(file: str) -> list[tuple[PublicKey, dict[str, Any]]]:
    """Each vector with its key."""
    groups = json.loads((vectors("wycheproof") / file).read_text())["testGroups"]
    return [(_key(ALGORITHMS[file], group["publicKey"]), test) for group in groups for test in group["tests"]]


def _key(algorithm: Algorithm, given: dict[str, str]) -> PublicKey:
    if algorithm is Algorithm.ED25519:
        return PublicKey(algorithm=algorithm, data=bytes.fromhex(given["pk"]))
    return ecdsa_key(algorithm, bytes.fromhex(given["uncompressed"]))


def by_digest(key: PublicKey, message: bytes, signature: bytes) -> bool:
    return verify_digest(key, sha256(message).digest(), signature)


def by_vkey(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """As notes are opened: through the text of the verifier key."""
    return VerifierKey.parse(VerifierKey.of("wycheproof", key).text).verify(message, signature)


@cache
def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("the_strangers_verify", ROOT / "docs" / "verify.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_the_script(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """As docs/verify.py reads a key and checks a checkpoint's signature."""
    _, (found, how) = _script().read_key(VerifierKey.of("wycheproof", key).text)
    try:
        found.verify(signature, message, *how)
    except InvalidSignature:
        return False
    return True


def by_raw(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """As a key store's answer is checked: 64 bytes, or refused."""
    try:
        der = der_signature(signature)
    except MalformedError:
        return False
    return verify_signature(key, message, der)


@pytest.mark.parametrize(
    ("file", "verifier"),
    [
        (ED25519, verify_signature),
        (ED25519, by_vkey),
        (ED25519, by_the_script),
        (P256, verify_signature),
        (P256, by_digest),
        (P256, by_vkey),
        (P256, by_the_script),
        (P256_RAW, by_raw),
        (SECP256K1, verify_signature),
        (SECP256K1, by_digest),
    ],
)
def test_every_signature_is_judged_as_its_vector_says(file: str, verifier: Verifier) -> None:
    """Valid ones are accepted, invalid ones refused; the vectors judged otherwise are exactly those of the table."""
    judged, otherwise = 0, set()
    for key, test in cases(file):
        good = verifier(key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"]))
        assert test["result"] in ("valid", "invalid"), "a new kind of verdict needs a line in the table"
        if good != (test["result"] == "valid"):
            otherwise.add((file, test["tcId"]))
        judged += 1
    assert otherwise == {known for known in OTHERWISE if known[0] == file}
    assert judged == COUNTS[file]


def test_the_high_s_that_we_verify_leaves_us_as_the_low_one() -> None:
    """Of each vector that the table excuses: the chain's form of it is the one that Bitcoin's rule takes."""
    tried = 0
    for key, test in cases(SECP256K1):
        if (SECP256K1, test["tcId"]) not in OTHERWISE:
            continue
        digest, raw = sha256(bytes.fromhex(test["msg"])).digest(), raw_signature(bytes.fromhex(test["sig"]))
        sent = recoverable(raw, digest, key.data[-65:])
        assert int.from_bytes(raw[32:], "big") > ORDER // 2 >= int.from_bytes(sent[32:64], "big")
        assert verify_digest(key, digest, der_signature(sent[:64]))
        tried += 1
    assert tried == len(OTHERWISE)


def test_valid_signatures_of_the_chains_curve_get_a_recovery_id_and_invalid_ones_none() -> None:
    """The curve arithmetic agrees with the library on every vector that is DER of two numbers, but for the table."""
    wrong, seen = [], 0
    for key, test in cases(SECP256K1):
        digest = sha256(bytes.fromhex(test["msg"])).digest()
        try:
            raw = raw_signature(bytes.fromhex(test["sig"]))
        except MalformedError:
            continue
        seen += 1
        try:
            recoverable(raw, digest, key.data[-65:])
            good = True
        except SignerError:
            good = False
        if good != verify_signature(key, bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])):
            wrong.append(test["tcId"])
    assert seen > 200
    assert wrong == NO_RECOVERY_ID


@pytest.mark.parametrize("file", [P256, SECP256K1])
def test_the_raw_form_of_a_der_signature_leads_back_to_it(file: str) -> None:
    """Every valid one has a raw form; an invalid one has none, or has the DER that it came from."""
    for _, test in cases(file):
        der = bytes.fromhex(test["sig"])
        try:
            raw = raw_signature(der)
        except MalformedError:
            assert test["result"] == "invalid", test["tcId"]
        else:
            assert der_signature(raw) == der, test["tcId"]


def test_the_der_form_of_a_raw_signature_leads_back_to_it() -> None:
    """For all of 64 bytes, good or bad; other sizes have no DER form, and none of them is valid."""
    for _, test in cases(P256_RAW):
        raw = bytes.fromhex(test["sig"])
        if len(raw) == 64:
            assert raw_signature(der_signature(raw)) == raw
        else:
            assert test["result"] == "invalid"


@pytest.mark.parametrize("file", list(COUNTS))
def test_a_valid_signature_is_of_its_own_message_and_key(file: str) -> None:
    """Another message is refused, and so is another key's name on it."""
    verifier = by_raw if file == P256_RAW else verify_signature
    valid = [(key, test) for key, test in cases(file) if test["result"] == "valid"]
    other = valid[0][0]
    for key, test in valid:
        message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
        assert not verifier(key, message + b"\0", signature)
        assert key == other or not verifier(other, message, signature)
