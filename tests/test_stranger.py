"""docs/verify.py and verify_log.py: they stand alone, say what they proved, and agree with the gateway's verifier."""

from __future__ import annotations

import ast
import base64
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedError
from gateway.log.entry import parse
from gateway.log.kinds import HIGHEST, LOWEST, Kind
from gateway.log.tiles import write_tiles
from gateway.log.vkey import VerifierKey
from gateway.reading import Scaled, Status
from tests.checkers import by_gateway, by_log_stranger, by_stranger, place, stranger, stranger_of_logs
from tests.honest_log import HonestLog
from tests.log_keys import Ed25519Signer, P256Signer
from tests.mutation.forgeries import chained, with_items
from tests.mutation.golden import (
    DEFINITION,
    KEYS,
    ORIGIN,
    READING,
    SIZE,
    evidence_of,
    export_of,
    golden,
    note_over,
    proof_of,
)
from tests.mutation.mutant import EVIDENCE, EXPORT, PROOF, Mutant, flipped
from tests.parts import ROOT

FILE, LOG_FILE = ROOT / "docs" / "verify.py", ROOT / "docs" / "verify_log.py"
LINES, LOG_LINES = 221, 79
VKEYS = [word for key in KEYS for word in ("--vkey", key.text)]
UNTIMED = settings(deadline=None)
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def run(*arguments: object, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    """The file as somebody runs it who has nothing of the gateway: no module is found but those beside it."""
    command = [sys.executable, "-E", "-s", str(file), *map(str, arguments)]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden evidence in its three forms, and the checkpoint that somebody kept."""
    folder, made = tmp_path_factory.mktemp("evidence"), golden()
    for name, data in made.export.items():
        (folder / EXPORT / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / EXPORT / name).write_bytes(data)
    (folder / PROOF).write_bytes(made.proof)
    (folder / EVIDENCE).write_bytes(made.evidence)
    (folder / "kept").write_bytes(made.old_note)
    return folder


def imported(path: Path) -> set[str]:
    """What a file imports that is not in the standard library."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)


def test_it_imports_the_standard_library_and_cryptography_and_nothing_else() -> None:
    """A court's expert needs no other file; for a whole log, the one beside it."""
    assert imported(FILE) == {"cryptography"}
    assert imported(LOG_FILE) == {"verify"}


@pytest.mark.parametrize(("path", "most"), [(FILE, LINES), (LOG_FILE, LOG_LINES)])
def test_it_stays_short_enough_to_be_read(path: Path, most: int) -> None:
    """A ratchet: this only ever goes down."""
    assert path.read_text().count("\n") <= most


def test_an_evidence_file_is_shown_in_plain_words(evidence: Path) -> None:
    """Meter, names, codes, values, units, the time and how good it is, and what the proof does not say."""
    done = run(evidence / EVIDENCE, *VKEYS)
    assert done.returncode == 0, done.stderr
    for words in (
        f"PROVED: 3 of {SIZE} entries of the log {ORIGIN}",
        "meter main: eastron-sdm120 at bench unit 1",
        "voltage (1-0:32.7.0): 230.2 V (good)",
        "import_total (1-0:1.8.0): 10007.00 kWh (good)",
        "export_total (1-0:2.8.0): no value (no answer in time)",
        f"Entry {READING}, reading, 2025-10-09T08:55:01.000Z by the gateway's clock (synchronised, error at most 5 ms)",
        "It does not show that the meter measured rightly",
    ):
        assert words in done.stdout


def test_a_proof_and_a_whole_log_are_proved(evidence: Path) -> None:
    """A proof of one reading has no names: it says where they are."""
    done = run(evidence / PROOF, *VKEYS)
    assert done.returncode == 0, done.stderr
    assert f"point 0 (see entry {DEFINITION}): 230.2" in done.stdout
    done = run(evidence / EXPORT, *VKEYS, "--known", evidence / "kept", file=LOG_FILE)
    assert done.returncode == 0, done.stderr
    assert f"PROVED: all {SIZE} entries of the log {ORIGIN}" in done.stdout


def test_what_is_refused_is_refused_with_a_reason(evidence: Path, tmp_path: Path) -> None:
    """Other content, another key, what is no evidence: exit code 1, and no traceback; wrong options are 2."""
    entry = base64.b64encode(golden().entries[READING])
    (tmp_path / "other").write_bytes(
        golden().evidence.replace(
            entry, base64.b64encode(with_items(golden().entries[READING], {6: lambda ms: ms + 1}))
        )
    )
    stranger_key = VerifierKey.of(ORIGIN, Ed25519Signer(9).public_key).text
    (tmp_path / "garbage").write_bytes(bytes(range(256)))
    for code, arguments in (
        (1, (tmp_path / "other", *VKEYS)),
        (1, (evidence / PROOF, "--vkey", stranger_key)),
        (1, (evidence / PROOF, *VKEYS, "--vkey", stranger_key)),
        (1, (tmp_path / "garbage", *VKEYS)),
        (1, (tmp_path / "missing", *VKEYS)),
        (1, (evidence / PROOF, "--vkey", KEYS[0].text[:-1])),
        (1, (evidence / PROOF, "--vkey", KEYS[0].text.replace("+", "+0", 1))),
        (1, (evidence / PROOF, "--vkey", "nonsense")),
        (1, (evidence / EXPORT, *VKEYS)),
        (2, (evidence / PROOF,)),
    ):
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert code == 2 or done.stderr.startswith("REFUSED: ")
        assert "Traceback" not in done.stderr
        assert "PROVED" not in done.stdout
    assert run(tmp_path, *VKEYS, file=LOG_FILE).returncode == 1
    assert run(evidence / EXPORT, *VKEYS, "--known", tmp_path / "missing", file=LOG_FILE).returncode == 1


def test_either_kind_of_key_is_enough_where_one_is_asked_for(evidence: Path) -> None:
    """Ed25519 alone, ECDSA P-256 alone."""
    for key in KEYS:
        assert run(evidence / PROOF, "--vkey", key.text).returncode == 0
    assert run(evidence / PROOF, "--vkey", VerifierKey.of(ORIGIN, P256Signer(9).public_key).text).returncode == 1


def test_a_later_epoch_is_of_the_same_log_and_a_longer_name_is_not(tmp_path: Path) -> None:
    """The same rule as the gateway's."""
    for name, code in (("/epoch-2", 0), ("/epoch-", 1), ("/epoch-x", 1), ("-other", 1), ("/epoch-2/epoch-3", 1)):
        note = note_over(golden().entries, ORIGIN + name)
        (tmp_path / "proof").write_bytes(proof_of(golden().entries, READING, note))
        assert stranger().main([str(tmp_path / "proof"), *VKEYS]) == code


def test_what_a_log_says_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A meter may have any name."""
    named = with_items(golden().entries[DEFINITION], {9: lambda body: ["\x1b[2Jmain\n", *body[1:]]})
    entries = chained([*golden().entries[:DEFINITION], named, *golden().entries[DEFINITION + 1 :]])
    (tmp_path / "e").write_bytes(evidence_of(entries, [DEFINITION, READING], note_over(entries)))
    assert stranger().main([str(tmp_path / "e"), *VKEYS]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2Jmain\\n" in shown


def test_its_tables_are_those_of_the_gateway() -> None:
    """Kinds, point statuses, clock qualities."""
    assert [kind.text for kind in Kind] == stranger().KINDS
    assert list(map(int, Kind)) == list(range(len(Kind)))
    assert {Kind.READING, Kind.CONCEALED} == {stranger().READING, stranger().CONCEALED}
    assert set(stranger().STATUS) == {int(status) for status in Status}
    assert set(stranger().CLOCK) == set("UISR")


@UNTIMED
@given(st.integers(LOWEST, HIGHEST), st.integers(-64, 64))
def test_values_are_written_as_the_gateway_writes_them(mantissa: int, exponent: int) -> None:
    """Exact decimals with all digits that were scaled."""
    fields = [1, 2, 9, b"", 1, 1, 1, "S", 1, [3, [], [[0, b"", mantissa, exponent]]]]
    line = list(stranger().describe(fields, {}))[-1]
    assert f": {Scaled(mantissa=mantissa, exponent=exponent)} (good)" in line.replace("  ", " ")


values = st.recursive(
    st.integers(LOWEST, HIGHEST) | st.binary(max_size=300) | st.text(max_size=300),
    lambda item: st.lists(item),
    max_leaves=20,
)


@UNTIMED
@given(values)
def test_its_decoder_reads_what_cbor2_writes(value: Any) -> None:
    """The whole subset, each in its shortest form."""
    data = cbor2.dumps(value)
    assert stranger().cbor(data, 0) == (value, len(data))


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
