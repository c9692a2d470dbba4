"""docs/verify.md, run as written by somebody who was given the evidence, a key and a checkpoint."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from gateway.log.vkey import pem
from tests.log_keys import Ed25519Signer
from tests.mutation.golden import DEFINITION, KEYS, OLD, READING, evidence_of, export_of, golden, note_over, proof_of
from tests.parts import PEERS, ROOT, missing, need, need_peer

PAGE = ROOT / "docs" / "verify.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What stands behind it is run on a log of a gateway with a TPM (``test_two_key_log``).
TPM = "## What a TPM said"
PARTS = ("go", "openssl", "base64", "sed")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page says that its reader has, and the checkout."""
    place, entries = tmp_path_factory.mktemp("desk"), list(golden().entries)
    signer = [Ed25519Signer()]
    note = note_over(entries, signers=signer)
    for name, data in export_of(entries, note).items():
        (place / "exported-log" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "exported-log" / name).write_bytes(data)
    (place / "reading.proof").write_bytes(proof_of(entries, READING, note))
    (place / "reading.evidence").write_bytes(evidence_of(entries, [DEFINITION, READING], note))
    (place / "kept.checkpoint").write_bytes(note_over(entries[:OLD], signers=signer))
    (place / "roof-7.vkey").write_text(KEYS[0].text + "\n")
    (place / "log-key.pem").write_text(pem(KEYS[0].public_key))
    for name in ("docs", "tests"):
        (place / name).symlink_to(ROOT / name)
    return place


def run(script: str, desk: Path) -> subprocess.CompletedProcess[str]:
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}:{PEERS / 'venv' / 'bin'}"
    env = os.environ | {"PATH": path}
    env.setdefault("GOCACHE", str(Path.home() / ".cache" / "go-build"))
    command = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=desk, env=env, capture_output=True, text=True, check=False)


def test_the_page_works_as_written(desk: Path) -> None:
    """Each command ends well, and the words that the reader gets are those of the reading."""
    for part in PARTS:
        need(part)
    need_peer("aics-tlog")
    if not Path("/usr/share/gocode/src/golang.org/x/mod").is_dir():
        missing("golang-golang-x-mod-dev; sh tests/install-peers.sh installs it")
    shown = ""
    blocks = BLOCK.findall(PAGE.read_text().partition(TPM)[0])
    assert len(blocks) == 5
    for script in blocks:
        done = run(script, desk)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        shown += done.stdout
    assert "meter main: eastron-sdm120 at bench unit 1" in shown
    assert "voltage (1-0:32.7.0): 230.2 V" in shown
    assert "Signature Verified Successfully" in shown


def test_every_link_of_the_page_leads_somewhere() -> None:
    """Files that it names exist."""
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
