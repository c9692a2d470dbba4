"""When a meter is given up for a while, and how long one waits for its replies.

A meter is offline when it was silent for three seconds and two whole polls (wirenboard/wb-mqtt-serial declares a device
dead by the same two conditions). Then it is asked one small question at a time, with a pause that doubles from 5 to
60 s, so that the other meters of its bus do not notice. One answer brings it back.

How long a meter may think before its reply is due follows from its past: four times its slowest recent reply, between
a tenth of a second and the line's longest. A time-out makes it the longest again. Too short costs a value, never a
wrong one: the line does not take a late reply for another's.
"""

from __future__ import annotations

OFFLINE_S = 3.0
OFFLINE_POLLS = 2
PROBE_S_MIN = 5.0
PROBE_S_MAX = 60.0

DELAY_S_MIN = 0.1
_SAFETY = 4
#: A slow reply is remembered for about fifty faster ones.
_FADE = 0.98
#: Replies seen before the meter's own speed counts.
_LEARN = 8


class Health:
    """Whether a meter is worth asking. Times are the caller's, in seconds, of one steady clock."""

    def __init__(self) -> None:
        self._silent_since: float | None = None
        self._silent_polls = 0
        self._probe_at = 0.0
        self._pause_s = 0.0

    @property
    def offline(self) -> bool:
        """Whether the meter is set aside."""
        return self._pause_s > 0

    def wait_s(self, now: float) -> float:
        """How long the meter must not be asked yet; 0 when it may be."""
        return max(0.0, self._probe_at - now) if self.offline else 0.0

    def answered(self) -> None:
        """The meter is there."""
        self._silent_since, self._silent_polls, self._pause_s = None, 0, 0.0

    def silent(self, started: float, now: float) -> None:
        """A poll from *started* to *now* brought no reply at all."""
        if self._silent_since is None:
            self._silent_since = started
        self._silent_polls += 1
        if self._silent_polls >= OFFLINE_POLLS and now - self._silent_since >= OFFLINE_S:
            self._pause_s = min(2 * self._pause_s or PROBE_S_MIN, PROBE_S_MAX)
            self._probe_at = now + self._pause_s


class Patience:
    """How long a meter's reply may take."""

    def __init__(self, delay_s_max: float) -> None:
        self._delay_s_max = delay_s_max
        self._slowest_s = 0.0
        self._seen = 0

    @property
    def delay_s(self) -> float:
        """The longest that the meter may think."""
        if self._seen < _LEARN:
            return self._delay_s_max
        return min(max(_SAFETY * self._slowest_s, DELAY_S_MIN), self._delay_s_max)

    def replied(self, delay_s: float) -> None:
        """A reply took *delay_s*."""
        self._slowest_s = max(delay_s, self._slowest_s * _FADE)
        self._seen += 1

    def timed_out(self) -> None:
        """No reply came: be as patient as allowed for a while."""
        self._slowest_s = 0.0
        self._seen = 0
