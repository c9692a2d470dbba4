"""Proofs and the read API on a log whose old entries were packed and pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import run
from gateway.log.entry import Kind
from gateway.log.evidence import verify_evidence
from gateway.log.proof import verify_proof
from tests.log_dir import KEY, ORIGIN
from tests.log_over_http import Serving
from tests.metered_dir import MeteredStation
from tests.test_seal import PACK, pack_all, prune_oldest
from tests.test_seal_export import exported


@pytest.fixture
def station(tmp_path: Path) -> Iterator[MeteredStation]:
    """Three packs, a checkpoint behind each 100 entries, and the first two packs pruned."""
    station = MeteredStation(tmp_path / "state", segment_bytes=64 * 1024)
    while station.log.size < 3 * PACK + 100:
        station.read_all(100)
        station.commit_and_sign()
    pack_all(station)
    prune_oldest(station)
    prune_oldest(station)
    yield station
    station.log.close()


def _prove(station: MeteredStation, output: Path, *arguments: object) -> int:
    words = [str(argument) for argument in arguments]
    place = 1 if words[0].isdecimal() else 0
    return run(["log", "prove", *words[:place], str(station.state), *words[place:], "-o", str(output)])


def test_a_window_holds_what_is_left_and_says_what_is_not(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same again, with the times kept from the first search."""
    for _ in range(2):
        assert _prove(station, tmp_path / "e", "--meter", "roof") == 0
        assert f"left out: what was pruned below entry {2 * PACK}; the archive has it" in capsys.readouterr().err
        entries = verify_evidence((tmp_path / "e").read_bytes(), [KEY], ORIGIN).entries
        readings = [entry.seq for entry in entries if entry.kind is Kind.READING]
        # The first run of 256 holds the definitions, which stay.
        assert sum(seq < 256 for seq in readings) > 100
        assert not any(256 <= seq < 2 * PACK for seq in readings)
        assert len([seq for seq in readings if seq >= 2 * PACK]) > 300


def test_a_pruned_entry_is_not_there_and_a_packed_one_is_proved(station: MeteredStation, tmp_path: Path) -> None:
    """Under the newest checkpoint, and under the first one that was kept in its pack."""
    assert _prove(station, tmp_path / "p", 700) == 3
    assert _prove(station, tmp_path / "p", "--from", 100, "--to", 300) == 3
    seq = 2 * PACK + 3
    assert _prove(station, tmp_path / "p", seq, "--checkpoint", "first") == 0
    result = verify_proof((tmp_path / "p").read_bytes(), [KEY], ORIGIN)
    assert result.index == seq
    assert seq < result.checkpoint.size <= seq + 100
    assert _prove(station, tmp_path / "p", seq) == 0


def test_what_is_left_is_served_byte_for_byte_as_it_is_exported(station: MeteredStation, tmp_path: Path) -> None:
    """The hint where it begins included; what was pruned is not there."""
    target = exported(station, tmp_path / "export")
    files = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert "minimum-index" in files
    with Serving(station.log, station.directory) as serving:
        for name, data in files.items():
            assert serving.get(f"/{name}")[::2] == (200, data), name
        for name in ("tile/0/002", "tile/entries/002"):
            assert name not in files
            assert serving.get(f"/{name}")[0] == 404
