"""SML read by somebody else: libsml, in ``libsml_reader.c``, compiled when a test first needs it."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.parts import missing, need

SOURCE = Path(__file__).with_name("libsml_reader.c")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="libsml-reader-")


@cache
def binary() -> Path:
    """The compiled reader; a loud skip without gcc, libsml-dev or uuid-dev."""
    compiler = need("gcc")
    target = Path(_folder().name) / "reader"
    flags = ["-I/usr/include/sml", "-Wall", "-O1", "-o", str(target), str(SOURCE), "-lsml"]
    done = subprocess.run([compiler, *flags], capture_output=True, text=True)
    if done.returncode != 0:
        missing(f"libsml-dev: {done.stderr.splitlines()[0]}; sh tests/install-peers.sh installs it")
    return target


def read(telegrams: list[bytes]) -> list[list[str]]:
    """The words of each line that libsml makes of the telegrams, one behind the other."""
    sized = b"".join(len(telegram).to_bytes(4, "little") + telegram for telegram in telegrams)
    done = subprocess.run([binary()], input=sized, capture_output=True, timeout=60, check=True)
    return [line.split() for line in done.stdout.decode().splitlines()]
