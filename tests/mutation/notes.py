"""Mutants of the signed checkpoint: its text, its layout, and each of its two signatures."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from gateway.log.note import sign_note, split_note
from tests.log_keys import Ed25519Signer, P256Signer
from tests.mutation.golden import KEYS, ORIGIN
from tests.mutation.mutant import (
    AICS,
    GO,
    OPENSSL,
    OTS,
    PYMERKLE,
    SIGNIFY,
    flipped,
    replaced,
    replaced_last,
    unused_bits,
)

DASH = "\u2014 ".encode()
#: Order of the curve of Ed25519; S + L is the same number to a sloppy verifier.
ED25519_L = 2**252 + 27742317777372353535851937790883648493
#: Who reads what of a checkpoint. openssl and signify are given the text and one signature, cut out by the shell;
#: aics-tlog and signify know no ECDSA; pymerkle compares roots.
ALL = frozenset({GO, AICS, OPENSSL, SIGNIFY})
#: These compare a root that they computed as well; ots needs the size only to know left from right.
TREE = ALL | {PYMERKLE, OTS}
#: The parsers of notes.
NOTES = frozenset({GO, AICS})
#: (what was changed, the note, who sees it).
NoteChange = tuple[str, bytes, frozenset[str]]


def note_mutants(note: bytes) -> Iterator[NoteChange]:
    """All of them; *note* is the golden checkpoint."""
    yield from _texts(note)
    yield from _layouts(note)
    ed25519, p256 = signature_lines(note)
    yield from _signatures(note, ed25519, "Ed25519", ALL)
    yield from _signatures(note, p256, "ECDSA", frozenset({GO, OPENSSL}))
    yield from _ed25519(note, ed25519)
    yield from _ecdsa(note, p256)
    yield from _signers(note)


def harmless_notes(note: bytes) -> Iterator[tuple[str, bytes]]:
    """Other notes that say the same, and must pass: nobody may refuse what the format allows."""
    ed25519, p256 = signature_lines(note)
    yield "a line of an unknown key", note + line("other.example/witness", b"\1\2\3\4" + bytes(72))
    yield "the same signature twice", note + ed25519
    blob = blob_of(p256)
    # (r, n - s) is as valid as (r, s): an ECDSA signature identifies nothing.
    yield "the other ECDSA signature of the pair", replaced(note, p256, line(ORIGIN, blob[:4] + twin(blob[4:])))


def signature_lines(note: bytes) -> tuple[bytes, bytes]:
    first, second = note.rpartition(b"\n\n")[2].splitlines(keepends=True)
    return first, second


def blob_of(signature_line: bytes) -> bytes:
    """Key id and signature."""
    return base64.b64decode(signature_line.split(b" ")[2])


def line(name: str, blob: bytes) -> bytes:
    return DASH + name.encode() + b" " + base64.b64encode(blob) + b"\n"


def _texts(note: bytes) -> Iterator[NoteChange]:
    origin, size, root = split_note(note)[0].split(b"\n")[:3]
    count = int(size)
    for name, text in {
        "one more": b"%d" % (count + 1),
        "one less": b"%d" % (count - 1),
        "half": b"%d" % (count // 2),
        "zero": b"0",
        "beyond 64 bits": b"9" * 20,
        "negative": b"-" + size,
        "not a number": b"many",
        "empty": b"",
    }.items():
        seen = TREE if name in ("half", "not a number", "empty") else TREE - {OTS}
        yield f"size: {name}", replaced(note, b"\n" + size + b"\n", b"\n" + text + b"\n"), seen
    for name, text in {"leading zero": b"0" + size, "plus sign": b"+" + size, "space": b" " + size}.items():
        yield f"size: {name}", replaced(note, b"\n" + size + b"\n", b"\n" + text + b"\n"), ALL
    raw = base64.b64decode(root)
    for at in (0, 15, 31):
        yield f"root: byte {at}", replaced(note, root, base64.b64encode(flipped(raw, at))), TREE
    yield "root: 31 bytes", replaced(note, root, base64.b64encode(raw[:31])), TREE
    yield "root: hexadecimal", replaced(note, root, raw.hex().encode()), TREE
    yield "root: unused bits", replaced(note, root, unused_bits(root)), ALL
    yield "origin: a letter", replaced(note, origin, flipped(origin, 3)), ALL
    yield "origin: a letter's case", replaced(note, origin, b"M" + origin[1:]), ALL
    yield "origin: a space behind it", replaced(note, origin, origin + b" "), ALL
    yield "origin: a later epoch", replaced(note, origin, origin + b"/epoch-1"), ALL
    yield "origin: missing", replaced(note, origin + b"\n", b""), TREE
    yield "origin: empty", replaced(note, origin, b""), ALL
    yield "extension line added", replaced(note, root + b"\n", root + b"\nextension\n"), ALL
    yield "size and root exchanged", replaced(note, size + b"\n" + root, root + b"\n" + size), TREE


def _layouts(note: bytes) -> Iterator[NoteChange]:
    text, signatures = note.rpartition(b"\n\n")[::2]
    yield "newline before the text", b"\n" + note, TREE
    yield "byte order mark", b"\xef\xbb\xbf" + note, ALL
    yield "carriage returns", note.replace(b"\n", b"\r\n"), ALL
    yield "carriage returns in the text only", text.replace(b"\n", b"\r\n") + b"\r\n\n" + signatures, ALL
    yield "carriage returns behind the signatures", text + b"\n\n" + signatures.replace(b"\n", b"\r\n"), ALL
    yield "no blank line", text + b"\n" + signatures, ALL
    # The shell takes the text up to the first empty line.
    yield "two blank lines", text + b"\n\n\n" + signatures, NOTES
    yield "a space in the blank line", text + b"\n \n" + signatures, ALL
    yield "no newline at the end", note[:-1], frozenset({GO})
    yield "a newline more at the end", note + b"\n", NOTES
    yield "a line without a dash behind the signatures", note + b"hello\n", NOTES
    yield "a control character in an unknown line", note + line("other\tkey", bytes(80)), NOTES
    yield "not UTF-8 in an unknown line", note + line("other", bytes(80)).replace(b"other", b"oth\xff"), NOTES
    yield "an unknown line with a bad name", note + line("other+key", bytes(80)), NOTES
    yield "an unknown line without a signature", note + line("other", b"\1\2\3"), NOTES
    yield "cut in the middle", note[: len(note) // 2], ALL
    yield "empty", b"", TREE


def _signatures(note: bytes, signature: bytes, key: str, seen: frozenset[str]) -> Iterator[NoteChange]:
    """What can be done to one line, whatever its algorithm."""
    blob, encoded = blob_of(signature), signature.split(b" ")[2].rstrip()
    parsed = seen & NOTES
    # The shell does not find the line, or nothing in it; the next one takes its place.
    lost = NOTES | {OPENSSL} | (seen & {SIGNIFY})
    for name, at in {"first byte": 4, "a byte within": 40, "last byte": len(blob) - 1}.items():
        yield f"{key} signature: {name}", replaced(note, signature, line(ORIGIN, flipped(blob, at))), seen
    yield f"{key} signature: cut", replaced(note, signature, line(ORIGIN, blob[:-1])), seen
    yield f"{key} signature: zeros", replaced(note, signature, line(ORIGIN, blob[:4] + bytes(len(blob) - 4))), seen
    yield f"{key} line: missing", replaced(note, signature, b""), seen | {OPENSSL}
    yield f"{key} key id: a bit", replaced(note, signature, line(ORIGIN, flipped(blob, 3))), parsed
    yield f"{key} key name: a letter", replaced(note, signature, line("N" + ORIGIN[1:], blob)), parsed
    yield f"{key} key name: empty", replaced(note, signature, line("", blob)), NOTES
    for name, text in {
        "unused bits": unused_bits(encoded),
        "no padding": encoded.rstrip(b"="),
        "padding doubled": encoded + b"=",
        "other alphabet": encoded.translate(bytes.maketrans(b"+/", b"-_")) + b"_",
        "a space within": encoded[:8] + b" " + encoded[8:],
    }.items():
        yield f"{key} base64: {name}", replaced_last(note, encoded, text), _base64_seen(key, name)
    for name, dash in {"a hyphen": b"- ", "an en dash": "\u2013 ".encode(), "missing": b""}.items():
        yield f"{key} dash: {name}", replaced(note, signature, signature.replace(DASH, dash)), lost
    yield f"{key} line: a space at its end", replaced(note, signature, signature[:-1] + b" \n"), NOTES
    yield f"{key} line: two spaces", replaced(note, signature, signature.replace(b" ", b"  ", 1)), lost


def _base64_seen(key: str, what: str) -> frozenset[str]:
    # Go ignores unused bits (it does not decode strictly); so does base64 -d.
    if what == "unused bits":
        return frozenset({AICS})
    return NOTES | {OPENSSL} | ({SIGNIFY} if key == "Ed25519" else set())


def _ed25519(note: bytes, signature: bytes) -> Iterator[NoteChange]:
    blob = blob_of(signature)
    # RFC 8032 section 5.1.7 refuses it; signify does not look.
    s = int.from_bytes(blob[36:], "little") + ED25519_L
    grown = blob[:36] + s.to_bytes(32, "little")
    yield "Ed25519 signature: S above the order", replaced(note, signature, line(ORIGIN, grown)), ALL - {SIGNIFY}
    yield "Ed25519 signature: a byte more", replaced(note, signature, line(ORIGIN, blob + b"\0")), ALL


def _ecdsa(note: bytes, signature: bytes) -> Iterator[NoteChange]:
    """Other encodings of the same two numbers: DER allows one."""
    blob, seen = blob_of(signature), frozenset({GO, OPENSSL})
    key_id, der = blob[:4], blob[4:]
    assert der[:2] == b"\x30\x44"
    yield "ECDSA signature: a byte more", replaced(note, signature, line(ORIGIN, blob + b"\0")), seen
    padded = b"\x30" + bytes([der[1] + 1, 2, der[3] + 1, 0]) + der[4:]
    yield "ECDSA signature: a zero before r", replaced(note, signature, line(ORIGIN, key_id + padded)), seen
    long_form = b"\x30\x81" + der[1:]
    yield "ECDSA signature: long length", replaced(note, signature, line(ORIGIN, key_id + long_form)), seen
    plain = der[4:36] + der[38:70]
    yield "ECDSA signature: r and s without DER", replaced(note, signature, line(ORIGIN, key_id + plain)), seen


def _signers(note: bytes) -> Iterator[NoteChange]:
    """Other people's signatures, and true ones in the wrong place."""
    text, (ed25519, p256) = split_note(note)[0], signature_lines(note)
    other = sign_note(text, ORIGIN, Ed25519Signer(9), P256Signer(9))
    yield "signed by other keys of the same name", other, ALL
    strangers, ours = signature_lines(other), (ed25519, p256)
    for key, mine, theirs, seen in zip(
        ("Ed25519", "ECDSA"), ours, strangers, (ALL, frozenset({GO, OPENSSL})), strict=True
    ):
        forged = line(ORIGIN, blob_of(mine)[:4] + blob_of(theirs)[4:])
        yield f"{key} signature: another key's under our key id", replaced(note, mine, forged), seen
    moved = replaced(note, ed25519, line(ORIGIN, KEYS[0].key_id + blob_of(p256)[4:]))
    yield "Ed25519 signature: that of the other key", moved, ALL
    yield "no signature at all", text + b"\n", ALL


def twin(der: bytes) -> bytes:
    """The other valid signature: s as n - s."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    r, s = decode_dss_signature(der)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return encode_dss_signature(r, order - s)
