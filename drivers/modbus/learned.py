"""What a meter taught us about its registers: where merged requests must be cut, and what it does not have.

- Exceptions 1, 2 and 3 say that the meter will not serve this request. If it serves several spans, it is cut in two
  and both halves are tried at once; the cut is remembered. A span that is refused alone is remembered as refused: no
  request touches it, and the cuts that only served to find it are forgotten.
- A refused span is tried again, alone, after one minute, two, four … up to an hour. When one comes back, so may the
  others: all are due.
- Some meters say nothing instead of refusing. A request that was not answered in three polls, while others of the same
  polls were, counts as refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from drivers.modbus.plan import Block, Limits, Span, halves, plan

#: Exception codes that mean "not this request", not "not now".
REFUSALS = frozenset({1, 2, 3})
RETRY_S_MIN = 60.0
RETRY_S_MAX = 3600.0
SILENT_POLLS = 3


class Learned:
    """The spans of one meter and how they are best read. Times are the caller's, in seconds, of one steady clock."""

    def __init__(self, spans: Iterable[Span], limits: Limits) -> None:
        self._spans = tuple(spans)
        self._limits = limits
        #: Refused spans: the pause, and when it ends.
        self._refused: dict[Span, tuple[float, float]] = {}
        self._fresh_cuts: set[tuple[int, int]] = set()
        self._silent: dict[Span, int] = {}
        self._blocks = plan(self._spans, limits)

    @property
    def refused(self) -> frozenset[Span]:
        """What the meter does not have."""
        return frozenset(self._refused)

    def blocks(self, now: float) -> tuple[Block, ...]:
        """What to ask in the next poll: first what was answered last time, last a refused span that is due."""
        self._fresh_cuts.clear()
        known = sorted(self._blocks, key=lambda block: self._silent.get(block.span, 0))
        due = [span for span, (_, at) in self._refused.items() if at <= now]
        return (*known, *plan(due[:1], replace(self._limits, refused=frozenset())))

    def answered(self, block: Block, now: float) -> None:
        """*block* was served."""
        self._silent.pop(block.span, None)
        back = [span for span in block.serves if span in self._refused]
        for span in back:
            del self._refused[span]
        if back:
            self._refused = dict.fromkeys(self._refused, (RETRY_S_MIN, now))
            self._replan()

    def silent(self, block: Block, now: float) -> None:
        """*block* was not answered, in a poll in which others were."""
        polls = self._silent.get(block.span, 0) + 1
        self._silent[block.span] = polls
        if polls >= SILENT_POLLS:
            self.was_refused(block, now)

    def was_refused(self, block: Block, now: float) -> tuple[Block, ...]:
        """*block* was refused: what to ask instead, at once; nothing when it was a single span."""
        self._silent.pop(block.span, None)
        if len(block.serves) == 1:
            self._refuse(block.serves[0], now)
            return ()
        left, right = halves(block)
        cut = right[0].fc, right[0].address
        self._fresh_cuts.add(cut)
        self._limits = replace(self._limits, cuts=self._limits.cuts | {cut})
        self._replan()
        return (*plan(left, self._limits), *plan(right, self._limits))

    def _refuse(self, span: Span, now: float) -> None:
        pause = min(2 * self._refused.get(span, (RETRY_S_MIN / 2, 0.0))[0], RETRY_S_MAX)
        self._refused[span] = pause, now + pause
        self._limits = replace(self._limits, cuts=self._limits.cuts - self._fresh_cuts)
        self._replan()

    def _replan(self) -> None:
        self._limits = replace(self._limits, refused=self.refused)
        self._blocks = plan(self._spans, self._limits)
