"""The witness killed at every step: it never says less than it has said, nor anything else of the same size."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.log.cosignature import WitnessKey, cosignatures, join, parse_lines
from tests.log_keys import log_key
from tests.parts import ROOT
from tests.witness_desk import Desk
from tests.witness_side import FORK, OwnWitness, note_at, request_at

CRASH = """
import os, sys
from pathlib import Path
from gateway import durable
from gateway.witness import records
from tests.witness_desk import Desk
from tests.witness_side import request_at

directory, moment = Path(sys.argv[1]), sys.argv[2]
desk = Desk(directory)
write, sign = durable.write_atomically, desk.service._signer.sign

def dying_sign(purpose, message):
    if moment == "before the cosignature":
        os._exit(9)
    signature = sign(purpose, message)
    if moment == "after the cosignature":
        os._exit(9)
    return signature

def dying_write(path, data, mode=0o644):
    if moment == "in the middle of the record":
        path.with_name(f".{path.name}.tmp").write_bytes(data[: len(data) // 2])
        os._exit(9)
    write(path, data, mode)
    if moment == "after the record":
        os._exit(9)

desk.service._signer.sign = dying_sign
durable.write_atomically = dying_write
sys.stdout.buffer.write(desk.service.add_checkpoint(request_at(5, 9)).body)
"""
MOMENTS = {
    "before the cosignature": 5,
    "after the cosignature": 5,
    "in the middle of the record": 5,
    "after the record": 9,
    "not at all": 9,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_leaves_a_record_that_is_as_new_as_every_cosignature_that_left(tmp_path: Path, moment: str) -> None:
    """After each step: what left is remembered, and a second root for a remembered size is refused."""
    desk = Desk(tmp_path)
    assert desk.ask(0, 5).status == 200
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path), moment], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == (0 if moment == "not at all" else 9), done.stderr
    assert bool(done.stdout) == (moment == "not at all")
    again = Desk(tmp_path)
    (record,) = again.records.all()[0]
    assert record.size == MOMENTS[moment]
    assert again.ask(record.size, record.size, store=FORK).status == 422
    assert again.ask(record.size, record.size).status == 200
    assert again.ask(record.size, 12).status == 200


def _killed_after(witness: OwnWitness, key: WitnessKey, said: int, answers: int) -> int:
    """Grows the log by one entry at a time until the witness is killed, which is after so many answers, in between."""
    enough = threading.Event()
    killer = threading.Thread(target=lambda: (enough.wait(), witness.kill()))
    killer.start()
    grown = 0
    while True:
        try:
            answer = witness.post(request_at(said, said + 1))
        except OSError:
            # What was said before stands; of this one nobody knows whether it became durable.
            break
        assert answer.status == 200, answer
        assert cosignatures(join(note_at(said + 1), parse_lines(answer.body)), [key])
        said, grown = said + 1, grown + 1
        if grown == answers:
            enough.set()
    killer.join()
    assert grown >= answers
    return said


def test_killed_under_load_it_remembers_all_that_it_has_said(tmp_path: Path) -> None:
    """Twelve times, after a random number of answers: the log then goes on from there, and no fork gets through."""
    rng = random.Random(20_260_417)
    witness = OwnWitness(tmp_path / "witness")
    witness.trust(log_key().text)
    said = 0
    for _ in range(12):
        witness.start()
        said = _killed_after(witness, WitnessKey.parse(witness.vkey), said, rng.randrange(1, 6))
        with witness:
            size = int(witness.post(request_at(0, 299)).body)
            assert said <= size <= said + 1
            assert witness.post(request_at(size, size, FORK)).status == 422
            said = size
