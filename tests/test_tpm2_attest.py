"""Statements of a TPM: made by ours, checked by software that we did not write; and the other way round."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.keys.checked import CheckedKey
from drivers.keys.tpm2.counter import open_tpm2_counter
from drivers.keys.tpm2.key import open_tpm2_key
from gateway.durable import create_exclusively
from gateway.errors import MalformedError, SignerError
from gateway.log.vkey import pem
from gateway.signing import Algorithm, Attestation, PublicKey, Purpose
from gateway.signing.tpm_attest import (
    MAGIC,
    KeyAttested,
    NvAttested,
    QuoteAttested,
    TimeAttested,
    checked_statement,
    key_names,
    parse_attest,
)
from tests.messages import MESSAGES
from tests.swtpm import Swtpm, running_swtpm

HANDLE = "0x81010001"
CHALLENGE = bytes(range(32))


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swtpm]:
    with running_swtpm(tmp_path_factory.mktemp("tpm")) as tpm:
        yield tpm


@pytest.fixture
def key(tpm: Swtpm) -> CheckedKey:
    return open_tpm2_key(tpm.request(HANDLE, create=True), create_exclusively)


def statements(tpm: Swtpm, key: CheckedKey) -> list[Attestation]:
    """One of each kind that is made here."""
    counter = open_tpm2_counter(tpm.request("nv=0x01800010", create=True), tpm.uri(HANDLE))
    return [*key.attest(CHALLENGE), *counter.certify(CHALLENGE)]


def test_openssl_alone_verifies_each_statement(tpm: Swtpm, key: CheckedKey) -> None:
    """openssl dgst, with the data, the signature and the public key as they stand."""
    for attestation in statements(tpm, key):
        (tpm.folder / "attest").write_bytes(attestation.data)
        (tpm.folder / "attest.sig").write_bytes(attestation.signature)
        (tpm.folder / "attest.pem").write_text(pem(attestation.public_key))
        verify = ("dgst", "-sha256", "-verify", "attest.pem", "-signature", "attest.sig")
        assert "Verified OK" in tpm.tool("openssl", *verify, "attest")
        (tpm.folder / "attest").write_bytes(attestation.data + b"x")
        assert "Verified OK" not in tpm.tool("openssl", *verify, "attest", check=False)


def test_tpm2_print_reads_the_same(tpm: Swtpm, key: CheckedKey) -> None:
    """Where it knows the kind: challenge, clock and what is attested."""
    kinds = []
    for attestation in statements(tpm, key):
        (tpm.folder / "attest").write_bytes(attestation.data)
        printed = tpm.tool("tpm2_print", "-t", "TPMS_ATTEST", "attest", check=False)
        said = parse_attest(attestation.data)
        kinds.append(type(said.attested))
        assert f"extraData: {CHALLENGE.hex()}" in printed
        assert re.search(rf"clock: {said.clock.clock_ms}\b", printed)
        assert re.search(rf"resetCount: {said.clock.reset_count}\b", printed)
        assert re.search(rf"qualifiedSigner: {said.qualified_signer.hex()}", printed)
    assert kinds == [KeyAttested, QuoteAttested, NvAttested, TimeAttested]


def test_our_quote_is_believed_by_tpm2_checkquote(tpm: Swtpm, key: CheckedKey) -> None:
    """The PCRs 0 to 9, as tpm2_pcrread reads them, are what was signed."""
    _, quoted = key.attest(CHALLENGE)
    (tpm.folder / "key.pem").write_text(pem(key.public_key))
    (tpm.folder / "ours").write_bytes(quoted.data)
    (tpm.folder / "ours.sig").write_bytes(quoted.signature)
    tpm.tool("tpm2_pcrread", "-o", "ours.pcrs", "-F", "values", "sha256:0,1,2,3,4,5,6,7,8,9")
    check = ("-m", "ours", "-s", "ours.sig", "-F", "plain", "-g", "sha256", "-q", CHALLENGE.hex())
    tpm.tool("tpm2_checkquote", "-u", "key.pem", *check)
    values = (tpm.folder / "ours.pcrs").read_bytes()
    said = parse_attest(quoted.data)
    assert said.attested == QuoteAttested(selected=((0x000B, b"\xff\x03\0"),), digest=sha256(values).digest())
    tpm.tool("tpm2_pcrextend", "9:sha256=" + "11" * 32)
    again = parse_attest(key.attest(CHALLENGE)[1].data)
    assert again.attested != said.attested


def test_a_quote_of_tpm2_tools_by_our_key_is_read(tpm: Swtpm, key: CheckedKey) -> None:
    """tpm2_quote uses our key, tpm2_checkquote believes it, and we read what it signed."""
    quote = ("-m", "quote.attest", "-s", "quote.sig", "-o", "quote.pcrs")
    tpm.tool("tpm2_quote", "-Q", "-c", HANDLE, "-l", "sha256:0,7", "-g", "sha256", "-q", CHALLENGE.hex(), *quote)
    (tpm.folder / "key.pem").write_text(pem(key.public_key))
    check = ("-m", "quote.attest", "-s", "quote.sig", "-f", "quote.pcrs", "-g", "sha256")
    tpm.tool("tpm2_checkquote", "-u", "key.pem", *check, "-q", CHALLENGE.hex())
    said = parse_attest((tpm.folder / "quote.attest").read_bytes())
    assert said.challenge == CHALLENGE
    assert said.attested == QuoteAttested(selected=((0x000B, b"\x81\0\0"),), digest=sha256(bytes(64)).digest())


def test_a_certificate_of_tpm2_tools_names_our_key_alike(tpm: Swtpm, key: CheckedKey) -> None:
    """tpm2_certify, and the Name that anybody can compute from public key and purpose."""
    tpm.tool("tpm2_certify", "-Q", "-c", HANDLE, "-C", HANDLE, "-g", "sha256", "-o", "theirs", "-s", "theirs.sig")
    theirs = parse_attest((tpm.folder / "theirs").read_bytes())
    certified, _ = key.attest(CHALLENGE)
    ours = checked_statement(certified, CHALLENGE)
    assert theirs.attested == ours.attested
    assert isinstance(ours.attested, KeyAttested)
    assert ours.attested.name in key_names(key.public_key, Purpose.CHECKPOINT)
    assert ours.attested.name not in key_names(key.public_key, Purpose.VOTE)
    name = tpm.tool("tpm2_readpublic", "-c", HANDLE)
    assert ours.attested.name.hex() in name


def test_the_names_of_a_key_that_no_tpm_has_are_none() -> None:
    """An Ed25519 key is in no TPM."""
    assert not key_names(PublicKey(algorithm=Algorithm.ED25519, data=bytes(32)), Purpose.CHECKPOINT)


def test_what_is_no_statement_of_a_tpm_is_malformed(key: CheckedKey) -> None:
    """Another kind of attestation; and what the key signed that does not begin like a statement."""
    certified, _ = key.attest(CHALLENGE)
    with pytest.raises(MalformedError, match="of kind"):
        checked_statement(replace(certified, kind="other"), CHALLENGE)
    text = MESSAGES[Purpose.CHECKPOINT]
    note = replace(certified, data=text, signature=key.sign(Purpose.CHECKPOINT, text))
    with pytest.raises(MalformedError, match="does not begin with ff544347"):
        checked_statement(note, CHALLENGE)


def test_a_long_challenge_is_refused(key: CheckedKey) -> None:
    """At most 32 bytes; hash it."""
    with pytest.raises(SignerError, match="at most 32"):
        key.attest(bytes(33))


def test_every_cut_and_every_surplus_is_malformed(tpm: Swtpm, key: CheckedKey) -> None:
    """A statement is its bytes."""
    for attestation in statements(tpm, key):
        for end in range(len(attestation.data)):
            with pytest.raises(MalformedError):
                parse_attest(attestation.data[:end])
        with pytest.raises(MalformedError):
            parse_attest(attestation.data + b"\0")


@given(st.binary(max_size=200), st.sampled_from(["8014", "8017", "8018", "8019", "801a", ""]))
def test_bytes_of_any_kind_are_read_or_malformed(rest: bytes, kind: str) -> None:
    """No other error comes out."""
    for data in (rest, MAGIC + bytes.fromhex(kind) + rest):
        try:
            parse_attest(data)
        except MalformedError:
            continue


def test_a_golden_statement_reads_as_it_always_did() -> None:
    """A TPM2_GetTime of swtpm 0.7.1, by hand."""
    clock = bytes.fromhex("000000000000002d 00000001 00000000 01")
    data = (
        MAGIC + bytes.fromhex("8019 0002 000b 0002 7a7a") + clock + bytes(8) + bytes.fromhex("000000000000002e") + clock
    )
    said = parse_attest(data + bytes.fromhex("2019102300163636"))
    assert said.challenge == b"zz"
    assert isinstance(said.attested, TimeAttested)
    assert (said.attested.time_ms, said.attested.clock.clock_ms, said.attested.clock.safe) == (46, 45, True)
    assert said.attested.firmware == 0x2019102300163636
