"""A Modbus server that nobody here wrote: libmodbus, in ``libmodbus_server.c``, compiled when a test first needs it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Self

from tests.parts import missing, need

SOURCE = Path(__file__).with_name("libmodbus_server.c")
ALL_REGISTERS = 65_536


def word(address: int) -> int:
    """What the server holds at *address* unless told otherwise."""
    return (31 * address + 7) & 0xFFFF


def words(address: int, count: int) -> bytes:
    return b"".join(word(at).to_bytes(2, "big") for at in range(address, address + count))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="libmodbus-server-")


@cache
def binary() -> Path:
    """The compiled server; a loud skip without gcc or libmodbus-dev."""
    compiler = need("gcc")
    target = Path(_folder().name) / "server"
    flags = ["-I/usr/include/modbus", "-Wall", "-O1", "-o", str(target), str(SOURCE), "-lmodbus"]
    done = subprocess.run([compiler, *flags], capture_output=True, text=True)
    if done.returncode != 0:
        missing(f"libmodbus-dev: {done.stderr.splitlines()[0]}; sh tests/install-peers.sh installs it")
    return target


class LibmodbusServer:
    """Over TCP on a free loopback port, or on a serial *device* as *unit*. Use as a context manager.

    *contents* are (function, address, word) triples that replace the usual contents.
    """

    def __init__(self, *, device: str | None = None, unit: int = 1, registers: int = ALL_REGISTERS, port: int = 0,
                 contents: Iterable[tuple[int, int, int]] = ()) -> None:  # fmt: skip
        where = ["rtu", device, str(registers), str(unit)] if device else ["tcp", str(port), str(registers)]
        self._process = subprocess.Popen([binary(), *where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("".join(f"{fc} {address} {word}\n" for fc, address, word in contents) + "go\n")
        self._process.stdin.flush()
        self.port = int(self._process.stdout.readline())

    def stop(self) -> None:
        """Ends the server by its own pid; its connections are closed."""
        self._process.terminate()
        self._process.communicate(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._process.returncode is None:
            self.stop()
