"""The mutation corpus in packs: a packed log and a pruned one, changed by a forger who makes every checksum fit.

``tests/test_seal.py`` changes bytes and removes whole packs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.log.entry import Kind, prev_place
from gateway.log.pack import CHUNK, Footer, Pack, PackWriter, encode_chunk, pack_name
from gateway.log.seal import doomed, prune
from gateway.log.tree import complete_root, leaf_hash
from tests.log_dir import Station
from tests.mutation.mutant import byte_classes, flipped
from tests.test_seal import PACK, filled, pack_all, prune_oldest

#: An entry in the first chunk of the second pack.
SEQ = PACK + 9
Chunks = list[tuple[bytes, bytes]]


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """Three packs of two chunks each, and segments behind them; intact."""
    made = filled(tmp_path)
    pack_all(made)
    assert made.verify().verdict == "intact"
    return made


def path_of(station: Station, number: int) -> Path:
    return station.directory / pack_name(number * PACK, (number + 1) * PACK)


def parts_of(pack: Pack) -> tuple[Chunks, dict[str, Any]]:
    """The chunks with their hashes, and what else a pack is made from."""
    old = pack.footer
    chunks = [(pack.raw_chunk(number), value) for number, (_, value) in enumerate(old.chunks)]
    rest = {"origin": old.origin, "first_seq": old.first_seq, "edge": old.edge, "note": old.note}
    return chunks, rest | {"notes": pack.notes()}


def write_pack(path: Path, chunks: Chunks, rest: dict[str, Any]) -> Footer:
    with path.open("wb") as file:
        writer = PackWriter(file)
        for chunk, value in chunks:
            writer.add(chunk, value)
        return writer.finish(**rest)


def repack(path: Path, change: Callable[[Chunks], Chunks] = list, **footer: Any) -> None:
    """The pack with its chunks and its footer changed, under checksums that fit."""
    chunks, rest = parts_of(Pack(path))
    write_pack(path, change(chunks), rest | footer)


def hash_of(entries: list[bytes]) -> bytes:
    return complete_root(list(map(leaf_hash, entries)))


def followed(entries: list[bytes]) -> list[bytes]:
    """The entries with each prev made to fit the one before; the rest of them need be no entry."""
    found = [entries[0]]
    for data in entries[1:]:
        place = prev_place(data)
        found.append(data[:place] + leaf_hash(found[-1]) + data[place + 32 :])
    return found


def test_a_pack_that_is_made_anew_without_a_change_is_intact(station: Station) -> None:
    """The tools of this module change nothing but what they are told to."""
    before = path_of(station, 1).read_bytes()
    repack(path_of(station, 1))
    assert path_of(station, 1).read_bytes() == before


def test_each_byte_class_of_a_packed_entry_counts(station: Station) -> None:
    """The chunk, its hash and the chain within it fit; what comes behind, and the checkpoints, do not."""
    path, whole = path_of(station, 1), path_of(station, 1).read_bytes()
    entries = Pack(path).entries(0)
    for name, at in byte_classes(entries[SEQ - PACK]):
        # A chunk puts prev in again by itself.
        if name == "prev":
            continue
        changed = [*entries[: SEQ - PACK], flipped(entries[SEQ - PACK], at), *entries[SEQ - PACK + 1 :]]
        forged = followed(changed)
        repack(path, lambda chunks, forged=forged: [(encode_chunk(forged), hash_of(forged)), chunks[1]])
        assert station.verify().verdict == "tampered", name
        path.write_bytes(whole)


CHUNKS: dict[str, Callable[[Chunks], Chunks]] = {
    "exchanged": lambda chunks: chunks[::-1],
    "one twice": lambda chunks: [chunks[0], chunks[0]],
    "exchanged under their own hashes": lambda chunks: [(chunks[1][0], chunks[0][1]), (chunks[0][0], chunks[1][1])],
    "another hash": lambda chunks: [(chunks[0][0], bytes(32)), chunks[1]],
    "dropped, and its hash kept": lambda chunks: [(b"", chunks[0][1]), chunks[1]],
    "all dropped, and their hashes kept": lambda chunks: [(b"", value) for _, value in chunks],
    "dropped, with another hash": lambda chunks: [(b"", bytes(32)), chunks[1]],
}


@pytest.mark.parametrize("change", CHUNKS.values(), ids=CHUNKS.keys())
@pytest.mark.parametrize("number", [0, 1, 2])
def test_chunks_cannot_be_changed_moved_or_dropped(
    station: Station, change: Callable[[Chunks], Chunks], number: int
) -> None:
    """In any of the packs; nobody said that they would go."""
    repack(path_of(station, number), change)
    assert station.verify().verdict == "tampered"


FOOTERS: dict[str, dict[str, Any]] = {
    "another log": {"origin": "meters.example.org/roof-8"},
    "other entries before": {"edge": (bytes(32),)},
    "another checkpoint before": {"note": b"x\n1\nAAAA\n\n"},
    "an unknown checkpoint among its own": {"notes": [(PACK + 8, b"x\n1\nAAAA\n\n")]},
}


@pytest.mark.parametrize("footer", FOOTERS.values(), ids=FOOTERS.keys())
def test_the_footer_must_follow_from_the_entries_before(station: Station, footer: dict[str, Any]) -> None:
    """Whatever a pack says of itself is compared."""
    repack(path_of(station, 1), **footer)
    assert station.verify().verdict == "tampered"


def test_packs_cannot_be_exchanged(station: Station) -> None:
    """As files, and with each footer made to fit its new name and what is before it."""
    one, two = path_of(station, 1), path_of(station, 2)
    parts = parts_of(Pack(one)), parts_of(Pack(two))
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert station.verify().verdict == "tampered"
    before = Pack(path_of(station, 0)).footer
    for path, (chunks, rest) in zip((one, two), reversed(parts), strict=True):
        placed = {"first_seq": before.end_seq, "edge": before.tree_behind().hashes()}
        before = write_pack(path, chunks, rest | placed)
        assert Pack(path).footer == before
    assert station.verify().verdict == "tampered"


def test_a_checkpoint_left_out_of_a_pack_is_missed_by_nobody_but_its_keeper(station: Station) -> None:
    """Old checkpoints prove nothing that the newest does not; one that was kept elsewhere is compared all the same."""
    notes = Pack(path_of(station, 1)).notes()
    assert notes
    repack(path_of(station, 1), notes=[])
    assert station.verify(known=[notes[0][1]]).verdict == "intact"


@pytest.mark.parametrize("span", [(0, PACK), (2 * PACK, 3 * PACK), (PACK, PACK), (2 * PACK, PACK)])
def test_a_manifest_of_another_range_excuses_nothing(station: Station, span: tuple[int, int]) -> None:
    """It is signed, and names other entries, or none."""
    body = doomed(station.directory, PACK, 2 * PACK).body("why")
    station.log.append(Kind.MANIFEST, [*span, *body[2:]])
    station.log.commit()
    station.sign()
    prune(station.directory, PACK, 2 * PACK)
    report = station.verify()
    assert (report.verdict, report.first_bad_seq) == ("tampered", PACK)


def test_what_is_left_of_a_pruned_log_cannot_be_changed(station: Station) -> None:
    """The chunk that stayed, the hash of the one that went, and the packs behind."""
    prune_oldest(station)
    prune_oldest(station)
    for number in range(3):
        path, whole = path_of(station, number), path_of(station, number).read_bytes()
        for at in (0, 1):
            repack(path, lambda chunks, at=at: [*chunks[:at], (chunks[at][0], bytes(32)), *chunks[at + 1 :]])
            assert station.verify().verdict == "tampered", (number, at)
            path.write_bytes(whole)
    assert station.verify().verdict == "intact"
    assert CHUNK * 2 == PACK
