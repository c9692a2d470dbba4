"""The sidecar: records durable ahead of their entries, whatever the disk makes of the rest; broken files at a start."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from gateway.fields.files import file_name, file_starts, load
from gateway.fields.reader import FieldReader
from gateway.fields.record import decode_record
from gateway.fields.store import FieldStore, settle
from gateway.log.entry import Entry, Kind, decode
from tests.concealed import BODY, METER, MOMENT, SEED, ConcealingStation, all_there, found
from tests.log_dir import ORIGIN, Station


@pytest.fixture
def station(tmp_path: Path) -> ConcealingStation:
    made = ConcealingStation(tmp_path)
    made.start()
    return made


def test_a_full_file_is_packed_and_its_blocks_are_the_next_file(station: ConcealingStation) -> None:
    """Small commits leave much padding; the packed file has none, and not a byte of it is left in the spare."""
    station.conceal()
    first = station.fields / file_name(file_starts(station.fields)[0])
    inode = first.stat().st_ino
    while len(file_starts(station.fields)) < 2:
        station.conceal()
        station.log.commit()
    before = load(first)
    assert first.stat().st_size == station.file_bytes
    station.store.prepare()
    assert load(first).records == before.records
    assert first.stat().st_size < station.file_bytes
    spare = station.fields / "spare"
    assert spare.stat().st_ino == inode
    assert spare.read_bytes() == bytes(station.file_bytes)
    assert all_there(station)


def test_nothing_is_made_where_nothing_is_concealed(tmp_path: Path) -> None:
    """No directory, no file; and a commit costs no sync more."""
    station = Station(tmp_path)
    log = station.start()
    store = FieldStore(tmp_path, log.origin)
    store.resume(log.size)
    log.before_sync(store.sync)
    station.fill(3)
    assert store.prepare() == []
    assert not (tmp_path / "fields").exists()


def test_fields_are_found_again_over_many_files_and_starts(station: ConcealingStation) -> None:
    """Each entry has its own, in the file of its seq; a start goes on in the same file."""
    for _ in range(4):
        for _ in range(6):
            station.conceal(12)
            station.read_meter(2)
            station.log.commit()
            station.store.prepare()
        assert all_there(station)
        files = file_starts(station.fields)
        station.stop()
        station.start()
        assert station.notices == []
        assert file_starts(station.fields) == files
    assert len(files) > 3
    assert len(found(station)) == 4 * 6 * 12


class SyncCount:
    """Counts the syncs that reach the disk, by directory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        real = os.fdatasync

        def counted(fd: int) -> None:
            suffix = Path(os.readlink(f"/proc/self/fd/{fd}")).suffix
            self.order += [suffix] if suffix in (".fields", ".seg") else []
            real(fd)

        monkeypatch.setattr(os, "fdatasync", counted)


def test_a_commit_syncs_the_records_first_and_only_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sync more with concealed entries, none without; the record goes ahead of its entry."""
    station = ConcealingStation(tmp_path, segment_bytes=1 << 20)
    station.start()
    station.conceal()
    station.log.commit()
    count = SyncCount(monkeypatch)
    station.conceal(5)
    station.log.commit()
    assert count.order == [".fields", ".seg"]
    station.read_meter(5)
    station.log.commit()
    assert count.order == [".fields", ".seg", ".seg"]
    station.sign()
    assert count.order == [".fields", ".seg", ".seg", ".seg"]


def test_what_is_appended_during_a_commit_is_durable_with_its_entry_or_not_at_all(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that comes while the records are on their way to the disk waits for the next commit."""
    station.conceal()
    real, late = os.fdatasync, []

    def meanwhile(fd: int) -> None:
        real(fd)
        if not late:
            late.append(station.log.size)
            station.conceal()

    monkeypatch.setattr(os, "fdatasync", meanwhile)
    size = station.log.size
    assert station.log.commit() == size
    assert late == [size]
    monkeypatch.undo()
    assert station.log.commit() == size + 1
    assert all_there(station)


def test_a_crash_between_record_and_entry_leaves_a_record_that_nobody_looks_for(station: ConcealingStation) -> None:
    """The seq is given again, to an entry of another value, and that one's fields are found."""
    station.conceal(3)
    station.log.commit()
    orphan = station.log.size
    station.store.keep(orphan, METER, MOMENT, BODY)
    station.store.sync()
    again = ConcealingStation(station.state)
    again.start()
    assert again.notices == []
    again.log.commit()
    while again.log.size <= orphan + 2:
        again.conceal()
    again.log.commit()
    assert all_there(again)


def test_files_of_entries_that_a_power_cut_took_go_at_the_next_start(station: ConcealingStation) -> None:
    """A whole file ahead of the log's end holds nothing that anybody can ask for."""
    station.conceal(3)
    station.log.commit()
    end = station.log.size
    for seq in range(end, end + 400):
        station.store.keep(seq, METER, MOMENT, BODY)
    station.store.sync()
    ahead = [start for start in file_starts(station.fields) if start > end + 3]
    assert ahead
    again = ConcealingStation(station.state)
    again.start()
    assert not set(ahead) & set(file_starts(station.fields))
    again.conceal(300)
    again.log.commit()
    assert all_there(again)


def test_a_killed_process_leaves_records_that_the_next_start_makes_durable_first(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log confirms what the process had appended; before that, the records are synced."""
    station.conceal(3)
    count = SyncCount(monkeypatch)
    settle(station.state)
    ConcealingStation(station.state).start()
    assert count.order.index(".fields") < count.order.index(".seg")


def test_an_epoch_of_the_log_has_fields_of_its_own(station: ConcealingStation) -> None:
    """The seqs begin anew in a new epoch; the closed log's fields stay with it."""
    station.conceal(5)
    station.log.commit()
    before = [decode(data) for data in station.entries()]
    closed = station.state / "closed" / "epoch-1"
    closed.parent.mkdir()
    station.directory.rename(closed)
    again = ConcealingStation(station.state)
    again.start()
    assert again.log.origin == f"{ORIGIN}/epoch-2"
    again.conceal(5)
    again.log.commit()
    assert all_there(again)
    old = FieldReader.of_log(closed, ORIGIN)
    bodies = [old.body(entry, METER) for entry in before if entry.kind is Kind.CONCEALED]
    assert len(bodies) == 5
    assert all(isinstance(body, list) for body in bodies)


def test_fields_of_another_entry_are_never_shown(station: ConcealingStation) -> None:
    """A record that does not lead to the entry's root is said to be somebody else's."""
    station.conceal(2)
    station.log.commit()
    entry: Entry = decode(station.entries()[-1])
    path = station.fields / file_name(file_starts(station.fields)[-1])
    record = decode_record(load(path).records[-1])
    assert record.seed != SEED
    shutil.rmtree(station.fields)
    other = FieldStore(station.state, ORIGIN)
    other.keep(entry.seq, METER, MOMENT, [station.definition, *BODY[1:]])
    other.sync()
    reader = FieldReader.of_log(station.directory, ORIGIN)
    assert reader.body(entry, METER) == "fields do not belong to the entry"


def test_keeping_and_syncing_at_the_same_time_loses_nothing(station: ConcealingStation) -> None:
    """The event loop keeps while the disk's thread commits and prepares."""
    stop = threading.Event()

    def commits() -> None:
        while not stop.is_set():
            station.log.commit()
            station.store.prepare()

    thread = threading.Thread(target=commits)
    thread.start()
    try:
        for _ in range(150):
            station.conceal(7)
    finally:
        stop.set()
        thread.join()
    station.log.commit()
    assert len(found(station)) == 150 * 7
    assert all_there(station)
