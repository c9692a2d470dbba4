"""Folders that ew-link-bond itself writes and reads, beside ours: the same bytes, and its own faults found."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.bond.check import Fault, Report, anchored, check
from gateway.bond.store import read_store
from tests.bond_folders import START_MS, consumed, contents, names, produced, written


def checked(folder: Path) -> Report:
    return check(read_store(folder))


@pytest.fixture(scope="module")
def overfull(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to which upstream has added one reading more than its pickler takes."""
    folder = tmp_path_factory.mktemp("bond") / "store"
    told = written(folder, produced(331))["told"]
    assert told[329:] == [told[329], "RecursionError"]
    return folder


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("reopen", [False, True])
def test_a_folder_of_upstream_s_holds(tmp_path: Path, protocol: int, reopen: bool) -> None:
    """Of a producer and of a consumer; as old and new Pythons write it, kept open or opened for each reading."""
    for side, readings in (("produced", produced(40)), ("consumed", consumed(40))):
        told = written(tmp_path / side, readings, protocol=protocol, reopen=reopen)
        report = checked(tmp_path / side)
        assert report.all_breaks == []
        assert report.exit_code == 0
        (chain,) = report.chains
        assert (chain.index, list(chain.files)) == ("origin.pkl", names(tmp_path / side))
        assert [report.hash_of(name) for name in chain.files] == told["told"]
        records = [report.store.files[name].record for name in chain.files]
        assert {record.side for record in records if record} == {side}
        assert [str(record.value) for record in records if record] == [str(one["value"]) for one in readings]


def test_an_anchored_hash_vouches_for_its_file(tmp_path: Path) -> None:
    """Each of the hashes that upstream told; and no other."""
    told = written(tmp_path / "store", produced(5))["told"]
    report = checked(tmp_path / "store")
    assert [anchored(report, one) for one in told] == names(tmp_path / "store")
    assert anchored(report, told[0][:-1] + "1") is None


def test_the_331st_reading_breaks_upstream_s_index_and_not_our_reading(overfull: Path) -> None:
    """It leaves an empty index; the files are all there, and their names still tell a whole chain."""
    assert (overfull / "origin.pkl").read_bytes() == b""
    report = checked(overfull)
    (found,) = report.all_breaks
    assert (found.fault, found.file, report.exit_code) == (Fault.CUT_OFF, "origin.pkl", 1)
    (chain,) = report.chains
    assert (chain.index, len(chain.files)) == (None, 331)


def test_the_chain_that_upstream_begins_anew_is_told_apart(overfull: Path, tmp_path: Path) -> None:
    """The next start takes the empty index for no chain: a new beginning, and the old files in no index."""
    store = shutil.copytree(overfull, tmp_path / "store")
    later = produced(335)[331:]
    written(store, later)
    report = checked(store)
    assert [(chain.index, len(chain.files)) for chain in report.chains] == [(None, 331), ("origin.pkl", 4)]
    assert [found.fault for found in report.all_breaks] == [Fault.UNLISTED]
    assert report.exit_code == 1
    (store / "origin.pkl").unlink()
    report = checked(store)
    (found,) = report.all_breaks
    assert (found.fault, found.position, found.file) == (Fault.ANEW, 331, names(store)[331])


def test_readings_of_one_second_are_found_overwritten(tmp_path: Path) -> None:
    """Upstream keeps the last of them; its index lists the file for each, its chain has a hole."""
    store = tmp_path / "store"
    written(store, produced(330, step_ms=5))
    assert len(names(store)) == 2
    report = checked(store)
    (chain,) = report.chains
    assert len(chain.files) == 330
    assert {found.fault for found in chain.breaks} == {Fault.OVERWRITTEN}
    assert len(chain.breaks) == 328
    assert report.exit_code == 1
    assert report.first is not None
    assert (report.first.position, report.first.file) == (0, names(store)[0])
    (store / "origin.pkl").unlink()
    found = checked(store).all_breaks
    # Without the index nothing tells why.
    assert [(one.fault, one.position) for one in found] == [(Fault.MISSING, 0), (Fault.CHANGED, 1)]


def test_an_hour_that_comes_twice_is_no_break(tmp_path: Path) -> None:
    """Local time goes back in autumn: the index knows the order, the names do not."""
    readings = produced(10)
    for one in readings[5:]:
        one["wall_ms"] -= 60 * 60_000
    written(tmp_path / "store", readings)
    assert checked(tmp_path / "store").all_breaks == []
    (tmp_path / "store" / "origin.pkl").unlink()
    assert {found.fault for found in checked(tmp_path / "store").all_breaks} == {Fault.REORDERED, Fault.ANEW}


def test_a_folder_holds_wherever_it_is_moved(tmp_path: Path) -> None:
    """Upstream looks for the paths in its index; here only the names count."""
    told = written("store", produced(3), cwd=tmp_path)
    assert told["files"][0][0].startswith("store/")
    os.rename(tmp_path / "store", tmp_path / "moved")
    assert checked(tmp_path / "moved").all_breaks == []


def test_upstream_s_clock_is_in_its_names(tmp_path: Path) -> None:
    """What the tests of the export rely on: names to the second, the index to the microsecond."""
    told = written(tmp_path / "store", produced(1))
    assert names(tmp_path / "store") == ["2019-04-11-12:00:00.json"]
    assert told["files"][0][1] == "2019-04-11 12:00:00.123000"
    assert START_MS % 1000 == 123
    assert set(contents(tmp_path / "store")) == {"origin.pkl", "2019-04-11-12:00:00.json"}
