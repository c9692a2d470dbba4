"""Mutants in which everything was made to fit but what the forger could not sign, or that the key itself signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cbor2

from gateway.log.entry import NO_PREV
from gateway.log.tree import leaf_hash
from tests.log_keys import Ed25519Signer, P256Signer
from tests.mutation.golden import OLD, Golden, export_of, golden, note_over
from tests.mutation.mutant import AICS, EXPORT, GO, OPENSSL, PYMERKLE, Mutant
from tests.mutation.notes import ALL, signature_lines

#: They know a tree when they see one, and an older checkpoint of it.
TREE = frozenset({GO, AICS})
#: Entry 420 is behind the checkpoint that somebody kept, entry 120 before it.
EARLY, LATE = 120, 420


def forgeries() -> list[Mutant]:
    """All of them."""
    made = golden()
    return [*_unsigned(made), *_signed(made), *_stale(made)]


def _entries_forged(made: Golden) -> dict[str, list[bytes]]:
    """Other logs, in which seq and prev of all entries fit."""
    entries = list(made.entries)
    return {
        "a value changed": chained([*entries[:LATE], with_items(entries[LATE], {9: _dearer}), *entries[LATE + 1 :]]),
        "an entry dropped": chained([*entries[:LATE], *entries[LATE + 1 :]]),
        "an entry added": chained([*entries[:LATE], entries[LATE], *entries[LATE:]]),
        "two entries swapped": chained([*entries[:LATE], entries[LATE + 1], entries[LATE], *entries[LATE + 2 :]]),
        "the last entry dropped": entries[:-1],
    }


def _unsigned(made: Golden) -> Iterator[Mutant]:
    """Tiles, bundles and root all fit to other entries; only the signature cannot."""
    for name, entries in _entries_forged(made).items():
        note = note_over(entries)
        files = export_of(entries, note)
        # The forger's text over the true signatures.
        text = note.rpartition(b"\n\n")[0] + b"\n\n"
        claimed = files | {"checkpoint": text + b"".join(signature_lines(made.note))}
        yield Mutant(name=f"{name}, all made to fit", form=EXPORT, files=claimed, seen_by=ALL)
        kept = files | {"checkpoint": made.note}
        yield Mutant(name=f"{name}, under the true checkpoint", form=EXPORT, files=kept, seen_by=TREE | {PYMERKLE})
        thief = note_over(entries, signers=(Ed25519Signer(9), P256Signer(9)))
        other = files | {"checkpoint": thief}
        yield Mutant(name=f"{name}, signed by somebody else", form=EXPORT, files=other, seen_by=ALL)
    half = note_over(made.entries, signers=(Ed25519Signer(), P256Signer(9)))
    yield Mutant(
        name="signed by one of the keys only",
        form=EXPORT,
        files=made.export | {"checkpoint": half},
        seen_by=frozenset({GO, OPENSSL}),
    )


def _signed(made: Golden) -> Iterator[Mutant]:
    """Logs that the key signed, and that are none: only who knows what an entry is can see it."""
    for name in SIGNED:
        entries = no_log(name)
        yield Mutant(
            name=f"signed: {name}", form=EXPORT, files=export_of(entries, note_over(entries)), seen_by=frozenset()
        )
    for name, entries in {
        "entry 0 is no genesis": chained(list(made.entries[1:])),
        "the genesis of another log": chained([with_items(made.entries[0], {9: _elsewhere}), *made.entries[1:]]),
    }.items():
        note = note_over(entries)
        files = export_of(entries, note)
        yield Mutant(name=f"signed: {name}", form=EXPORT, files=files, seen_by=frozenset(), known=note)


def no_log(name: str) -> list[bytes]:
    """Entries of which one is as SIGNED says; those behind it follow from it, but where that is the fault."""
    entries = list(golden().entries)
    entries[LATE] = SIGNED[name](entries[LATE])
    return entries if name in BREAKS_THE_CHAIN else chained(entries, LATE + 1)


def _stale(made: Golden) -> Iterator[Mutant]:
    """Valid by themselves: only who kept a checkpoint can see it."""
    entries = list(made.entries)
    stale = export_of(entries[:OLD], made.old_note)
    yield Mutant(name="an older log", form=EXPORT, files=stale, seen_by=TREE, known=made.note)
    elsewhere = "meters.example.org/roof-8"
    other = note_over(entries, elsewhere)
    yield Mutant(
        name="another log under the same key", form=EXPORT, files=made.export | {"checkpoint": other}, seen_by=TREE
    )
    fork = chained([*entries[:LATE], with_items(entries[LATE], {9: _dearer}), *entries[LATE + 1 :]])
    for name, forked in {"of the same size": fork, "that went on": chained([*fork, *entries[8:20]])}.items():
        files = export_of(forked, note_over(forked))
        yield Mutant(name=f"a fork {name}", form=EXPORT, files=files, seen_by=TREE, known=made.note)
    early = chained([*entries[:EARLY], with_items(entries[EARLY], {9: _dearer}), *entries[EARLY + 1 :]])
    files = export_of(early, note_over(early))
    yield Mutant(name="history rewritten before a kept checkpoint", form=EXPORT, files=files, seen_by=TREE)


def _dearer(body: list[object]) -> list[object]:
    """A reading's second value, a hundredfold."""
    definition, clock, points = body
    assert isinstance(points, list)
    status, raw, mantissa, exponent = points[1]
    return [definition, clock, [points[0], [status, raw, mantissa * 100, exponent], *points[2:]]]


def _elsewhere(body: list[object]) -> list[object]:
    return ["meters.example.org/roof-8", *body[1:]]


def with_items(entry: bytes, changes: dict[int, Callable[..., object]]) -> bytes:
    """The entry with some of its ten items changed."""
    items = cbor2.loads(entry)
    return cbor2.dumps([changes[at](item) if at in changes else item for at, item in enumerate(items)])


def chained(entries: list[bytes], start: int = 0) -> list[bytes]:
    """The entries with seq and prev made to fit from *start* on."""
    found = list(entries[:start])
    for seq in range(start, len(entries)):
        prev = leaf_hash(found[-1]) if found else NO_PREV
        found.append(with_items(entries[seq], {2: lambda _, seq=seq: seq, 3: lambda _, prev=prev: prev}))
    return found


#: What the signed log holds in place of a proper entry.
SIGNED: dict[str, Callable[[bytes], bytes]] = {
    "prev of another entry": lambda entry: with_items(entry, {3: lambda _: bytes(32)}),
    "seq of another entry": lambda entry: with_items(entry, {2: lambda seq: seq + 1}),
    "the next entry changed its predecessor": lambda entry: with_items(entry, {9: _dearer}),
    "no CBOR": lambda _: b"\xff",
    "an empty entry": lambda _: b"",
    "an array of nine": lambda entry: cbor2.dumps(cbor2.loads(entry)[:9]),
    "an array of eleven": lambda entry: cbor2.dumps([*cbor2.loads(entry), 0]),
    "a number in a longer form": lambda entry: entry[:1] + b"\x18" + entry[1:],
    "an array of unknown length": lambda entry: b"\x9f" + entry[1:] + b"\xff",
    "a byte behind the entry": lambda entry: entry + b"\0",
    "an entry that was cut": lambda entry: entry[:-1],
    "a float for an integer": lambda entry: with_items(entry, {4: float}),
    "a truth value for an integer": lambda entry: with_items(entry, {4: bool}),
    "text for bytes": lambda entry: with_items(entry, {3: lambda prev: prev.hex()[:32]}),
    "a map for the body": lambda entry: with_items(entry, {9: lambda _: {}}),
    "null for the body": lambda entry: with_items(entry, {9: lambda _: None}),
    "a tagged number": lambda entry: with_items(entry, {6: lambda _: 1 << 64}),
    "a number above 63 bits": lambda entry: with_items(entry, {6: lambda _: 1 << 63}),
    "another version": lambda entry: with_items(entry, {0: lambda _: 2}),
    "an unknown kind": lambda entry: with_items(entry, {1: lambda _: 99}),
    "a negative kind": lambda entry: with_items(entry, {1: lambda _: -1}),
    "a negative boot": lambda entry: with_items(entry, {4: lambda _: -1}),
    "a negative boot time": lambda entry: with_items(entry, {5: lambda _: -1}),
    "an unknown clock quality": lambda entry: with_items(entry, {7: lambda _: "Z"}),
    "two letters of clock quality": lambda entry: with_items(entry, {7: lambda _: "SR"}),
    "an error bound below -1": lambda entry: with_items(entry, {8: lambda _: -2}),
    "text that is not UTF-8": lambda entry: entry.replace(b"\x61S", b"\x61\xff", 1),
    "nested too deeply": lambda entry: cbor2.dumps([*cbor2.loads(entry)[:9], _nested(400)]),
}
#: Those that are wrong because of what follows them.
BREAKS_THE_CHAIN = frozenset({"the next entry changed its predecessor"})


def _nested(depth: int) -> list[object]:
    nest: list[object] = []
    for _ in range(depth):
        nest = [nest]
    return nest
