"""Somebody has the key: a second history under one name, and who can tell it from the first one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.log.cosignature import join, parse_lines
from gateway.log.entry import Kind
from gateway.log.note import parse_checkpoint
from gateway.log.verify import INTACT, Demands, verify_segments
from gateway.witness.growth import prove_growth
from gateway.witness.protocol import Answer, encode_request
from tests.far_side import FarSide
from tests.honest_log import HonestLog
from tests.log_dir import KEY, ORIGIN, Station
from tests.whole import cli
from tests.witness_side import OwnWitness

SHARED = 10


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Station, Station]:
    """A log, and what a thief makes of a copy of its beginning with the key: both of more than 40 entries."""
    begun = Station(tmp_path / "honest")
    begun.start()
    begun.fill(2)
    begun.stop()
    shutil.copytree(begun.state, tmp_path / "twin")
    honest, twin = Station(tmp_path / "honest"), Station(tmp_path / "twin")
    for station, first in ((honest, 2), (twin, 3)):
        station.start()
        station.log.append(Kind.READING, [1, [], [[0, b"", first, -1]]])
        station.fill(6)
        station.sign()
    return honest, twin


def _show(witness: OwnWitness, station: Station, old: int) -> Answer:
    """Shows a witness the station's newest checkpoint, with its proof from *old* on."""
    note = station.log.newest_checkpoint
    assert note is not None
    checkpoint = parse_checkpoint(note)
    proof = prove_growth(station.directory, old, checkpoint) if 0 < old < checkpoint.size else []
    return witness.post(encode_request(old, proof, note))


def _policy(path: Path, vkey: str, witness: OwnWitness) -> str:
    path.write_text(f"log {vkey}\nwitness w {witness.vkey}\nquorum w\nfresh 3600\n")
    return str(path)


def _cosigned(witness: OwnWitness, station: Station, old: int) -> None:
    answer = _show(witness, station, old)
    assert answer.status == 200, answer
    note = station.log.newest_checkpoint
    assert note is not None
    station.log.checkpoint(join(note, parse_lines(answer.body)))


def test_each_twin_verifies_by_itself(twins: tuple[Station, Station]) -> None:
    """Nobody who sees one of them, and nothing else, can tell."""
    for station in twins:
        report = verify_segments(station.directory, Demands(keys=[KEY]))
        assert report.verdict == INTACT
    honest, twin = twins
    assert honest.entries()[:SHARED] == twin.entries()[:SHARED]
    assert honest.entries() != twin.entries()


@pytest.mark.parametrize("growth", [0, 3], ids=["same size", "larger"])
def test_a_witness_refuses_the_twin_and_keeps_both_notes(
    tmp_path: Path, twins: tuple[Station, Station], growth: int
) -> None:
    """A second root for one size, or a size that does not extend the first: 422, evidence, and no cosignature."""
    honest, twin = twins
    own = OwnWitness(tmp_path / "witness")
    own.trust(KEY.text)
    with own:
        _cosigned(own, honest, 0)
        size = honest.log.durable_size
        if growth:
            twin.fill(growth)
            twin.sign()
        # The thief's tree has that size too, under another root.
        assert _show(own, twin, size).status == 422
        code, status = own.status()
    assert code == 4
    assert [item["kind"] for item in status["evidence"]] == ["unproved" if growth else "fork"]
    for station, code in ((honest, 0), (twin, 1)):
        policy = _policy(tmp_path / "policy", KEY.text, own)
        found = cli("log", "verify", str(station.directory), "--policy", policy)
        assert found.returncode == code, found.stdout


def test_two_consumers_find_out_by_comparing_their_checkpoints(tmp_path: Path) -> None:
    """Each is shown a log of his own, and sees nothing wrong; either one's checkpoint refutes the other's log."""
    honest = HonestLog().grow(60)
    logs = {"utility": honest, "tenant": honest.branch(40, "another").grow(60)}
    for name, log in logs.items():
        channel = tmp_path / name / "channel"
        (channel / "entries").mkdir(parents=True)
        (channel / "entries" / "00000000000000000000-000000.msg").write_bytes(log.message(0, 60, 60))
        (tmp_path / name / "kept").write_bytes(log.note(60))
        store = tmp_path / name / "store"
        with FarSide(channel, "--vkey", log.vkey.text, "--store", store, "--until-size", 60, "--timeout", 30) as far:
            assert far.end() == 0, far
            assert far.findings == []
    for mine, other in (("utility", "tenant"), ("tenant", "utility")):
        verify = ["log", "verify", str(tmp_path / mine / "store"), "--vkey", honest.vkey.text, "--known"]
        assert cli(*verify, str(tmp_path / mine / "kept")).returncode == 0
        assert cli(*verify, str(tmp_path / other / "kept")).returncode == 4


def test_an_epoch_that_a_thief_began_has_another_name(tmp_path: Path) -> None:
    """Key and witness accept it as they would an honest one: its name, and a checkpoint kept before, are what tells."""
    honest = Station(tmp_path / "honest")
    honest.start()
    honest.fill(4)
    honest.sign()
    shutil.copytree(honest.state, tmp_path / "twin")
    twin = Station(tmp_path / "twin")
    shutil.rmtree(twin.directory)
    twin.start()
    twin.fill(4)
    twin.sign()
    own = OwnWitness(tmp_path / "witness")
    own.trust(KEY.text)
    with own:
        _cosigned(own, honest, 0)
        _cosigned(own, twin, 0)
        code, status = own.status()
    assert code == 0
    assert [log["origin"] for log in status["logs"]] == [ORIGIN, f"{ORIGIN}/epoch-2"]
    policy = _policy(tmp_path / "policy", KEY.text, own)
    accepted = cli("log", "verify", str(twin.directory), "--policy", policy)
    assert accepted.returncode == 0
    assert f"epoch 2 of {ORIGIN}: the log before was closed" in accepted.stdout
    kept = tmp_path / "kept"
    kept.write_bytes(honest.sign())
    assert cli("log", "verify", str(honest.directory), "--policy", policy, "--known", str(kept)).returncode == 0
    refused = cli("log", "verify", str(twin.directory), "--policy", policy, "--known", str(kept))
    assert refused.returncode == 4, refused.stdout + refused.stderr
