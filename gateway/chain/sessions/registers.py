"""What a meter's register said at a moment: the newest good value in the log at or before it, and where it stands.

A session begins and ends when the chain says so, and the gateway hears of it later: a minute, or weeks. So the value of
now is never the answer. The entry's wall time is compared with the chain's time; both are claims, and the entry carries
its own. Where the newest good value is older than *age_s*, or where there is none, the answer is why: nothing is
interpolated and nothing is taken from after the moment.

The search reads only the blocks of the log that can hold the time (``gateway.log.times``), so it costs the same weeks
later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from gateway.chain.totals import MeterPoint, Observed, observe
from gateway.errors import ConfigError, PrunedError, TamperError
from gateway.log.proving import node_sources, present
from gateway.log.times import FILE, WallTimes, wall_ms_of
from gateway.log.view import LogView
from gateway.reading import MeterDescription, Status

#: A quarter of an hour, the longest that meters are usually read apart.
AGE_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterValue:
    """A value as entry *seq* holds it; or *reason* says why there is none, and the rest is empty."""

    seq: int = -1
    #: Exact decimal text.
    text: str = ""
    unit: str = ""
    wall_ms: int = 0
    reason: str = ""


class Register(Protocol):
    """One point of one meter, in the past."""

    @property
    def meter(self) -> str:
        """The meter's name in the config."""

    @property
    def point(self) -> str:
        """The point's name there."""

    def at(self, wall_ms: int) -> RegisterValue:
        """What it said at that time (Unix milliseconds). Blocks; called from threads. Raises LogUnavailable."""


class LogRegister:
    """``Register`` over the gateway's own log in *directory*."""

    def __init__(self, directory: Path, point: MeterPoint, age_s: int = AGE_S) -> None:
        self._directory, self._point, self._age_s = directory, point, age_s

    @property
    def meter(self) -> str:
        """See ``Register``."""
        return self._point.meter

    @property
    def point(self) -> str:
        """See ``Register``."""
        return self._point.point

    def at(self, wall_ms: int) -> RegisterValue:
        """See ``Register``."""
        since_ms = wall_ms - self._age_s * 1000
        try:
            newest, good = self._search(since_ms, wall_ms + 1)
        except (ConfigError, TamperError) as error:
            return RegisterValue(reason=str(error))
        if good is not None:
            return RegisterValue(seq=good.seq, text=str(good.value), unit=good.unit, wall_ms=good.wall_ms)
        if newest is None:
            return RegisterValue(reason=f"nothing was read in the {self._age_s} s before")
        return RegisterValue(
            reason=f"no good value in the {self._age_s} s before; entry {newest.seq} says {newest.status.text}"
        )

    def _search(self, since_ms: int, until_ms: int) -> tuple[Observed | None, Observed | None]:
        """What stands last in the log of all in the window, and of all that is good."""
        view = LogView(self._directory)
        times = WallTimes(self._directory / FILE, next(node_sources(view)), partial(_left, view))
        newest, good = None, None
        for start, stop in times.may_hold(since_ms, until_ms, view.size):
            for _, data in present(view, start, stop):
                if not since_ms <= wall_ms_of(data) < until_ms:
                    continue
                found = observe(data, self._point, partial(_meter, view))
                newest = found or newest
                good = found if found is not None and found.status is Status.OK else good
        times.keep()
        return newest, good


def _left(view: LogView, start: int, stop: int) -> Iterator[bytes]:
    return (data for _, data in present(view, start, stop))


def _meter(view: LogView, seq: int) -> MeterDescription | None:
    try:
        return view.meter(seq)
    except PrunedError:
        return None
