"""A simulated disk below a real directory: it fails when told to, and loses at a power cut what it never confirmed.

While it is installed, the calls of ``os`` that write, sync, create, rename and remove files under its directory pass
through it. The model is the pessimist's reading of the manual pages:

- each 512-byte sector that was not synced holds, after a cut, any of the versions that it had since;
- a sync that failed confirms nothing, and no later sync makes up for it: its pages count as clean (see
  ``gateway.durable``); only what is written again can be confirmed again;
- names appear, change and go in the order in which that was asked for; after a cut any first part of it holds, and at
  least what the last fsync(2) of the directory confirmed.

A call that fails has done nothing or all of its work: who is told ``EIO`` knows nothing. A write across pages that
fails first says that it wrote those before the last, as write(2) does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

SECTOR = 512
_PAGE = 4096
CALLS = ("pwrite", "fdatasync", "fsync", "rename", "open", "unlink")


@dataclass(slots=True)
class Content:
    """What one file may hold."""

    now: bytearray = field(default_factory=bytearray)
    #: What a power cut leaves for certain.
    durable: bytearray = field(default_factory=bytearray)
    #: Other versions of a sector that the disk may hold.
    versions: dict[int, list[bytes]] = field(default_factory=dict)
    #: Sectors that the next sync writes.
    dirty: set[int] = field(default_factory=set)

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        self.now.extend(bytes(max(0, end - len(self.now))))
        self.now[offset:end] = data
        for sector in range(offset // SECTOR, -(-end // SECTOR)):
            self.versions.setdefault(sector, []).append(self._sector(sector))
            self.dirty.add(sector)

    def _sector(self, sector: int) -> bytes:
        return bytes(self.now[sector * SECTOR : (sector + 1) * SECTOR])

    def sync(self, *, confirmed: bool) -> None:
        if confirmed:
            self.durable.extend(bytes(max(0, len(self.now) - len(self.durable))))
            for sector in self.dirty:
                self.durable[sector * SECTOR : (sector + 1) * SECTOR] = self._sector(sector)
                del self.versions[sector]
        self.dirty.clear()

    def reread(self, rng: random.Random) -> None:
        """The kernel drops its clean pages: what the disk has of them is seen now, and certain."""
        for sector in self.versions.keys() - self.dirty:
            start = sector * SECTOR
            self.durable.extend(bytes(max(0, len(self.now) - len(self.durable))))
            seen = rng.choice([bytes(self.durable[start : start + SECTOR]), *self.versions.pop(sector)])
            self.durable[start : start + SECTOR] = self.now[start : start + SECTOR] = seen

    def after_a_cut(self, rng: random.Random) -> Content:
        """One of the contents that are possible, and certain from here on."""
        lucky = rng.choice([0.0, 0.2, 0.5, 0.9, 1.0])
        left = bytearray(self.durable)
        if len(self.now) > len(left) and rng.random() < 0.7:
            left.extend(bytes(len(self.now) - len(left)))
        for sector, versions in self.versions.items():
            start = sector * SECTOR
            if start < len(left) and rng.random() < lucky:
                version = versions[-1] if rng.random() < 0.5 else rng.choice(versions)
                left[start : start + SECTOR] = version[: len(left) - start]
        return Content(now=left, durable=bytearray(left))


@dataclass(slots=True, kw_only=True)
class Fault:
    """What goes wrong with one kind of call: after so many good ones, so many bad ones."""

    code: int
    after: int
    times: int
    #: The call does its work, and says that it failed.
    works: bool


class FaultyDisk:
    """The disk under the files of *directory*. Directories themselves never get lost."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: dict[str, Fault] = {}
        self._real = {name: getattr(os, name) for name in (*CALLS, "close", "posix_fadvise")}
        self._rng = random.Random(0)
        self._names: dict[str, Content] = {}
        self._durable_names: dict[str, Content] = {}
        #: Changes of names that no sync of their directory has confirmed: (directory, name, its file or none).
        self._renamings: list[tuple[tuple[str, Content | None], ...]] = []
        self._open: dict[int, str | Content] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Calls of ``os`` pass through this disk."""
        with mock.patch.multiple(os, **{name: getattr(self, f"_{name}_") for name in self._real}):
            yield

    def _ours(self, path: Any) -> str | None:
        text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        return text if text.startswith(f"{self.directory}/") or text == str(self.directory) else None

    def _does(self, call: str, work: Callable[[], Any]) -> Any:
        """Does *work*, unless it is time for the call to fail."""
        fault = self.faults.get(call)
        if fault is None:
            return work()
        if fault.after:
            fault.after -= 1
            return work()
        fault.times -= 1
        if not fault.times:
            del self.faults[call]
        if fault.works:
            work()
        raise OSError(fault.code, os.strerror(fault.code))

    def _open_(self, path: Any, flags: int, *rest: Any, **others: Any) -> int:
        name = self._ours(path)
        if name is None or not flags & os.O_CREAT or os.path.exists(name):
            fd: int = self._real["open"](path, flags, *rest, **others)
        else:
            fd = self._does("open", lambda: self._real["open"](path, flags, *rest, **others))
        if name is None:
            return fd
        if flags & os.O_DIRECTORY:
            self._open[fd] = name
            return fd
        if flags & os.O_CREAT and name not in self._names:
            self._rename_all((name, Content()))
        self._open[fd] = self._names[name]
        if flags & os.O_TRUNC and self._names[name].now:
            self._rename_all((name, Content()))
            self._open[fd] = self._names[name]
        return fd

    def _close_(self, fd: int) -> None:
        self._open.pop(fd, None)
        self._real["close"](fd)

    def _pwrite_(self, fd: int, data: Any, offset: int) -> int:
        content = self._open.get(fd)
        if not isinstance(content, Content):
            return int(self._real["pwrite"](fd, data, offset))
        fault = self.faults.get("pwrite")
        whole_pages = (offset + len(data)) // _PAGE * _PAGE - offset
        if fault is not None and not fault.after and not fault.works and 0 < whole_pages < len(data):
            data = data[:whole_pages]
            content.write(bytes(data), offset)
            return int(self._real["pwrite"](fd, data, offset))

        def work() -> int:
            content.write(bytes(data), offset)
            return int(self._real["pwrite"](fd, data, offset))

        return int(self._does("pwrite", work))

    def _posix_fadvise_(self, fd: int, offset: int, length: int, advice: int) -> None:
        content = self._open.get(fd)
        if isinstance(content, Content) and advice == os.POSIX_FADV_DONTNEED:
            content.reread(self._rng)
            path = Path(f"/proc/self/fd/{fd}").resolve()
            path.write_bytes(content.now)
        self._real["posix_fadvise"](fd, offset, length, advice)

    def _sync(self, call: str, fd: int) -> None:
        target = self._open.get(fd)
        if target is None:
            self._real[call](fd)
        elif isinstance(target, Content):
            try:
                self._does(call, lambda: None)
            except OSError:
                target.sync(confirmed=False)
                raise
            target.sync(confirmed=True)
        else:
            self._does(call, lambda: self._confirm_names(target))

    def _fdatasync_(self, fd: int) -> None:
        self._sync("fdatasync", fd)

    def _fsync_(self, fd: int) -> None:
        self._sync("fsync", fd)

    def _rename_(self, source: Any, target: Any, **others: Any) -> None:
        if self._ours(source) is None:
            return self._real["rename"](source, target, **others)

        def work() -> None:
            self._real["rename"](source, target)
            self._rename_all((os.fspath(source), None), (os.fspath(target), self._names[os.fspath(source)]))

        self._does("rename", work)
        return None

    def _unlink_(self, path: Any, **others: Any) -> None:
        if self._ours(path) is None or os.fspath(path) not in self._names:
            return self._real["unlink"](path, **others)

        def work() -> None:
            self._real["unlink"](path)
            self._rename_all((os.fspath(path), None))

        self._does("unlink", work)
        return None

    def _rename_all(self, *changes: tuple[str, Content | None]) -> None:
        """Names change together, or not at all."""
        self._renamings.append(changes)
        _apply(self._names, changes)

    def _confirm_names(self, directory: str) -> None:
        """All changes up to the last one in that directory are certain: a journal keeps them in order."""
        inside = [any(os.path.dirname(name) == directory for name, _ in changes) for changes in self._renamings]
        last = max((index for index, here in enumerate(inside, 1) if here), default=0)
        for changes in self._renamings[:last]:
            _apply(self._durable_names, changes)
        del self._renamings[:last]

    def cut(self, rng: random.Random) -> None:
        """The power is cut, and comes back: the directory holds what is left."""
        self.faults.clear()
        left = dict(self._durable_names)
        for changes in self._renamings[: rng.randint(0, len(self._renamings))]:
            _apply(left, changes)
        self._names = {name: content.after_a_cut(rng) for name, content in left.items()}
        self._durable_names, self._renamings = dict(self._names), []
        self._open.clear()
        for path in [path for path in self.directory.rglob("*") if path.is_file()]:
            self._real["unlink"](path)
        for name, content in self._names.items():
            Path(name).write_bytes(content.now)


def _apply(names: dict[str, Content], changes: tuple[tuple[str, Content | None], ...]) -> None:
    for name, content in changes:
        if content is None:
            names.pop(name, None)
        else:
            names[name] = content
