"""Mutants of the two single files: the C2SP tlog-proof of one entry, and the evidence file of several."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from tests.mutation.forgeries import chained, with_items
from tests.mutation.golden import (
    DEFINITION,
    OLD,
    READING,
    SIZE,
    Golden,
    evidence_of,
    golden,
    note_over,
    proof_of,
)
from tests.mutation.mutant import (
    AICS,
    EVIDENCE,
    GO,
    OTS,
    PROOF,
    Mutant,
    byte_classes,
    flipped,
    replaced,
    unused_bits,
)
from tests.mutation.notes import ALL, NOTES, note_mutants

#: They hash the entry up to the root. aics-tlog and ots are given the parts that our adapter cut out of the file.
PATH = frozenset({GO, AICS, OTS})


def proof_mutants() -> list[Mutant]:
    """All mutants of the tlog-proof of the golden reading."""
    made = golden()
    changes = [*_note_changes(made.proof, made.note), *_indices(made), *_extras(made), *_hashes(made), *_swaps(made)]
    changes += _proof_layouts(made)
    return [
        Mutant(name=name, form=PROOF, files={PROOF: data}, seen_by=seen, entry=READING) for name, data, seen in changes
    ]


Change = tuple[str, bytes, frozenset[str]]


def _note_changes(data: bytes, note: bytes) -> Iterator[Change]:
    head = data.removesuffix(note)
    for name, changed, seen in note_mutants(note):
        yield f"checkpoint: {name}", head + changed, seen


def _indices(made: Golden) -> Iterator[Change]:
    line = b"\nindex %d\n" % READING
    for name, text in {
        "one more": b"%d" % (READING + 1),
        "one less": b"%d" % (READING - 1),
        "zero": b"0",
        "the size": b"%d" % SIZE,
        "beyond the size": b"%d" % (SIZE + READING),
        "beyond 63 bits": b"9" * 19,
        "beyond 64 bits": b"9" * 21,
    }.items():
        yield f"index: {name}", replaced(made.proof, line, b"\nindex " + text + b"\n"), PATH
    for name, text in {
        "leading zero": b"index 0100",
        "plus sign": b"index +100",
        "two spaces": b"index  100",
        "space behind": b"index 100 ",
        "other digits": "index \u0661\u0660\u0660".encode(),
    }.items():
        yield f"index: {name}", replaced(made.proof, line, b"\n" + text + b"\n"), frozenset({GO})
    for name, text in {"empty": b"\nindex \n", "another word": b"\nplace 100\n", "missing": b"\n"}.items():
        yield f"index: {name}", replaced(made.proof, line, text), PATH


def _extras(made: Golden) -> Iterator[Change]:
    entry = made.entries[READING]
    encoded = base64.b64encode(entry)
    for name, at in byte_classes(entry):
        yield f"entry: {name}", replaced(made.proof, encoded, base64.b64encode(flipped(entry, at))), PATH
    for name, other in {"another one": made.entries[READING + 1], "cut": entry[:-1], "longer": entry + b"\0"}.items():
        yield f"entry: {name}", replaced(made.proof, encoded, base64.b64encode(other)), PATH
    yield "entry: empty", replaced(made.proof, b"extra " + encoded, b"extra "), PATH
    yield "entry: no line", replaced(made.proof, b"extra " + encoded + b"\n", b""), PATH
    yield "entry: two lines", replaced(made.proof, b"extra ", b"extra " + encoded + b"\nextra "), frozenset({GO})
    yield "entry: base64 with unused bits", replaced(made.proof, encoded, unused_bits(encoded)), frozenset()


def _hashes(made: Golden) -> Iterator[Change]:
    lines = made.proof.partition(b"\n\n")[0].split(b"\n")[3:]
    whole = b"\n".join(lines)
    for number, line in enumerate(lines):
        changed = base64.b64encode(flipped(base64.b64decode(line), 31 * (number % 2), number % 8))
        yield f"hash {number}: a bit", replaced(made.proof, line, changed), PATH
        yield f"hash {number}: missing", replaced(made.proof, line + b"\n", b""), PATH
    short = base64.b64encode(bytes(31))
    for name, changed_lines in {
        "one more at the end": [*lines, lines[0]],
        "one more at the start": [lines[-1], *lines],
        "two swapped": [lines[1], lines[0], *lines[2:]],
        "in reverse order": lines[::-1],
        "none": [],
        "of 31 bytes": [short, *lines[1:]],
    }.items():
        yield f"hashes: {name}", made.proof.replace(whole, b"\n".join(changed_lines)).replace(b"\n\n\n", b"\n\n"), PATH
    yield "hashes: base64 with unused bits", replaced(made.proof, lines[0], unused_bits(lines[0])), frozenset({AICS})
    yield "hashes: a space behind one", replaced(made.proof, lines[0], lines[0] + b" "), frozenset({GO, AICS})


def _swaps(made: Golden) -> Iterator[Change]:
    """True parts that do not belong together."""
    older = proof_of(made.entries[:OLD], READING, made.old_note)
    yield "under an older checkpoint", replaced(made.proof, made.note, made.old_note), PATH
    yield "an older proof under the newer checkpoint", replaced(older, made.old_note, made.note), PATH
    other = note_over(made.entries, "meters.example.org/roof-8")
    yield "under the checkpoint of another log", replaced(made.proof, made.note, other), NOTES
    neighbour = proof_of(made.entries, READING + 1, made.note)
    encoded = base64.b64encode(made.entries[READING + 1])
    yield (
        "another entry's proof",
        replaced(neighbour, encoded, base64.b64encode(made.entries[READING])),
        PATH,
    )
    misplaced = list(made.entries)
    misplaced[READING] = made.entries[READING + 1]
    note = note_over(misplaced)
    yield "signed: an entry that says it is another one", proof_of(misplaced, READING, note), frozenset()
    misplaced[READING] = b"entry 100"
    yield "signed: bytes that are no entry", proof_of(misplaced, READING, note_over(misplaced)), frozenset()


def _proof_layouts(made: Golden) -> Iterator[Change]:
    head, note = made.proof.removesuffix(made.note), made.note
    go, every = frozenset({GO}), ALL | PATH
    yield "another version", replaced(made.proof, b"@v1", b"@v2"), go
    yield "carriage returns in the head", head[:-1].replace(b"\n", b"\r\n") + b"\n" + note, frozenset({GO, AICS})
    yield "a blank line before the head", b"\n" + made.proof, PATH
    yield "a blank line more behind the head", head + b"\n" + note, every
    yield "no blank line behind the head", head[:-1] + note, every
    yield "a byte order mark", b"\xef\xbb\xbf" + made.proof, go
    yield "empty", b"", every


def evidence_mutants() -> list[Mutant]:
    """All mutants of the evidence file of a definition and two readings; no foreign checker knows the format."""
    made = golden()
    changes = [
        *((name, data) for name, data, _ in _note_changes(made.evidence, made.note)),
        *_evidence_entries(made),
        *_evidence_hashes(made),
        *_evidence_layouts(made),
    ]
    return [Mutant(name=name, form=EVIDENCE, files={EVIDENCE: data}, seen_by=frozenset()) for name, data in changes]


def _evidence_entries(made: Golden) -> Iterator[tuple[str, bytes]]:
    lines = {seq: _entry_line(seq, made.entries[seq]) for seq in (DEFINITION, READING, READING + 1)}
    for what, seq in {"definition": DEFINITION, "reading": READING}.items():
        for name, at in byte_classes(made.entries[seq]):
            changed = _entry_line(seq, flipped(made.entries[seq], at))
            yield f"{what}: {name}", replaced(made.evidence, lines[seq], changed)
        yield f"{what}: missing", replaced(made.evidence, lines[seq], b"")
        yield f"{what}: twice", replaced(made.evidence, lines[seq], lines[seq] * 2)
    moved = _entry_line(READING + 2, made.entries[READING + 1])
    yield "an entry: at another place", replaced(made.evidence, lines[READING + 1], moved)
    beyond = _entry_line(SIZE + 1, made.entries[READING + 1])
    yield "an entry: beyond the size", replaced(made.evidence, lines[READING + 1], beyond)
    both = lines[READING] + lines[READING + 1]
    yield "entries: in another order", replaced(made.evidence, both, lines[READING + 1] + lines[READING])
    yield "entries: none", replaced(made.evidence, lines[DEFINITION] + both, b"")
    exchanged = _entry_line(READING, made.entries[READING + 1]) + _entry_line(READING + 1, made.entries[READING])
    yield "entries: exchanged", replaced(made.evidence, both, exchanged)
    broken = list(made.entries)
    broken[READING + 1] = with_items(broken[READING + 1], {3: lambda _: bytes(32)})
    broken = chained(broken, READING + 2)
    yield "signed: an entry that does not follow", evidence_of(broken, [READING, READING + 1], note_over(broken))
    other = chained([*made.entries[:READING], *made.entries[READING + 1 :]])
    yield "entries: of another log", evidence_of(other, [DEFINITION, READING, READING + 1], made.note)


def _entry_line(seq: int, entry: bytes) -> bytes:
    return b"entry %d %s\n" % (seq, base64.b64encode(entry))


def _evidence_hashes(made: Golden) -> Iterator[tuple[str, bytes]]:
    lines = [line + b"\n" for line in made.evidence.partition(b"\n\n")[0].split(b"\n") if line.startswith(b"hash ")]
    whole = b"".join(lines)
    for number, line in enumerate(lines):
        raw = flipped(base64.b64decode(line[5:-1]), 31 * (number % 2), number % 8)
        yield f"hash {number}: a bit", replaced(made.evidence, line, b"hash " + base64.b64encode(raw) + b"\n")
        yield f"hash {number}: missing", replaced(made.evidence, line, b"")
    for name, changed in {
        "one more": [*lines, lines[0]],
        "two swapped": [lines[1], lines[0], *lines[2:]],
        "in reverse order": lines[::-1],
        "none": [],
        "of 31 bytes": [b"hash " + base64.b64encode(bytes(31)) + b"\n", *lines[1:]],
        "one with unused bits": [b"hash " + unused_bits(lines[0][5:-1]) + b"\n", *lines[1:]],
        "one with a space behind": [lines[0][:-1] + b" \n", *lines[1:]],
    }.items():
        yield f"hashes: {name}", replaced(made.evidence, whole, b"".join(changed))
    moved = made.evidence.replace(lines[0], b"", 1).replace(b"entry ", lines[0] + b"entry ", 1)
    yield "hashes: one before the entries", moved


def _evidence_layouts(made: Golden) -> Iterator[tuple[str, bytes]]:
    head, note = made.evidence.removesuffix(made.note), made.note
    first = b"entry %d " % DEFINITION
    yield "another version", replaced(made.evidence, b"@v1", b"@v2")
    yield "the header of a proof", replaced(made.evidence, b"meter-gateway/evidence@v1", b"c2sp.org/tlog-proof@v1")
    yield "an unknown line", replaced(made.evidence, b"entry ", b"remark true\nentry ")
    yield "an entry line with a word more", replaced(made.evidence, first, first + b"x ")
    yield "an entry line with a leading zero", replaced(made.evidence, first, b"entry 0%d " % DEFINITION)
    yield "an entry line without bytes", replaced(made.evidence, b"entry ", b"entry 1\nentry ")
    encoded = base64.b64encode(made.entries[READING + 1])
    yield "an entry with unused bits", replaced(made.evidence, encoded, unused_bits(encoded))
    yield "carriage returns in the head", head[:-1].replace(b"\n", b"\r\n") + b"\n" + note
    yield "a blank line before the head", b"\n" + made.evidence
    yield "a blank line more behind the head", head + b"\n" + note
    yield "no blank line behind the head", head[:-1] + note
    yield "not ASCII", replaced(made.evidence, b"entry ", "\u0435ntry ".encode())
    yield "under an older checkpoint", replaced(made.evidence, made.note, made.old_note)
    other = note_over(made.entries, "meters.example.org/roof-8")
    yield "under the checkpoint of another log", replaced(made.evidence, made.note, other)
    yield "empty", b""
