"""Imported entries: what stands in our log proves what stands in the other one, and every change of it shows."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, TamperError
from gateway.log.entry import Kind, decode
from gateway.log.evidence import evidence_hashes, verify_evidence, write_evidence
from gateway.log.imported import Imported, evidence_of, imported_body, imported_of, imports_in, verify_imported
from gateway.log.tree import HashStore
from tests.honest_log import ORIGIN, HonestLog, MemoryKey
from tests.metered_log import DEFINITIONS, metered_log
from tests.test_stranger import FILE
from tests.test_stranger import run as run_file

LOG = metered_log(300)
STORE = HashStore(LOG.leaves)


def imported(first: int, end: int, size: int, left_out: frozenset[int] = frozenset(), log: HonestLog = LOG) -> Imported:
    """Entries *first* up to *end* under the checkpoint of *size*; of those *left_out* the hash."""
    items = tuple(log.leaves[seq] if seq in left_out else log.entries[seq] for seq in range(first, end))
    hashes = tuple(evidence_hashes(HashStore(log.leaves).node, range(first, end), size))
    return Imported(origin=log.origin, first_seq=first, items=items, hashes=hashes, note=log.note(size))


def chain(*cuts: tuple[int, int], left_out: frozenset[int] = frozenset()) -> list[Imported]:
    """Imports one after the other: (end, size of the checkpoint) each."""
    starts = [0, *(end for end, _ in cuts)]
    return [imported(first, end, size, left_out) for first, (end, size) in zip(starts, cuts, strict=False)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 299), st.integers(1, 60), st.integers(0, 300), st.data())
def test_any_run_is_proved_by_itself(first: int, count: int, more: int, data: st.DataObject) -> None:
    """Wherever it begins and ends, however much the checkpoint covers behind it, whatever is left out."""
    end = min(first + count, 300)
    size = min(end + more, 300)
    left_out = data.draw(st.frozensets(st.integers(first, end - 1)))
    found = imported(first, end, size, left_out)
    assert imported_of(imported_body(found)) == found
    assert verify_imported(found, [LOG.vkey]).size == size
    assert list(found.entries) == [seq for seq in range(first, end) if seq not in left_out]
    edge = found.edge()
    edge.extend(found.leaves.values())
    assert edge.root() == LOG.root(end)


def changes(found: Imported) -> dict[str, Imported]:
    """Every kind of change to an import."""
    items, hashes = found.items, found.hashes
    flipped = bytes([items[1][0], *items[1][1:-1], items[1][-1] ^ 1])
    return {
        "an item's bit": dataclasses.replace(found, items=(items[0], flipped, *items[2:])),
        "two items exchanged": dataclasses.replace(found, items=(items[1], items[0], *items[2:])),
        "an item left out": dataclasses.replace(found, items=items[1:]),
        "an item twice": dataclasses.replace(found, items=(items[0], *items)),
        "an item's hash": dataclasses.replace(found, items=(bytes(32), *items[1:])),
        "the first seq": dataclasses.replace(found, first_seq=found.first_seq + 1),
        "a hash's bit": dataclasses.replace(found, hashes=(bytes([hashes[0][0] ^ 1]) + hashes[0][1:], *hashes[1:])),
        "a hash left out": dataclasses.replace(found, hashes=hashes[1:]),
        "a hash more": dataclasses.replace(found, hashes=(*hashes, bytes(32))),
        "the note's root": dataclasses.replace(found, note=found.note.replace(b"=\n\n", b"A\n\n", 1)),
        "another note": dataclasses.replace(found, note=LOG.note(299)),
        "another key's note": dataclasses.replace(found, note=LOG.note(200, key=MemoryKey(9))),
        "the origin": dataclasses.replace(found, origin="other.example"),
    }


@pytest.mark.parametrize("what", list(changes(imported(100, 110, 200))))
def test_every_change_shows(what: str) -> None:
    """With the key of the other log, and nothing else."""
    with pytest.raises((MalformedError, TamperError)):
        verify_imported(changes(imported(100, 110, 200))[what], [LOG.vkey])


def test_an_entry_in_another_one_s_place_is_refused() -> None:
    """A signer that puts an entry where it does not say it is."""
    log = HonestLog().grow(5)
    log.entries[3], log.leaves[3] = log.entries[2], log.leaves[2]
    with pytest.raises(TamperError, match="in the place of 3"):
        verify_imported(imported(2, 5, 5, log=log), [log.vkey])


@pytest.mark.parametrize(
    "body", [[ORIGIN, -1, [bytes(40)], [], b""], [ORIGIN, 0, [], [], b""], [ORIGIN, 0, [bytes(31)], [], b""]]
)
def test_a_body_without_entries_is_none(body: list[object]) -> None:
    """The shape of the kind is right, and it cannot prove anything."""
    with pytest.raises(MalformedError):
        imported_of(body)


def test_evidence_for_strangers_comes_from_our_log_alone() -> None:
    """Readings of several imports with their definitions, under the other log's newest checkpoint that we hold."""
    imports = chain((40, 40), (90, 100), (100, 100), (180, 256), (260, 300))
    wanted = [seq for seq in (50, 95, 250) if decode(LOG.entries[seq]).kind is Kind.READING]
    data = write_evidence(evidence_of(imports, wanted))
    result = verify_evidence(data, [LOG.vkey])
    assert {entry.seq for entry in result.entries} >= set(wanted)
    assert dict(result.meters).items() <= DEFINITIONS.items()
    assert result.checkpoint.size == 300
    for seq in wanted:
        assert next(entry.data for entry in result.entries if entry.seq == seq) == LOG.entries[seq]


def test_the_file_of_the_docs_takes_such_evidence(tmp_path: Path) -> None:
    """Whoever has the other gateway's key and that one file needs nothing of ours."""
    path = tmp_path / "roof.evidence"
    path.write_bytes(write_evidence(evidence_of(chain((40, 40), (120, 128)), [50, 51, 53])))
    done = run_file(path, "--vkey", LOG.vkey.text, file=FILE)
    assert done.returncode == 0, done.stderr
    assert "eastron-sdm120" in done.stdout


def test_what_was_left_out_is_no_hindrance() -> None:
    """A hash stands for it, so that the rest is proved all the same."""
    kept = frozenset(seq for seq in range(300) if decode(LOG.entries[seq]).body[0] == 1) | {0, 1}
    imports = chain((100, 128), (200, 300), left_out=frozenset(range(300)) - kept)
    wanted = sorted(kept - {0, 1})[10:40]
    assert len(verify_evidence(write_evidence(evidence_of(imports, wanted)), [LOG.vkey]).entries) == 31


def test_imports_after_a_pruned_part_prove_what_they_hold() -> None:
    """The hashes left of the first item stand for all before; what was removed is named."""
    imports = chain((100, 100), (200, 256), (300, 300))[1:]
    event = next(seq for seq in range(150, 200) if decode(LOG.entries[seq]).kind is Kind.EVENT)
    assert verify_evidence(write_evidence(evidence_of(imports, [event])), [LOG.vkey]).entries[0].seq == event
    with pytest.raises(MalformedError, match=r"entry [12] of .* is not in these imports"):
        evidence_of(imports, [event + 1])


def test_a_hole_between_imports_is_refused() -> None:
    """What was cut out of our log cannot be proved around."""
    first, _, last = chain((100, 100), (200, 256), (300, 300))
    with pytest.raises(MalformedError, match="from seq 200 where 100 comes next"):
        evidence_of([first, last], [50])


def test_damage_at_random_never_proves_another_entry() -> None:
    """Seeded: bytes of a body changed, cut and repeated; what is still believed is the honest entry."""
    chance = random.Random(14)
    found = imported(100, 104, 200)
    for _ in range(300):
        items = [bytearray(item) for item in found.items]
        target = chance.choice([*items, None])
        if target is None:
            items = chance.sample(items, chance.randint(1, 4))
        else:
            target[chance.randrange(len(target))] ^= 1 << chance.randrange(8)
        other = dataclasses.replace(found, items=tuple(map(bytes, items)))
        try:
            verify_imported(other, [LOG.vkey])
        except GatewayError:
            continue
        assert other.items == found.items


def test_imports_are_found_among_other_entries() -> None:
    """By kind and origin."""
    mine, other = imported(0, 10, 20), dataclasses.replace(imported(0, 10, 20), origin="other.example")
    log = HonestLog(origin="example.org/ours").grow(3)
    log.append(Kind.IMPORTED, imported_body(mine))
    log.append(Kind.IMPORTED, imported_body(other))
    assert list(imports_in(log.entries, ORIGIN)) == [mine]
