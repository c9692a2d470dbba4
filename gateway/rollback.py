"""The counter in a key store, which tells whether the log on the disk is an older copy (``gateway.log.counting``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from gateway.errors import KeyReplaced, SignerError, TamperError
from gateway.log.counting import Step, replaced, set_back, signed_step
from gateway.signing import Attestation, Counter

_log = logging.getLogger(__name__)


class CounterGuard:
    """Opens the counter when it is needed, and compares it with the log before the log goes on. All calls block."""

    def __init__(self, name: str, open_counter: Callable[[], Counter]) -> None:
        """*name* is what the log calls the counter: the same after a restart, and nobody's secret."""
        self.name = name
        #: Why the counter cannot be asked now; empty when it can.
        self.error = ""
        #: Its value as last seen.
        self.value: int | None = None
        self._open = open_counter
        self._counter: Counter | None = None
        self._step: Step | None = None
        self._compared = False

    def look(self, directory: Path) -> str | None:
        """At a start: why the log in *directory* cannot go on. A counter that is away is compared later."""
        self._step = signed_step(directory, self.name)
        try:
            self._compare()
        except TamperError as error:
            return str(error)
        except SignerError as error:
            _log.error("%s; it is compared with the log when it is there", error)
        return None

    def begin(self) -> None:
        """A new log: it has met no counter yet."""
        self._step, self._compared = None, True

    def read(self) -> int:
        """The counter's value, compared with the log if it was not yet.

        Raises TamperError where the log was set back, KeyReplaced where the counter is another one, SignerError.
        """
        if not self._compared:
            self._compare()
        return self._ask(lambda counter: counter.read())

    def increase(self) -> int:
        """Adds one; returns the value. Raises SignerError."""
        return self._ask(lambda counter: counter.increase())

    def certify(self, challenge: bytes) -> list[Attestation]:
        """What the store says of the counter and of its clock; maybe nothing. Raises SignerError."""
        assert self._counter is not None, "asked before it was read"
        return list(self._counter.certify(challenge))

    def _compare(self) -> None:
        value = self._ask(lambda counter: counter.read())
        if reason := set_back(self._step, value):
            raise TamperError(reason)
        self._compared = True
        if reason := replaced(self._step, value):
            raise KeyReplaced(f"counter {self.name}: {reason}")

    def _ask(self, ask: Callable[[Counter], int]) -> int:
        try:
            if self._counter is None:
                self._counter = self._open()
            self.value = ask(self._counter)
        except SignerError as error:
            self.error = str(error)
            raise
        self.error = ""
        return self.value
