"""Mutants of single files of the exported log: bundles and tiles; nothing else of the log is made to fit."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.log.tiles import encode_bundle
from tests.mutation.golden import DEFINITION, LAST_READING, READING, SIZE, Golden, golden
from tests.mutation.mutant import (
    AICS,
    EXPORT,
    GO,
    PYMERKLE,
    Mutant,
    byte_classes,
    flipped,
    without,
)
from tests.mutation.notes import note_mutants

FIRST, MIDDLE, LAST = "tile/entries/000", "tile/entries/001", "tile/entries/002.p/18"
#: Go and pymerkle read every entry; aics-tlog those that it is asked for.
ENTRY = frozenset({GO, AICS, PYMERKLE})
#: pymerkle builds its own tree and reads no tile.
TILE = frozenset({GO, AICS})


def export_mutants() -> list[Mutant]:
    """All of them."""
    made = golden()
    return [
        *_checkpoints(made),
        *_entries(made),
        *_lengths(made),
        *_arrangements(made),
        *_files(made),
        *_tiles(made),
        *_older(made),
    ]


def _checkpoints(made: Golden) -> Iterator[Mutant]:
    for name, note, seen in note_mutants(made.note):
        yield Mutant(name=f"checkpoint: {name}", form=EXPORT, files=made.export | {"checkpoint": note}, seen_by=seen)


def _entries(made: Golden) -> Iterator[Mutant]:
    """Each byte class, of entries of several kinds, in a full bundle and in the last one."""
    for what, seq in {"genesis": 0, "definition": DEFINITION, "reading": READING, "last reading": LAST_READING}.items():
        for name, at in byte_classes(made.entries[seq]):
            changed = _bundled(made, seq // 256, {seq: flipped(made.entries[seq], at)})
            yield _entry_mutant(f"{what}: {name}", changed, seq)


def _entry_mutant(name: str, files: dict[str, bytes], seq: int, seen: frozenset[str] = ENTRY) -> Mutant:
    return Mutant(name=name, form=EXPORT, files=files, seen_by=seen, entry=seq)


def _bundled(made: Golden, index: int, changed: dict[int, bytes]) -> dict[str, bytes]:
    start, path = index * 256, (FIRST, MIDDLE, LAST)[index]
    entries = [changed.get(seq, made.entries[seq]) for seq in range(start, min(start + 256, SIZE))]
    return made.export | {path: encode_bundle(entries)}


def _lengths(made: Golden) -> Iterator[Mutant]:
    for what, path, seq in (("first", FIRST, 0), ("last", LAST, SIZE - 1)):
        data = made.export[path]
        at = 0 if seq == 0 else len(data) - len(made.entries[seq]) - 2
        for name, position in (("high", at), ("low", at + 1)):
            changed = made.export | {path: flipped(data, position)}
            yield _entry_mutant(f"length of the {what} entry: {name} byte", changed, seq)
    one, two = made.entries[READING], made.entries[READING + 1]
    moved = {READING: one + two[:1], READING + 1: two[1:]}
    yield _entry_mutant("a byte moved over the border of two entries", _bundled(made, 0, moved), READING)


def _arrangements(made: Golden) -> Iterator[Mutant]:
    """The entries of one bundle in another order or number."""
    for path, start in ((FIRST, 0), (LAST, 512)):
        entries = list(made.entries[start : min(start + 256, SIZE)])
        for name, changed in {
            "dropped": [*entries[:8], *entries[9:]],
            "the last one dropped": entries[:-1],
            "two swapped": [*entries[:8], entries[9], entries[8], *entries[10:]],
            "doubled": [*entries[:9], *entries[8:]],
            "one in another's place": [*entries[:8], entries[9], *entries[9:]],
            "one emptied": [*entries[:8], b"", *entries[9:]],
            "one added": [*entries[:8], made.entries[300], *entries[8:]],
        }.items():
            last = start + len(entries) - 1
            seq = last if name == "the last one dropped" else start + 8
            yield _entry_mutant(f"{path}: {name}", made.export | {path: encode_bundle(changed)}, seq)
        for name, more in {
            "one added at the end": encode_bundle([made.entries[300]]),
            "two zero bytes": b"\0\0",
        }.items():
            files = made.export | {path: made.export[path] + more}
            yield _entry_mutant(f"{path}: {name}", files, start)


def _files(made: Golden) -> Iterator[Mutant]:
    """Whole files: cut, grown, emptied, missing, another's in their place."""
    for path, data in made.export.items():
        if path == "checkpoint":
            continue
        seen = ENTRY if "entries" in path else TILE
        seq = {"000": 0, "001": 511, "002": SIZE - 1}[path.split("/")[2][:3]]
        for name, content in {"a byte cut": data[:-1], "cut in half": data[: len(data) // 2], "emptied": b""}.items():
            cut_at = seq if "entries" not in path or seq else 255
            yield _entry_mutant(f"{path}: {name}", made.export | {path: content}, cut_at, seen)
        yield _entry_mutant(f"{path}: a byte more", made.export | {path: data + b"\0"}, seq, seen)
        yield _entry_mutant(f"{path}: missing", without(made.export, path), seq, seen)
    for one, two, seq in ((FIRST, MIDDLE, 0), ("tile/0/000", "tile/0/001", 0)):
        seen = ENTRY if "entries" in one else TILE
        swapped = made.export | {one: made.export[two], two: made.export[one]}
        yield _entry_mutant(f"{one}: swapped with {two}", swapped, seq, seen)
        yield _entry_mutant(f"{one}: replaced by {two}", made.export | {one: made.export[two]}, seq, seen)


def _tiles(made: Golden) -> Iterator[Mutant]:
    """Hashes of each tile: the first, one within, the last."""
    for path, first in {"tile/0/000": 0, "tile/0/001": 256, "tile/0/002.p/18": 512, "tile/1/000.p/2": 0}.items():
        data = made.export[path]
        count = len(data) // 32
        for number in sorted({0, count // 2, count - 1}):
            seq = first + number if path.startswith("tile/0") else number * 256
            for name, at in (("first byte", number * 32), ("last byte", number * 32 + 31)):
                files = made.export | {path: flipped(data, at, number % 8)}
                yield _entry_mutant(f"{path}: hash {number}, {name}", files, seq, TILE)
        swapped = data[32:64] + data[:32] + data[64:]
        yield _entry_mutant(f"{path}: two hashes swapped", made.export | {path: swapped}, first, TILE)
        doubled = data[:32] + data[:32] + data[64:]
        yield _entry_mutant(f"{path}: a hash in another's place", made.export | {path: doubled}, first, TILE)
        yield _entry_mutant(f"{path}: a hash more", made.export | {path: data + bytes(32)}, first, TILE)
        yield _entry_mutant(f"{path}: a hash less", made.export | {path: data[:-32]}, first, TILE)


def _older(made: Golden) -> Iterator[Mutant]:
    """Tiles of an earlier size: under the present name, and beside the present one, where nobody else looks."""
    for path, less in (("tile/0/002.p/18", 32 * 10), ("tile/1/000.p/2", 32)):
        data = made.export[path]
        yield _entry_mutant(f"{path}: that of an older size", made.export | {path: data[:less]}, 512, TILE)
        beside = path.rpartition("/")[0] + f"/{less // 32}"
        changed = made.export | {beside: flipped(data[:less], 5)}
        yield _entry_mutant(f"{beside}: an older tile, changed", changed, 512, frozenset())
    older = encode_bundle(made.entries[512:522])
    yield _entry_mutant(f"{LAST}: that of an older size", made.export | {LAST: older}, SIZE - 1)
    beside = made.export | {"tile/entries/002.p/10": flipped(older, 40)}
    yield _entry_mutant("tile/entries/002.p/10: an older bundle, changed", beside, 512, frozenset())
