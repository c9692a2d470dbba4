"""The clocks: what the machine says, and steps of the wall clock against the one that never steps."""

from __future__ import annotations

import time

import pytest

from gateway.clock import Step, StepDetector, SystemClock, boot_id
from gateway.reading import Moment


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.boottime_ms, self.wall_ms = 1_000, 1_700_000_000_000

    def __call__(self) -> Moment:
        return Moment(boottime_ns=self.boottime_ms * 1_000_000, wall_ms=self.wall_ms, quality="S", error_ms=1)

    def pass_ms(self, passed: int, stepped: int = 0) -> None:
        self.boottime_ms += passed
        self.wall_ms += passed + stepped


@pytest.mark.parametrize("stepped", [-3_600_000, -1_001, 1_001, 86_400_000])
def test_a_step_is_found_with_what_was_expected(stepped: int) -> None:
    """In both directions, whatever time passed meanwhile."""
    clock = SetClock()
    detector = StepDetector(clock)
    clock.pass_ms(5_000, stepped)
    assert detector.look() == Step(expected_ms=1_700_000_005_000, found_ms=1_700_000_005_000 + stepped)
    clock.pass_ms(1_000)
    assert detector.look() is None


@pytest.mark.parametrize("slewed", [-1_000, -1, 0, 1, 1_000])
def test_slewing_is_no_step(slewed: int) -> None:
    """A daemon that corrects the clock slowly steps nothing."""
    clock = SetClock()
    detector = StepDetector(clock)
    clock.pass_ms(60_000, slewed)
    assert detector.look() is None


def test_the_system_clock_agrees_with_the_machine() -> None:
    """CLOCK_BOOTTIME and Unix time, and a quality that the kernel vouches for."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000
    moment = SystemClock()()
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000
    assert before[0] <= moment.boottime_ns <= after[0]
    assert before[1] <= moment.wall_ms <= after[1]
    assert (moment.quality, moment.error_ms) == ("U", -1) or (moment.quality == "S" and moment.error_ms >= 0)


def test_a_boot_has_one_id() -> None:
    """The kernel's, 16 bytes, the same until the next boot."""
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()
