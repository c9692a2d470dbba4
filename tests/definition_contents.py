"""What a foreign server must hold to be a meter of some definition: (function, address, word) triples."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.house import House
from drivers.modbus.definition import Definition, Vector
from drivers.modbus.virtual_meter import COMMON_LENGTH, SUNSPEC_BASE, VirtualMeter

Words = dict[tuple[int, int], int]
#: Where the simulator has the ID register of a SunSpec model.
MODEL_BASE = SUNSPEC_BASE + 4 + COMMON_LENGTH


def contents(definition: Definition, house: House, wall_ms: int) -> Words:
    """Every register of a meter at one moment of a house."""
    meter = VirtualMeter(definition, house)
    found: Words = {}
    most = definition.max_registers
    step = most - most % 2 if definition.align_even else most
    for fc, span in meter.spans.items():
        for address in range(span.start, span.stop, step):
            words = meter.read(fc, address, min(step, span.stop - address), wall_ms)
            assert isinstance(words, list), (fc, address, words)
            found |= {(fc, address + offset): word for offset, word in enumerate(words)}
    return found


def triples(words: Words) -> Iterator[tuple[int, int, int]]:
    """As the servers take them."""
    return ((fc, address, word) for (fc, address), word in words.items())


def rounds(definition: Definition) -> list[tuple[list[Vector], Words]]:
    """All vectors, in as few portions as their registers allow, each with what the registers must hold."""
    found: list[tuple[list[Vector], Words]] = []
    for vector in definition.vectors:
        words = _words(definition, vector)
        for vectors, held in found:
            names = {each.point for each in vectors}
            if vector.point not in names and all(held.get(key, word) == word for key, word in words.items()):
                vectors.append(vector)
                held |= words
                break
        else:
            found.append(([vector], words))
    return found


def _words(definition: Definition, vector: Vector) -> Words:
    """The registers of one vector, and its scale register."""
    base = MODEL_BASE if definition.sunspec is not None else 0
    point = definition.point(vector.point)
    address = base + point.address
    found = {
        (point.fc, address + at // 2): int.from_bytes(vector.raw[at : at + 2], "big")
        for at in range(0, len(vector.raw), 2)
    }
    if point.scale_register is not None and vector.scale_raw is not None:
        found[point.fc, base + point.scale_register] = int.from_bytes(vector.scale_raw, "big")
    return found
