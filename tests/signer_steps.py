"""A process that forks signers, for tests that kill them at each system call: ``python -m tests.signer_steps [BUG]``.

For each line STATE on standard input a child is forked. It says ``pid N``, waits for SIGUSR1, signs the checkpoints of
``SIZES`` one after the other with the memory STATE, writes each size to STATE.left as soon as its signature exists, and
ends; ``ended STATUS`` follows, as waitpid(2) gives it. BUG is one of ``tests.powercut.bugs``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from gateway.log.signer_state import GuardedSigner
from gateway.signing import Purpose
from tests.log_keys import ORIGIN, Ed25519Signer
from tests.powercut.bugs import plant

#: The first one makes the file, the next ones take the two slots in turn.
SIZES = (5, 8, 9)


def root_of(size: int) -> bytes:
    """The root that is signed for a size."""
    return size.to_bytes(32, "big")


class LeakyKey(Ed25519Signer):
    """A key store whose signatures leave at once, at the worst moment for who asked."""

    def __init__(self, left: Path) -> None:
        super().__init__()
        self._left = left

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        signature = super().sign(purpose, message)
        with self._left.open("ab", buffering=0) as file:
            file.write(message.split(b"\n")[1] + b"\n")
        return signature


def _sign(state: str) -> None:
    signer = LeakyKey(Path(f"{state}.left"))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    os.write(1, f"pid {os.getpid()}\n".encode())
    signal.sigwait({signal.SIGUSR1})
    guard = GuardedSigner(signer, Path(state))
    for size in SIZES:
        guard.sign_checkpoint(ORIGIN, size, root_of(size))


def main() -> None:
    for bug in sys.argv[1:]:
        plant(bug)
    while state := os.read(0, 4096).decode().rstrip("\n"):
        child = os.fork()
        if child == 0:
            _sign(state)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        os.write(1, f"ended {status}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
