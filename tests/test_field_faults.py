"""The sidecar on bad days: disks that fail or are full, files that are broken, work that is cut short."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import durable
from gateway.errors import LogUnavailable
from gateway.fields.files import file_name, file_starts, load
from gateway.fields.store import settle
from tests.concealed import ConcealingStation, all_there, found


@pytest.fixture
def station(tmp_path: Path) -> ConcealingStation:
    made = ConcealingStation(tmp_path)
    made.start()
    return made


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


def test_what_is_appended_while_the_logs_own_sync_fails_has_its_fields_first_too(
    station: ConcealingStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log writes all that is unconfirmed into a new segment at once: more than the commit had set out with."""
    station.conceal()
    real, order = os.fdatasync, []

    def fails_once(fd: int) -> None:
        suffix = Path(os.readlink(f"/proc/self/fd/{fd}")).suffix
        order.append(suffix)
        if order.count(".seg") == 1 and suffix == ".seg":
            station.conceal()
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    size = station.log.size
    monkeypatch.setattr(os, "fdatasync", fails_once)
    assert station.log.commit() > size
    assert order[:4] == [".fields", ".seg", ".fields", ".seg"]
    monkeypatch.undo()
    assert all_there(station)
    assert len(found(station)) == 2


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
