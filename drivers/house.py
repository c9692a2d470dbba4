"""A plausible house as a pure function of wall-clock time: what simulated meters measure.

Each phase draws a base load, a fridge that comes and goes, and short appliances around the meals; a solar roof feeds
all phases alike, on a parabola from sunrise to sunset, weaker on cloudy days. The course repeats every ``DAYS`` days.
It is kept as power at nodes ``SLOT_MS`` apart, and power runs in a straight line from node to node; so energy is an
exact integral, import where the power is positive and export where it is negative. The counters therefore only rise,
agree with the power to the last digit, and go on where they were after a restart, without any file.

Everything is an integer: milliwatts, milliseconds, millivolts. Energy is counted from ``ANCHOR_MS``; before that, as on
a board that does not know the time, the counters stand still.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass
from math import isqrt

#: 2024-01-01T00:00:00Z, when the simulated meters were installed.
ANCHOR_MS = 1_704_067_200_000
DAYS = 8
SLOT_MS = 300_000
SLOTS_PER_DAY = 24 * 60 * 60 * 1000 // SLOT_MS
SLOTS = DAYS * SLOTS_PER_DAY
CYCLE_MS = SLOTS * SLOT_MS
#: Milliwatt-milliseconds in a milliwatt-hour.
_MWH = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase at one moment. Export is negative power."""

    power_mw: int
    voltage_mv: int
    current_ma: int
    import_mwh: int
    export_mwh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that a meter could show at one moment. The totals are those of the sum of the phases, not sums of totals."""

    phases: tuple[Phase, ...]
    power_mw: int
    apparent_mva: int
    import_mwh: int
    export_mwh: int
    frequency_mhz: int
    #: Thousandths, with the sign of the power.
    power_factor: int


class House:
    """One house. *seed* makes it itself; *phases* is 1 or 3. Making one costs some 10 ms and 150 kB."""

    def __init__(self, seed: int, phases: int = 3) -> None:
        self._seed = seed
        sun = _sun(seed)
        self._phases = tuple(_Course(_net(seed, number, phases, sun)) for number in range(phases))
        self._total = _Course(array("q", map(sum, zip(*(phase.nodes for phase in self._phases), strict=True))))

    def at(self, wall_ms: int) -> Snapshot:
        """The house at Unix time *wall_ms*."""
        since_ms = max(wall_ms - ANCHOR_MS, 0)
        noise = _noise(self._seed, wall_ms // 1000)
        factor = 950 + noise % 40
        phases = tuple(
            _phase(course, since_ms, 229_400 + number * 700 + (noise >> 8 * number) % 900, factor)
            for number, course in enumerate(self._phases)
        )
        power_mw = self._total.power(since_ms)
        return Snapshot(
            phases=phases,
            power_mw=power_mw,
            apparent_mva=abs(power_mw) * 1000 // factor,
            import_mwh=self._total.energy(since_ms, 1),
            export_mwh=self._total.energy(since_ms, -1),
            frequency_mhz=49_970 + (noise >> 40) % 60,
            power_factor=factor if power_mw >= 0 else -factor,
        )


class _Course:
    """Net power over one cycle, and what it adds up to."""

    def __init__(self, nodes: array[int]) -> None:
        self.nodes = nodes
        self._sums = {1: _summed(nodes, 1), -1: _summed(nodes, -1)}

    def power(self, since_ms: int) -> int:
        """Milliwatts at that moment."""
        _, slot, rest_ms = _place(since_ms)
        start, end = self._ends(slot)
        return start + (end - start) * rest_ms // SLOT_MS

    def energy(self, since_ms: int, sign: int) -> int:
        """Milliwatt-hours since the anchor: import for *sign* 1, export for -1."""
        cycles, slot, rest_ms = _place(since_ms)
        start, end = self._ends(slot)
        sums = self._sums[sign]
        return (cycles * sums[SLOTS] + sums[slot] + _area(sign * start, sign * end, rest_ms)) // _MWH

    def _ends(self, slot: int) -> tuple[int, int]:
        return self.nodes[slot], self.nodes[(slot + 1) % SLOTS]


def _phase(course: _Course, since_ms: int, voltage_mv: int, factor: int) -> Phase:
    power_mw = course.power(since_ms)
    return Phase(
        power_mw=power_mw,
        voltage_mv=voltage_mv,
        current_ma=abs(power_mw) * 1000 // factor * 1000 // voltage_mv,
        import_mwh=course.energy(since_ms, 1),
        export_mwh=course.energy(since_ms, -1),
    )


def reactive_mvar(power_mw: int, apparent_mva: int) -> int:
    """Reactive power that goes with an active and an apparent one."""
    return isqrt(max(apparent_mva**2 - power_mw**2, 0))


def _place(since_ms: int) -> tuple[int, int, int]:
    """Cycle, slot and milliseconds within the slot."""
    cycles, rest_ms = divmod(since_ms, CYCLE_MS)
    return cycles, *divmod(rest_ms, SLOT_MS)


def _summed(nodes: array[int], sign: int) -> array[int]:
    """Energy from the start of the cycle to each node, and of the whole cycle, in milliwatt-milliseconds."""
    sums = array("q", [0])
    for slot in range(SLOTS):
        sums.append(sums[-1] + _area(sign * nodes[slot], sign * nodes[(slot + 1) % SLOTS], SLOT_MS))
    return sums


def _area(start: int, end: int, until_ms: int) -> int:
    """Area above zero of a line from *start* to *end* over one slot, up to *until_ms*; never falls as that grows."""

    def below(t: int) -> int:
        return (2 * SLOT_MS * start * t + (end - start) * t * t) // (2 * SLOT_MS)

    if start >= 0 and end >= 0:
        return below(until_ms)
    if start <= 0 and end <= 0:
        return 0
    crossing_ms = SLOT_MS * start // (start - end)
    if start > 0:
        return below(min(until_ms, crossing_ms))
    return max(below(until_ms) - below(crossing_ms), 0) if until_ms > crossing_ms else 0


def _net(seed: int, number: int, phases: int, sun: list[int]) -> array[int]:
    """Milliwatts of phase *number* at every node: what is drawn, less its share of the sun."""
    chance = random.Random(f"house {seed} phase {number}")  # noqa: S311  (a plausible house, no secret)
    load = [chance.randrange(60_000, 220_000) for _ in range(SLOTS)]
    for slot in range(SLOTS):
        load[slot] += 90_000 if (slot + 5 * number) % 9 < 3 else 0
    for day in range(DAYS):
        for hour, uses, most_w in ((7, 2, 1200), (12, 3, 2000), (18, 5, 2600), (21, 3, 700)):
            for _ in range(chance.randrange(uses + 1)):
                _use(load, day, hour, chance, most_w)
    return array("q", (draw - share // phases for draw, share in zip(load, sun, strict=True)))


def _use(load: list[int], day: int, hour: int, chance: random.Random, most_w: int) -> None:
    """One appliance, for 10 to 60 minutes, within two hours from *hour* on."""
    start = day * SLOTS_PER_DAY + hour * SLOTS_PER_DAY // 24 + chance.randrange(24)
    draw = chance.randrange(most_w // 4, most_w) * 1000
    for slot in range(start, start + chance.randrange(2, 13)):
        load[slot % SLOTS] += draw


def _sun(seed: int) -> list[int]:
    """Milliwatts of the roof at every node, between 05:00 and 19:00 UTC."""
    chance = random.Random(f"house {seed} sun")  # noqa: S311
    peak_w = chance.randrange(1500, 3500)
    rise, fall = 5 * SLOTS_PER_DAY // 24, 19 * SLOTS_PER_DAY // 24
    nodes = []
    for _ in range(DAYS):
        clear = chance.randrange(25, 101)
        for slot in range(SLOTS_PER_DAY):
            height = max(slot - rise, 0) * max(fall - slot, 0) * 4 * 1000 * peak_w // (fall - rise) ** 2
            nodes.append(height * clear * chance.randrange(85, 101) // 10_000)
    return nodes


def _noise(seed: int, second: int) -> int:
    """64 well-mixed bits for one second (the finaliser of SplitMix64, Steele and others, OOPSLA 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + second * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)
