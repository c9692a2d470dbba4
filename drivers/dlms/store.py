"""The invocation counters of a meter with keys, handed out so that no restart, crash or second process repeats one.

The file, in two slots (``gateway.durable.TwoSlots``): the client's system title (8 bytes: ``MGW`` and five random
ones), and the next number (8 bytes, big-endian).

- The title is part of what must not repeat beside the counter, so a file that was lost does no harm: the new one has
  another title.
- Numbers are never below the seconds since 2020-01-01. So they are above those of a file that was put back from a
  backup, as long as no more than one a second was used, and above what a meter remembers of this gateway before.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from gateway.errors import MeterUnavailable
from gateway.reading import Clock

_TITLE_SIZE, _SIZE = 8, 16
_MAKER = b"MGW"
_START_MS = 1_577_836_800_000
#: A clock that is wrong must not use all numbers up: the other half stays.
_SECONDS_MAX = 0x7FFF_FFFF


class Slots(Protocol):
    """A small durable value; ``gateway.durable.TwoSlots`` is one. Both raise OSError."""

    def read(self) -> bytes | None:
        """The newest whole value; None when there is no file, or it holds none."""

    def write(self, payload: bytes) -> None:
        """On return, *payload* is the value, durably; a crash before that leaves the old value or the new one."""


class FileNumbers:
    """Implements ``drivers.dlms.numbers.NumberStore`` with the file *path*, which *slots* reads and writes."""

    def __init__(self, path: Path, slots: Callable[[Path], Slots], clock: Clock) -> None:
        self._path = path
        self._slots = slots
        self._clock = clock

    def reserve(self, at_least: int, count: int) -> tuple[bytes, int]:
        """See ``NumberStore``; a crash before the return leaves them in the file or handed out to nobody, for ever."""
        try:
            with self._alone():
                # Afresh each time: the other process wrote meanwhile.
                slots = self._slots(self._path)
                title, first = self._parse(slots.read())
                first = max(first, at_least, self._seconds())
                slots.write(title + (first + count).to_bytes(_SIZE - _TITLE_SIZE, "big"))
        except OSError as error:
            raise self._fault(error.strerror or "cannot be used") from error
        return title, first

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """``meter-gateway read`` may run beside the service."""
        fd = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _parse(self, payload: bytes | None) -> tuple[bytes, int]:
        if payload is None and not self._path.exists():
            return _MAKER + os.urandom(_TITLE_SIZE - len(_MAKER)), 0
        if payload is None or len(payload) != _SIZE:
            raise self._fault("holds no counter; remove the file: another system title is made then")
        return payload[:_TITLE_SIZE], int.from_bytes(payload[_TITLE_SIZE:], "big")

    def _seconds(self) -> int:
        return min(max(0, (self._clock().wall_ms - _START_MS) // 1000), _SECONDS_MAX)

    def _fault(self, reason: str) -> MeterUnavailable:
        return MeterUnavailable(f"invocation counter {self._path}: {reason}")
