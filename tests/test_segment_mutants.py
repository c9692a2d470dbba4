"""The mutation corpus in the log's native form: segment files with every checksum made to fit.

``tests/test_verify.py`` changes every byte, ``tests/test_verify_forged.py`` moves frames, files and headers; here are
the byte classes of entries, the mutants of the checkpoint, and logs that the key signed and that are none.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.log.verify import INTACT, TAMPERED, Demands, verify_segments
from tests.log_forge import write_log
from tests.mutation.forgeries import SIGNED, no_log
from tests.mutation.golden import DEFINITION, KEYS, LAST_READING, OLD, ORIGIN, READING, SIZE, golden, note_over
from tests.mutation.mutant import byte_classes, flipped
from tests.mutation.notes import harmless_notes, note_mutants


def verdict(folder: Path, entries: list[bytes], notes: dict[int, bytes]) -> str:
    """What the verifier with both keys finds in a log of these entries and checkpoints."""
    write_log(folder, entries, notes, ORIGIN, per_file=SIZE)
    return verify_segments(folder, Demands(keys=KEYS, known=[golden().old_note])).verdict


def test_the_golden_log_is_intact_in_segments(tmp_path: Path) -> None:
    """As it is, and with what may differ."""
    made = golden()
    for number, (_, note) in enumerate([("", made.note), *harmless_notes(made.note)]):
        notes = {OLD: made.old_note, SIZE: note}
        assert verdict(tmp_path / str(number), list(made.entries), notes) == INTACT


@pytest.mark.parametrize("seq", [0, DEFINITION, READING, LAST_READING])
def test_each_byte_class_of_an_entry_counts(tmp_path: Path, seq: int) -> None:
    """The frame's checksum fits; chain and checkpoint do not."""
    made = golden()
    for name, at in byte_classes(made.entries[seq]):
        entries = list(made.entries)
        entries[seq] = flipped(entries[seq], at)
        assert verdict(tmp_path / name, entries, {SIZE: made.note}) == TAMPERED, name


def test_each_mutant_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    """In the frame behind the entries that it covers."""
    made = golden()
    mutants = list(note_mutants(made.note))
    assert len(mutants) > 90
    for number, (name, note, _) in enumerate(mutants):
        assert verdict(tmp_path / str(number), list(made.entries), {SIZE: note}) == TAMPERED, name


@pytest.mark.parametrize("name", SIGNED)
def test_a_log_that_the_key_signed_and_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """The signature does not make an entry of what is none."""
    entries = no_log(name)
    assert verdict(tmp_path / "log", entries, {SIZE: note_over(entries)}) == TAMPERED
