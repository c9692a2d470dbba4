"""The directory channel: the channel message as files, for a far side on the same machine, or one that copies files.

It needs no server, which makes it the default of the example config. The layout is specified in
``gateway/channel.py``. A message is delivered when its file and the file's name are durable. A message that is there
already, byte for byte, is delivered without being written again, so a restarted sender leaves few duplicates.
The oldest messages are removed when all of them take more than the limit, counted in blocks of 4,096 bytes as file
systems do.

One process writes a directory: an advisory lock (flock(2)) on D/.lock says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

from gateway import durable
from gateway.channel import MAX_MESSAGE, Message, decode_message, encode_message
from gateway.errors import MalformedError, SinkUnavailable
from gateway.sink import Hello, Lost

_NAME = re.compile(r"(\d{20})-(\d{6,9})\.msg")
_BLOCK = 4096
_MIB = 1 << 20


def message_name(seq: int, number: int) -> str:
    """File name of the *number*-th message that goes on from *seq*."""
    return f"{seq:020d}-{number:06d}.msg"


def message_names(folder: Path) -> list[tuple[int, int]]:
    """(seq, n) of the messages in *folder*, in the order of sending. Raises OSError."""
    with os.scandir(folder) as files:
        found = [match for file in files if (match := _NAME.fullmatch(file.name))]
    return sorted((int(match[1]), int(match[2])) for match in found)


class DirectorySink:
    """Delivers to the directory *folder*, keeping at most *keep_mb* MiB of messages. A ``gateway.sink.Sink``."""

    #: Files are made one after the other: their order is the order of sending.
    window = 1
    message_bytes = MAX_MESSAGE

    def __init__(self, name: str, folder: Path, *, keep_mb: int = 64) -> None:
        self.name = name
        self._folder = folder
        self._entries = folder / "entries"
        self._keep = keep_mb * _MIB
        self._lock = -1
        self._end = self._count = self._used = 0
        self._will = b""
        # A cancelled call leaves its thread at work; the next one waits for it.
        self._turn = threading.Lock()

    async def connect(self, hello: Hello, lost: Lost) -> None:  # noqa: ARG002  (the protocol asks for it)
        """Takes the directory and writes what is retained. A directory is never lost, so *lost* is not called."""
        await asyncio.to_thread(self._guarded, self._connect, hello)

    async def deliver(self, message: Message) -> None:
        """Returns when the message's file is durable. Raises SinkUnavailable."""
        await asyncio.to_thread(self._guarded, self._deliver, message)

    async def publish_status(self, topic_suffix: str, payload: bytes) -> None:
        """Replaces a retained file. Raises SinkUnavailable."""
        await asyncio.to_thread(self._guarded, self._retain, topic_suffix, payload)

    async def close(self) -> None:
        """Leaves the will as status and gives the directory free."""
        await asyncio.to_thread(self._close)

    def _guarded(self, work: Callable[..., None], *arguments: object) -> None:
        with self._turn:
            if self._lock < 0 and work != self._connect:
                raise SinkUnavailable(f"channel {self.name}: not connected")
            try:
                work(*arguments)
            except OSError as error:
                raise SinkUnavailable(
                    f"channel {self.name}: cannot write to {self._folder}: {error.strerror}; is there room, and may "
                    "this user write there?"
                ) from error

    def _connect(self, hello: Hello) -> None:
        durable.make_directory(self._folder)
        self._take()
        genesis = self._folder / "genesis"
        if genesis.exists() and genesis.read_bytes() != hello.genesis and self._entries.exists():
            # Another log was here, such as the epoch before: its messages stay, apart.
            durable.set_aside(self._entries, ".old")
        durable.make_directory(self._entries)
        for leftover in self._entries.glob(".*.tmp"):
            leftover.unlink()
        self._survey()
        self._retain("genesis", hello.genesis)
        if hello.checkpoint is not None:
            self._retain("checkpoint", hello.checkpoint)
        for suffix, payload in hello.retained.items():
            self._retain(suffix, payload)
        self._will = hello.will

    def _take(self) -> None:
        if self._lock >= 0:
            return
        fd = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise SinkUnavailable(
                f"channel {self.name}: another process writes to {self._folder}; stop it, or give this channel its own"
            ) from error
        self._lock = fd

    def _survey(self) -> None:
        """Finds out where the directory ends and how much it holds."""
        names = message_names(self._entries)
        self._used = sum(_space(self._path(*name)) for name in names)
        self._end = self._count = 0
        if not names:
            return
        self._end, number = names[-1]
        self._count = number + 1
        # A file that is no message was not written by us; what is sent next goes behind it all the same.
        with contextlib.suppress(MalformedError):
            self._advance(decode_message(self._path(*names[-1]).read_bytes()).end_seq)

    def _advance(self, end: int) -> None:
        if end > self._end:
            self._end, self._count = end, 0

    def _deliver(self, message: Message) -> None:
        data = encode_message(message)
        if self._there(message, data):
            return
        self._advance(message.first_seq)
        path = self._path(self._end, self._count)
        # A crash before this returns leaves no file or the whole one; the message then comes again.
        durable.write_atomically(path, data)
        self._used += _space(path)
        self._count += 1
        self._advance(message.end_seq)
        if self._used > self._keep:
            self._make_room()

    def _there(self, message: Message, data: bytes) -> bool:
        if message.first_seq > self._end or (message.entries and message.first_seq == self._end):
            return False
        same = self._entries.glob(f"{message.first_seq:020d}-*.msg")
        return any(path.read_bytes() == data for path in same)

    def _make_room(self) -> None:
        """Removes the oldest messages, never the newest one, down to nine tenths of the limit."""
        for name in message_names(self._entries)[:-1]:
            if self._used <= self._keep * 9 // 10:
                break
            path = self._path(*name)
            space = _space(path)
            path.unlink()
            self._used -= space

    def _retain(self, suffix: str, payload: bytes) -> None:
        parts = suffix.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise SinkUnavailable(f"channel {self.name}: {suffix!r} is no topic; a meter's name must be a file name")
        path = self._folder.joinpath(*parts)
        durable.make_directory(path.parent)
        durable.write_atomically(path, payload)

    def _close(self) -> None:
        with self._turn:
            if self._lock < 0:
                return
            with contextlib.suppress(OSError):
                self._retain("status", self._will)
            os.close(self._lock)
            self._lock = -1

    def _path(self, seq: int, number: int) -> Path:
        return self._entries / message_name(seq, number)


def _space(path: Path) -> int:
    return -(-path.stat().st_size // _BLOCK) * _BLOCK
