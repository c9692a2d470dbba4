"""A real DLMS meter for the client's tests: gurux-dlms and dlms-cosem in a process of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

from tests.parts import PEERS, ROOT, missing

PYTHON = PEERS / "venv" / "bin" / "python"
EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"


@cache
def _has_libraries() -> bool:
    if not PYTHON.exists():
        return False
    return (
        subprocess.run([PYTHON, "-c", "import gurux_dlms, dlms_cosem"], check=False, capture_output=True).returncode
        == 0
    )


def python_with_libraries() -> Path:
    """The interpreter that has both libraries; skips or fails without them."""
    if not _has_libraries():
        missing("gurux-dlms and dlms-cosem; sh tests/install-peers.sh installs them")
    return PYTHON


class MeterProcess:
    """A meter that can be killed and started again. See ``tests/peers/dlms_meter.py`` for what can be wanted."""

    def __init__(self, **wanted: object) -> None:
        self._wanted = wanted
        #: Its TCP port, or the device of its line.
        self.place = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, **changed: object) -> None:
        """On return it serves; a TCP meter at the port that it had before."""
        again = {"port": int(self.place)} if self.place.isdigit() else {}
        wanted = json.dumps(self._wanted | again | changed)
        command = [python_with_libraries(), ROOT / "tests" / "peers" / "dlms_meter.py", wanted]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        # What the libraries print while they are imported is passed over.
        line = self._process.stdout.readline()
        while line and not (line.strip().isdigit() or line.startswith("/dev/")):
            line = self._process.stdout.readline()
        self.place = line.strip()
        assert self.place, "the meter did not start"

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                assert stream is not None
                stream.close()
            self._process = None


@contextmanager
def meter(**wanted: object) -> Iterator[int]:
    """A running meter; its TCP port. See ``tests/peers/dlms_meter.py`` for what can be wanted."""
    command = [python_with_libraries(), ROOT / "tests" / "peers" / "dlms_meter.py", json.dumps(wanted)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            # What the libraries print while they are imported is passed over.
            line = process.stdout.readline()
            while line and not line.strip().isdigit():
                line = process.stdout.readline()
            yield int(line)
        finally:
            process.stdin.close()
            process.wait(10)
