"""Watches at the far side that a policy's witnesses go on cosigning: their silence is a finding, not a warning."""

from __future__ import annotations

from collections.abc import Callable

from gateway.log.witnessing import Witnessed
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Finding

#: How often it is looked at, in seconds: each look verifies a signature or two.
_EVERY_S = 1.0


class WitnessWatch:
    """Judges what *receiver* has seen. *now_s* is the wall clock, seconds since 1970."""

    def __init__(self, receiver: Receiver, now_s: Callable[[], int]) -> None:
        self._receiver, self._now_s = receiver, now_s
        self._met = False
        self._looked_s = -_EVERY_S

    def judged(self) -> Witnessed:
        """What the witnesses say now; a wrong line of theirs was a finding when it came, and does not count."""
        witnessed = self._receiver.witnessed(self._now_s())
        assert witnessed is not None
        return witnessed

    def met(self, size: int) -> bool:
        """Whether the quorum, if one is demanded, vouches for the first *size* entries."""
        witnessed = self.judged()
        return witnessed.met and (witnessed.size >= size or not witnessed.demanded)

    def look(self, clock_s: float) -> Finding | None:
        """A finding when the quorum has been met before, and is not any more. *clock_s* is monotonic."""
        if clock_s - self._looked_s < _EVERY_S:
            return None
        self._looked_s = clock_s
        before, witnessed = self._met, self.judged()
        self._met = witnessed.met
        if self._met or not before:
            return None
        return Finding(kind="unwitnessed", seq=witnessed.size, text=witnessed.reason)
