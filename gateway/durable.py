"""The only caller of fsync, fdatasync, rename and their friends; each function states what a crash leaves behind.

A file's bytes are durable after fsync(2) of the file; its name is durable after fsync(2) of its directory. After a
failed fsync nothing may be concluded about the bytes, and a second fsync that succeeds proves nothing (ext4, XFS
and Btrfs mark the failed pages clean; Rebello et al., USENIX ATC 2020). Callers give up the file instead.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

#: Written in one go while a file is zero-filled.
_ZEROES = bytes(1 << 20)

BLOCK = 4096
_SLOT = struct.Struct(">4sQII")
_SLOT_MAGIC = b"MGS1"
MAX_SLOT_PAYLOAD = BLOCK - _SLOT.size


def sync_file(fd: int) -> None:
    """On return, the bytes written to *fd* survive a power cut (fdatasync(2)). Raises OSError; never retry it."""
    os.fdatasync(fd)


def settle_file(path: Path) -> None:
    """On return, reading *path* shows what the disk holds, and that survives a power cut.

    A process before may have died before its sync, or on a sync that failed: then the kernel has pages that count as
    clean and that no disk has. Synced or failed, clean pages are dropped (posix_fadvise(2)) and read again.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fdatasync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """On return, names created, renamed or removed in *path* survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def try_sync(files: Iterable[int], directory: Path | None = None) -> OSError | None:
    """Syncs open *files*, then the names in *directory*; the error of the first that failed, which is never retried."""
    try:
        for fd in files:
            sync_file(fd)
        if directory is not None:
            sync_directory(directory)
    except OSError as error:
        return error
    return None


def make_directory(path: Path, mode: int = 0o755) -> None:
    """On return, *path* and any parents made on the way survive a power cut. An existing directory is fine."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=mode)
        sync_directory(folder.parent)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Writes all of *data* at *offset*; nothing is durable yet. Raises OSError, part of the data then written."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """After a crash *path* holds either its old content or all of *data*; on return, *data*, durably."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync_directory(path.parent)


@contextlib.contextmanager
def writing_atomically(path: Path, check: Callable[[Path], None] = lambda _path: None) -> Iterator[BinaryIO]:
    """As ``write_atomically``, for content that is written piece by piece: durable when the block has ended.

    *check* looks at the file as the disk has it, before it gets its name. When it or the block raises, *path* is as it
    was. A crash may leave a file ``.NAME.tmp``.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        check(temporary)
        temporary.rename(path)
        sync_directory(path.parent)
    finally:
        # There is one only where something was raised.
        temporary.unlink(missing_ok=True)


def write_replacing(path: Path, data: bytes) -> None:
    """Readers see the old content of *path* or all of *data*; a crash may leave anything until sync_everything()."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.rename(path)


def sync_everything() -> None:
    """On return, all that was written before survives a power cut (sync(2)); it does not report write errors."""
    os.sync()


def create_exclusively(path: Path, data: bytes, mode: int = 0o644) -> None:
    """On return, the new file *path* holds *data*, durably; a crash leaves no *path*, or all of it.

    Raises FileExistsError when *path* is there already: it is never replaced.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        write_all(fd, data, 0)
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        # link(2) fails where the name is taken; rename(2) would replace it.
        os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def preallocate(path: Path, head: bytes, size: int) -> int:
    """Makes *path*: *head*, then zeroes up to *size* bytes, blocks allocated and durable. Returns its descriptor.

    A later write inside it needs no new block and no metadata, so it can neither meet a full disk nor cost more
    than its own bytes. A crash leaves no *path*, or all of it. Raises OSError; no *path* is then left.
    """
    fd = preallocate_unnamed(path, head, size)
    try:
        sync_directory(path.parent)
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    return fd


def preallocate_unnamed(path: Path, head: bytes, size: int) -> int:
    """As ``preallocate``, but a power cut may leave no *path*: for a file renamed once more before it counts."""
    temporary = path.with_name(f".{path.name}.tmp")
    fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, head, 0)
        for offset in range(len(head), size, len(_ZEROES)):
            write_all(fd, _ZEROES[: min(len(_ZEROES), size - offset)], offset)
        os.fsync(fd)
        temporary.rename(path)
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    return fd


def remove(paths: Iterable[Path]) -> None:
    """Removes these files of one directory; a power cut may bring some back until the directory is synced next."""
    for path in paths:
        path.unlink(missing_ok=True)


def set_aside(path: Path, ending: str) -> Path:
    """Renames *path* out of the way, keeping it; durable on return. Returns the new path, unused until now."""
    target = path.with_name(path.name + ending)
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{ending}{number}")
    path.rename(target)
    sync_directory(path.parent)
    return target


class TwoSlots:
    """A small value that is replaced in place: two 4 KiB blocks, written in turn, so one is whole at any moment.

    Block: magic ``MGS1``, generation (8 bytes), length (4), CRC-32 of generation, length and payload (4), payload;
    integers big-endian. The whole block with the higher generation holds. After the first write no metadata changes,
    so a write costs one block on the device.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._generation = 0

    def read(self) -> bytes | None:
        """The newest whole value; None when the file is missing or holds none."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        slots = [slot for offset in (0, BLOCK) if (slot := _parse_slot(data[offset : offset + BLOCK])) is not None]
        if not slots:
            return None
        self._generation, payload = max(slots)
        return payload

    def write(self, payload: bytes) -> None:
        """On return, *payload* is the value, durably; a crash before that leaves the old value or the new one."""
        if len(payload) > MAX_SLOT_PAYLOAD:
            raise ValueError(f"{len(payload)} bytes do not fit into a slot of {MAX_SLOT_PAYLOAD}")
        if not self._path.exists():
            os.close(preallocate(self._path, b"", 2 * BLOCK))
        generation = self._generation + 1
        body = struct.pack(">QI", generation, len(payload)) + payload
        block = _SLOT_MAGIC + body[:12] + zlib.crc32(body).to_bytes(4, "big") + payload
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            write_all(fd, block.ljust(BLOCK, b"\0"), generation % 2 * BLOCK)
            sync_file(fd)
        finally:
            os.close(fd)
        self._generation = generation


def _parse_slot(block: bytes) -> tuple[int, bytes] | None:
    if len(block) != BLOCK:
        return None
    magic, generation, length, checksum = _SLOT.unpack_from(block)
    payload = block[_SLOT.size : _SLOT.size + length]
    body = struct.pack(">QI", generation, length) + payload
    if magic != _SLOT_MAGIC or len(payload) != length or zlib.crc32(body) != checksum:
        return None
    return generation, payload


def overwrite(path: Path) -> None:
    """On return no name leads to the bytes of *path*, durably, and zeroes stand where the file system kept them.

    That is all that a file system which writes in place can be asked for: flash keeps old blocks until it needs them.
    A crash leaves *path* as it was, or partly zeroes, or gone. Bytes that have another name stay under that one.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_nlink == 1:
            _fill_with_zeroes(fd)
    finally:
        os.close(fd)
    path.unlink()
    sync_directory(path.parent)


def replace_overwriting(path: Path, data: bytes, zeroed: Path | None = None) -> None:
    """As ``write_atomically``, and zeroes stand where the old content was kept; see ``overwrite``.

    Owner and mode stay. The file that is all zeroes now stays under the name *zeroed*, if one is given. A crash leaves
    the old content, or all of *data*; then the old blocks may not be zeroes yet.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        old = os.fstat(fd)
        if zeroed is not None:
            os.link(path, zeroed)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(new, old.st_mode & 0o777)
            os.fchown(new, old.st_uid, old.st_gid)
            write_all(new, data, 0)
            os.fsync(new)
        finally:
            os.close(new)
        temporary.rename(path)
        sync_directory(path.parent)
        _fill_with_zeroes(fd)
    finally:
        os.close(fd)


def _fill_with_zeroes(fd: int) -> None:
    size = os.fstat(fd).st_size
    for offset in range(0, size, len(_ZEROES)):
        write_all(fd, _ZEROES[: min(len(_ZEROES), size - offset)], offset)
    os.fsync(fd)
