"""Small real file systems that can be filled, made read-only or broken. They need root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import missing, need

KB = 1024


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def try_run(what: str, *command: str) -> None:
    """Runs a command that needs rights which a container may lack."""
    if os.geteuid() != 0:
        missing(f"root, to {what}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"the right to {what}: {done.stderr.strip()}")


@contextmanager
def tmpfs(path: Path, size: int) -> Iterator[Path]:
    """A memory file system of that size at *path*."""
    path.mkdir()
    try_run("mount a tmpfs", need("mount"), "-t", "tmpfs", "-o", f"size={size}", "none", str(path))
    try:
        yield path
    finally:
        run("umount", "-l", str(path))


class Ext4:
    """An ext4 file system in a file, on a loop device."""

    def __init__(self, image: Path, size: int) -> None:
        self.image = image
        self.path = image.with_suffix(".mnt")
        self.path.mkdir()
        with image.open("wb") as file:
            file.truncate(size)
        run(need("mkfs.ext4"), "-q", "-F", "-m", "0", "-b", "4096", "-O", "^metadata_csum", str(image))

    def mount(self) -> None:
        try_run("mount a loop device", need("mount"), "-o", "loop", str(self.image), str(self.path))

    def unmount(self) -> None:
        run("umount", str(self.path))

    def abort(self) -> None:
        """What the kernel does after an error of the disk: the file system is read-only from now on."""
        run("mount", "-o", "remount,abort", str(self.path))

    def device(self) -> str:
        """Name of the loop device, such as ``loop0``."""
        shown = subprocess.run(["losetup", "-j", str(self.image)], check=True, capture_output=True, text=True)
        return Path(shown.stdout.split(":")[0]).name


@contextmanager
def ext4(image: Path, size: int) -> Iterator[Ext4]:
    """A mounted ext4 of that size; unmounted afterwards."""
    disk = Ext4(image, size)
    disk.mount()
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk.path)], capture_output=True, check=False)


def fill(directory: Path, leave: int = 0) -> Path:
    """A file that takes all free space but about *leave* bytes."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(16 * KB))
        except OSError:
            pass
        os.fsync(file.fileno())
        file.truncate(max(0, file.tell() - leave))
    return ballast
