"""Anything may happen to the disk under the log, in any order: what it confirmed is kept, and every start works.

hypothesis drives a real log and a real signer on ``tests.faulty_disk``: readings, commits, checkpoints, kills and power
cuts, while writes, syncs, renamings, creations and removals fail with EIO or ENOSPC, done or not done.
"""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import LogUnavailable, SignerError
from tests.faulty_disk import CALLS, Fault, FaultyDisk
from tests.log_dir import Station
from tests.log_keys import ORIGIN

SEGMENT = 16 * 1024


class LogOnAFaultyDisk(RuleBasedStateMachine):
    """One log, whatever its disk does."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="faulty-"))
        self._stack.callback(shutil.rmtree, self._folder)
        self.disk = FaultyDisk(self._folder)
        self._stack.enter_context(self.disk.installed())
        #: Entries that a commit has confirmed, and checkpoints that were stored.
        self.confirmed: list[bytes] = []
        self.notes: list[bytes] = []
        self.station: Station | None = None
        self._start()

    def teardown(self) -> None:
        with self._stack:
            self._judge_after(random.Random(1))
            self.running.log.close()

    def _start(self) -> None:
        """A start, which a disk that refuses may put off, and nothing else."""
        try:
            station = Station(self._folder / "state", segment_bytes=SEGMENT)
            station.start()
        except (LogUnavailable, SignerError):
            self.disk.faults.clear()
            station = Station(self._folder / "state", segment_bytes=SEGMENT)
            station.start()
        self.station = station
        assert station.found.closed is None, station.found.closed
        assert station.log.origin == ORIGIN
        entries = station.entries()
        assert entries[: len(self.confirmed)] == self.confirmed
        self.confirmed = entries

    @property
    def running(self) -> Station:
        assert self.station is not None
        return self.station

    @rule(count=st.integers(1, 40), points=st.integers(1, 14))
    def read(self, count: int, points: int) -> None:
        """Readings are appended, or refused."""
        for _ in range(count):
            try:
                self.running.read_meter(points=points)
            except LogUnavailable:
                break

    @rule()
    def commit(self) -> None:
        """All is confirmed, or nothing is said to be."""
        before = self.running.log.durable_size
        try:
            size = self.running.log.commit()
        except LogUnavailable:
            assert self.running.log.durable_size >= before
        else:
            assert size == self.running.log.durable_size >= before

    @rule()
    def sign(self) -> None:
        """A checkpoint is signed and stored."""
        with suppress(LogUnavailable, SignerError):
            self.notes.append(self.running.sign())

    @rule()
    def prepare(self) -> None:
        """Room is made for the next segment."""
        with suppress(LogUnavailable):
            self.running.log.prepare()

    @rule(
        call=st.sampled_from(CALLS),
        code=st.sampled_from([errno.EIO, errno.ENOSPC]),
        after=st.integers(0, 6),
        times=st.integers(1, 4),
        works=st.booleans(),
    )
    def breaks(self, call: str, code: int, after: int, times: int, *, works: bool) -> None:
        """From some call on the disk fails, for some calls."""
        self.disk.faults[call] = Fault(code=code, after=after, times=times, works=works)

    @precondition(lambda self: self.disk.faults)
    @rule()
    def mend(self) -> None:
        """The disk is well again."""
        self.disk.faults.clear()

    @rule()
    def kill(self) -> None:
        """The process dies; the kernel keeps what was written."""
        self.running.log.close()
        self._start()

    @rule(seed=st.integers(0, 2**32))
    def cut(self, seed: int) -> None:
        """The power is cut."""
        self._judge_after(random.Random(seed))

    def _judge_after(self, rng: random.Random) -> None:
        self.running.log.close()
        self.disk.cut(rng)
        before = self.running.verify()
        assert before.verdict in ("intact", "torn", "unsigned"), before
        self._start()
        after = self.running.verify(known=self.notes)
        assert after.verdict in ("intact", "unsigned"), after
        for note in self.notes:
            assert int(note.split(b"\n")[1]) <= len(self.confirmed)

    @invariant()
    def what_is_durable_is_kept(self) -> None:
        """What may leave is at least what may have left before."""
        entries = self.running.entries()
        assert entries[: len(self.confirmed)] == self.confirmed
        self.confirmed = entries


TestLogOnAFaultyDisk = LogOnAFaultyDisk.TestCase
TestLogOnAFaultyDisk.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
