"""A definition as plain values, ready for JSON: what ``meters MODEL --json`` prints.

The keys are those of the file format (``drivers/modbus/definition_file.py``), with ``digest`` in hex, and for each
point ``register``, the words that the log's definition entry uses.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drivers.modbus.definition import Definition, PointDef, Probe, Vector

_REQUESTS = ("max_registers", "max_gap", "barriers", "align_even", "turnaround_ms", "refresh_ms")
_COPIED = ("obis", "unit", "address", "type", "word_order", "scale10", "scale_register", "monotonic", "resettable",
           "max_per_hour", "required", "default", "doc")  # fmt: skip


def describe(definition: Definition) -> dict[str, Any]:
    """Everything that *definition* says."""
    model = definition.sunspec.model if definition.sunspec else None
    return {
        "id": definition.id,
        "manufacturer": definition.manufacturer,
        "models": list(definition.models),
        "trust": definition.trust,
        "digest": definition.digest.hex(),
        "sources": [asdict(source) for source in definition.sources],
        "notes": definition.notes,
        "serial": asdict(definition.serial) if definition.serial else None,
        "serial_number": asdict(definition.serial_number) if definition.serial_number else None,
        "sunspec": {"model": model, "length": definition.sunspec.length} if definition.sunspec else None,
        "requests": {key: getattr(definition, key) for key in _REQUESTS},
        "identify": [_probe(probe) for probe in definition.identify],
        "points": {point.name: _point(point, model) for point in definition.points},
        "vectors": [_vector(vector) for vector in definition.vectors],
    }


def _point(point: PointDef, model: int | None) -> dict[str, Any]:
    copied = {key: getattr(point, key) for key in _COPIED}
    invalid = [content.hex() for content in point.invalid]
    return copied | {"function": point.fc, "invalid": invalid, "register": point.register(model)}


def _probe(probe: Probe) -> dict[str, Any]:
    return {"register": probe.point.register(), "equals": list(probe.equals), "between": probe.between}


def _vector(vector: Vector) -> dict[str, Any]:
    scale = vector.scale_raw.hex() if vector.scale_raw else None
    return {"point": vector.point, "raw": vector.raw.hex(), "scale": scale, "value": vector.value}
