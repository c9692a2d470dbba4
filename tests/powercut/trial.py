"""A trial: one recorded run, cut in many places, each state started and judged."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.parts import ROOT
from tests.powercut.disk import Viewer, blank_image, recording, require_parts, viewer
from tests.powercut.judge import judge
from tests.powercut.states import CrashState, crash_states
from tests.powercut.trace import Operation, Told, read_trace

#: Steps of a run on a new disk, and of one that goes on after a power cut.
STEPS, STEPS_AFTER = 60, 15


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the judge said of the states of some runs."""

    states: int = 0
    #: Of these, cut in a run that had begun on what another power cut had left.
    again: int = 0
    #: States in which something was wrong.
    wrong: int = 0
    #: States that break each rule.
    broken: Counter[str] = field(default_factory=Counter)
    #: What was wrong, in the judge's words, with the state.
    said: list[str] = field(default_factory=list)
    #: How many states kept how much of the rest.
    fates: Counter[str] = field(default_factory=Counter)
    #: The most that was at stake in one state.
    entries: int = 0
    checkpoints: int = 0
    #: The most rounds in one state after which segments, and entries, had gone.
    packed: int = 0
    pruned: int = 0

    def take(self, state: CrashState, said: list[str]) -> None:
        """Counts one state."""
        self.states += 1
        self.fates[state.fate] += 1
        self.wrong += bool(said)
        self.broken.update({text.split()[0] for text in said})
        self.said += [f"{state}: {text}" for text in said]
        self.entries = max([self.entries, *state.told.durable])
        self.checkpoints = max(self.checkpoints, len(state.told.published))
        self.packed = max(self.packed, state.told.phases.count("packed"))
        self.pruned = max(self.pruned, state.told.phases.count("pruned"))


class Laboratory:
    """A viewer and a new disk, for as many runs as one likes."""

    def __init__(self, shown: Viewer) -> None:
        self._shown = shown
        with tempfile.TemporaryDirectory(prefix="powercut-") as name:
            self._blank = blank_image(Path(name) / "image")

    def cut(self, outcome: Outcome, *, seed: int, count: int, bug: str | None = None) -> CrashState:
        """Records a run on a new disk and judges up to *count* of its states; returns one of them."""
        return self._examine(outcome, self._blank, Told(), seed=seed, steps=STEPS, count=count, bug=bug)

    def cut_again(self, outcome: Outcome, left: CrashState, *, seed: int, count: int) -> CrashState:
        """The same on what a power cut left: so the recovery itself is cut."""
        before = outcome.states
        state = self._examine(outcome, left.image, left.told, seed=seed, steps=STEPS_AFTER, count=count)
        outcome.again += outcome.states - before
        return state

    def _examine(
        self, outcome: Outcome, image: bytes, told: Told, *, seed: int, steps: int, count: int, bug: str | None = None
    ) -> CrashState:
        trace = record(image, seed=seed, steps=steps, bug=bug)
        rng, chosen = random.Random(seed), None
        for number, state in enumerate(crash_states(trace, image, told, seed=seed, count=count), 1):
            with self._shown.show(state.image) as files:
                outcome.take(state, judge(files / "state", state.told))
            # Each is as likely as any other, and only one is kept: an image is large.
            chosen = state if rng.randrange(number) == 0 else chosen
        assert chosen is not None
        return chosen


@contextmanager
def laboratory(folder: Path) -> Iterator[Laboratory]:
    """A laboratory; skips or fails where its parts are missing."""
    require_parts()
    with viewer(folder) as shown:
        yield Laboratory(shown)


def record(image: bytes, *, seed: int, steps: int, bug: str | None = None) -> list[Operation]:
    """The trace of one run of the workload on a disk that begins as *image*."""
    with tempfile.TemporaryDirectory(prefix="powercut-") as name:
        folder = Path(name)
        with recording(folder, image) as (files, marks):
            command = [sys.executable, "-m", "tests.powercut.workload", files / "state", marks, seed, steps]
            command += [bug] if bug else []
            done = subprocess.run(list(map(str, command)), cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True)
            assert done.returncode == 0, done.stderr
        return read_trace(folder / "trace")
