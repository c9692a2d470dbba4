"""Real parts the tests run against: a missing one is a loud skip, and a failure when ``CI=true``."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
VECTORS = ROOT.parent / "shared" / "vectors"


def missing(what: str) -> None:
    """Skips the running test because *what* is not here, or fails it when ``CI=true``."""
    message = f"REAL PART MISSING: {what}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def need(program: str) -> str:
    """Path of *program*; skips or fails without it. Debian keeps some servers in /usr/sbin."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        missing(f"program {program}; sh tests/install-peers.sh installs it")
    assert found is not None
    return found


def need_peer(program: str) -> str:
    """Path of a checker that ``tests/peers/requirements.txt`` brought; skips or fails without it."""
    found = PEERS / "venv" / "bin" / program
    if not found.exists():
        missing(f"checker {program}; sh tests/install-peers.sh installs it")
    return str(found)


def node_modules() -> Path:
    """The folder of the checkers from npm; skips or fails without it. Run Node.js with this as NODE_PATH."""
    found = PEERS / "npm" / "node_modules"
    if not found.is_dir():
        missing("the checkers from npm; sh tests/install-peers.sh installs them")
    return found


def vectors(name: str) -> Path:
    """The folder of foreign test vectors *name*; a loud skip where the shared folder is not beside the checkout."""
    folder = VECTORS / name
    if not folder.is_dir():
        pytest.skip(f"FOREIGN VECTORS MISSING: {name}")
    return folder


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
