"""The certificate request: openssl checks it and reads what it asks; the commands around it."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from gateway.cli import enrol
from gateway.device_chain import CHAIN_FILE, MAX_CHAIN
from gateway.enrolment import HARDWARE_TYPE, Subject, parse_subject, request_pem
from gateway.errors import ConfigError, SignerError
from gateway.log.vkey import did_key, pem
from gateway.signing import Algorithm, Purpose
from tests.authority import BOTH, SUBJECT, authority, issued_s, openssl, signer_of


@BOTH
def test_openssl_verifies_the_request_and_reads_what_it_asks(algorithm: Algorithm, tmp_path: Path) -> None:
    """The signature, the names in their order, the key, its use, and the did:key."""
    key = signer_of(algorithm)
    (tmp_path / "device.csr").write_text(request_pem(key, SUBJECT))
    said = openssl(
        tmp_path, "req", "-in", "device.csr", "-verify", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus"
    )
    assert "verify OK" in said
    assert "Subject: O=Example Öl & Co,OU=Roofs,CN=roof-7,serialNumber=MG-0042/a\n" in said
    assert "X509v3 Key Usage: critical\n                    Digital Signature\n" in said
    assert f"URI:{did_key(key.public_key)}" in said
    assert openssl(tmp_path, "req", "-in", "device.csr", "-noout", "-pubkey") == pem(key.public_key)


@pytest.mark.parametrize("hardware_type", [HARDWARE_TYPE, "1.3.6.1.4.1.99999.7", "2.999.3", "0.0.128", "1.39.16384"])
def test_the_request_holds_the_hardware_module_name(hardware_type: str, tmp_path: Path) -> None:
    """RFC 4108: a sequence of the type's OID and the serial number, as openssl takes it apart."""
    text = request_pem(signer_of(Algorithm.ED25519), replace(SUBJECT, hardware_type=hardware_type))
    request = x509.load_pem_x509_csr(text.encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (other,) = names.get_values_for_type(x509.OtherName)
    assert other.type_id.dotted_string == "1.3.6.1.5.5.7.8.4"
    (tmp_path / "name.der").write_bytes(other.value)
    said = openssl(tmp_path, "asn1parse", "-inform", "DER", "-in", "name.der")
    assert f"OBJECT            :{hardware_type}\n" in said
    assert "OCTET STRING      :MG-0042/a\n" in said


def test_a_device_may_have_nothing_but_a_serial_number() -> None:
    """And the type of hardware is the one that needs no registration."""
    request = x509.load_pem_x509_csr(request_pem(signer_of(Algorithm.ED25519), parse_subject("", "7")).encode())
    assert request.subject.rfc4514_string() == "2.5.4.5=7"


def test_a_subject_is_read_in_the_notation_of_rfc_4514() -> None:
    """The most specific name first, as openssl and LDAP print it; commas are escaped."""
    found = parse_subject("CN=roof-7,OU=Roofs,O=Example\\, Inc", "7")
    assert found == Subject(serial="7", organization="Example, Inc", unit="Roofs", common_name="roof-7")


@pytest.mark.parametrize(
    "text", ["roof-7", "CN=a,CN=b", "C=DE", "CN=", "CN=a;O=b,", "2.5.4.5=7", "/CN=a", "CN=" + "x" * 65]
)
def test_a_subject_that_is_none_is_refused(text: str) -> None:
    """Each with what to write."""
    with pytest.raises(ConfigError, match="subject"):
        request_pem(signer_of(Algorithm.ED25519), parse_subject(text, "7"))


@pytest.mark.parametrize("serial", ["", "x" * 65, "ä", "a_b", "a\n", "\0", "*"])
def test_a_serial_number_that_no_certificate_can_hold_is_refused(serial: str) -> None:
    """X.520 wants a PrintableString of 1 to 64 characters."""
    with pytest.raises(ConfigError, match=r"subject|serial"):
        request_pem(signer_of(Algorithm.ED25519), parse_subject("", serial))


@pytest.mark.parametrize("oid", ["", "1", "1.3", "3.1.1", "1.40.1", "1.2.x", "1.2.03", "1..2", "1.2.-3", "1.2.\u0663"])
def test_a_hardware_type_that_is_no_oid_is_refused(oid: str) -> None:
    """The message shows one."""
    with pytest.raises(ConfigError, match="is no OID, such as"):
        request_pem(signer_of(Algorithm.ED25519), parse_subject("", "7", oid))


def test_a_key_of_a_chain_gets_no_certificate() -> None:
    """The message says what it has instead."""
    with pytest.raises(ConfigError, match=r"secp256k1 key gets no certificate.*did:ethr.*ed25519 or p256"):
        request_pem(signer_of(Algorithm.ECDSA_SECP256K1), SUBJECT)


def test_a_key_that_is_open_for_something_else_signs_no_request() -> None:
    """The purpose is asked of the signer."""
    with pytest.raises(SignerError, match="opened to sign a checkpoint only"):
        request_pem(signer_of(Algorithm.ED25519, purpose=Purpose.CHECKPOINT), SUBJECT)


class BrokenSigner:
    """A store that answers with a signature of something else."""

    uri = "memory:broken"
    public_key = signer_of(Algorithm.ED25519).public_key

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        return bytes(64)

    def close(self) -> None:
        """Nothing is held."""


def test_a_request_whose_signature_does_not_verify_is_not_given_away() -> None:
    """Whoever made the signer."""
    with pytest.raises(SignerError, match="does not verify"):
        request_pem(BrokenSigner(), SUBJECT)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    enrol.add_actions(parser.add_subparsers(dest="action"))
    return parser.parse_args(arguments)


def test_the_commands_write_a_request_and_take_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``key request`` to a file that openssl verifies; ``key chain`` in words and as JSON."""
    key = signer_of(Algorithm.ECDSA_P256)
    output = tmp_path / "device.csr"
    enrol.run_request(parsed("request", "--subject", "O=Example", "--serial", "7", "-o", str(output)), key)
    assert "verify OK" in openssl(tmp_path, "req", "-in", str(output), "-verify", "-noout")
    enrol.run_request(parsed("request", "--serial", "7"), key)
    assert capsys.readouterr().out.startswith("-----BEGIN CERTIFICATE REQUEST-----\n")
    (tmp_path / "answer.pem").write_bytes(authority().chain("device", "inner", "outer"))
    state = tmp_path / "state"
    enrol.run_chain(parsed("chain", str(tmp_path / "answer.pem")), key.public_key, state, issued_s())
    said = capsys.readouterr()
    assert f"stored in {state / CHAIN_FILE}\n" in said.out
    assert "warning: certificate CN=outer" in said.err
    (tmp_path / "roots.pem").write_bytes(authority().chain("root"))
    options = ("--json", "--roots", str(tmp_path / "roots.pem"))
    enrol.run_chain(parsed("chain", *options, str(tmp_path / "answer.pem")), key.public_key, state, issued_s())
    found = json.loads(capsys.readouterr().out)
    assert found["path"] == str(state / CHAIN_FILE)
    assert found["warnings"] == []
    assert len(found["certificates"]) == 3


def test_a_refused_chain_leaves_the_stored_one(tmp_path: Path) -> None:
    """Nothing is written before all is checked."""
    key, answer = signer_of(Algorithm.ECDSA_P256).public_key, tmp_path / "answer.pem"
    answer.write_bytes(authority().chain("device", "inner", "outer", "root"))
    enrol.run_chain(parsed("chain", str(answer)), key, tmp_path, issued_s())
    before = (tmp_path / CHAIN_FILE).read_bytes()
    for content in (b"", b"x" * 10 * MAX_CHAIN, authority().chain("inner", "device")):
        answer.write_bytes(content)
        with pytest.raises(ConfigError):
            enrol.run_chain(parsed("chain", str(answer)), key, tmp_path, issued_s())
    with pytest.raises(ConfigError, match="cannot be read"):
        enrol.run_chain(parsed("chain", str(tmp_path / "missing")), key, tmp_path, issued_s())
    assert (tmp_path / CHAIN_FILE).read_bytes() == before


@pytest.mark.parametrize("output", ["/", "missing/device.csr", "."])
def test_a_request_that_cannot_be_written_is_the_operators_to_mend(tmp_path: Path, output: str) -> None:
    """No traceback."""
    args = parsed("request", "--serial", "7", "-o", str(tmp_path / output) if output != "." else output)
    with pytest.raises(ConfigError, match="name another file"):
        enrol.run_request(args, signer_of(Algorithm.ED25519))


def test_the_board_says_its_serial_number(tmp_path: Path) -> None:
    """With the zero byte that ends it; a board that states none, or zeroes, wants --serial."""
    path = tmp_path / "serial-number"
    path.write_bytes(b"10000000a1b2c3d4\0")
    assert enrol.serial_of(path) == "10000000a1b2c3d4"
    for content in (b"", b"\0", b"0000000000000000\0", b" \n"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="give --serial"):
            enrol.serial_of(path)
    with pytest.raises(ConfigError, match=r"states no serial number.*give --serial"):
        enrol.serial_of(tmp_path / "missing")
