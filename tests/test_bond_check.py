"""Which link of a bond folder is named when somebody changes it; and what the older application's folders look like."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import types
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from gateway.bond.check import Break, Fault, check
from gateway.bond.index import Link, write_index
from gateway.bond.record import NOTHING_BEFORE, file_hash
from gateway.bond.store import MAX_FILE, read_store
from gateway.errors import ConfigError
from tests.bond_folders import names, produced, written

COUNT = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that upstream wrote."""
    folder = tmp_path_factory.mktemp("bond") / "store"
    written(folder, produced(COUNT))
    return folder


@pytest.fixture(params=["index", "names"])
def store(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of it, with its index and without."""
    folder = tmp_path / "store"
    shutil.copytree(made, folder)
    if request.param == "names":
        (folder / "origin.pkl").unlink()
    return folder


def first(folder: Path) -> Break:
    found = check(read_store(folder)).first
    assert found is not None
    return found


def has_index(folder: Path) -> bool:
    return (folder / "origin.pkl").exists()


def test_a_flipped_byte_breaks_the_link_to_its_file(store: Path) -> None:
    """Whichever byte: the break is named at the file, or at the one that states its hash; nothing else is blamed."""
    random, listed = Random(7), names(store)
    for _ in range(60):
        number = random.randrange(COUNT - 1)
        path = store / listed[number]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[random.randrange(len(bad))] ^= 1 << random.randrange(8)
        path.write_bytes(bad)
        found = first(store)
        assert (found.position, found.file) in [(place, listed[place]) for place in (number, number + 1)]
        assert found.fault in (Fault.CHANGED, Fault.UNREADABLE)
        path.write_bytes(good)
    assert check(read_store(store)).all_breaks == []


def test_a_flipped_digit_is_named_with_both_hashes(store: Path) -> None:
    """The file still is a record; the next one states what it was."""
    listed = names(store)
    good = (store / listed[4]).read_bytes()
    (store / listed[4]).write_bytes(good.replace(b'"value": 1600', b'"value": 1601'))
    found = first(store)
    assert (found.fault, found.position, found.file) == (Fault.CHANGED, 5, listed[5])
    assert file_hash(good) in found.text
    assert file_hash((store / listed[4]).read_bytes()) in found.text
    assert listed[4] in found.text
    assert check(read_store(store)).exit_code == 4


def test_a_removed_file_is_named(store: Path) -> None:
    """By the index itself, or by the next file, which states a hash that is gone."""
    listed = names(store)
    (store / listed[4]).unlink()
    expected = (Fault.MISSING, 4, listed[4]) if has_index(store) else (Fault.CHANGED, 4, listed[5])
    found = first(store)
    assert (found.fault, found.position, found.file) == expected
    assert check(read_store(store)).exit_code == 4


def test_the_first_file_s_removal_is_named(store: Path) -> None:
    """A chain does not begin in the middle."""
    listed = names(store)
    (store / listed[0]).unlink()
    found = first(store)
    assert (found.fault, found.position) == (Fault.MISSING, 0)
    assert found.file == listed[0 if has_index(store) else 1]


def test_a_reordered_pair_is_named(store: Path) -> None:
    """Two files under each other's names."""
    listed = names(store)
    one, other = store / listed[6], store / listed[7]
    os.rename(one, store / "aside")
    os.rename(other, one)
    os.rename(store / "aside", other)
    found = first(store)
    assert (found.fault, found.position, found.file) == (Fault.REORDERED, 6, listed[6])
    assert listed[7] in found.text
    assert check(read_store(store)).exit_code == 4


def test_what_sha1_chains_cannot_show_is_not_shown(store: Path) -> None:
    """A change of the newest file, and, without an index, its removal: only a hash from elsewhere would tell."""
    newest = store / names(store)[-1]
    newest.write_bytes(newest.read_bytes().replace(b'"is_meter_down": false', b'"is_meter_down": true'))
    assert check(read_store(store)).all_breaks == []
    newest.unlink()
    breaks = check(read_store(store)).all_breaks
    assert [found.fault for found in breaks] == [Fault.MISSING] * has_index(store)


def test_a_chain_written_anew_holds(store: Path) -> None:
    """Whoever can write the folder can write another past."""
    previous = NOTHING_BEFORE
    for name in names(store):
        record = json.loads((store / name).read_bytes())
        data = json.dumps({**record, "value": record["value"] * 2, "previous_hash": previous}).encode()
        (store / name).write_bytes(data)
        previous = file_hash(data)
    assert check(read_store(store)).all_breaks == []


def test_a_foreign_index_is_a_finding_and_the_names_are_used(made: Path, tmp_path: Path) -> None:
    """A pickle that would run something is evidence, not a crash, and not run."""
    folder = tmp_path / "store"
    shutil.copytree(made, folder)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    (folder / "origin.pkl").write_bytes(pickle.dumps(Evil(), protocol=4))
    report = check(read_store(folder))
    assert [(found.fault, found.file) for found in report.all_breaks] == [(Fault.INDEX, "origin.pkl")]
    assert report.exit_code == 4
    assert [(chain.index, len(chain.files)) for chain in report.chains] == [(None, COUNT)]
    assert not (tmp_path / "ran").exists()


def test_an_index_leads_to_no_file_outside(made: Path, tmp_path: Path) -> None:
    """Of a path only the name counts, and a symbolic link is no file of the folder."""
    folder = tmp_path / "store"
    shutil.copytree(made, folder)
    listed = names(folder)
    os.rename(folder / listed[3], tmp_path / "elsewhere")
    (folder / listed[3]).symlink_to(tmp_path / "elsewhere")
    found = first(folder)
    assert (found.fault, found.file) == (Fault.MISSING, listed[3])
    paths = ("a\x1b[2J", "", "..", "/etc/passwd", "../elsewhere")
    times = [link.time for link in read_store(folder).indices[0].links or ()]
    links = [Link(file=path, time=times[0]) for path in paths]
    (folder / "origin.pkl").write_bytes(b"".join(write_index(links)))
    report = check(read_store(folder))
    assert all(found.fault is Fault.MISSING for found in report.chains[1].breaks)
    assert report.chains[1].breaks[-1].file == "a\\x1b[2J"


def test_what_is_large_empty_or_no_file_is_a_finding(store: Path) -> None:
    """A power cut leaves an empty file; somebody may leave anything."""
    listed = names(store)
    (store / listed[2]).write_bytes(b"")
    found = first(store)
    assert (found.fault, found.position) == (Fault.UNREADABLE, 2)
    assert "power cut" in found.text
    with (store / listed[2]).open("wb") as file:
        file.truncate(10 * MAX_FILE)
    assert "the limit is" in first(store).text
    (store / listed[2]).unlink()
    os.mkfifo(store / listed[2])
    assert first(store).fault in (Fault.MISSING, Fault.CHANGED)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """So that nobody takes an empty report for a good one."""
    (tmp_path / "readme.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "readme.json", tmp_path / "none"):
        with pytest.raises(ConfigError, match=r"no folder of ew-link-bond|is no directory"):
            read_store(folder)


def legacy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ew-link-origin left it: two assets in one folder, each with an index; raw replies; a total with a fraction."""
    module = types.ModuleType("core.abstract.bond")
    for name in ("core", "core.abstract"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("ChainFile", "ChainLink"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    for asset, side in (("roof", "production"), ("house", "consumption")):
        (folder / side).mkdir(parents=True)
        previous, newest = NOTHING_BEFORE, None
        for number in range(3):
            fields = {"energy": 1.5 * number, "is_meter_down": False, "previous_hash": previous}
            if side == "production":
                record = {"raw_carbon_emitted": None, "produced": {**fields, "co2_saved": 0, "is_co2_down": True}}
            else:
                record = {"consumed": fields}
            data = json.dumps({"raw_energy": {"raw": "x" * 50}, **record}).encode()
            path = folder / side / f"2018-12-01-12:00:0{number}.json"
            path.write_bytes(data)
            previous = file_hash(data)
            link, file = module.ChainLink(), module.ChainFile()  # type: ignore[attr-defined]
            file.file, file.timestamp = f"/mnt/data/{side}/{path.name}", datetime(2018, 12, 1)  # noqa: DTZ001
            link.data, link.last_link = file, newest
            newest = link
        (folder / f"{asset}.pkl").write_bytes(pickle.dumps(newest, protocol=4))


def test_the_older_application_s_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two chains in one folder, side by side; a change in one is named there."""
    legacy(tmp_path, monkeypatch)
    report = check(read_store(tmp_path))
    assert report.all_breaks == []
    assert [(chain.index, chain.files[0]) for chain in report.chains] == [
        ("house.pkl", "consumption/2018-12-01-12:00:00.json"),
        ("roof.pkl", "production/2018-12-01-12:00:00.json"),
    ]
    record = report.store.files["production/2018-12-01-12:00:01.json"].record
    assert record is not None
    assert (record.legacy, str(record.value)) == (True, "1.5")
    path = tmp_path / "production" / "2018-12-01-12:00:01.json"
    path.write_bytes(path.read_bytes().replace(b"xxx", b"xxy", 1))
    found = first(tmp_path)
    assert (found.fault, found.file) == (Fault.CHANGED, "production/2018-12-01-12:00:02.json")
