"""Every shipped definition, held by Modbus servers nobody here wrote, and read back through the bus."""

from __future__ import annotations

import pytest
from pyModbusTCP.server import ModbusServer

from drivers.house import ANCHOR_MS, House
from drivers.modbus.codec import decode, encode
from drivers.modbus.definition import Definition, list_definitions, load_definition
from drivers.modbus.meter import MeterSettings
from drivers.modbus.virtual_meter import SUNSPEC_BASE, quantity
from gateway.reading import Reading, Status
from tests.definition_contents import contents, rounds, triples
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import tcp_bus
from tests.parts import free_port

HOUSE = House(7)
NOON_MS = ANCHOR_MS + 500 * 86_400_000 + 43_200_000


@pytest.fixture(params=list_definitions())
def definition(request: pytest.FixtureRequest) -> Definition:
    return load_definition(request.param)


def every_point(definition: Definition) -> MeterSettings:
    """A meter of which all points are read, not only the default ones."""
    names = tuple(point.name for point in definition.points)
    return MeterSettings(name="m", definition=definition, unit=1, points=names)


def check(definition: Definition, reading: Reading) -> None:
    """The reading says what the house had, as far as each register can tell."""
    snapshot = HOUSE.at(NOON_MS)
    assert [point.status for point in reading.points] == [Status.OK] * len(definition.points)
    for point, found in zip(definition.points, reading.points, strict=True):
        expected = quantity(snapshot, point.obis, point.unit)
        scale = {"V": -1, "A": -2, "Hz": -2, "%": -1}.get(point.unit, 0) if point.scale_register is not None else 0
        raw = encode(point, expected, scale)
        scale_raw = None if point.scale_register is None else (scale % 65536).to_bytes(2, "big")
        assert found == decode(point, raw, scale_raw), point.name


async def test_libmodbus_holds_every_definition_and_the_bus_reads_it_back(definition: Definition) -> None:
    """libmodbus serves the registers; all points come back with the value the house had."""
    with LibmodbusServer(contents=triples(contents(definition, HOUSE, NOON_MS))) as server:
        bus = tcp_bus(server.port, every_point(definition))
        try:
            check(definition, await bus.meters[0].read())
        finally:
            await bus.close()


async def test_libmodbus_holds_every_vector_and_the_bus_reads_its_text(definition: Definition) -> None:
    """Whatever a document's example says is read from a real server as the text beside it."""
    usual = contents(definition, HOUSE, NOON_MS)
    for vectors, words in rounds(definition):
        names = tuple(vector.point for vector in vectors)
        settings = MeterSettings(name="m", definition=definition, unit=1, points=names)
        with LibmodbusServer(contents=triples(usual | words)) as server:
            bus = tcp_bus(server.port, settings)
            try:
                reading = await bus.meters[0].read()
            finally:
                await bus.close()
        found = [None if point.value is None else str(point.value) for point in reading.points]
        assert found == [vector.value for vector in vectors], names


async def test_pymodbustcp_holds_every_definition_and_the_bus_reads_it_back(definition: Definition) -> None:
    """The same behind a second server, which is written in another language."""
    port = free_port()
    server = ModbusServer(host="127.0.0.1", port=port, no_block=True)
    for fc, address, word in triples(contents(definition, HOUSE, NOON_MS)):
        write = server.data_bank.set_holding_registers if fc == 3 else server.data_bank.set_input_registers
        write(address, [word])
    server.start()
    bus = tcp_bus(port, every_point(definition))
    try:
        check(definition, await bus.meters[0].read())
    finally:
        await bus.close()
        server.stop()


@pytest.mark.parametrize("base", [0, 50_000])
async def test_a_sunspec_model_is_found_at_every_base(base: int) -> None:
    """The marker may be at 0 or 50000 as well; the model is found through the chain from there."""
    definition = load_definition("sunspec-203")
    held = triples(contents(definition, HOUSE, NOON_MS))
    moved = [(fc, address - SUNSPEC_BASE + base, word) for fc, address, word in held]
    with LibmodbusServer(contents=moved) as server:
        bus = tcp_bus(server.port, every_point(definition))
        try:
            check(definition, await bus.meters[0].read())
        finally:
            await bus.close()
