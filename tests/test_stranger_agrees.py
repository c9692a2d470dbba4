"""docs/verify.py and verify_log.py give the answers of the gateway's own verifier, whatever they are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import parse
from gateway.log.tiles import write_tiles
from tests.checkers import by_gateway, by_log_stranger, by_stranger, place, stranger, stranger_of_logs
from tests.honest_log import HonestLog
from tests.mutation.golden import (
    DEFINITION,
    KEYS,
    READING,
    SIZE,
    evidence_of,
    export_of,
    golden,
    note_over,
    proof_of,
)
from tests.mutation.mutant import (
    EVIDENCE,
    EXPORT,
    PROOF,
    Mutant,
    flipped,
)

VKEYS = [word for key in KEYS for word in ("--vkey", key.text)]
UNTIMED = settings(deadline=None)
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

edits = st.lists(
    st.tuples(st.sampled_from(["change", "insert", "delete", "double", "cut"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def edited(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    for what, place_, byte in changes:
        at = int(place_ * len(data))
        data = {
            "change": data[:at] + bytes([byte]) + data[at + 1 :],
            "insert": data[:at] + bytes([byte]) + data[at:],
            "delete": data[:at] + data[at + 1 :],
            "double": data[:at] + data[at : at + byte] + data[at:],
            "cut": data[:at] + data[at + byte :],
        }[what]
    return data


@UNTIMED
@given(st.sampled_from([0, 1, DEFINITION, READING]), edits)
def test_entries_are_judged_alike(seq: int, changes: list[tuple[str, float, int]]) -> None:
    """Edited bytes are an entry to both or to none; only the bodies of kinds that it does not show are left unread."""
    data = edited(golden().entries[seq], changes)
    try:
        said, fault = parse(data)[2], ""
    except MalformedError as error:
        said, fault = seq, str(error)
    try:
        stranger().read_entry(data, said)
        accepted = True
    except (ValueError, TypeError, LookupError, ArithmeticError):
        accepted = False
    assert accepted == (not fault) or "a body that is not" in fault


@REUSED
@given(data=st.data())
def test_random_changes_are_judged_alike(data: st.DataObject, tmp_path: Path) -> None:
    """Proofs, evidence and exports with a few random edits: the same answer from both, and golden bytes pass."""
    made = golden()
    form, files = data.draw(
        st.sampled_from([(PROOF, {PROOF: made.proof}), (EVIDENCE, {EVIDENCE: made.evidence}), (EXPORT, made.export)])
    )
    name = data.draw(st.sampled_from(sorted(files)))
    changed = files | {name: edited(files[name], data.draw(edits))}
    mutant = Mutant(name="edited", form=form, files=changed, seen_by=frozenset())
    placed = place([mutant], tmp_path)
    refused = by_gateway(placed)
    assert refused == (by_log_stranger if form == EXPORT else by_stranger)(placed)
    assert bool(refused) or changed == files or name in (PROOF, EVIDENCE, "checkpoint")


def test_evidence_without_the_definition_of_a_reading_is_refused(tmp_path: Path) -> None:
    """As the gateway does: nobody could say what the numbers mean. An entry of another kind does not help."""
    entries = golden().entries
    for seqs in ([READING], [1, READING], [READING, READING + 1]):
        mutant = Mutant(
            name="bare", form=EVIDENCE, files={EVIDENCE: evidence_of(entries, seqs, golden().note)}, seen_by=frozenset()
        )
        placed = place([mutant], tmp_path / str(seqs))
        assert by_stranger(placed) == by_gateway(placed) != set()


@REUSED
@given(st.integers(1, SIZE), st.data())
def test_any_entries_of_a_log_of_any_size_are_proved(tmp_path: Path, size: int, data: st.DataObject) -> None:
    """One entry by a tlog-proof, several by an evidence file."""
    entries = golden().entries[:size]
    seqs = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=12))
    seqs = sorted(seqs | {DEFINITION} if max(seqs) > DEFINITION else seqs)
    note = note_over(entries)
    (tmp_path / "evidence").write_bytes(evidence_of(entries, seqs, note))
    (tmp_path / "proof").write_bytes(proof_of(entries, seqs[0], note))
    for name in ("evidence", "proof"):
        assert stranger().main([str(tmp_path / name), *VKEYS]) == 0


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512])
def test_logs_at_the_borders_of_tiles_are_proved(tmp_path: Path, size: int) -> None:
    """The same files as the gateway's verifier reads."""
    entries = golden().entries[:size]
    mutant = Mutant(
        name="whole",
        form=EXPORT,
        files=export_of(entries, note_over(entries)),
        seen_by=frozenset(),
        known=note_over(entries),
    )
    placed = place([mutant], tmp_path)
    assert by_log_stranger(placed) == by_gateway(placed) == set()
    older = place([replace(mutant, known=golden().note)], tmp_path / "older")
    assert by_log_stranger(older) == by_gateway(older) != set()


def test_tiles_far_into_a_large_log_have_the_right_names() -> None:
    """Groups of three digits, all but the last behind an x."""
    path = stranger_of_logs().tile_path
    assert path(Path(), 0, 1234067, 256) == Path("tile/0/x001/x234/067")
    assert path(Path(), "entries", 1000, 3) == Path("tile/entries/x001/000.p/3")


def test_tiles_of_all_levels_are_read(tmp_path: Path) -> None:
    """A log with a full tile at level 1 and one at level 2: proved, and refused with one bit of either changed."""
    honest = HonestLog().grow(65_600)
    write_tiles(tmp_path, honest.origin, lambda start: honest.entries[start:], honest.note(honest.size))
    command = [str(tmp_path), "--vkey", honest.vkey.text]
    assert stranger_of_logs().main(command) == 0
    for name in ("tile/1/000", "tile/2/000.p/1"):
        path = tmp_path / name
        data = path.read_bytes()
        path.write_bytes(flipped(data, -1))
        assert stranger_of_logs().main(command) == 1
        path.write_bytes(data)
