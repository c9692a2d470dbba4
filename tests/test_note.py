"""Signed notes: foreign and golden ones, every changed byte refused, and the strictness of the parser."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest

from gateway.errors import ConfigError, GatewayError, MalformedError, TamperError
from gateway.log.note import (
    MAX_NOTE,
    MAX_SIGNATURES,
    VerifierKey,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    sign_note,
    split_note,
    verify_checkpoint,
)
from gateway.log.tree import EMPTY_ROOT
from tests.log_keys import ORIGIN, Ed25519Signer, P256Signer, log_key, note_of

#: The example of C2SP signed-note: made by nobody here.
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()

#: Ours: the first three entries of tests.log_keys, Ed25519 key of 32 bytes 0x07. Ed25519 is deterministic.
GOLDEN = (Path(__file__).parent / "data" / "golden-checkpoint.txt").read_bytes()
SIGNATURE = base64.b64encode(bytes(68)).decode()


def _p256_key() -> VerifierKey:
    return VerifierKey.of(ORIGIN, P256Signer().public_key)


def test_the_example_of_the_specification_verifies() -> None:
    """The vkey and the note printed in C2SP signed-note."""
    key = VerifierKey.parse(SPEC_VKEY)
    assert open_note(SPEC_NOTE, [key]) == [key]
    assert key.text == SPEC_VKEY


def test_our_golden_checkpoint_is_reproduced_byte_for_byte() -> None:
    """The same text and key give the note that was written when the format was fixed."""
    assert note_of(3) == GOLDEN
    checkpoint = verify_checkpoint(GOLDEN, origin=ORIGIN, keys=[log_key()])
    assert (checkpoint.origin, checkpoint.size, checkpoint.note) == (ORIGIN, 3, GOLDEN)
    assert checkpoint.root.hex() == "4960813411600f93be1b64776909d9c1031d5639a06eb5430a7cc127334372d4"


@pytest.mark.parametrize("note", [GOLDEN, SPEC_NOTE], ids=["golden", "specification"])
def test_a_note_with_any_byte_changed_is_refused(note: bytes) -> None:
    """Each byte, changed in each of its bits: nothing that verified before verifies after."""
    keys = [log_key(), VerifierKey.parse(SPEC_VKEY)]
    for position in range(len(note)):
        for bit in range(8):
            changed = bytearray(note)
            changed[position] ^= 1 << bit
            with pytest.raises(GatewayError):
                _require_signed(bytes(changed), keys)


def _require_signed(note: bytes, keys: list[VerifierKey]) -> None:
    if not open_note(note, keys):
        raise TamperError("no known key signed it")


def test_a_checkpoint_cut_or_extended_anywhere_is_refused() -> None:
    """No prefix of a checkpoint is one, and nothing can follow it but more signature lines."""
    for end in range(len(GOLDEN)):
        with pytest.raises(GatewayError):
            verify_checkpoint(GOLDEN[:end], origin=ORIGIN, keys=[log_key()])
    for tail in (b"\n", b" ", b"x", b"\0", b"\r\n", b"\n\n", GOLDEN):
        with pytest.raises(GatewayError):
            verify_checkpoint(GOLDEN + tail, origin=ORIGIN, keys=[log_key()])


def test_each_key_can_be_demanded_and_a_quorum_asks_for_fewer() -> None:
    """All keys given must have signed, unless a quorum says how many."""
    text = checkpoint_text(ORIGIN, 0, EMPTY_ROOT)
    both = sign_note(text, ORIGIN, Ed25519Signer(), P256Signer())
    keys = [log_key(), _p256_key(), log_key(9)]
    assert open_note(both, keys) == keys[:2]
    verify_checkpoint(both, origin=ORIGIN, keys=keys[:2])
    verify_checkpoint(both, origin=ORIGIN, keys=keys, quorum=2)
    for quorum in (3, None):
        with pytest.raises(TamperError, match="not signed by"):
            verify_checkpoint(both, origin=ORIGIN, keys=keys, quorum=quorum)


@pytest.mark.parametrize(("count", "quorum"), [(0, None), (1, 0), (1, 2), (2, -1)])
def test_a_demand_that_proves_nothing_is_the_operators_mistake(count: int, quorum: int | None) -> None:
    """No key, a quorum of none, or of more keys than given."""
    with pytest.raises(ConfigError):
        verify_checkpoint(GOLDEN, origin=ORIGIN, keys=[log_key(seed) for seed in range(1, count + 1)], quorum=quorum)


def test_the_same_key_twice_counts_once() -> None:
    """A quorum of two is not met by one key named twice, nor by two lines of one key."""
    twice = GOLDEN + GOLDEN.rpartition(b"\n\n")[2]
    assert open_note(twice, [log_key(), log_key()]) == [log_key()]
    with pytest.raises(ConfigError):
        verify_checkpoint(twice, origin=ORIGIN, keys=[log_key(), log_key()], quorum=2)


def test_lines_of_unknown_keys_are_ignored() -> None:
    """A witness's line, of any length and type, changes nothing; nor does a known name with an unknown id."""
    strange = "".join(
        f"— {name} {base64.b64encode(b'abcd' + bytes(size)).decode()}\n"
        for name, size in (("witness.example", 72), (ORIGIN, 64), ("pq.example", 2428))
    )
    verify_checkpoint(GOLDEN + strange.encode(), origin=ORIGIN, keys=[log_key()])


def test_a_wrong_signature_of_a_known_key_condemns_the_note() -> None:
    """Even beside a right one, before it or after it."""
    text = checkpoint_text(ORIGIN, 1, bytes(32))
    line = sign_note(text, ORIGIN, Ed25519Signer()).rpartition(b"\n\n")[2]
    for lines in (line + _line(GOLDEN), _line(GOLDEN) + line):
        with pytest.raises(TamperError):
            open_note(text + b"\n" + lines, [log_key()])


def _line(note: bytes) -> bytes:
    return note.rpartition(b"\n\n")[2]


def test_a_checkpoint_of_another_log_is_refused_though_genuine() -> None:
    """A genuine key can sign another log: the origin is part of what is asked."""
    other = note_of(3, origin="meters.example.org/roof-8")
    key = VerifierKey.of("meters.example.org/roof-8", Ed25519Signer().public_key)
    with pytest.raises(TamperError, match="roof-8"):
        verify_checkpoint(other, origin=ORIGIN, keys=[key])


def test_a_text_may_hold_empty_lines_in_a_note_but_not_in_a_checkpoint() -> None:
    """A note is split at its last empty line."""
    text = b"first\n\nsecond\n"
    note = sign_note(text, ORIGIN, Ed25519Signer())
    assert split_note(note)[0] == text
    with pytest.raises(MalformedError):
        parse_checkpoint(note)


BAD_NOTES = {
    "empty": b"",
    "no signature": b"text\n\n",
    "no empty line": f"text\n— a {SIGNATURE}\n".encode(),
    "no text": f"\n— a {SIGNATURE}\n".encode(),
    "only an empty line as text": f"\n\n— a {SIGNATURE}\n".encode(),
    "carriage return": f"text\r\n\n— a {SIGNATURE}\n".encode(),
    "tab": f"te\txt\n\n— a {SIGNATURE}\n".encode(),
    "not UTF-8": b"te\xffxt\n\n" + f"— a {SIGNATURE}\n".encode(),
    "hyphen for a dash": f"text\n\n- a {SIGNATURE}\n".encode(),
    "en dash": f"text\n\n– a {SIGNATURE}\n".encode(),
    "two spaces": f"text\n\n—  a {SIGNATURE}\n".encode(),
    "no name": f"text\n\n—  {SIGNATURE}\n".encode(),
    "plus in the name": f"text\n\n— a+b {SIGNATURE}\n".encode(),
    "no-break space in the name": f"text\n\n— a\u00a0b {SIGNATURE}\n".encode(),
    "no signature after the name": "text\n\n— a\n".encode(),
    "key id only": f"text\n\n— a {base64.b64encode(b'abcd').decode()}\n".encode(),
    "base64 without padding": f"text\n\n— a {SIGNATURE.rstrip('=')}\n".encode(),
    "base64 with unused bits": f"text\n\n— a {SIGNATURE[:-2]}B=\n".encode(),
    "URL base64": "text\n\n— a YWJj_w==\n".encode(),
    "trailing space": f"text\n\n— a {SIGNATURE} \n".encode(),
    "no last newline": f"text\n\n— a {SIGNATURE}".encode(),
    "too many signatures": b"text\n\n" + "— a YWJjZGU=\n".encode() * (MAX_SIGNATURES + 1),
    "too long": b"t" * MAX_NOTE + f"\n\n— a {SIGNATURE}\n".encode(),
}


@pytest.mark.parametrize("name", BAD_NOTES)
def test_what_is_no_note_is_refused(name: str) -> None:
    """Each rule of the format, broken once."""
    with pytest.raises(MalformedError):
        split_note(BAD_NOTES[name])


def test_as_many_signatures_as_allowed_are_read() -> None:
    """C2SP asks for at least sixteen."""
    note = b"text\n\n" + "— a YWJjZGU=\n".encode() * MAX_SIGNATURES
    assert len(split_note(note)[1]) == MAX_SIGNATURES


ROOT = base64.b64encode(EMPTY_ROOT).decode()
BAD_TEXTS = {
    "no root": "log\n0\n",
    "empty origin": f"\n0\n{ROOT}\n",
    "leading zero": f"log\n00\n{ROOT}\n",
    "sign": f"log\n+1\n{ROOT}\n",
    "negative": f"log\n-1\n{ROOT}\n",
    "other digits": f"log\n٣\n{ROOT}\n",
    "space in the size": f"log\n1 \n{ROOT}\n",
    "beyond 2^63": f"log\n9223372036854775809\n{ROOT}\n",
    "very long size": f"log\n{'1' * 5000}\n{ROOT}\n",
    "short root": "log\n1\nYWJj\n",
    "root with unused bits": f"log\n1\n{ROOT[:-2]}V=\n",
    "other root of size 0": f"log\n0\n{base64.b64encode(bytes(32)).decode()}\n",
    "empty extension": f"log\n0\n{ROOT}\n\nmore\n",
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_what_is_no_checkpoint_is_refused(name: str) -> None:
    """Each rule of the checkpoint's text, broken once."""
    with pytest.raises(MalformedError):
        parse_checkpoint(f"{BAD_TEXTS[name]}\n— log {SIGNATURE}\n".encode())


def test_extension_lines_are_kept_apart() -> None:
    """They are signed, but mean nothing to us."""
    checkpoint = parse_checkpoint(f"log\n0\n{ROOT}\nmore\nand more\n\n— log {SIGNATURE}\n".encode())
    assert checkpoint.extensions == ("more", "and more")


@pytest.mark.parametrize("origin", ["", "with space", "a+b", "line\nbreak", "x" * 256, "ü" * 128])
def test_an_origin_that_cannot_be_signed_is_refused(origin: str) -> None:
    """The origin is the key's name and one line."""
    with pytest.raises(ConfigError):
        checkpoint_text(origin, 1, bytes(32))


@pytest.mark.parametrize("text", [b"", b"no newline", b"tab\there\n", b"\xff\n"])
def test_what_is_no_text_is_not_signed(text: bytes) -> None:
    """The signer would make a note that nobody can open."""
    with pytest.raises(MalformedError):
        sign_note(text, ORIGIN, Ed25519Signer())


@pytest.mark.parametrize(("size", "root"), [(-1, bytes(32)), (2**63 + 1, bytes(32)), (1, bytes(31))])
def test_what_is_no_tree_is_not_put_into_a_text(size: int, root: bytes) -> None:
    """A mistake in the program, not in its input."""
    with pytest.raises(ValueError, match="no tree"):
        checkpoint_text(ORIGIN, size, root)


def test_random_bytes_are_refused_without_any_other_error() -> None:
    """Whatever comes from a wire ends in one of our errors."""
    rng = random.Random(6962)
    pieces = [GOLDEN, b"\n\n", "— ".encode(), b"\xff", b"+", b"0", SIGNATURE.encode(), b"\n"]
    for _ in range(3000):
        data = b"".join(rng.choice(pieces)[: rng.randrange(60)] for _ in range(rng.randrange(8)))
        try:
            parse_checkpoint(data)
        except MalformedError:
            continue
