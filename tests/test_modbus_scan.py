"""Scanning a bus: who is there, and which meter it is."""

from __future__ import annotations

import struct

import pytest

from drivers.modbus.definition import Probe, list_definitions, load_definition
from drivers.modbus.scan import scan
from drivers.transport import LinkLost
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import definition, point, serial_bus, tcp_bus
from tests.paced_bus import PacedBus
from tests.paced_line import word
from tests.parts import free_port


async def test_units_on_a_serial_line_are_found_and_told_apart() -> None:
    """Silent, garbled, unknown and known units, each as what it is; a refusal is an answer."""
    units = {2: {}, 3: {"holes": [[0, 1024]]}, 5: {"script": ["stranger"] * 4}}
    probes = [Probe(point=point(10), equals=(word(2, 3, 10),)), Probe(point=point(11), between=(0, 65535))]
    known = definition(id="known", identify=tuple(probes))
    other = definition(id="other", identify=(*probes, Probe(point=point(12), equals=(1,))))
    shy = definition(id="shy")
    with PacedBus(baud=115200, units=units) as line:
        bus = serial_bus(line.device, timeout_ms=40, late_ms=60)
        found = [(each.unit, each.state, each.models) async for each in scan(bus, range(1, 6), (known, other, shy))]
        await bus.close()
    assert found == [
        (1, "silent", ()),
        (2, "found", ("known",)),
        (3, "found", ()),
        (4, "silent", ()),
        (5, "garbled", ()),
        # Something was garbled: the silent ones are asked again, and tell nothing.
    ]


async def test_a_shipped_definition_is_recognised_through_libmodbus() -> None:
    """An SDM630's voltage and frequency name it; a definition that asks for another identity is not named."""
    contents = []
    for address, value in [(0, 230.2), (2, 231.0), (4, 229.5), (70, 50.0)]:
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        contents += [(4, address, high), (4, address + 1, low)]
    definitions = [load_definition(name) for name in list_definitions()]
    with LibmodbusServer(contents=contents) as server:
        bus = tcp_bus(server.port)
        found = [each async for each in scan(bus, [1], definitions)]
        await bus.close()
    assert "eastron-sdm630" in found[0].models
    assert "carlo-gavazzi-em340" not in found[0].models
    assert "sunspec-203" not in found[0].models


async def test_a_port_that_is_away_ends_the_scan() -> None:
    """Nothing found is not the same as nobody asked."""
    with pytest.raises(LinkLost, match="cannot connect"):
        _ = [each async for each in scan(tcp_bus(free_port()), [1], ())]
