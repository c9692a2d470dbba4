"""Power cuts on a gateway with a concealed meter: no confirmed entry is left without its fields."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.log.log import Log
from tests.concealed import ConcealingStation, found
from tests.test_log_powercut import Disk

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
