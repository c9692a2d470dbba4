"""The feed of a directory channel (layout: ``gateway/channel.py``): what is there, and then what appears.

It begins with the last message that goes on from a seq at or below the size that the receiver has, since all before it
is known. The directory is looked at five times a second, and listed only when something in it changed.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.channel import MAX_CHECKPOINT, MAX_ENTRY, MAX_MESSAGE, Request, decode_message
from gateway.errors import MalformedError
from gateway.follow.follower import Delivery, What
from gateway.sinks.directory import message_name, message_names

_BATCH = 64
_LOOK_S = 0.2
#: A file system may give two changes the same time when they come this close together.
_TICK_NS = 50_000_000


class DirectoryFeed:
    """Reads the channel in *folder*. *size* gives the entries held: those need not come again at the start."""

    can_ask = False
    connection = 0

    def __init__(self, folder: Path, size: Callable[[], int]) -> None:
        self.reached = False
        self.trouble = ""
        self._folder = folder
        self._size = size
        self._retained: dict[What, tuple[int, int]] = {}
        self._entries: tuple[int, int] | None = None
        self._scanned_ns = 0
        self._names: list[tuple[int, int]] = []
        self._last: tuple[int, int] | None = None
        self._waiting = threading.Event()

    def take(self, timeout_s: float) -> list[Delivery]:
        """What is new; waits once, for at most *timeout_s*, where nothing is."""
        found = self._look()
        if not found and timeout_s > 0:
            self._waiting.wait(min(timeout_s, _LOOK_S))
            found = self._look()
        return found

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Files stay; the sender removes them when it needs the space."""

    def ask(self, request: Request) -> None:
        """Nobody is there to be asked."""

    def close(self) -> None:
        """Nothing is open."""

    def _look(self) -> list[Delivery]:
        try:
            folder = (self._folder / "entries").stat()
        except OSError as error:
            self.trouble = f"{self._folder} is no channel yet: entries: {error.strerror}; waiting for it"
            return []
        self.reached, self.trouble = True, ""
        found = [*self._look_at(What.GENESIS, MAX_ENTRY), *self._messages(folder)]
        return [*found, *self._look_at(What.CHECKPOINT, MAX_CHECKPOINT), *self._look_at(What.COSIGNED, MAX_CHECKPOINT)]

    def _look_at(self, what: What, limit: int) -> list[Delivery]:
        """The retained file, if it is another one than before."""
        path = self._folder / what.value
        try:
            status = path.stat()
        except OSError:
            return []
        mark = (status.st_ino, status.st_mtime_ns)
        if self._retained.get(what) == mark:
            return []
        data = _read(path, limit)
        if data is None:
            return []
        self._retained[what] = mark
        return [Delivery(what=what, data=data)]

    def _messages(self, folder: os.stat_result) -> list[Delivery]:
        if self._entries is not None and self._entries[0] != folder.st_ino:
            # Another log took the place of the one before.
            self._names, self._last, self._entries = [], None, None
        if not self._names:
            self._list(folder)
        batch, self._names = self._names[:_BATCH], self._names[_BATCH:]
        found = []
        for name in batch:
            data = _read(self._folder / "entries" / message_name(*name), MAX_MESSAGE)
            self._last = name
            if data is not None:
                found.append(Delivery(what=What.MESSAGE, data=data))
        return found

    def _list(self, folder: os.stat_result) -> None:
        mark = (folder.st_ino, folder.st_mtime_ns)
        if mark == self._entries and self._scanned_ns - folder.st_mtime_ns > _TICK_NS:
            return
        self._entries, self._scanned_ns = mark, time.time_ns()
        names = message_names(self._folder / "entries")
        if self._last is None:
            self._names = self._unknown(names)
        else:
            self._names = [name for name in names if name > self._last]

    def _unknown(self, names: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those that may hold what is not known yet."""
        size = self._size()
        below = [name for name in names if name[0] <= size]
        rest = names[len(below) :]
        if not size or not below:
            return names
        data = _read(self._folder / "entries" / message_name(*below[-1]), MAX_MESSAGE)
        try:
            known = data is None or decode_message(data).end_seq <= size
        except MalformedError:
            known = False
        self._last = below[-1] if known else self._last
        return rest if known else [below[-1], *rest]


def _read(path: Path, limit: int) -> bytes | None:
    """The file's bytes, one more than *limit* at most; None where there is no plain file to read (any more)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = b""
        while len(data) <= limit and (more := os.read(fd, limit + 1 - len(data))):
            data += more
        return data
    finally:
        os.close(fd)
