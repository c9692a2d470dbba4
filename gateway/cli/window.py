"""How the command line reads times: RFC 3339, or a date, which is midnight in this computer's time zone.

A time without an offset is refused, since it could be meant in two ways. Times are to the millisecond.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.errors import ConfigError
from gateway.show import rfc3339

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Beyond any wall time that an entry can hold.
_EVER = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From *since_ms* on, up to but not including *until_ms*; Unix milliseconds. None leaves an end open."""

    since_ms: int | None
    until_ms: int | None

    @property
    def low(self) -> int:
        """The first millisecond inside."""
        return -_EVER if self.since_ms is None else self.since_ms

    @property
    def high(self) -> int:
        """The first millisecond behind it."""
        return _EVER if self.until_ms is None else self.until_ms

    def __str__(self) -> str:
        since = "the beginning" if self.since_ms is None else rfc3339(self.since_ms)
        until = "the end" if self.until_ms is None else f"{rfc3339(self.until_ms)}, which is not included"
        return f"from {since} to {until}"


def window_of(since_ms: int | None, until_ms: int | None) -> Window:
    """The window between two times. Raises ConfigError when nothing can be in it."""
    window = Window(since_ms=since_ms, until_ms=until_ms)
    if window.low >= window.high:
        raise ConfigError(f"no time is {window}; --until must be later than --since")
    return window


def moment(text: str) -> int:
    """An argument that is a time, as Unix milliseconds. Raises ArgumentTypeError."""
    try:
        if _DATE.fullmatch(text):
            # Without a zone it is local; where clocks are changed at midnight, the first of the two midnights.
            found = datetime.fromisoformat(text).astimezone()
        elif _TIME.fullmatch(text):
            found = datetime.fromisoformat(text.upper())
        else:
            raise argparse.ArgumentTypeError(
                f"{text[:80]!r} is no time; write 2026-03-01 (midnight here) or 2026-03-01T14:30:00+01:00 (Z is UTC)"
            )
        return (found - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: {error}") from error
