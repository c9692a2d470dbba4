"""The real clock: CLOCK_BOOTTIME, wall time, and what the kernel says about the wall time's quality.

Quality comes from ntp_adjtime(3): a daemon that disciplines the clock keeps STA_UNSYNC cleared and states the
largest error; then the quality is S with that bound, else U without one.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

from gateway.reading import Clock, Moment

_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
#: How long an answer about the quality is good for; it changes over minutes.
_QUALITY_NS = 5_000_000_000
STEP_MS = 1000


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)); the rest is room the kernel may write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_long * 32),
    )


class SystemClock:
    """``gateway.reading.Clock`` on the machine's own clocks."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._asked_ns = -_QUALITY_NS
        self._quality: tuple[str, int] = ("U", -1)

    def __call__(self) -> Moment:
        """The present moment."""
        boottime_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if boottime_ns - self._asked_ns >= _QUALITY_NS:
            self._asked_ns, self._quality = boottime_ns, self._ask_kernel()
        letter, error_ms = self._quality
        wall_ms = time.time_ns() // 1_000_000
        return Moment(boottime_ns=boottime_ns, wall_ms=wall_ms, quality=letter, error_ms=error_ms)

    def _ask_kernel(self) -> tuple[str, int]:
        timex = _Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        if state < 0 or state == _TIME_ERROR or timex.status & _STA_UNSYNC:
            return "U", -1
        return "S", -(-timex.maxerror // 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The wall clock was set: it should have shown *expected_ms* and shows *found_ms*."""

    expected_ms: int
    found_ms: int


class StepDetector:
    """Finds steps of the wall clock against CLOCK_BOOTTIME; slewing below ``STEP_MS`` between looks is none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock()

    def look(self) -> Step | None:
        """The step since the last look, or None."""
        now, last = self._clock(), self._last
        self._last = now
        expected_ms = last.wall_ms + (now.boottime_ns - last.boottime_ns) // 1_000_000
        if abs(now.wall_ms - expected_ms) <= STEP_MS:
            return None
        return Step(expected_ms=expected_ms, found_ms=now.wall_ms)


def boot_id() -> bytes:
    """The kernel's random id of this boot, 16 bytes (random(4))."""
    with open(_BOOT_ID) as file:  # noqa: PTH123  (a kernel file, not a path of ours)
        return bytes.fromhex(file.read().strip().replace("-", ""))
