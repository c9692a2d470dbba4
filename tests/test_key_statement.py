"""Key statements: signed notes with one text for what they say, and nothing else that passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, MalformedError, TamperError
from gateway.log.key_history import KeyHistory
from gateway.log.key_statement import (
    Revocation,
    Rotation,
    action_of,
    parse_statement,
    sign_revocation,
    sign_rotation,
    split_statements,
    statement_in,
)
from gateway.log.note import open_note, parse_checkpoint
from gateway.log.vkey import VerifierKey
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, note_of

OLD, NEW = Ed25519Signer(7), Ed25519Signer(8)
OLD_KEY, NEW_KEY = (VerifierKey.of(ORIGIN, signer.public_key) for signer in (OLD, NEW))
#: Ed25519 signatures are deterministic: these bytes never change.
GOLDEN_ROTATION = b"""meter-gateway/key-rotation/v1
origin meters.example.org/roof-7
seq 42
old @OLD
new @NEW
reason the board was replaced

"""
GOLDEN_REVOCATION = b"""meter-gateway/key-revocation/v1
origin meters.example.org/roof-7
seq 60
key @OLD
after-size 40
after-time 1760000000
reason its card was copied

"""


GOLDEN_SIGNATURES = [
    "iP/mbJtuzMERDmPyL4mxCFP4jGQ8s7EYtmD9LoJcaIu3qWan9BafRIC1mIQaGWRoWT9E1GRRrxQgbAyOs538/L9PRws=",
    "eeOfQUqE/+LtN4gHucjn8wARnNCGvwBWQJg3AZQhlqUW9tyEPX8VZBQ98pSK23+ENaX2+MxpBvM4HoLadNFDyBdYXAs=",
]


def taken(history: KeyHistory, note: bytes) -> bool:
    try:
        return history.apply(parse_statement(note))
    except (MalformedError, TamperError):
        return False


def golden(template: bytes) -> bytes:
    return template.replace(b"@OLD", OLD_KEY.text.encode()).replace(b"@NEW", NEW_KEY.text.encode())


def rotation() -> bytes:
    return sign_rotation(ORIGIN, 42, OLD, NEW, name=ORIGIN, reason="the board was replaced")


def revocation() -> bytes:
    return sign_revocation(
        ORIGIN, 60, NEW, OLD_KEY, after_size=40, after_time_s=1_760_000_000, reason="its card was copied"
    )


def test_the_text_of_a_rotation_is_as_specified() -> None:
    """Every byte of the text, and a line of each key below it."""
    note = rotation()
    assert note.startswith(golden(GOLDEN_ROTATION))
    assert open_note(note, [OLD_KEY, NEW_KEY]) == [OLD_KEY, NEW_KEY]
    said = parse_statement(note)
    assert said == Rotation(origin=ORIGIN, seq=42, old=OLD_KEY, new=NEW_KEY, reason="the board was replaced", note=note)
    assert action_of(said) == "rotation"


def test_the_text_of_a_revocation_is_as_specified() -> None:
    """Signed by the key that is valid, not by the one that it is about."""
    note = revocation()
    assert note.startswith(golden(GOLDEN_REVOCATION))
    assert open_note(note, [OLD_KEY, NEW_KEY]) == [NEW_KEY]
    said = parse_statement(note)
    assert isinstance(said, Revocation)
    assert (said.key, said.after_size, said.after_time_s, action_of(said)) == (OLD_KEY, 40, 1_760_000_000, "revocation")


def test_the_golden_bytes_stay() -> None:
    """The signatures too: what was written into a log once can be verified for ever."""
    assert [line.split()[-1].decode() for line in rotation().splitlines()[-2:]] == GOLDEN_SIGNATURES


def test_hardware_keys_rotate_too() -> None:
    """A P-256 key can follow an Ed25519 key."""
    signer = P256Signer()
    note = sign_rotation(ORIGIN, 1, OLD, signer, name=ORIGIN, reason="into the secure element")
    history = KeyHistory(ORIGIN, [OLD_KEY])
    assert history.apply(parse_statement(note))
    assert history.lines[0].last.public_key == signer.public_key


@pytest.mark.parametrize("made", [rotation, revocation])
def test_every_byte_counts(made: object) -> None:
    """A statement with one byte changed is no statement, or its signatures do not hold: none has an effect."""
    note = made()  # type: ignore[operator]
    for position in range(len(note)):
        forged = bytearray(note)
        forged[position] ^= 1
        history = KeyHistory(ORIGIN, [OLD_KEY])
        if made is revocation:
            history.apply(parse_statement(rotation()))
        before = [line.terms[:] for line in history.lines]
        assert not taken(history, bytes(forged))
        assert [line.terms for line in history.lines] == before
        assert not history.revoked


def test_each_line_must_be_there_once_and_in_order() -> None:
    """Dropped, doubled and swapped lines, and lines of the other statement."""
    text, _, tail = golden(GOLDEN_ROTATION).partition(b"\n\n")
    lines = text.split(b"\n")
    other = golden(GOLDEN_REVOCATION).split(b"\n")[4]
    signature = rotation().rpartition(b"\n\n")[2]
    for index in range(len(lines)):
        for changed in (
            [*lines[:index], *lines[index + 1 :]],
            [*lines[:index], lines[index], *lines[index:]],
            [*lines[:index], other, *lines[index + 1 :]],
        ):
            with pytest.raises(MalformedError):
                parse_statement(b"\n".join(changed) + b"\n\n" + signature)
    assert not tail


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"seq 42", b"seq 042"),
        (b"seq 42", b"seq -1"),
        (b"seq 42", b"seq 9999999999999999999"),
        (b"origin meters", b"origin  meters"),
        (b"roof-7\nseq", b"roof-8\nseq"),
        (b"reason the board was replaced", b"reason "),
        (b"reason the board was replaced", b"reason " + b"x" * 201),
        (b"reason the", b"reason \xe2\x80\xae the"),
        (b"key-rotation/v1", b"key-rotation/v2"),
    ],
)
def test_values_out_of_their_format_are_refused(old: bytes, new: bytes) -> None:
    """Before any signature is looked at."""
    note = rotation()
    assert note.count(old) == 1
    with pytest.raises(MalformedError):
        parse_statement(note.replace(old, new))


def test_what_could_not_be_read_back_is_not_signed() -> None:
    """A reason of two lines, the same key twice, a revocation of what is to come, a key of another log."""
    stranger = VerifierKey.of("other.example/log", NEW.public_key)
    with pytest.raises(ConfigError, match="nothing was signed"):
        sign_rotation(ORIGIN, 1, OLD, NEW, name=ORIGIN, reason="two\nlines")
    with pytest.raises(ConfigError, match="cannot follow"):
        sign_rotation(ORIGIN, 1, OLD, OLD, name=ORIGIN, reason="none")
    with pytest.raises(ConfigError, match="behind the revocation"):
        sign_revocation(ORIGIN, 5, NEW, OLD_KEY, after_size=6, after_time_s=0, reason="x")
    with pytest.raises(ConfigError, match="not one of the log"):
        sign_revocation(ORIGIN, 5, NEW, stranger, after_size=4, after_time_s=0, reason="x")


def test_no_statement_is_a_checkpoint_and_no_checkpoint_a_statement() -> None:
    """One key signs both: neither passes for the other."""
    for note in (rotation(), revocation()):
        with pytest.raises(MalformedError):
            parse_checkpoint(note)
    with pytest.raises(MalformedError):
        parse_statement(note_of(5))


def test_a_file_may_hold_several() -> None:
    """One behind the other, as they come; anything between them is refused."""
    notes = [rotation(), revocation(), rotation()]
    assert split_statements(b"".join(notes)) == notes
    assert split_statements(b"") == []
    with pytest.raises(MalformedError, match="should begin"):
        split_statements(b"x\n" + notes[0])
    with pytest.raises(MalformedError, match="limit"):
        split_statements(b"x" * ((1 << 20) + 1))


def test_a_key_entry_holds_the_statement_of_its_own_place() -> None:
    """Neither that of another entry nor another kind of statement."""
    text = rotation().decode()
    assert statement_in(["rotation", text], 42).seq == 42
    for body, seq in ((["rotation", text], 43), (["revocation", text], 42), (["", text], 42)):
        with pytest.raises(MalformedError):
            statement_in(body, seq)


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_foreign_bytes_are_refused_in_words(data: bytes) -> None:
    """No input of any kind makes anything but MalformedError."""
    with pytest.raises(MalformedError):
        parse_statement(data)


@given(st.data())
def test_foreign_lines_are_refused_in_words(data: st.DataObject) -> None:
    """Lines of a genuine statement, replaced by any text."""
    note = rotation()
    text, _, tail = note.partition(b"\n\n")
    lines = text.split(b"\n")
    index = data.draw(st.integers(0, len(lines) - 1))
    lines[index] = data.draw(st.text(max_size=80)).encode("utf-8", "surrogatepass")
    forged = b"\n".join(lines) + b"\n\n" + tail
    try:
        said = parse_statement(forged)
    except MalformedError:
        return
    if forged != note:
        with pytest.raises(TamperError):
            KeyHistory(said.origin, [OLD_KEY]).apply(said)
