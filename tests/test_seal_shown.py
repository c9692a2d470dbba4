"""Commands on a pruned log: what is left is shown, and what is not is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_seal import PACK, filled, pack_all, prune_oldest
from tests.whole import cli


@pytest.fixture
def pruned(tmp_path: Path) -> tuple[Path, int]:
    """A state directory whose entries from 256 up to two packs are gone, and the size of its log."""
    station = filled(tmp_path)
    pack_all(station)
    prune_oldest(station)
    prune_oldest(station)
    size = station.log.size
    station.log.close()
    return tmp_path, size


def test_log_show_goes_on_behind_what_was_pruned(pruned: tuple[Path, int]) -> None:
    """And says which entries are not there."""
    done = cli("log", "show", str(pruned[0]), "--json")
    assert done.returncode == 0, done.stderr
    seqs = [json.loads(line)["seq"] for line in done.stdout.splitlines()]
    assert seqs == [*range(256), *range(2 * PACK, pruned[1])]
    assert "entries 256 to 1023 were pruned" in done.stderr
    manifests = [json.loads(line) for line in done.stdout.splitlines() if '"manifest"' in line]
    assert [(entry["first_seq"], entry["end_seq"]) for entry in manifests] == [(0, PACK), (PACK, 2 * PACK)]
    bundles = [bundle for entry in manifests for bundle in entry["bundles"]]
    # The first one holds the genesis entry.
    assert [bundle.get("stays", False) for bundle in bundles] == [True, False, False, False]
    assert all(bundle["cid"].startswith("bafkrei") for bundle in bundles[1:])


def test_a_view_goes_on_behind_what_was_pruned(pruned: tuple[Path, int]) -> None:
    """And counts what is not there."""
    done = cli("view", "jsonl", str(pruned[0]))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == pruned[1] - (2 * PACK - 256)
    assert f"{2 * PACK - 256} entries that were pruned" in done.stderr


def test_what_was_pruned_cannot_be_proved_and_that_is_said(pruned: tuple[Path, int]) -> None:
    """With the seq from which on proofs can be made."""
    done = cli("log", "prove", "300", str(pruned[0]))
    assert done.returncode == 3
    assert f"was pruned; entries are there from {2 * PACK} on" in done.stderr
    assert cli("log", "prove", "5", str(pruned[0])).returncode == 0
    told = json.loads(cli("log", "verify", str(pruned[0]), "--json").stdout)
    assert (told["ok"], told["pruned"]) == (True, 2 * PACK - 256)
