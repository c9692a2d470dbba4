"""The sidecar: records durable ahead of their entries, whatever the disk makes of the rest; broken files at a start."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import durable
from gateway.errors import LogUnavailable
from gateway.fields.files import file_name, file_starts, load
from gateway.fields.reader import FieldReader
from gateway.fields.record import decode_record
from gateway.fields.store import FieldStore, settle
from gateway.log.entry import Entry, Kind, decode
from gateway.log.log import Log
from tests.concealed import BODY, METER, MOMENT, ORIGIN, SEED, ConcealingStation
from tests.log_dir import Station
from tests.test_log_powercut import Disk


def found(station: ConcealingStation) -> dict[int, object]:
    """Per concealed entry that is durable: its own seq where the fields are there, else the reason."""
    reader = FieldReader.of_log(station.directory, station.log.origin)
    entries = [decode(data) for data in station.entries()]
    return {entry.seq: _value(reader.body(entry, METER)) for entry in entries if entry.kind is Kind.CONCEALED}


def _value(body: object) -> object:
    return body[2][0][2] if isinstance(body, list) else body


def all_there(station: ConcealingStation) -> bool:
    return all(seq == value for seq, value in found(station).items())


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


@pytest.mark.parametrize("step", range(12))
def test_packing_that_is_cut_short_at_any_step_loses_nothing(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The disk fails at each call in turn; the next packing, or the next start, tidies up."""
    while len(file_starts(station.fields)) < 2:
        station.conceal()
        station.log.commit()
    left = [step]

    def counted(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: object, **rest: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.EIO, "cut short")
            return real(*arguments, **rest)

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((os, "link"), (os, "pwrite"), (os, "fsync"), (Path, "rename"), (Path, "unlink"), (os, "open")):
        counted(owner, name)
    station.store.prepare()
    monkeypatch.undo()
    assert all_there(station)
    again = ConcealingStation(station.state)
    again.start()
    again.conceal(100)
    again.log.commit()
    again.store.prepare()
    assert all_there(again)
    assert {path.suffix for path in again.fields.iterdir()} <= {".fields", ""}


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


step_names = ("conceal", "read", "commit", "sign", "prepare", "cut")


@pytest.mark.parametrize("seed", range(40))
def test_a_power_cut_at_any_moment_leaves_no_durable_entry_without_its_fields(tmp_path: Path, seed: int) -> None:
    """Any sectors of log and sidecar lost or kept: what a commit confirmed can be disclosed, and the log verifies.

    What no commit has confirmed may survive a power cut without its fields.
    """
    station, excused = cut_at_random(ConcealingStation(tmp_path), seed)
    station.sign()
    assert station.verify().verdict == "intact"
    assert missing(station) <= excused


class Careless(ConcealingStation):
    """A station that confirms entries whose records it has not synced."""

    def start(self) -> Log:
        log = super().start()
        log.before_sync(lambda: None)
        return log


def test_the_simulation_catches_a_commit_that_leaves_the_records_behind(tmp_path: Path) -> None:
    """The same power cuts, on a gateway that forgets the order: some confirmed entry has lost its fields."""
    caught = 0
    for seed in range(10):
        try:
            cut_at_random(Careless(tmp_path / str(seed)), seed)
        except AssertionError:
            caught += 1
    assert caught >= 3


def cut_at_random(station: ConcealingStation, seed: int) -> tuple[ConcealingStation, set[int]]:
    """Readings, commits and power cuts; returns what is left, and the seqs that may be without fields."""
    rng = random.Random(seed)
    station.start()
    excused: set[int] = set()
    disks: list[Disk] = []
    for _ in range(40):
        what = rng.choices(step_names, weights=(8, 3, 4, 2, 2, 1))[0]
        if what == "conceal":
            station.conceal(rng.randrange(1, 25))
        elif what == "read":
            station.read_meter(rng.randrange(1, 9))
        elif what == "commit":
            station.log.commit()
        elif what == "sign":
            station.sign()
        elif what == "prepare":
            station.log.prepare()
            station.store.prepare()
        elif disks:
            station = cut(station, disks, rng, excused)
        if not disks and station.fields.exists():
            station.log.commit()
            disks = [Disk(station.directory), FieldDisk(station.fields)]
        for disk in disks:
            disk.confirmed() if what in ("commit", "sign") and not careless(station, disk) else disk.wrote()
    return station, excused


class FieldDisk(Disk):
    """A disk that knows which files were replaced as a whole, durably: no old sector of them can come back."""

    def __init__(self, directory: Path) -> None:
        self._inodes: dict[str, int] = {}
        super().__init__(directory)

    def wrote(self) -> None:
        known = self._inodes
        self._note()
        for name, inode in self._inodes.items():
            if name.endswith(".fields") and known.get(name, inode) != inode:
                for files in self.versions:
                    files[name] = (self.directory / name).read_bytes()
        super().wrote()

    def confirmed(self) -> None:
        self._note()
        super().confirmed()

    def _note(self) -> None:
        self._inodes = {path.name: path.stat().st_ino for path in self.directory.iterdir()}


def careless(station: ConcealingStation, disk: Disk) -> bool:
    """Whether this disk was not synced by a commit, because the station forgets it."""
    return isinstance(station, Careless) and disk.directory == station.fields


def missing(station: ConcealingStation) -> set[int]:
    return {seq for seq, value in found(station).items() if seq != value}


def cut(station: ConcealingStation, disks: list[Disk], rng: random.Random, excused: set[int]) -> ConcealingStation:
    """The next start on what the power cut left; *excused* are those that may be without their fields."""
    confirmed = station.entries()
    station.log.close()
    for disk in disks:
        disk.cut(rng)
    again = type(station)(station.state)
    again.start()
    assert again.entries()[: len(confirmed)] == confirmed
    assert {seq for seq in missing(again) if seq < len(confirmed)} <= excused
    excused |= missing(again)
    again.log.commit()
    for disk in disks:
        disk.confirmed()
    return again


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


def failing(monkeypatch: pytest.MonkeyPatch, name: str, suffix: str, times: int, code: int = errno.EIO) -> list[int]:
    """Lets the call *name* fail so many times on files of that *suffix*; returns what is left of them."""
    real: Callable[..., object] = getattr(os, name)
    left = [times]

    def fails(fd: int, *rest: object) -> object:
        if left[0] and Path(os.readlink(f"/proc/self/fd/{fd}")).name.endswith(suffix):
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return real(fd, *rest)

    monkeypatch.setattr(os, name, fails)
    return left


def test_a_disk_that_does_not_confirm_the_records_gets_them_in_another_file(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed sync the file is given up; nothing is lost, and the log hears of it."""
    station.conceal(5)
    station.log.commit()
    station.conceal(5)
    left = failing(monkeypatch, "fdatasync", ".fields", 1)
    station.log.commit()
    assert left == [0]
    assert ["written again" in fault for fault in station.store.prepare()] == [True]
    assert station.store.prepare() == []
    assert len(file_starts(station.fields)) == 2
    station.conceal(5)
    station.log.commit()
    assert all_there(station)
    assert len(found(station)) == 15


def test_a_disk_that_confirms_nothing_keeps_no_other_entry_waiting(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log goes on, an alarm says whose fields are in doubt, nothing piles up; then it works again."""
    station.conceal(5)
    station.log.commit()
    first = station.log.size
    station.conceal(5)
    failing(monkeypatch, "fdatasync", ".fields", 2)
    assert station.log.commit() == first + 5
    with pytest.raises(LogUnavailable, match="cannot be written"):
        station.conceal()
    faults = station.store.prepare()
    assert f"fields of entries {first} to {first + 4} may be lost" in faults[-1]
    assert station.store._pending == []
    monkeypatch.undo()
    station.conceal(5)
    station.log.commit()
    assert len(found(station)) == 15


def test_a_write_that_fails_refuses_the_reading_and_the_next_commit_begins_a_new_file(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may follow half a record; the entry is not appended either."""
    station.conceal(5)
    size = station.log.size
    failing(monkeypatch, "pwrite", ".fields", 1)
    with pytest.raises(LogUnavailable):
        station.conceal()
    assert station.log.size == size
    station.log.commit()
    station.store.prepare()
    station.conceal(5)
    station.log.commit()
    assert all_there(station)
    assert len(found(station)) == 10


def test_a_full_disk_refuses_readings_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is asked again by each commit, not by each reading."""
    station = ConcealingStation(tmp_path, segment_bytes=1 << 20)
    station.start()
    station.conceal(5)
    left = failing(monkeypatch, "pwrite", ".spare.tmp", 10**6, errno.ENOSPC)
    with pytest.raises(LogUnavailable, match="No space left"):
        station.conceal(500)
    asked = left[0]
    with pytest.raises(LogUnavailable, match="No space left"):
        station.conceal()
    assert left[0] == asked
    station.store.prepare()
    assert left[0] < asked
    monkeypatch.undo()
    station.store.prepare()
    station.conceal(100)
    station.log.commit()
    assert all_there(station)


@pytest.mark.parametrize("seed", range(30))
def test_a_broken_newest_file_keeps_nobody_from_starting(station: ConcealingStation, seed: int) -> None:
    """Garbage anywhere in it: what can be read stays, the start says what it found, once, and new fields are kept."""
    rng = random.Random(seed)
    for _ in range(6):
        station.conceal(8)
        station.log.commit()
    station.stop()
    path = station.fields / file_name(file_starts(station.fields)[-1])
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(load(path).records) * 60)
    length = rng.choice([1, 100, 5000])
    data[start : start + length] = rng.randbytes(length)
    path.write_bytes(data[: rng.choice([len(data), start + length, 0, 3])])
    again = ConcealingStation(station.state)
    again.start()
    assert len(again.notices) == 1
    again.conceal(3)
    again.log.commit()
    values = found(again)
    assert [seq == values[seq] for seq in list(values)[-3:]] == [True] * 3
    for seq, value in values.items():
        assert value == seq or str(value).startswith("fields")
    once_more = ConcealingStation(station.state)
    again.log.close()
    once_more.start()
    assert once_more.notices == []


def test_what_stands_behind_a_broken_block_is_still_found(station: ConcealingStation) -> None:
    """Each commit has blocks of its own: one of them broken costs the records in it only."""
    for _ in range(6):
        station.conceal(4)
        station.log.commit()
    path = station.fields / file_name(file_starts(station.fields)[-1])
    data = bytearray(path.read_bytes())
    data[2 * 4096 : 2 * 4096 + 200] = bytes(range(200))
    path.write_bytes(data)
    values = found(station)
    missing = [seq for seq, value in values.items() if value != seq]
    assert len(missing) == 4
    assert all("is broken" in str(values[seq]) or "cannot be read" in str(values[seq]) for seq in missing)


@pytest.mark.parametrize("what", ["directory", "unreadable names", "a file as directory"])
def test_a_start_survives_what_lies_in_the_directory(tmp_path: Path, what: str) -> None:
    """A directory in place of a file, names that are none, a file in place of the directory."""
    target = tmp_path / "fields" / "epoch-1"
    if what == "directory":
        (target / file_name(0)).mkdir(parents=True)
    elif what == "unreadable names":
        target.mkdir(parents=True)
        for name in ("x.fields", "0.fields", "spare", f".{file_name(3)}.tmp"):
            (target / name).write_bytes(b"\xff" * 100)
    else:
        target.parent.mkdir()
        target.write_bytes(b"")
    station = ConcealingStation(tmp_path)
    settle(tmp_path)
    station.start()
    if what == "a file as directory":
        with pytest.raises(LogUnavailable):
            station.conceal()
        return
    station.conceal(3)
    station.log.commit()
    assert all_there(station)


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


def test_an_overwritten_file_holds_zeroes_and_has_no_name(tmp_path: Path) -> None:
    """Seen through a descriptor that was open before: no byte of the old content is left in it."""
    for replace in (False, True):
        path = tmp_path / "file"
        path.write_bytes(b"load profile" * 10_000)
        with path.open("rb") as witness:
            if replace:
                durable.replace_overwriting(path, b"what stays")
                assert path.read_bytes() == b"what stays"
            else:
                durable.overwrite(path)
                assert not path.exists()
            assert witness.read() == bytes(120_000)


def test_overwriting_spares_what_has_another_name(tmp_path: Path) -> None:
    """A crash may leave a second name of a file that is in use; the name goes, the file stays."""
    (tmp_path / "file").write_bytes(b"in use")
    os.link(tmp_path / "file", tmp_path / "leftover")
    durable.overwrite(tmp_path / "leftover")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"in use"
