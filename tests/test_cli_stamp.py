"""``log prove --ots`` on the command line: an entry's anchor as a file, and everything that can stand in its way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.anchors.bundle import AnchorFact, Bundle
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.timestamps import verify_timestamp
from gateway.cli.main import run
from gateway.log.tree import HashStore, leaf_hash
from tests.log_dir import ORIGIN
from tests.metered_dir import START_MS, MeteredStation
from tests.parts import need_peer
from tests.witness_side import note_at


def fact(size: int) -> AnchorFact:
    return AnchorFact(
        chain_id=246, contract="0x" + "c0" * 20, transaction=size.to_bytes(32), block=1000 + size, size=size
    )


@pytest.fixture
def station(tmp_path: Path) -> Iterator[MeteredStation]:
    """Checkpoints of 104, 204, 304 and 404 entries; those of 204 and 404 were anchored, that of 304 was only kept."""
    station = MeteredStation(tmp_path / "state")
    store = BundleStore(station.state / FOLDER)
    for number in range(4):
        station.read_all(100, start_ms=START_MS + number * 1_000_000)
        bundle = Bundle.of(station.commit_and_sign())
        if number:
            store.keep(bundle)
        if number in (1, 3):
            store.anchored(bundle.digest, fact(bundle.checkpoint.size))
    yield station
    station.log.close()


@pytest.mark.parametrize(("seq", "size"), [(0, 204), (203, 204), (204, 404), (403, 404)])
def test_an_entry_is_proved_under_the_first_anchor_behind_it(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str], seq: int, size: int
) -> None:
    """Two files: the stamped one, and its timestamp, which the ots command takes together."""
    output = tmp_path / "e.ots"
    assert run(["log", "prove", str(seq), str(station.state), "--ots", "-o", str(output)]) == 0
    said = capsys.readouterr().out
    assert f"{output}: opentimestamps, 1 entry, {output.stat().st_size} bytes" in said
    assert f"under checkpoint {size}\nanchored on chain 246 in block {1000 + size}, by contract 0xc0c0" in said
    entry = station.entries()[seq]
    assert (tmp_path / "e").read_bytes() == b"\0" + entry
    root = HashStore(map(leaf_hash, station.entries())).root(size)
    found = verify_timestamp(output.read_bytes(), entry, root)
    assert (found.index, found.anchor) == (seq, fact(size))
    command = [need_peer("ots"), "--no-cache", "--no-bitcoin", "verify", str(output)]
    assert "does not match" not in subprocess.run(command, capture_output=True, text=True, check=False).stderr


def test_json_names_the_anchor(station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that is needed to look it up."""
    output = tmp_path / "e.ots"
    assert run(["log", "prove", "7", str(station.directory), "--ots", "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": str(output),
        "format": "opentimestamps",
        "entries": 1,
        "hashes": 8,
        "bytes": output.stat().st_size,
        "size": 204,
        "anchor": {
            "chain_id": 246,
            "contract": "0x" + "c0" * 20,
            "transaction": "0x" + (204).to_bytes(32).hex(),
            "block": 1204,
        },
    }


@pytest.mark.parametrize(
    "words",
    [
        ("7", "--ots"),
        ("7", "--ots", "-o", "e"),
        ("7", "--ots", "-o", ".ots"),
        ("7", "--ots", "--evidence", "-o", "e.ots"),
        ("--from", "1", "--to", "7", "--ots", "-o", "e.ots"),
        ("--meter", "main", "--ots", "-o", "e.ots"),
    ],
)
def test_it_is_of_one_entry_and_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Anything else is a wrong request, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    assert run(["log", "prove", *words]) == 2
    assert "SEQ --ots -o FILE.ots" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_an_anchor_it_says_where_it_looked(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that is signed and not anchored, and one of a log of which nothing was anchored."""
    station.read_all(9, start_ms=START_MS + 9_000_000)
    station.commit_and_sign()
    words = ["--ots", "-o", str(tmp_path / "e.ots")]
    assert run(["log", "prove", "410", str(station.state), *words]) == 3
    assert f"entry 410 has no anchor behind it in {station.state / FOLDER}" in capsys.readouterr().err
    for file in (station.state / FOLDER).iterdir():
        file.unlink()
    assert run(["log", "prove", "1", str(station.state), *words]) == 3
    assert not (tmp_path / "e.ots").exists()


def test_a_log_that_is_not_the_anchored_one_proves_nothing(
    station: MeteredStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shorter than the anchor says, or with another root at that size."""
    store = BundleStore(station.state / FOLDER)
    for file in (station.state / FOLDER).iterdir():
        file.unlink()
    longer = Bundle.of(note_at(300).replace(b"\n300\n", b"\n500\n"))
    other = Bundle.of(note_at(300))
    assert other.checkpoint.origin == ORIGIN
    words = ["log", "prove", "5", str(station.state), "--ots", "-o", str(tmp_path / "e.ots")]
    store.keep(longer)
    store.anchored(longer.digest, fact(500))
    assert run(words) == 4
    assert "500 entries were anchored, and the log has 404" in capsys.readouterr().err
    store.keep(other)
    store.anchored(other.digest, fact(300))
    assert run(words) == 4
    assert "do not lead to the root of the checkpoint of size 300" in capsys.readouterr().err
    assert not (tmp_path / "e.ots").exists()
