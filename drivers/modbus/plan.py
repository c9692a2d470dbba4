"""Which registers are read together: the cheapest requests that cover all spans of a meter.

A request costs a fixed number of bytes besides its registers: on RTU 8 out and 5 back, with two silences of 3.5
characters; on TCP both headers and the packets around them. Reading a hole of spare registers is cheaper than a
second request while the hole's bytes are fewer: up to 7 registers on RTU, 31 on TCP (the overhead plus one, halved;
victronenergy/dbus-modbus-client reasons alike).

No request crosses a barrier, touches a refused span, or is longer than the meter takes; a span is never divided.
Barriers come from the meter's definition and from experience: a merged request that was refused is cut in two
(``halves``), the cut is remembered, and a span that is refused alone is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers.modbus.frame import MAX_REGISTERS

SPARE_RTU = 7
SPARE_TCP = 31


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Registers that are read together or not at all: one value."""

    fc: int
    address: int
    count: int

    @property
    def end(self) -> int:
        """The first address after the span."""
        return self.address + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one meter takes, as its definition says and as it was learned."""

    max_registers: int = MAX_REGISTERS
    #: Most spare registers read to save a request.
    max_gap: int = SPARE_RTU
    #: Addresses that no request crosses: one may start there or end before.
    barriers: frozenset[int] = frozenset()
    #: Requests start at an even address and have an even count.
    align_even: bool = False
    #: Learned barriers, by function code: (fc, address).
    cuts: frozenset[tuple[int, int]] = frozenset()
    #: Spans that the meter refused alone; no request touches them.
    refused: frozenset[Span] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """One request and the spans it serves."""

    span: Span
    serves: tuple[Span, ...]


def plan(spans: Iterable[Span], limits: Limits) -> tuple[Block, ...]:
    """Blocks in order of function code and address that serve each of *spans* but the refused ones, once."""
    wanted = sorted(set(spans) - limits.refused)
    blocks: list[list[Span]] = []
    for span in wanted:
        if blocks and _fits([*blocks[-1], span], limits):
            blocks[-1].append(span)
        else:
            blocks.append([span])
    return tuple(Block(_cover(block, limits), tuple(block)) for block in blocks)


def halves(block: Block) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The spans of a refused block in two parts: cut at its widest hole, else nearest its middle."""
    spans = block.serves
    middle = (spans[0].address + spans[-1].end) / 2

    def merit(index: int) -> tuple[int, float]:
        hole = max(0, spans[index].address - max(span.end for span in spans[:index]))
        return hole, -abs(spans[index].address - middle)

    best = max(range(1, len(spans)), key=merit)
    return spans[:best], spans[best:]


def _cover(spans: Sequence[Span], limits: Limits) -> Span:
    start, end = spans[0].address, max(span.end for span in spans)
    if limits.align_even:
        start, end = start & ~1, end + (end & 1)
    return Span(spans[0].fc, start, end - start)


def _fits(spans: Sequence[Span], limits: Limits) -> bool:
    """Whether *spans*, of which all but the last already fit, may share one request."""
    last, before = spans[-1], spans[:-1]
    if last.fc != before[0].fc or last.address - max(span.end for span in before) > limits.max_gap:
        return False
    whole = _cover(spans, limits)
    if whole.count > min(limits.max_registers, MAX_REGISTERS) or _hits(whole, limits):
        return False
    return not any(fc == last.fc and before[0].address < cut <= last.address for fc, cut in limits.cuts)


def _hits(whole: Span, limits: Limits) -> bool:
    """Whether *whole* crosses a barrier or touches a refused span."""
    return any(whole.address < barrier < whole.end for barrier in limits.barriers) or any(
        refused.fc == whole.fc and refused.address < whole.end and whole.address < refused.end
        for refused in limits.refused
    )
