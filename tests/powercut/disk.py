"""Real disks for the laboratory: one that records a run (FUSE under a loop device under ext4), one that shows a state.

ext4 is made and mounted with its defaults, so with barriers: each fdatasync(2) reaches the disk as a flush.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.parts import ROOT, missing, need

MB = 1 << 20
DISK_BYTES = 16 * MB
SECTOR = 512
_LIBC = ctypes.CDLL(None, use_errno=True)
#: linux/fs.h: drops what the kernel remembers of a block device.
_BLKFLSBUF = 0x1261
_MS_NODEV, _MS_NOATIME = 4, 1024


def require_parts() -> None:
    """Skips or fails without what the laboratory stands on."""
    if os.geteuid() != 0:
        missing("root, to mount the laboratory's disks")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            missing(f"{device}, for the power-cut laboratory")
    for program in ("mkfs.ext4", "losetup", "fusermount3"):
        need(program)
    if importlib.util.find_spec("mfusepy") is None:
        missing("mfusepy; make setup installs it")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        missing(f"the right to run {command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def mount_ext4(device: str, path: Path) -> None:
    """mount(2), at once: no state waits for a program to start. Raises OSError."""
    if _LIBC.mount(device.encode(), str(path).encode(), b"ext4", _MS_NODEV | _MS_NOATIME, None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), device)


def unmount(path: Path) -> None:
    """umount(2). Raises OSError."""
    if _LIBC.umount2(str(path).encode(), 0) == 0:
        return
    # A pack stays open as long as anything holds on to it, were it an error that is told already.
    gc.collect()
    if _LIBC.umount2(str(path).encode(), 0):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))


@contextmanager
def loop_device(file: Path) -> Iterator[str]:
    """A loop device on *file*, such as ``/dev/loop0``."""
    device = _run(need("losetup"), "--find", "--show", str(file))
    try:
        yield device
    finally:
        subprocess.run([need("losetup"), "--detach", device], check=False, capture_output=True)


@contextmanager
def mounted(device: str, path: Path) -> Iterator[None]:
    mount_ext4(device, path)
    try:
        yield
    finally:
        unmount(path)


def blank_image(path: Path) -> bytes:
    """A fresh ext4, with nothing left to be initialised behind the scenes."""
    with path.open("wb") as file:
        file.truncate(DISK_BYTES)
    later = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
    _run(need("mkfs.ext4"), "-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4", "-E", later, str(path))
    return path.read_bytes()


@contextmanager
def recording(folder: Path, image: bytes) -> Iterator[tuple[Path, Path]]:
    """(mounted ext4, file for markers) on a disk that begins as *image*; the trace is in *folder*/trace afterwards."""
    served, files = folder / "served", folder / "files"
    served.mkdir(parents=True)
    files.mkdir()
    (folder / "image").write_bytes(image)
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.powercut.fuse_disk", served, folder / "image", folder / "trace"]
        pipe = subprocess.PIPE
        disk = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        stack.callback(_end, disk, served)
        _await_mount(disk)
        device = stack.enter_context(loop_device(served / "disk"))
        stack.enter_context(mounted(device, files))
        yield files, served / "marks"


def _await_mount(disk: subprocess.Popen[str]) -> None:
    assert disk.stdout is not None
    if disk.stdout.readline() != "ready\n":
        _, errors = disk.communicate()
        missing(f"the right to mount with FUSE: {errors.strip()[-300:]}")


def _end(disk: subprocess.Popen[str], served: Path) -> None:
    subprocess.run([need("fusermount3"), "-u", str(served)], check=False, capture_output=True)
    try:
        disk.wait(20)
    finally:
        disk.kill()
        disk.communicate()


class Viewer:
    """Mounts one image after the other on one loop device over a file in memory."""

    def __init__(self, device: str, file: int, path: Path) -> None:
        self._device, self._file, self._path = device, file, path
        self._block = os.open(device, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._block)

    @contextmanager
    def show(self, image: bytes | bytearray) -> Iterator[Path]:
        """The file system of *image*, mounted as a start after a power cut mounts it; its journal is replayed."""
        os.pwrite(self._file, image, 0)
        fcntl.ioctl(self._block, _BLKFLSBUF, 0)
        with mounted(self._device, self._path):
            yield self._path


@contextmanager
def viewer(folder: Path) -> Iterator[Viewer]:
    """A viewer; *folder* holds its mount point."""
    path = folder / "shown"
    path.mkdir(parents=True)
    with ExitStack() as stack:
        file = os.memfd_create("powercut")
        stack.callback(os.close, file)
        os.ftruncate(file, DISK_BYTES)
        device = stack.enter_context(loop_device(Path(f"/proc/{os.getpid()}/fd/{file}")))
        found = Viewer(device, file, path)
        stack.callback(found.close)
        yield found
