"""Entries as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.log.attestation import body_of
from gateway.log.entry import Kind, decode, encode
from gateway.log.key_statement import sign_certificate, sign_rotation
from gateway.log.vkey import VerifierKey, pem
from gateway.reading import Moment
from gateway.show import entry_line, entry_object, rfc3339
from gateway.signing import Attestation
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer

NOW = Moment(boottime_ns=1, wall_ms=1_700_000_000_123, quality="S", error_ms=5)


def shown(kind: Kind, body: list[Any]) -> tuple[dict[str, Any], str]:
    """The JSON object of an entry with this body, and the line without its head."""
    entry = decode(encode(kind=kind, seq=4, prev=bytes(32), boot=1, moment=NOW, body=body))
    return entry_object(entry, lambda _seq: None), entry_line(entry, lambda _seq: None).partition(kind.text)[2].strip()


def event(text: str) -> bytes:
    return encode(kind=Kind.EVENT, seq=4, prev=bytes(32), boot=1, moment=NOW, body=["code", 2, "main", text])


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\x9b31m", "\x00"])
def test_no_text_of_a_log_can_command_a_terminal(text: str) -> None:
    """A log may be somebody else's: control characters are shown, not sent."""
    line = entry_line(decode(event(text)), lambda _seq: None)
    assert line.isprintable()
    assert entry_object(decode(event(text)), lambda _seq: None)["text"] == text


def test_a_reading_without_its_definition_is_shown_all_the_same() -> None:
    """Names and units are missing then, values are not."""
    points = [[0, b"\x09\x06", 2310, -1], [17, b""]]
    data = encode(kind=Kind.READING, seq=9, prev=bytes(32), boot=1, moment=NOW, body=[3, [], points])
    found = entry_object(decode(data), lambda _seq: None)
    assert found["points"]["point_0"] == {"value": "231.0", "unit": "", "obis": "", "raw": "0906", "status": "ok"}
    assert found["points"]["point_1"]["value"] is None
    assert found["points"]["point_1"]["status"] == "timeout"


@pytest.mark.parametrize(
    ("wall_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (2**62, f"{2**62} ms")],
)
def test_any_wall_time_can_be_shown(wall_ms: int, text: str) -> None:
    """Before 1970 and beyond the calendar included."""
    assert rfc3339(wall_ms) == text


#: A step of each kind, the types of what was said, and the line of it.
STEPS = {
    ("intent", "tpm2:nv=0x01800010", 7, ()): "intent tpm2:nv=0x01800010 will be 7",
    (
        "counted",
        "tpm2:nv=0x01800010",
        7,
        ("8014", "8019"),
    ): "counted tpm2:nv=0x01800010 is 7, said by the TPM: counter value, clock",
    ("boot", "tpm2:0x81008001", 3, ("8017", "8018")): "boot 3, key tpm2:0x81008001, said by the TPM: key, PCRs",
    ("of others", "x", 3, ("ffff",)): "of others x 3, said by the TPM: tpm2",
}


@pytest.mark.parametrize("step", STEPS)
def test_what_a_key_store_said_is_one_line_and_in_json_what_openssl_takes(
    step: tuple[str, str, int, tuple[str, ...]],
) -> None:
    """Data and signature in hex, the public key as PEM."""
    name, counter, value, types = step
    public_key = P256Signer().public_key
    said = [
        Attestation(kind="tpm2", data=bytes.fromhex("ff544347" + kind), signature=b"\x30", public_key=public_key)
        for kind in types
    ]
    found, line = shown(Kind.ATTESTATION, body_of(name, counter, value, said))
    assert line == STEPS[step]
    assert (found["step"], found["counter"], found["value"]) == (name, counter, value)
    assert found["attestations"] == [
        {"kind": "tpm2", "data": f"ff544347{kind}", "signature": "30", "public_key": pem(public_key)} for kind in types
    ]


def test_what_another_kind_of_store_said_is_named_by_its_kind() -> None:
    """A key that is none is shown as it stands: a log may be somebody else's."""
    found, line = shown(Kind.ATTESTATION, ["counted", "other:1", 7, [["other", b"1", b"2", b"3"]]])
    assert line == "counted other:1 is 7, said by its store: other"
    assert found["attestations"][0]["public_key"] == "-----BEGIN PUBLIC KEY-----\nMw==\n-----END PUBLIC KEY-----\n"


def test_a_certificate_is_one_short_line_and_other_statements_are_told_in_full() -> None:
    """Names and ids of the keys; the whole note is in the JSON."""
    own, hardware = Ed25519Signer(), P256Signer()
    note = sign_certificate(ORIGIN, 7, 3, own, hardware, name=ORIGIN, store="TPM 2.0").decode()
    ids = [f"{ORIGIN}+{VerifierKey.of(ORIGIN, key.public_key).key_id.hex()}" for key in (own, hardware)]
    found, line = shown(Kind.KEY, ["certificate", note])
    assert line == f"certificate: key {ids[0]} in boot 3, by the key in hardware {ids[1]}: TPM 2.0"
    assert found["statement"] == note
    _, line = shown(Kind.KEY, ["certificate", "nothing of the kind"])
    assert line == "certificate:"
    note = sign_rotation(ORIGIN, 4, own, Ed25519Signer(8), name=ORIGIN, reason="new").decode()
    _, line = shown(Kind.KEY, ["rotation", note])
    assert line.startswith(f"rotation: origin {ORIGIN}, seq 4, old {ORIGIN}+")
    assert line.endswith("reason new")
