"""A real DLMS meter for the client's tests: gurux-dlms and dlms-cosem in a process of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

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
