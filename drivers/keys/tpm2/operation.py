"""One operation on a TPM: a few commands over a port of its own, within one deadline, that leave nothing loaded.

Since each operation opens its port anew, a TPM that was reset or swapped is met at the next one, and several processes
can use one TPM. What an operation loads is flushed at its end: by the kernel where it manages the TPM, or else by the
operation. A process that is killed in the middle leaves objects behind in a TPM that nobody manages, which has room for
three: when it is full, all transient objects are flushed, once in an operation.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TypeVar

from drivers.keys.tpm2.codec import RC_AGAIN, RC_OBJECT_MEMORY, Command, TpmRefused
from drivers.keys.tpm2.commands import TRANSIENT, flush_context, list_handles
from drivers.keys.tpm2.port import Port, Tcti
from gateway.errors import SignerError

T = TypeVar("T")

TIMEOUT_S = 20.0
_PAUSE_S = 0.02


class Operation:
    """Runs commands, and knows what they loaded."""

    def __init__(self, tcti: Tcti, port: Port, deadline: float) -> None:
        self.where = tcti.text
        self._managed = tcti.is_managed
        self._port = port
        self._deadline = deadline
        self._loaded: list[int] = []
        self._swept = tcti.is_managed

    def run(self, command: Command[T]) -> T:
        """The result of *command*; one that the TPM asks to send again is sent again. Raises SignerError."""
        while True:
            try:
                return command.result(self._port.exchange(command.encoded(), command.name), self.where)
            except TpmRefused as error:
                if error.reason == RC_OBJECT_MEMORY and not self._swept:
                    self._sweep()
                elif error.reason not in RC_AGAIN or time.monotonic() + _PAUSE_S > self._deadline:
                    raise
                else:
                    time.sleep(_PAUSE_S)

    def load(self, command: Command[int]) -> int:
        """The handle that *command* gives, which is flushed when the operation ends."""
        handle = self.run(command)
        self._loaded.append(handle)
        return handle

    def release(self, handle: int) -> None:
        """The TPM has flushed *handle* itself."""
        self._loaded.remove(handle)

    def flush(self) -> None:
        """Flushes what was loaded, unless the kernel does; a TPM that is away by now is met at the next operation."""
        if self._managed:
            return
        with contextlib.suppress(SignerError):
            while self._loaded:
                self.run(flush_context(self._loaded.pop()))

    def _sweep(self) -> None:
        self._swept = True
        for handle in self.run(list_handles(TRANSIENT)):
            if handle not in self._loaded:
                self.run(flush_context(handle))


@contextlib.contextmanager
def operation(tcti: Tcti, timeout_s: float = TIMEOUT_S) -> Iterator[Operation]:
    """An operation on the TPM at *tcti* that lasts at most *timeout_s*. Raises SignerError."""
    deadline = time.monotonic() + timeout_s
    port = Port(tcti, deadline)
    try:
        running = Operation(tcti, port, deadline)
        try:
            yield running
        finally:
            running.flush()
    finally:
        port.close()
