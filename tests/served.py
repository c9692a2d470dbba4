"""Register contents for a foreign Modbus server, made from the vectors of the shipped definitions, and what they mean.

The vectors were worked out by hand from the makers' documents, so a value that comes back has been checked against
something that the codec under test did not make.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.modbus.definition import Definition, Vector, load_definition

_SUNSPEC_BASE = 40_000
_COMMON_LENGTH = 66
#: The twelve points that every meter of a load has: fifty words in two requests.
TWELVE = (
    "import_total", "export_total", "power_total", "power_l1", "power_l2", "power_l3",
    "voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One model behind a server."""

    model: str
    #: (function, address, word) for ``tests.libmodbus``.
    contents: tuple[tuple[int, int, int], ...]
    #: Point → (value as text, raw words in hex).
    values: dict[str, tuple[str, str]]


def serve(model: str) -> Served:
    """The points of *model* that have a vector with a value, as a server's contents."""
    definition = load_definition(model)
    contents: dict[tuple[int, int], int] = {}
    if definition.sunspec is not None:
        definition = _frame(definition, contents)
    values = {}
    for vector in definition.vectors:
        if vector.value is not None and vector.point not in values and _place(definition, vector, contents):
            values[vector.point] = vector.value, vector.raw.hex()
    triples = tuple((fc, address, word) for (fc, address), word in contents.items())
    return Served(model=model, contents=triples, values=values)


def _place(definition: Definition, vector: Vector, contents: dict[tuple[int, int], int]) -> bool:
    """Puts the vector's words into *contents*, unless its scale register already holds something else."""
    point = definition.point(vector.point)
    if point.scale_register is not None and vector.scale_raw is not None:
        scale = int.from_bytes(vector.scale_raw, "big")
        if contents.setdefault((point.fc, point.scale_register), scale) != scale:
            return False
    for index in range(point.words):
        contents[point.fc, point.address + index] = int.from_bytes(vector.raw[2 * index : 2 * index + 2], "big")
    return True


def _frame(definition: Definition, contents: dict[tuple[int, int], int]) -> Definition:
    """Marker, an empty common model, the head of the model and the end of the chain."""
    assert definition.sunspec is not None
    start = _SUNSPEC_BASE + 4 + _COMMON_LENGTH
    heads = [(_SUNSPEC_BASE, 0x5375), (_SUNSPEC_BASE + 1, 0x6E53), (_SUNSPEC_BASE + 2, 1)]
    heads += [(_SUNSPEC_BASE + 3, _COMMON_LENGTH), (start, definition.sunspec.model)]
    heads += [(start + 1, definition.sunspec.length), (start + 2 + definition.sunspec.length, 0xFFFF)]
    contents.update({(3, address): word for address, word in heads})
    return definition.resolve(start)


def load_config(port: int, *, meters: int = 10, every: str = "0.1", rest: str = "", commit: str = "") -> str:
    """A config of *meters* SDM630 of twelve points each behind one TCP server; *rest* is appended."""
    commit = commit or "{seconds: 0.2, entries: 64}"
    lines = [
        f"log: {{commit: {commit}, checkpoint: {{seconds: 1, entries: 256}}}}",
        "buses:",
        f'  - {{name: lan, tcp: "127.0.0.1:{port}"}}',
        "meters:",
    ]
    points = ", ".join(TWELVE)
    lines += [
        f"  - {{name: m{unit}, model: eastron-sdm630, bus: lan, unit: {unit}, every: {every}, points: [{points}]}}"
        for unit in range(1, meters + 1)
    ]
    return "\n".join([*lines, rest, ""])
