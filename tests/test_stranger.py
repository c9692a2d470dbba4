"""docs/verify.py and verify_log.py: they stand alone, say what they proved, and agree with the gateway's verifier."""

from __future__ import annotations

import ast
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.log.kinds import HIGHEST, LOWEST, Kind
from gateway.log.vkey import VerifierKey
from gateway.reading import Scaled, Status
from tests.checkers import place, stranger
from tests.log_keys import Ed25519Signer, P256Signer
from tests.mutation.corpus import harmless
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
from tests.mutation.mutant import (
    DIRECTORIES,
    DISCLOSURE,
    EVIDENCE,
    EXPORT,
    PROOF,
    PRUNED,
    ROTATED,
    Mutant,
)
from tests.parts import ROOT

FILE, LOG_FILE = ROOT / "docs" / "verify.py", ROOT / "docs" / "verify_log.py"
LINES, LOG_LINES = 222, 79
VKEYS = [word for key in KEYS for word in ("--vkey", key.text)]
UNTIMED = settings(deadline=None)


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


def test_what_they_do_not_check_they_leave_to_the_gateway(tmp_path: Path) -> None:
    """Field and rotation lines, logs with key entries, pruned logs: refused, with the command that checks them."""
    forms = (DISCLOSURE, ROTATED, PRUNED)
    made = [mutant for mutant in harmless() if mutant.form in forms and mutant.name == "as it is"]
    assert len(made) == 3
    about_keys = with_items(golden().entries[1], {1: lambda _: 7, 9: lambda _: ["rotation", "x"]})
    entries = chained([golden().entries[0], about_keys])
    files = export_of(entries, note_over(entries))
    made.append(Mutant(name="key entry", form=EXPORT, files=files, seen_by=frozenset()))
    for mutant, path in place(made, tmp_path):
        whole = mutant.form in DIRECTORIES
        done = run(path, *VKEYS, file=LOG_FILE if whole else FILE)
        assert done.returncode == 1
        assert f"which only `meter-gateway {'log verify' if whole else 'verify'}` checks" in done.stderr


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
