"""Verdicts of many verifiers on mutants: ours, those of ``docs``, and those that nobody here wrote.

``OURS`` and ``VERIFIERS`` are the tables of them. Each is given mutants and returns which of them it refuses. A foreign
one that is missing here is a loud skip.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from gateway.cli.main import run
from gateway.log.vkey import pem
from tests.mutation.golden import KEYS, ORIGIN
from tests.mutation.mutant import (
    AICS,
    DIRECTORIES,
    DISCLOSURE,
    EVIDENCE,
    EXPORT,
    GO,
    OPENSSL,
    OTS,
    PROOF,
    PRUNED,
    PYMERKLE,
    ROTATED,
    SIGNIFY,
    Mutant,
)
from tests.parts import ROOT, missing, need, need_peer

FOREIGN = ROOT / "tests" / "foreign"
GO_MODULES = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")
#: Ours say 2 or 4, the strangers 1.
_ACCEPTED, _REFUSED = 0, (1, 2, 4)

#: The files of mutants on disk: a directory per mutant, beside it the checkpoint that its verifier kept.
Placed = list[tuple[Mutant, Path]]


def place(mutants: Iterable[Mutant], folder: Path) -> Placed:
    """Writes the mutants' files below *folder*."""
    placed: Placed = []
    for number, mutant in enumerate(mutants):
        target = folder / f"{number}"
        for name, data in mutant.files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)
        target.with_suffix(".known").write_bytes(mutant.known)
        placed.append((mutant, target if mutant.form in DIRECTORIES else target / mutant.form))
    return placed


def kept(mutant: Mutant, path: Path) -> Path:
    """The file with the checkpoint that the verifier of a placed export kept."""
    assert mutant.form in DIRECTORIES
    return path.with_suffix(".known")


def label(mutant: Mutant) -> str:
    return f"{mutant.form}: {mutant.name}"


def by_gateway(placed: Placed) -> set[str]:
    """The gateway's own commands, as their exit codes say."""
    keys = [word for key in KEYS for word in ("--vkey", key.text)]
    refused = set()
    for mutant, path in placed:
        command = ["verify", str(path), *keys]
        if mutant.form in DIRECTORIES:
            command = ["log", "verify", str(path), *keys, "--known", str(kept(mutant, path))]
        refused |= {label(mutant)} if _refuses(lambda command=command: run(command), label(mutant)) else set()
    return refused


def by_stranger(placed: Placed) -> set[str]:
    """``docs/verify.py``."""
    return _by_module(stranger(), placed)


def by_log_stranger(placed: Placed) -> set[str]:
    """``docs/verify_log.py``."""
    return _by_module(stranger_of_logs(), placed)


def _by_module(module: ModuleType, placed: Placed) -> set[str]:
    keys = [word for key in KEYS for word in ("--vkey", key.text)]
    refused = set()
    for mutant, path in placed:
        known = ["--known", str(kept(mutant, path))] if mutant.form in DIRECTORIES else []
        command = [str(path), *keys, *known]
        refused |= {label(mutant)} if _refuses(lambda command=command: module.main(command), label(mutant)) else set()
    return refused


@cache
def stranger() -> ModuleType:
    """``docs/verify.py`` as a module."""
    return _module("verify")


@cache
def stranger_of_logs() -> ModuleType:
    """``docs/verify_log.py`` as a module; it finds the other one beside it when it is run."""
    sys.modules["verify"] = stranger()
    try:
        return _module("verify_log")
    finally:
        del sys.modules["verify"]


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuses(check: Callable[[], int], what: str) -> bool:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = check()
    assert code == _ACCEPTED or code in _REFUSED, f"{what}: exit code {code}"
    return code != _ACCEPTED


@cache
def _go_place() -> TemporaryDirectory[str]:
    """Removed when the tests end."""
    return TemporaryDirectory(prefix="meter-gateway-go-")


@cache
def go_program() -> str:
    """The Go checker, built without modules against Debian's golang-golang-x-mod-dev."""
    go = need("go")
    if not GO_MODULES.is_dir():
        missing("golang-golang-x-mod-dev; sh tests/install-peers.sh installs it")
    place = _go_place().name
    env = os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
    env.setdefault("GOCACHE", str(Path.home() / ".cache" / "go-build"))
    command = [go, "build", "-o", f"{place}/check_log", str(FOREIGN / "check_log.go")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return f"{place}/check_log"


def by_go(placed: Placed) -> set[str]:
    """sumdb/note and sumdb/tlog; every record of every log."""
    jobs = [
        f"export {path} {kept(mutant, path)}" if mutant.form == EXPORT else f"proof {path}" for mutant, path in placed
    ]
    command = [go_program(), ORIGIN, *(key.text for key in KEYS)]
    done = subprocess.run(command, input="\n".join(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(placed)
    return {label(mutant) for (mutant, _), answer in zip(placed, answers, strict=True) if answer != "ok"}


def by_shell(program: str, placed: Placed) -> set[str]:
    """openssl or signify on the signature lines; each different checkpoint once."""
    for part in ("openssl", "signify-openbsd" if program == SIGNIFY else "base64"):
        need(part)
    answers: dict[bytes, bool] = {}
    for mutant, path in placed:
        note = note_in(mutant)
        if note not in answers:
            keys = path.parent / "keys"
            keys.mkdir(exist_ok=True)
            files = [keys / "note", keys / "ed25519.pem", keys / "p256.pem"]
            files[0].write_bytes(note)
            for file, key in zip(files[1:], KEYS, strict=True):
                file.write_text(pem(key.public_key))
            command = ["sh", str(FOREIGN / "check_note.sh"), program, *map(str, files)]
            answers[note] = subprocess.run(command, capture_output=True, check=False).returncode != 0
    return {label(mutant) for mutant, _ in placed if answers[note_in(mutant)]}


def note_in(mutant: Mutant) -> bytes:
    """The checkpoint in the mutant's files."""
    if mutant.form == EXPORT:
        return mutant.files["checkpoint"]
    return mutant.files[mutant.form].partition(b"\n\n")[2]


def by_peers(checker: str, placed: Placed) -> set[str]:
    """A checker from PyPI, all mutants in one process."""
    jobs = [
        {
            "checker": checker,
            "form": mutant.form,
            "path": str(path),
            "known": str(kept(mutant, path)) if mutant.form == EXPORT else None,
            "entry": mutant.entry,
            "origin": ORIGIN,
            "vkey": KEYS[0].text,
        }
        for mutant, path in placed
    ]
    verdicts = run_peers(jobs)
    return {label(mutant) for (mutant, _), verdict in zip(placed, verdicts, strict=True) if verdict}


def run_peers(jobs: Sequence[dict[str, object]]) -> list[str]:
    """The verdicts of ``tests/foreign/judge.py``."""
    command = [need_peer("python"), str(FOREIGN / "judge.py")]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


#: Name to the forms that it reads, and how it is asked.
OURS: dict[str, tuple[frozenset[str], Callable[[Placed], set[str]]]] = {
    "the gateway": (frozenset({EXPORT, PROOF, EVIDENCE, DISCLOSURE, ROTATED, PRUNED}), by_gateway),
    "docs/verify.py": (frozenset({PROOF, EVIDENCE}), by_stranger),
    "docs/verify_log.py": (frozenset({EXPORT}), by_log_stranger),
}
#: The same for the foreign ones.
VERIFIERS: dict[str, tuple[frozenset[str], Callable[[Placed], set[str]]]] = {
    GO: (frozenset({EXPORT, PROOF}), by_go),
    AICS: (frozenset({EXPORT, PROOF}), lambda placed: by_peers(AICS, placed)),
    OPENSSL: (frozenset({EXPORT, PROOF}), lambda placed: by_shell(OPENSSL, placed)),
    SIGNIFY: (frozenset({EXPORT, PROOF}), lambda placed: by_shell(SIGNIFY, placed)),
    PYMERKLE: (frozenset({EXPORT}), lambda placed: by_peers(PYMERKLE, placed)),
    OTS: (frozenset({PROOF}), lambda placed: by_peers(OTS, placed)),
}
