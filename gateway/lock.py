"""The lock of a state directory: one process at a time writes there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway import durable
from gateway.errors import UnavailableError


def take_lock(state_dir: Path) -> int:
    """The descriptor that holds the lock (flock(2)) until it is closed. Raises UnavailableError."""
    fd = -1
    try:
        durable.make_directory(state_dir)
        fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise UnavailableError(f"another gateway runs on {state_dir}; stop it first") from error
    except OSError as error:
        raise UnavailableError(f"state_dir {state_dir}: {error.strerror}; it must be writable") from error
    return fd
