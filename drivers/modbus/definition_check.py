"""What no single value of a definition file shows: whether its parts fit together.

Every fault is reported where it can be mended, mostly at the point it is about. A fault here is one of the file, never
of the meter: registers that do not exist, a value that no request could fetch, two values that share a register, a
trust that no source lends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from drivers.modbus import definition as d
from drivers.modbus import yaml_table as y


def check_whole(top: y.Table, made: d.Definition) -> None:
    """Notes what is wrong with *made*, which was read from *top*."""
    for key in ("sources", "points", "vectors"):
        if not top.filled(key):
            top.wrong(key, "must have at least one entry")
    if made.trust and made.sources:
        _check_trust(top, made.trust, [source.trust for source in made.sources])
    if made.points and not made.default_points:
        top.wrong("points", "at least one point must be a default")
    points = top.table("points")
    if points is not None:
        for name, message in _misplaced(made):
            points.wrong(name, message)
        for name, message in _overlapping(made.points):
            points.wrong(name, message)


def _check_trust(top: y.Table, claimed: str, given: Sequence[str]) -> None:
    """A document that a project bears out is cross-checked; what rests on projects alone rests on two of them."""
    lent = {*given, "cross-checked"} if {"document", "projects"} <= set(given) else set(given)
    if claimed not in lent:
        top.wrong("trust", f"no source is {claimed}; give one, or claim no more than the sources do")
    elif claimed == "projects" and "document" not in given and given.count("projects") < 2:
        top.wrong("trust", "one project is not enough without a document; give two that do not copy each other")


def _misplaced(made: d.Definition) -> Iterator[tuple[str, str]]:
    low, high = (2, made.sunspec.length + 2) if made.sunspec else (0, 0x10000)
    for point in made.points:
        if not low <= point.address <= high - point.words:
            yield point.name, f"lies outside of the registers {low} to {high - 1}"
        if point.scale_register is not None and not low <= point.scale_register < high:
            yield point.name, f"its scale register lies outside of the registers {low} to {high - 1}"
        if point.words > made.max_registers:
            yield point.name, f"takes {point.words} registers; max_registers is {made.max_registers}"
        barrier = next((at for at in made.barriers if point.address < at < point.address + point.words), None)
        if barrier is not None:
            yield point.name, f"lies across the barrier {barrier}"
        if made.align_even and (point.address % 2 or point.words % 2) and point.scale_register is None:
            yield point.name, "does not start and end at even addresses, as align_even asks"


def _overlapping(points: tuple[d.PointDef, ...]) -> Iterator[tuple[str, str]]:
    """Values that share some registers, but not all of them: one of the two addresses must be wrong."""
    ordered = sorted(points, key=lambda point: (point.fc, point.address, point.words))
    for before, after in pairwise(ordered):
        same = (before.address, before.words) == (after.address, after.words)
        if before.fc == after.fc and after.address < before.address + before.words and not same:
            yield after.name, f"shares registers with {before.name}, which starts at {before.address}"
