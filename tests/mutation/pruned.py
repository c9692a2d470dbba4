"""Mutants of the export of a pruned log: what may be missing, and what says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.log.entry import Kind, encode
from gateway.log.tiles import Pruned, encode_bundle, write_tiles
from gateway.log.tree import HashStore, leaf_hash
from tests.concealed import MOMENT
from tests.mutation.golden import ORIGIN, READING, SIZE, export_of, golden, note_over
from tests.mutation.mutant import PRUNED, Mutant, flipped, without

#: The second of the three bundles is gone; the first one holds what is never pruned.
_GONE = range(256, 512)
FIRST, SECOND, LAST = "tile/entries/000", "tile/entries/001", "tile/entries/002.p/19"


def _entries(first: int = _GONE.start, end: int = _GONE.stop) -> list[bytes]:
    """The golden log, and a manifest entry behind it that names a range."""
    body: list[object] = [first, end, "retention", 4711, bytes(32), [[1, bytes(32)]]]
    prev = leaf_hash(golden().entries[-1])
    manifest = encode(kind=Kind.MANIFEST, seq=SIZE, prev=prev, boot=1, moment=MOMENT, body=body)
    return [*golden().entries, manifest]


def _export(entries: Sequence[bytes]) -> dict[str, bytes]:
    store = HashStore(map(leaf_hash, entries))
    pruned = Pruned(minimum_index=_GONE.stop, kept=[(0, list(entries[:256]))], node=store.node)
    with TemporaryDirectory() as place:
        write_tiles(Path(place), ORIGIN, lambda start: entries[start:], note_over(entries), pruned=pruned)
        return {
            path.relative_to(place).as_posix(): path.read_bytes() for path in Path(place).rglob("*") if path.is_file()
        }


@cache
def pruned_export() -> dict[str, bytes]:
    """The golden one."""
    files = _export(_entries())
    assert SECOND not in files
    assert LAST in files
    return files


@cache
def pruned_known() -> bytes:
    """A checkpoint that somebody kept, of a size that can still be compared."""
    return note_over(_entries()[:256])


def harmless_pruned() -> Iterator[tuple[str, dict[str, bytes]]]:
    """What differs only where it may: the hint may promise less, and what was pruned may be there again."""
    made = pruned_export()
    yield "as it is", made
    yield "a hint that promises less", made | {"minimum-index": b"768\n"}
    whole = export_of(_entries(), made["checkpoint"])
    yield "all entries there again", whole | {"minimum-index": b"512\n"}
    yield "all entries there again, and no hint", whole


def pruned_mutants() -> list[Mutant]:
    """All of them."""
    changes = [*_hints(), *_files(), *_manifests()]
    return [
        Mutant(name=name, form=PRUNED, files=files, seen_by=frozenset(), known=pruned_known())
        for name, files in changes
    ]


def _hints() -> Iterator[tuple[str, dict[str, bytes]]]:
    made = pruned_export()
    yield "hint: missing", without(made, "minimum-index")
    for text in (b"0\n", b"256\n", b"511\n", b"many\n", b"", b"-512\n"):
        yield f"hint: {text!r}", made | {"minimum-index": text}


def _files() -> Iterator[tuple[str, dict[str, bytes]]]:
    made, entries = pruned_export(), _entries()
    whole = export_of(entries, made["checkpoint"])
    yield "what is never pruned: missing", without(made, FIRST)
    yield "what is never pruned: missing with its tile", without(without(made, FIRST), "tile/0/000")
    yield "the tile of what is never pruned: missing", without(made, "tile/0/000")
    yield "a bundle behind the minimum index: missing", without(made, LAST)
    yield "a tile behind the minimum index: missing", without(made, "tile/0/002.p/19")
    changed = [*entries[:READING], flipped(entries[READING], -1), *entries[READING + 1 : 256]]
    yield "an entry of what is never pruned: changed", made | {FIRST: encode_bundle(changed)}
    for number in (0, 1):
        data = flipped(made["tile/1/000.p/2"], 32 * number)
        yield f"the hash over run {number}: changed", made | {"tile/1/000.p/2": data}
    yield "pruned entries there again without their tile", made | {SECOND: whole[SECOND]}
    tile = {"tile/0/001": whole["tile/0/001"]}
    yield "pruned entries there again, changed", made | tile | {SECOND: flipped(whole[SECOND], 40)}
    yield "other entries in the place of pruned ones", made | tile | {SECOND: whole[FIRST]}


def _manifests() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Logs that the key signed, and in which nobody said that these entries would go."""
    yield "signed: no manifest", _export(golden().entries)
    for first, end in ((0, 256), (512, 768), (512, 256), (0, 0)):
        yield f"signed: manifest of {first} to {end}", _export(_entries(first, end))
