"""Findings as events of our log: each kind at once, and what repeats within a minute as a count.

Whoever can write to a channel can cause findings as fast as it carries messages; each alarm is committed at once, so
without a bound that would fill our log and wear our disk. Nothing is left out: the count comes with the next event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.log.entry import ALARM, WARNING
from gateway.receiver.run import Finding

EVERY_S = 60.0
#: What comes again is no finding here: a channel delivers at least once.
_EXPECTED = frozenset({"duplicate"})
_WARNINGS = frozenset({"old-checkpoint", "full"})

#: Appends an event: code, severity, subject, text.
Tell = Callable[[str, int, str, str], None]


@dataclass(slots=True)
class _Told:
    at_s: float
    count: int = 0
    newest: str = ""


class Alarms:
    """Tells of the upstream *name*. *clock* gives monotonic seconds."""

    def __init__(self, name: str, tell: Tell, clock: Callable[[], float]) -> None:
        #: Findings so far.
        self.count = 0
        self._name, self._tell, self._clock = name, tell, clock
        self._told: dict[str, _Told] = {}

    def finding(self, finding: Finding) -> bool:
        """Tells of it, now or later; whether it is an alarm."""
        if finding.kind in _EXPECTED:
            return False
        self.count += 1
        self.say(finding.kind, finding.text)
        return finding.kind not in _WARNINGS

    def say(self, kind: str, text: str) -> None:
        """Tells it now, unless something of this kind was told just before."""
        told = self._told.get(kind)
        if told is not None:
            told.count, told.newest = told.count + 1, text
            self.flush()
            return
        self._told[kind] = _Told(self._clock())
        self._event(kind, text)

    def flush(self, *, all_of_it: bool = False) -> None:
        """Tells what was only counted, where a minute is over."""
        for kind, told in list(self._told.items()):
            if not all_of_it and self._clock() - told.at_s < EVERY_S:
                continue
            if not told.count:
                del self._told[kind]
                continue
            self._event(kind, f"{told.count} more, the newest: {told.newest}")
            self._told[kind] = _Told(self._clock())

    def _event(self, kind: str, text: str) -> None:
        self._tell(f"upstream-{kind}", WARNING if kind in _WARNINGS else ALARM, self._name, text)
