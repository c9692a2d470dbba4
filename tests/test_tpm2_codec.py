"""Commands and responses as bytes: what is no response is a SignerError, whatever it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.keys.tpm2 import commands, statements
from drivers.keys.tpm2.area import SEALED, STORAGE_PRIMARY, parse_area
from drivers.keys.tpm2.codec import Command, TpmRefused, refusal, sized, u16, u32
from drivers.keys.tpm2.commands import Hashed, Made
from gateway.errors import SignerError
from gateway.signing import Purpose
from gateway.signing.tpm_attest import key_area

MADE = Made(private=b"private", public=b"public")
COMMANDS: tuple[Command[object], ...] = (
    commands.create_primary(b"", STORAGE_PRIMARY),
    commands.create(0x80000000, b"", SEALED, b"", b"secret"),
    commands.load(0x80000000, b"", MADE),
    commands.flush_context(0x80000000),
    commands.evict_control(b"", 0x80000000, 0x81010001),
    commands.read_public(0x81010001),
    commands.list_handles(commands.PERSISTENT),
    commands.list_algorithms(),
    commands.list_curves(),
    commands.list_properties(0x100, 64),
    commands.hash_data(b"data"),
    commands.hash_sequence_start(),
    commands.sequence_update(0x80000000, b"data"),
    commands.sequence_complete(0x80000000, b"data"),
    commands.sign(0x81010001, b"pin", bytes(32), commands.NO_TICKET),
    commands.unseal(0x80000000),
    statements.nv_define_counter(b"", 0x01800010),
    statements.nv_read_public(0x01800010),
    statements.nv_read(0x01800010),
    statements.nv_increment(0x01800010),
    statements.nv_certify(0x81010001, b"pin", 0x01800010, b"c"),
    statements.get_time(0x81010001, b"pin", b"", b"c"),
    statements.certify(0x81010001, b"pin", b"c"),
)
any_command = st.sampled_from(COMMANDS)
#: Bytes that look like a TPM's parameters, so that the fuzz gets past the first of them.
_PIECES = st.one_of(
    st.binary(max_size=8),
    st.binary(max_size=40).map(sized),
    st.integers(0, 9).map(u32),
    st.sampled_from([b"\x00\x18\x00\x0b", bytes.fromhex("8024400000010000"), b"\0", bytes(6), sized(bytes(14))]),
)
any_body = st.lists(_PIECES, max_size=8).map(b"".join)


def response(tag: int, code: int, body: bytes) -> bytes:
    return u16(tag) + u32(10 + len(body)) + u32(code) + body


def test_a_golden_command_is_the_bytes_that_a_tpm_takes() -> None:
    """TPM2_Sign with a password session, byte by byte (TPM 2.0 Library, part 3)."""
    assert commands.sign(0x81010001, b"pin", b"\xaa\xbb", commands.NO_TICKET).encoded() == bytes.fromhex(
        "8002 0000002e 0000015d 81010001 0000000c 40000009 0000 00 0003 70696e 0002 aabb 0018 000b 8024 40000007 0000"
    )


def test_a_golden_response_is_read() -> None:
    """TPM2_Hash, as a TPM answers it."""
    ticket = bytes.fromhex("8024 40000001 0004 01020304")
    answer = response(0x8001, 0, sized(bytes(32)) + ticket)
    assert commands.hash_data(b"x").result(answer, "here") == Hashed(digest=bytes(32), ticket=ticket)


def test_a_short_scalar_is_filled_up() -> None:
    """Some TPMs leave leading zero bytes of r and s away."""
    body = bytes.fromhex("0018000b 0001 07") + sized(b"\x01" * 32)
    answer = response(0x8002, 0, u32(len(body)) + body + bytes.fromhex("0000 01 0000"))
    assert COMMANDS[14].result(answer, "here") == bytes(31) + b"\x07" + b"\x01" * 32


@given(any_command, st.binary(max_size=300))
@settings(max_examples=500)
def test_bytes_of_any_kind_are_a_response_or_a_signer_error(command: Command[object], data: bytes) -> None:
    """Nothing else is raised."""
    _only_signer_errors(lambda: command.result(data, "here"))


@given(any_command, st.sampled_from([0x8001, 0x8002]), any_body)
@settings(max_examples=2000)
def test_a_right_header_changes_nothing_about_that(command: Command[object], tag: int, body: bytes) -> None:
    """The fuzz reaches the parameters."""
    _only_signer_errors(lambda: command.result(response(tag, 0, body), "here"))
    handle = u32(0x80000000) if command.gives_handle else b""
    sessions = bytes.fromhex("0000 01 0000") * len(command.auths)
    _only_signer_errors(lambda: command.result(response(tag, 0, handle + u32(len(body)) + body + sessions), "here"))


@given(any_command, st.integers(1, 0xFFFFFFFF))
def test_every_response_code_is_told_in_words(command: Command[object], code: int) -> None:
    """With the code, for those who look it up."""
    with pytest.raises(TpmRefused, match=f"0x{code:03x}") as caught:
        command.result(response(0x8001, code, b""), "swtpm:port=1")
    assert "swtpm:port=1" in str(caught.value)
    assert command.name in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0x100, "TPM_RC_INITIALIZE"),
        (0x101, "TPM_RC_FAILURE"),
        (0x902, "TPM_RC_OBJECT_MEMORY"),
        (0x908, "TPM_RC_YIELDED"),
        (0x921, "TPM_RC_LOCKOUT"),
        (0x922, "TPM_RC_RETRY"),
        (0x98E, "of session 1 (TPM_RC_AUTH_FAIL)"),
        (0x9A2, "of session 1 (TPM_RC_BAD_AUTH)"),
        (0x18B, "of handle 1 (TPM_RC_HANDLE)"),
        (0x1DF, "of parameter 1 (TPM_RC_INTEGRITY)"),
        (0x3E0, "of parameter 3 (TPM_RC_TICKET)"),
    ],
)
def test_the_usual_codes_have_their_names(code: int, said: str) -> None:
    """And say what they are about."""
    assert said in str(refusal(code, "TPM"))


@given(
    st.binary(max_size=150), st.sampled_from(["", "0023000b", "0001000b", "0023000b00040072000000100010000300100020"])
)
@settings(max_examples=500)
def test_public_areas_of_any_kind_are_read_or_refused(rest: bytes, head: str) -> None:
    """Whatever lies at a handle."""
    _only_signer_errors(lambda: parse_area(bytes.fromhex(head) + rest))


def test_our_own_area_is_read_back() -> None:
    """Purpose, point and attributes."""
    for purpose in (Purpose.CHECKPOINT, Purpose.VOTE):
        for guarded in (False, True):
            area = parse_area(key_area(b"\x01" * 64, purpose, guarded=guarded))
            assert (area.made_for, area.is_guarded, area.is_restricted) == (purpose, guarded, True)
            assert area.public_key is not None
            assert area.public_key.data[-64:] == b"\x01" * 64


def _only_signer_errors(call: Callable[[], object]) -> None:
    try:
        call()
    except SignerError:
        return
