"""SunSpec definitions against the SunSpec Alliance's own library: its model files, its client, its registers."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from drivers.house import ANCHOR_MS
from drivers.modbus.definition import Definition, PointDef, list_definitions, load_definition
from drivers.modbus.meter import MeterSettings
from drivers.modbus.simulator import Simulator
from gateway.reading import Scaled, Status
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import tcp_bus
from tests.parts import ROOT, missing, need_peer

DEFINITIONS = [load_definition(name) for name in list_definitions() if name.startswith("sunspec-")]
NUMBERS = [definition.sunspec.model for definition in DEFINITIONS if definition.sunspec]
TYPES = {"int16": "i16", "uint16": "u16", "acc32": "acc32", "uint32": "u32", "uint64": "u64", "acc64": "acc64",
         "float32": "f32"}  # fmt: skip
UNITS = {"Pct": "%", "PF": "", "Var": "var", "WH": "Wh"}
#: What "not implemented" looks like (SunSpec Device Information Model Specification, section 3).
SENTINELS = {"i16": 0x8000, "u16": 0xFFFF, "u32": 0xFFFFFFFF, "u64": 0xFFFFFFFFFFFFFFFF}
NOON_MS = ANCHOR_MS + 500 * 86_400_000 + 43_200_000


def ask(*jobs: object) -> list[Any]:
    """What the library answers, job by job."""
    done = subprocess.run(
        [need_peer("python"), ROOT / "tests" / "peers" / "sunspec_peer.py"],
        input="\n".join(map(json.dumps, jobs)), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "No module named 'sunspec2'" in done.stderr:
        missing("pysunspec2; sh tests/install-peers.sh installs it")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@cache
def layouts() -> dict[int, Any]:
    return dict(zip(NUMBERS, ask(*({"layout": number} for number in NUMBERS)), strict=True))


def settings(definition: Definition, unit: int = 1) -> MeterSettings:
    names = tuple(point.name for point in definition.points)
    return MeterSettings(name=definition.id, definition=definition, unit=unit, points=names)


def same(point: PointDef, value: Scaled | None, raw: float, scale: int) -> bool:
    """Whether our exact value is the library's raw one with its scale."""
    if value is None:
        return False
    if point.type == "f32":
        return struct.pack(">f", float(str(value))) == struct.pack(">f", raw)
    return Decimal(str(value)) == Decimal(raw).scaleb(scale)


def test_all_the_models_that_measure_energy_are_there() -> None:
    """Inverters, meters and stores, in whole numbers and in floats."""
    assert NUMBERS == [101, 102, 103, 111, 112, 113, 201, 202, 203, 204, 211, 212, 213, 214, 701, 713]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.id)
def test_every_point_stands_where_the_alliance_has_it(definition: Definition) -> None:
    """Offset, type, unit, scale factor and sentinel of each; the point's ``doc`` is the name in the model."""
    assert definition.sunspec is not None
    layout = layouts()[definition.sunspec.model]
    assert definition.sunspec.length == layout["length"]
    for point in definition.points:
        theirs = layout["points"][point.doc]
        assert (point.address, point.type) == (theirs["offset"], TYPES[theirs["type"]]), point.name
        assert point.scale_register == theirs["scale"], point.name
        assert point.fc == 3
        if theirs["units"] is not None:
            assert point.unit == UNITS.get(theirs["units"], theirs["units"]), point.name
        if point.type in SENTINELS:
            content = SENTINELS[point.type].to_bytes(2 * point.words, "big")
            assert content in point.invalid, point.name


async def test_the_alliances_client_reads_what_we_read() -> None:
    """Every simulated model is found in its chain, and each of its values is the one that the gateway reads."""
    need_peer("python")
    served = Simulator(dict(enumerate(DEFINITIONS, start=1)), lambda: NOON_MS)
    _, port = await served.start()
    bus = tcp_bus(port, *(settings(definition, unit) for unit, definition in enumerate(DEFINITIONS, start=1)))
    try:
        jobs = [{"read": port, "unit": unit} for unit in range(1, len(DEFINITIONS) + 1)]
        theirs = await asyncio.to_thread(ask, *jobs)
        ours = [await meter.read() for meter in bus.meters]
    finally:
        await bus.close()
        await served.stop()
    for definition, number, found, reading in zip(DEFINITIONS, NUMBERS, theirs, ours, strict=True):
        assert set(found) == {"1", str(number)}
        for point, each in zip(definition.points, reading.points, strict=True):
            raw, scale = found[str(number)][point.doc]
            if raw is None:
                assert each.value is None, (definition.id, point.name)
            else:
                assert same(point, each.value, raw, scale), (definition.id, point.name)


def content(definition: Definition, seed: int) -> dict[str, float]:
    """A value for each of the definition's points, no two alike, and a scale factor where one belongs."""
    assert definition.sunspec is not None
    layout = layouts()[definition.sunspec.model]["points"]
    names = {each["offset"]: name for name, each in layout.items()}
    found: dict[str, float] = {}
    for number, point in enumerate(definition.points):
        raw: float = 100 + 7 * number + seed
        if point.type == "i16":
            raw *= (-1) ** number
        elif point.type == "f32":
            raw += 0.5
        found[names[point.address]] = raw
        if point.scale_register is not None:
            found[names[point.scale_register]] = point.scale_register % 4 - 2
    return found


@pytest.mark.parametrize("base", [40000, 0, 50000])
async def test_models_the_alliance_built_are_read_wherever_they_stand(base: int) -> None:
    """One device with all models in its chain, at each base: every point of every definition has the value put in."""
    order = [*DEFINITIONS[base % 7 :], *DEFINITIONS[: base % 7]]
    filled = [(definition, content(definition, number)) for number, definition in enumerate(order)]
    models = [[definition.sunspec.model, values] for definition, values in filled if definition.sunspec]
    (image,) = ask({"build": [[1, {"Mn": "Alliance"}], *models]})
    data = bytes.fromhex(image)
    held = [(3, base + at // 2, int.from_bytes(data[at : at + 2], "big")) for at in range(0, len(data), 2)]
    with LibmodbusServer(contents=held) as server:
        for definition, values in filled:
            bus = tcp_bus(server.port, settings(definition))
            reading = await bus.meters[0].read()
            await bus.close()
            assert {each.status for each in reading.points} == {Status.OK}, definition.id
            for point, each in zip(definition.points, reading.points, strict=True):
                scale = 0 if point.scale_register is None else point.scale_register % 4 - 2
                raw = values[point.doc]
                assert same(point, each.value, raw, scale), (definition.id, point.name)
