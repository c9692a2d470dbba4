"""A log with two keys and a counter, as a gateway with a TPM writes it, in the hands of strangers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from gateway.log.attestation import BOOT, COUNTED, INTENT
from gateway.log.entry import Kind
from gateway.log.vkey import VerifierKey, pem
from tests.checkers import FOREIGN, go_program, run_peers
from tests.log_keys import P256Signer
from tests.mutation.mutant import AICS, EXPORT, OPENSSL, SIGNIFY
from tests.parts import need
from tests.swtpm import running_swtpm
from tests.test_stranger import FILE, LOG_FILE
from tests.test_stranger import run as run_file
from tests.test_verify_doc import BLOCK, PAGE, TPM, run
from tests.whole import ORIGIN, RunningGateway, cli, of_kind, until

CONFIG = """
key:
  uri: file:log.pem
  hardware: "tpm2:0x81008001?tcti={tcti}"
  counter: "tpm2:nv=0x01800010?tcti={tcti}"
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 60}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.5}}
"""


def steps(gateway: RunningGateway) -> dict[str, int]:
    """Where the first entry of each step stands."""
    found = [(entry.body[0], entry.seq) for entry in of_kind(gateway.entries(), Kind.ATTESTATION)]
    return dict(reversed(found))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a stranger was given: the exported log, proofs, the lines of two entries, both keys."""
    place = tmp_path_factory.mktemp("desk")
    with running_swtpm(place / "tpm") as tpm, RunningGateway(place / "near", CONFIG.format(tcti=tpm.tcti)) as gateway:
        until(lambda: COUNTED in steps(gateway), "a step of the counter")
        assert gateway.stop() == 0
        kept = steps(gateway)
        assert gateway.cli("log", "export", str(place / "exported-log")).returncode == 0
        for step in (INTENT, COUNTED):
            path = str(place / f"{step}.proof")
            done = gateway.cli("log", "prove", str(kept[step]), "--checkpoint", "first", "-o", path)
            assert done.returncode == 0, done.stderr
        for step in (COUNTED, BOOT):
            shown = gateway.cli("log", "show", "--json", "--from", str(kept[step]), "--to", str(kept[step]))
            (place / f"{step}.json").write_text(shown.stdout)
        for name, key in zip(("own", "hardware"), gateway.entries()[0].body[4], strict=True):
            (place / f"{name}.vkey").write_text(key + "\n")
            (place / f"{name}.pem").write_text(pem(VerifierKey.parse(key).public_key))
    # As a thief of the first key makes it: the line of the key in hardware is missing.
    stolen = place / "one-line"
    stolen.mkdir()
    (stolen / "tile").symlink_to(place / "exported-log" / "tile")
    note = (place / "exported-log" / "checkpoint").read_bytes().splitlines(keepends=True)
    (stolen / "checkpoint").write_bytes(b"".join(note[:-1]))
    return place


def key(desk: Path, name: str) -> str:
    return (desk / f"{name}.vkey").read_text().strip()


def pins(desk: Path, *names: str) -> list[str]:
    return [word for name in names for word in ("--vkey", key(desk, name))]


@pytest.mark.parametrize("names", [("own",), ("hardware",), ("own", "hardware")], ids="+".join)
def test_the_files_of_the_docs_take_it_with_either_key_and_with_both(desk: Path, names: tuple[str, ...]) -> None:
    """Certificates and attestations are entries like any other to them."""
    done = run_file(desk / "exported-log", *pins(desk, *names), file=LOG_FILE)
    assert done.returncode == 0, done.stderr
    assert f"of the log {ORIGIN}" in done.stdout
    done = run_file(desk / "counted.proof", *pins(desk, *names), file=FILE)
    assert done.returncode == 0, done.stderr
    assert ", attestation, " in done.stdout
    assert "['counted', 'tpm2:nv=0x01800010', 2, " in done.stdout


def test_ours_demand_the_line_of_every_key_that_they_are_given(desk: Path) -> None:
    """Without the second line: refused by whoever pinned both; and so is another key in hardware."""
    stranger = VerifierKey.of(ORIGIN, P256Signer(9).public_key).text
    for more, code in ([], 0), (pins(desk, "hardware"), 1), (["--vkey", stranger], 1):
        arguments = (desk / "one-line", *pins(desk, "own"), *more)
        assert run_file(*arguments, file=LOG_FILE).returncode == code
        assert (cli("log", "verify", *map(str, arguments)).returncode != 0) == bool(code)


def by_go(desk: Path, folder: str, *names: str) -> str:
    command = [go_program(), ORIGIN, *(key(desk, name) for name in names)]
    done = subprocess.run(command, input=f"export {desk / folder} -", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def by_shell(desk: Path, folder: str, program: str) -> int:
    files = [desk / folder / "checkpoint", desk / "own.pem", desk / "hardware.pem"]
    command = ["sh", str(FOREIGN / "check_note.sh"), program, *map(str, files)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def by_aics(desk: Path, folder: str, name: str) -> str:
    job = {"checker": AICS, "form": EXPORT, "path": str(desk / folder), "known": None, "entry": 0, "origin": ORIGIN}
    return run_peers([job | {"vkey": key(desk, name), "known": str(desk / folder / "checkpoint")}])[0]


def test_go_takes_both_lines_and_misses_the_one_that_is_not_there(desk: Path) -> None:
    """With the glue for type 0x02; sumdb/note itself passes over a line of a key that it was not given."""
    for names in ("own",), ("hardware",), ("own", "hardware"):
        assert by_go(desk, "exported-log", *names) == "ok"
    assert by_go(desk, "one-line", "own") == "ok"
    assert by_go(desk, "one-line", "own", "hardware").startswith("refused")


def test_openssl_checks_both_lines(desk: Path) -> None:
    """One signature at a time."""
    need("openssl")
    assert by_shell(desk, "exported-log", OPENSSL) == 0
    assert by_shell(desk, "one-line", OPENSSL) != 0


def test_signify_and_aics_see_the_ed25519_line_only(desk: Path) -> None:
    """They accept the log, and would accept it without the other line too."""
    need("signify-openbsd")
    for folder in ("exported-log", "one-line"):
        assert by_shell(desk, folder, SIGNIFY) == 0
        assert by_aics(desk, folder, "own") == ""
    assert by_aics(desk, "exported-log", "hardware") != ""


def test_what_the_tpm_said_is_checked_by_the_commands_of_the_page(desk: Path) -> None:
    """In order, with openssl, xxd and Python; a digit changed is seen."""
    for part in ("openssl", "xxd", "base64", "sed", "cmp"):
        need(part)
    blocks = BLOCK.findall(PAGE.read_text().partition(TPM)[2])
    assert len(blocks) == 3
    shown = ""
    for script in blocks:
        done = run(script, desk)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        shown += done.stdout
    assert shown.count("Verified OK") == 4
    assert "the counter stands at 2\n" in shown
    assert "PCRs ff0300 have the digest " in shown
    told = json.loads((desk / "counted.json").read_text())
    told["attestations"][0]["data"] = told["attestations"][0]["data"][:-1] + "3"
    (desk / "counted.json").write_text(json.dumps(told))
    assert run(blocks[0], desk).returncode != 0
