"""The node files (gateway/log/nodes.py): right where they answer, harmless where they lie or are missing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.log.nodes import LEVELS, NodeFiles, TreeNodes, completed
from gateway.log.tree import Frontier, HashStore, inclusion_proof, leaf_hash
from tests.log_dir import Station

SIZE = 1500


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Station, HashStore]:
    """A log of 1,500 entries, and the hashes of its tree."""
    station = Station(tmp_path, segment_bytes=64 * 1024)
    station.start()
    station.fill(SIZE // 50, 50)
    station.read_meter(SIZE - station.log.size)
    station.log.commit()
    return station, HashStore(map(leaf_hash, station.entries()))


def test_every_complete_subtree_has_its_hash(logged: tuple[Station, HashStore]) -> None:
    """From the files, from the entries, and from both."""
    station, store = logged
    for believe in (True, False):
        nodes = station.log.nodes() if believe else station.log._segments.reader.nodes(believe=False)
        for level in range(11):
            for index in range(SIZE >> level):
                assert nodes.node(level, index) == store.node(level, index), (level, index)


def test_any_entry_is_proved_from_the_node_files(logged: tuple[Station, HashStore]) -> None:
    """The proof is the one that all leaf hashes give."""
    station, store = logged
    for index in random.Random(3).sample(range(SIZE), 60):
        assert inclusion_proof(station.log.nodes().node, index, SIZE) == inclusion_proof(store.node, index, SIZE)


def test_the_node_files_are_written_with_the_commits(logged: tuple[Station, HashStore]) -> None:
    """Nobody has to ask for them."""
    station, store = logged
    assert [NodeFiles(station.directory).get(8, index) for index in range(6)] == [
        *(store.node(8, index) for index in range(5)),
        None,
    ]


@pytest.mark.parametrize("damage", ["removed", "cut", "hole"])
def test_missing_hashes_come_from_the_entries_and_are_restored(logged: tuple[Station, HashStore], damage: str) -> None:
    """A power cut may take the end of a file, or leave a hole."""
    station, store = logged
    path = station.directory / "level-8.nodes"
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(whole[:70] if damage == "cut" else whole[:32] + bytes(64) + whole[96:])
    station.log.close()
    again = Station(station.state, segment_bytes=64 * 1024)
    again.start()
    assert again.log.nodes().node(10, 0) == store.node(10, 0)
    assert NodeFiles(station.directory).get(8, 2) is None
    again.log.nodes().restore(again.log.durable_size)
    assert path.read_bytes() == whole


def test_an_append_completes_the_kept_levels() -> None:
    """At 65,536 leaves, one of level 16 and one of level 8."""
    tree, leaves = Frontier(), [leaf_hash(seq.to_bytes(4, "big")) for seq in range(1 << 16)]
    tree.extend(leaves[:-1])
    found = list(completed(tree.edge, tree.size, leaves[-1]))
    store = HashStore(leaves)
    assert found == [(8, 255, store.node(8, 255)), (16, 0, store.node(16, 0))]
    assert {level for level, _, _ in found} < set(LEVELS)


def test_higher_levels_are_restored_from_lower_ones(tmp_path: Path) -> None:
    """Without a look at the entries, where those of level 8 are there."""
    leaves = [leaf_hash(seq.to_bytes(4, "big")) for seq in range(1 << 16)]
    store, files = HashStore(leaves), NodeFiles(tmp_path)
    files.put([(8, index, store.node(8, index)) for index in range(256)])

    def refuse(start: int, stop: int) -> list[bytes]:
        raise AssertionError((start, stop))

    TreeNodes(files, refuse).restore(1 << 16)
    assert NodeFiles(tmp_path).get(16, 0) == store.node(16, 0)


def test_a_disk_that_refuses_costs_speed_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and nothing else happens."""
    station = Station(tmp_path, segment_bytes=64 * 1024)
    station.start()
    (station.directory / "level-8.nodes").mkdir()
    station.fill(30, 30)
    assert [record.message.count("proofs are slower") for record in caplog.records] == [1]
    store = HashStore(map(leaf_hash, station.entries()))
    assert station.log.nodes().node(8, 1) == store.node(8, 1)
