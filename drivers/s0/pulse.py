"""S0 pulses to energy: which edges are a pulse, and what pulses are worth (IEC 62053-31, formerly DIN 43864).

The meter closes a contact for each fixed amount of energy: for at least 30 ms, then at least 30 ms open (4.1.3.3). A
transition with its bouncing takes less than 5 ms (4.1.3.4). Therefore:

- a pulse is 25 ms closed or more, dropouts not counted, and counts once, when it opens;
- an opening for less than 25 ms is a dropout within the pulse;
- shorter closings are glitches. They are counted as such, and are worth nothing.

Energy is the count divided by the meter's constant, exactly: at 800 impulses per kWh one is worth 0.00125 kWh.
Constants with other prime factors than 2 and 5 (75 or 96 of old meters) have no exact decimal; their energy is cut, not
rounded, at 10**-6 kWh, always from the whole count, so that nothing adds up; the count itself is exact.

Power is the mean between the starts of the last two pulses. It says nothing where edges were lost between them, and
nothing any more when the next pulse is overdue: then less is used than at that interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import ConfigError
from gateway.reading import Scaled

MS = 1_000_000
TRANSITION_NS = 5 * MS
#: 30 ms less one transition.
CLOSED_NS_MIN = OPEN_NS_MIN = 30 * MS - TRANSITION_NS
IMPULSES_MAX = 1_000_000
#: Where energy is cut that has no exact decimal.
_CUT_EXPONENT = -6
#: One kWh in W·ns.
_KWH_W_NS = 3_600_000 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The contact closed or opened."""

    time_ns: int
    closed: bool
    #: Counts the line's edges from 1; a gap means that edges were lost.
    number: int


class PulseTrain:
    """Finds the pulses in edges."""

    def __init__(self) -> None:
        #: Pulses found, closings too short to be one, and edges that never came.
        self.pulses = self.glitches = self.lost_edges = 0
        #: When the last pulse began, and how long the one before it had begun earlier; None where that is not known.
        self.last_ns: int | None = None
        self.interval_ns: int | None = None
        self._number = 0
        #: When the present pulse began, and its closed time up to the last opening; None between pulses.
        self._began_ns: int | None = None
        self._closed_ns = 0
        self._counted = False
        #: The last edge.
        self._edge: Edge | None = None

    def feed(self, edge: Edge) -> None:
        """Takes the next edge. Edges are in order of their time."""
        lost = edge.number - self._number - 1 if self._number else 0
        self._number = edge.number
        if lost or (self._edge is not None and self._edge.closed == edge.closed):
            self.lost_edges += max(lost, 1)
            self._forget()
        if edge.closed:
            self._close(edge.time_ns)
        elif self._edge is not None and self._edge.closed and self._began_ns is not None:
            self._open(edge.time_ns - self._edge.time_ns, self._began_ns)
        self._edge = edge

    def _close(self, now_ns: int) -> None:
        if self._began_ns is not None and self._edge is not None and now_ns - self._edge.time_ns < OPEN_NS_MIN:
            return
        if self._began_ns is not None and not self._counted:
            self.glitches += 1
        self._began_ns, self._closed_ns, self._counted = now_ns, 0, False

    def _open(self, closed_ns: int, began_ns: int) -> None:
        self._closed_ns += closed_ns
        if self._counted or self._closed_ns < CLOSED_NS_MIN:
            return
        self.pulses += 1
        self._counted = True
        self.interval_ns = None if self.last_ns is None else began_ns - self.last_ns
        self.last_ns = began_ns

    def _forget(self) -> None:
        """Edges were lost: neither the present pulse nor the interval is known."""
        self._edge = self._began_ns = self.last_ns = self.interval_ns = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """What one pulse is worth: *impulses* of them are one kWh."""

    impulses: int

    def __post_init__(self) -> None:
        if not 1 <= self.impulses <= IMPULSES_MAX:
            raise ConfigError(f"{self.impulses} impulses per kWh: give 1 to {IMPULSES_MAX}, as on the meter's plate")

    @property
    def exponent(self) -> int:
        """Power of ten of the energy's last digit, in kWh."""
        return next((-at for at in range(20) if 10**at % self.impulses == 0), _CUT_EXPONENT)

    @property
    def _parts(self) -> int:
        """How many units of the last digit are one kWh."""
        return Scaled(mantissa=1, exponent=0).at(self.exponent)

    @property
    def is_exact(self) -> bool:
        """Whether each count is a decimal number of kWh."""
        return self._parts % self.impulses == 0

    def energy(self, pulses: int, start: Scaled | None = None) -> Scaled:
        """*pulses* in kWh, upon the reading *start* that the meter showed at count 0."""
        energy = Scaled(mantissa=pulses * self._parts // self.impulses, exponent=self.exponent)
        if start is None:
            return energy
        exponent = min(energy.exponent, start.exponent)
        return Scaled(mantissa=energy.at(exponent) + start.at(exponent), exponent=exponent)

    def power(self, train: PulseTrain, now_ns: int) -> Scaled | None:
        """Watts between the last two pulses, rounded; None where that is not known or is over."""
        if train.interval_ns is None or train.last_ns is None or train.interval_ns <= 0:
            return None
        # A quarter more, since no load is that steady.
        if now_ns - train.last_ns > train.interval_ns * 5 // 4:
            return None
        divisor = self.impulses * train.interval_ns
        return Scaled(mantissa=(2 * _KWH_W_NS + divisor) // (2 * divisor), exponent=0)
