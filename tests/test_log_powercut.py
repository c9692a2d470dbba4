"""Power cuts, simulated sector by sector: what a commit confirmed is there, whatever the disk made of the rest.

Between two commits a disk may have written any sector of what was changed, in any of the versions that it had since,
and may or may not have taken over a renaming. The simulation keeps those versions and picks one for each sector.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.log.frame import SECTOR
from tests.log_dir import Station
from tests.log_keys import ORIGIN

SEGMENT = 16 * 1024
Files = dict[str, bytes]


class Disk:
    """What a power cut may leave of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        #: Newest last; the first is what is durable for certain.
        self.versions: list[Files] = []
        self.confirmed()

    def _look(self) -> Files:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()} if self.directory.exists() else {}

    def confirmed(self) -> None:
        """All that is there now is durable."""
        self.versions = [self._look()]

    def wrote(self) -> None:
        """Something was written that may reach the disk at any time."""
        self.versions = [*self.versions[:1], *self.versions[1:][-5:], self._look()]

    def cut(self, rng: random.Random) -> None:
        """Replaces the directory by what is left after a power cut."""
        durable, now = self.versions[0], self._look()
        left: Files = {}
        for name, data in now.items():
            content = self._mixed(name, data, rng)
            if name in durable or rng.random() < 0.5:
                left[name] = content
            elif "spare" not in now and rng.random() < 0.5:
                # The renaming is lost, the content is not.
                left["spare"] = content
        shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True)
        for name, data in left.items():
            (self.directory / name).write_bytes(data)
        self.confirmed()

    def _mixed(self, name: str, data: bytes, rng: random.Random) -> bytes:
        # Before it had its name, a segment was a spare: zeroes.
        versions = [files.get(name, bytes(len(data))) for files in self.versions]
        lucky = rng.choice([0.0, 0.2, 0.5, 0.9])
        out = bytearray()
        for start in range(0, len(data), SECTOR):
            stop = start + SECTOR
            if rng.random() < lucky:
                out += data[start:stop]
            else:
                out += rng.choice(versions)[start:stop]
        return bytes(out)


step = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 60)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("sign"), st.just(0)),
    st.tuples(st.just("prepare"), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 2**32)),
)


def run(state: Path, steps: list[tuple[str, int]]) -> None:
    station = Station(state, segment_bytes=SEGMENT)
    station.start()
    disk = Disk(station.directory)
    for what, number in [*steps, ("cut", 1)]:
        if what == "read":
            for _ in range(number):
                station.read_meter(points=number % 14)
                if number % 3 == 0:
                    disk.wrote()
            disk.wrote()
        elif what == "prepare":
            station.log.prepare()
        elif what == "cut":
            station = after_the_cut(station, disk, random.Random(number))
        else:
            station.log.commit()
            if what == "sign":
                station.sign()
            disk.confirmed()
    station.sign()
    report = station.verify()
    assert report.verdict == "intact", report


def after_the_cut(station: Station, disk: Disk, rng: random.Random) -> Station:
    """The next start on what the power cut left."""
    confirmed = station.entries()
    station.log.close()
    disk.cut(rng)
    found = station.verify()
    # Before the start, the rest may look torn; what is worse than that was told by the chain alone.
    assert found.verdict != "tampered", found
    assert found.size >= len(confirmed), found
    again = Station(station.state, segment_bytes=SEGMENT)
    again.start()
    assert again.found.closed is None, again.found.closed
    assert again.log.origin == ORIGIN
    assert again.entries()[: len(confirmed)] == confirmed
    disk.confirmed()
    return again


@given(st.lists(step, max_size=25))
@settings(max_examples=60, deadline=None)
def test_a_power_cut_at_any_moment_costs_only_what_was_not_confirmed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Any sequence of readings, commits, checkpoints and power cuts: confirmed entries stay, the log verifies."""
    run(tmp_path_factory.mktemp("cut"), steps)


@pytest.mark.parametrize("seed", range(25))
def test_power_cuts_after_long_unconfirmed_stretches(tmp_path: Path, seed: int) -> None:
    """Several segments between two commits, cut again and again: an earlier file may be torn under a later one."""
    rng = random.Random(seed)
    steps: list[tuple[str, int]] = []
    for _ in range(3):
        steps += [("read", rng.randrange(10, 50)), ("sign", 0)]
        steps += [("prepare", 0), ("read", rng.randrange(30, 120)), ("read", 3 * rng.randrange(20, 50))]
        steps += [("cut", rng.randrange(2**32))]
    run(tmp_path, steps)
