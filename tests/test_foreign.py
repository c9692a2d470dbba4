"""The release gate: what nobody here wrote accepts the golden log, and refuses each mutant that it can see."""

from __future__ import annotations

import base64
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.checkers import OURS, VERIFIERS, Placed, label, place, run_peers
from tests.mutation.corpus import corpus, harmless
from tests.mutation.golden import KEYS, ORIGIN, golden
from tests.mutation.mutant import DISCLOSURE, EVIDENCE, EXPORT, PROOF, PRUNED, ROTATED
from tests.mutation.pruned import pruned_known
from tests.parts import need_peer


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    """All evidence on disk: that which is good, and every mutant."""
    return place([*harmless(), *corpus()], tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_foreign_checker_refuses_exactly_what_it_can_see(placed: Placed, name: str) -> None:
    """The golden log and proof pass; each mutant of ``seen_by`` is refused, and the table says no more than is true."""
    forms, refused_by = VERIFIERS[name]
    read = [(mutant, path) for mutant, path in placed if mutant.form in forms]
    expected = {label(mutant) for mutant, _ in read if name in mutant.seen_by}
    assert expected
    assert refused_by(read) == expected


@pytest.mark.parametrize("name", OURS)
def test_our_verifiers_refuse_every_mutant_and_no_harmless_change(placed: Placed, name: str) -> None:
    """``log verify`` and ``verify`` of the gateway, and ``docs/verify.py``: the same answer to every one."""
    forms, refused_by = OURS[name]
    read = [(mutant, path) for mutant, path in placed if mutant.form in forms]
    assert refused_by(read) == {label(mutant) for mutant in corpus() if mutant.form in forms}


def test_every_mutant_differs_from_the_golden_evidence() -> None:
    """A corpus entry that changes nothing would test nothing."""
    kept = {EXPORT: golden().old_note, PRUNED: pruned_known()}
    good = [(mutant.form, mutant.files) for mutant in harmless()]
    unchanged = {
        label(mutant)
        for mutant in corpus()
        if (mutant.form, mutant.files) in good and mutant.known == kept.get(mutant.form, mutant.known)
    }
    assert unchanged == set()
    counts = Counter(mutant.form for mutant in corpus())
    assert counts.keys() == {EXPORT, PROOF, EVIDENCE, DISCLOSURE, ROTATED, PRUNED}
    assert len(corpus()) > 800, counts


def test_the_ots_command_replays_an_entry_up_to_our_root(tmp_path: Path) -> None:
    """The golden proof as an OpenTimestamps file: the last hash that ``ots info`` prints is the root."""
    (tmp_path / "proof").write_bytes(golden().proof)
    job = {"checker": "write-ots", "form": PROOF, "path": str(tmp_path / "proof"), "entry": 0}
    assert run_peers([job]) == [""]
    command = [need_peer("ots"), "--no-cache", "-v", "info", str(tmp_path / "proof.ots")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    root = base64.b64decode(golden().note.split(b"\n")[2]).hex()
    assert root in shown.split("sha256")[-1]


def test_the_aics_tlog_command_accepts_the_golden_log(tmp_path: Path) -> None:
    """Its command line as a stranger types it; the corpus runs the same commands in one process."""
    ((_, path),) = place([harmless()[0]], tmp_path)
    for arguments in (["verify-checkpoint"], ["verify-inclusion", "--index", "100"]):
        command = [need_peer("aics-tlog"), *arguments, "--tiles", str(path), "--log-key", KEYS[0].text]
        done = subprocess.run([*command, "--origin", ORIGIN], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
