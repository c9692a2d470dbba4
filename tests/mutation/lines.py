"""Mutants of the evidence lines that only the gateway's verifier reads: disclosed fields, and rotations of keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache

import cbor2

from gateway.log.disclosure import disclose
from gateway.log.entry import Kind, definition_body, encode
from gateway.log.fields import concealed_body, make_fields
from gateway.log.key_statement import ROTATION, sign_rotation
from gateway.log.note import sign_note, split_note
from gateway.log.tree import leaf_hash
from tests.concealed import BODY, METER, MOMENT
from tests.log_keys import Ed25519Signer, P256Signer, log_key
from tests.mutation.forgeries import chained, with_items
from tests.mutation.golden import KEYS, ORIGIN, SIGNERS, evidence_of, golden, note_over
from tests.mutation.mutant import DISCLOSURE, ROTATED, Mutant, flipped, replaced, unused_bits

#: A definition, two concealed readings of its meter and an open one, behind the first ten entries of the golden log.
SPELT, CONCEALED, OTHER, OPEN = 10, 11, 12, 13
_BODY = [SPELT, *BODY[1:]]
FIELDS = {CONCEALED: make_fields(bytes(range(32)), METER, _BODY), OTHER: make_fields(bytes(32), METER, _BODY)}
#: The rotation of the Ed25519 key to its successor stands here.
ROTATED_AT = 10
NEW = Ed25519Signer(20)

Change = tuple[str, bytes]


def _log(*more: tuple[Kind, list[object]]) -> list[bytes]:
    entries = list(golden().entries[:10])
    for kind, body in more:
        prev = leaf_hash(entries[-1])
        entries.append(encode(kind=kind, seq=len(entries), prev=prev, boot=1, moment=MOMENT, body=body))
    return entries


@cache
def concealed_log() -> tuple[bytes, ...]:
    """Its entries."""
    return tuple(
        _log(
            (Kind.DEFINITION, definition_body(METER)),
            (Kind.CONCEALED, concealed_body(SPELT, FIELDS[CONCEALED])),
            (Kind.CONCEALED, concealed_body(SPELT, FIELDS[OTHER])),
            (Kind.READING, _BODY),
        )
    )


def field_line(seq: int, data: bytes) -> bytes:
    return b"field %d %s\n" % (seq, base64.b64encode(data))


def with_lines(evidence: bytes, *lines: bytes) -> bytes:
    """The lines between the entries and the hashes."""
    place = evidence.index(b"\nhash ") + 1
    return evidence[:place] + b"".join(lines) + evidence[place:]


@cache
def disclosure() -> bytes:
    """The golden one: the total of one concealed reading, and two fields of the other."""
    entries = list(concealed_log())
    bare = evidence_of(entries, [SPELT, CONCEALED, OTHER], note_over(entries))
    return with_lines(bare, *_shown().values())


def _shown() -> dict[int, bytes]:
    places = {CONCEALED: [0], OTHER: [1, 4]}
    return {seq: field_line(seq, disclose(seq, FIELDS[seq], places[seq])) for seq in places}


def disclosure_mutants() -> list[Mutant]:
    """All mutants of the golden disclosure."""
    changes = [*_disclosed_bytes(), *_disclosed_lines(), *_disclosed_elsewhere()]
    return [Mutant(name=name, form=DISCLOSURE, files={DISCLOSURE: data}, seen_by=frozenset()) for name, data in changes]


def _disclosed_bytes() -> Iterator[Change]:
    line, data = _shown()[CONCEALED], disclose(CONCEALED, FIELDS[CONCEALED], [0])
    for at in range(len(data)):
        yield f"fields: byte {at}", replaced(disclosure(), line, field_line(CONCEALED, flipped(data, at, at % 8)))
    seq, count, shown, hashes = cbor2.loads(data)
    for name, items in {
        "another entry": [OTHER, count, shown, hashes],
        "a field less": [seq, count - 1, shown, hashes],
        "a field more": [seq, count + 1, shown, hashes],
        "another place": [seq, count, [[1, shown[0][1]]], hashes],
        "a place twice": [seq, count, shown * 2, hashes],
        "none shown": [seq, count, [], hashes],
        "a hash missing": [seq, count, shown, hashes[:-1]],
        "a hash more": [seq, count, shown, [*hashes, bytes(32)]],
        "two hashes exchanged": [seq, count, shown, hashes[::-1]],
        "a hash with a byte of its neighbour": [
            seq, count, shown, [hashes[0] + hashes[1][:1], hashes[1][1:], *hashes[2:]]
        ],
        "an item more": [seq, count, shown, hashes, 0],
        "an item less": [seq, count, shown],
    }.items():  # fmt: skip
        yield f"fields: {name}", replaced(disclosure(), line, field_line(CONCEALED, cbor2.dumps(items)))
    for name, changed in {
        "a byte behind": data + b"\0",
        "cut": data[:-1],
        "empty": b"",
        "a number in a longer form": data[:1] + b"\x18" + data[1:],
        "an array of unknown length": b"\x9f" + data[1:] + b"\xff",
    }.items():
        yield f"fields: {name}", replaced(disclosure(), line, field_line(CONCEALED, changed))


def _disclosed_lines() -> Iterator[Change]:
    one, two = _shown().values()
    good, encoded = disclosure(), _shown()[OTHER].split(b" ")[2].rstrip()
    yield "field lines: exchanged", replaced(good, one + two, two + one)
    yield "field lines: twice", replaced(good, one, one * 2)
    yield (
        "field lines: of each other's entry",
        replaced(good, one + two, one.replace(b" 11 ", b" 12 ") + two.replace(b" 12 ", b" 11 ")),
    )
    yield "field lines: before the entries", replaced(good.replace(one, b""), b"entry ", one + b"entry ")
    yield "field lines: behind the hashes", replaced(good.replace(one, b""), b"\n\n", b"\n" + one + b"\n")
    yield "field lines: a word more", replaced(good, one, one.replace(b" 11 ", b" 11 x "))
    yield "field lines: a leading zero", replaced(good, one, one.replace(b" 11 ", b" 011 "))
    yield "field lines: no padding", replaced(good, encoded, encoded.rstrip(b"=") + b"=" * (not encoded.endswith(b"=")))
    if encoded.endswith(b"="):
        yield "field lines: unused bits", replaced(good, encoded, unused_bits(encoded))


def _disclosed_elsewhere() -> Iterator[Change]:
    entries = list(concealed_log())
    note = note_over(entries)
    (one, _), data = _shown().values(), disclose(CONCEALED, FIELDS[CONCEALED], [0])
    yield "entries: the reading is missing", with_lines(evidence_of(entries, [SPELT, OTHER], note), one)
    yield "entries: the definition is missing", with_lines(evidence_of(entries, [CONCEALED], note), one)
    yield "entries: the definition is missing, and nothing is shown", evidence_of(entries, [CONCEALED], note)
    moved = disclose(OPEN, FIELDS[CONCEALED], [0])
    open_ = evidence_of(entries, [SPELT, OPEN], note)
    yield "entries: an open reading", with_lines(open_, field_line(OPEN, moved))
    yield "entries: the definition", with_lines(open_, field_line(SPELT, disclose(SPELT, FIELDS[CONCEALED], [0])))
    # Signed by the key itself: the definition names the places otherwise than the fields do.
    exchanged = with_items(entries[SPELT], {9: lambda body: [*body[:4], [body[4][1], body[4][0], *body[4][2:]]]})
    renamed = chained([*entries[:SPELT], exchanged, *entries[SPELT + 1 :]])
    bare = evidence_of(renamed, [SPELT, CONCEALED], note_over(renamed))
    yield "signed: a definition with two names exchanged", with_lines(bare, field_line(CONCEALED, data))
    short = with_items(entries[SPELT], {9: lambda body: [*body[:4], body[4][:2]]})
    renamed = chained([*entries[:SPELT], short, *entries[SPELT + 1 :]])
    bare = evidence_of(renamed, [SPELT, CONCEALED], note_over(renamed))
    yield "signed: a definition of fewer points", with_lines(bare, field_line(CONCEALED, data))


@cache
def statement() -> bytes:
    """The golden rotation, signed by both."""
    return sign_rotation(ORIGIN, ROTATED_AT, SIGNERS[0], NEW, name=ORIGIN, reason="test")


@cache
def _rotated_log() -> tuple[bytes, ...]:
    return tuple(_log((Kind.KEY, [ROTATION, statement().decode()]), (Kind.EVENT, ["test", 0, "log", "behind it"])))


def _rotated(*lines: bytes, signers: tuple[Ed25519Signer | P256Signer, ...] = (NEW, SIGNERS[1])) -> bytes:
    entries = list(_rotated_log())
    return with_lines(evidence_of(entries, [ROTATED_AT], note_over(entries, signers=signers)), *lines)


def rotation_line(note: bytes) -> bytes:
    return b"rotation " + base64.b64encode(note) + b"\n"


@cache
def rotated() -> bytes:
    """Evidence under a checkpoint by the new Ed25519 key, for verifiers who hold the one before."""
    return _rotated(rotation_line(statement()))


def rotation_mutants() -> list[Mutant]:
    """All mutants of it."""
    changes = [*_statement_texts(), *_statement_signatures(), *_rotation_lines()]
    return [Mutant(name=name, form=ROTATED, files={ROTATED: data}, seen_by=frozenset()) for name, data in changes]


def _statement_texts() -> Iterator[Change]:
    """The text changed under the signatures, and a text that does not fit, signed by both."""
    text, new = split_note(statement())[0], log_key(20).text.encode()
    thief, other = log_key(9).text.encode(), Ed25519Signer(9)
    for name, old_text, new_text in (
        ("header", b"rotation/v1", b"rotation/v2"),
        ("kind", b"key-rotation", b"key-revocation"),
        ("origin", b"origin m", b"origin M"),
        ("seq", b"seq 10", b"seq 9"),
        ("seq with a leading zero", b"seq 10", b"seq 010"),
        ("seq not before the checkpoint", b"seq 10", b"seq 12"),
        ("new key", b"new " + new, b"new " + thief),
        ("old key", b"old " + KEYS[0].text.encode(), b"old " + thief),
        ("new key the old one", b"new " + new, b"new " + KEYS[0].text.encode()),
        ("reason", b"reason test", b"reason tent"),
        ("no reason", b"reason test\n", b""),
        ("a line more", b"reason test\n", b"reason test\nmore x\n"),
    ):
        changed = replaced(text, old_text, new_text)
        yield f"statement: {name}", _rotated(rotation_line(changed + b"\n" + statement().rpartition(b"\n\n")[2]))
        if name not in ("reason", "seq"):
            signed = sign_note(changed, ORIGIN, SIGNERS[0], NEW, other)
            yield f"statement, signed: {name}", _rotated(rotation_line(signed))


def _statement_signatures() -> Iterator[Change]:
    text = split_note(statement())[0]
    for name, signers in {
        "the old key only": (SIGNERS[0],),
        "the new key only": (NEW,),
        "somebody else": (Ed25519Signer(9), Ed25519Signer(8)),
        "the other key of the log in place of the old one": (SIGNERS[1], NEW),
    }.items():
        yield f"statement signed by {name}", _rotated(rotation_line(sign_note(text, ORIGIN, *signers)))
    encoded = statement().rpartition(b"\n\n")[2].split(b"\n")
    for number, signature in enumerate(encoded[:2]):
        raw = base64.b64decode(signature.split(b" ")[2])
        broken = signature[: -len(base64.b64encode(raw))] + base64.b64encode(flipped(raw, 20))
        yield f"statement: signature {number} broken", _rotated(rotation_line(replaced(statement(), signature, broken)))


def _rotation_lines() -> Iterator[Change]:
    line = rotation_line(statement())
    yield "rotation line: missing", _rotated()
    yield "rotation line: empty", replaced(rotated(), line, b"rotation \n")
    yield "rotation line: a word more", replaced(rotated(), line, line[:-1] + b" x\n")
    yield "rotation line: before the entries", replaced(_rotated(), b"entry ", line + b"entry ")
    yield "rotation line: behind the hashes", replaced(_rotated(), b"\n\n", b"\n" + line + b"\n")
    yield "rotation line: no statement", replaced(rotated(), line, rotation_line(b"later"))
    yield "rotation line: a checkpoint", replaced(rotated(), line, rotation_line(golden().note))
    branch = sign_rotation(ORIGIN, ROTATED_AT, SIGNERS[0], Ed25519Signer(9), name=ORIGIN, reason="test")
    yield "rotation lines: two successors of one key", replaced(rotated(), line, line + rotation_line(branch))
    back = sign_rotation(ORIGIN, ROTATED_AT + 1, NEW, SIGNERS[0], name=ORIGIN, reason="test")
    yield "rotation lines: a key that comes back", replaced(rotated(), line, line + rotation_line(back))
    yield "checkpoint by the key that was followed", _rotated(line, signers=SIGNERS)
    yield "checkpoint by somebody else", _rotated(line, signers=(Ed25519Signer(9), SIGNERS[1]))
    yield "checkpoint by the new key only", _rotated(line, signers=(NEW,))
