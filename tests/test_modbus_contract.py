"""The meter contract, over each kind of bus, with real servers at the far end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from drivers.modbus.bus import ModbusBus
from drivers.modbus.meter import ModbusMeter
from tests.contract_meter import MeterContract
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import definition, meter, point, serial_bus, tcp_bus
from tests.paced_bus import PacedBus

DEFINITION = definition(point(0), point(2), point(100, kind="u32"), point(4, fc=4), max_gap=2)


class _OnOneBus(MeterContract):
    @pytest.fixture
    def meter(self, bus: ModbusBus) -> ModbusMeter:
        return bus.meters[0]


class TestModbusTcp(_OnOneBus):
    """libmodbus at the far end of a TCP connection."""

    @pytest.fixture
    def server(self) -> Iterator[LibmodbusServer]:
        with LibmodbusServer() as server:
            yield server

    @pytest.fixture
    async def bus(self, server: LibmodbusServer) -> AsyncIterator[ModbusBus]:
        bus = tcp_bus(server.port, meter(1, DEFINITION))
        yield bus
        await bus.close()

    @pytest.fixture
    def silence(self, server: LibmodbusServer) -> Callable[[], object]:
        return server.stop


class TestModbusRtu(_OnOneBus):
    """A meter on a paced serial line."""

    @pytest.fixture
    def line(self) -> Iterator[PacedBus]:
        with PacedBus(baud=115200, units={1: {}}) as line:
            yield line

    @pytest.fixture
    async def bus(self, line: PacedBus) -> AsyncIterator[ModbusBus]:
        bus = serial_bus(line.device, meter(1, DEFINITION), late_ms=50)
        yield bus
        await bus.close()

    @pytest.fixture
    def silence(self, line: PacedBus) -> Callable[[], object]:
        return lambda: line.change(1, dead=True)


class TestLibmodbusOnASerialLine(TestModbusRtu):
    """libmodbus on the same line."""

    @pytest.fixture
    def line(self) -> Iterator[PacedBus]:
        with PacedBus(baud=115200, ports=2) as line:
            yield line

    @pytest.fixture
    def server(self, line: PacedBus) -> Iterator[LibmodbusServer]:
        with LibmodbusServer(device=line.devices[1], unit=1) as server:
            yield server

    @pytest.fixture
    async def bus(self, line: PacedBus, server: LibmodbusServer) -> AsyncIterator[ModbusBus]:
        bus = serial_bus(line.device, meter(1, DEFINITION), late_ms=50)
        yield bus
        await bus.close()

    @pytest.fixture
    def silence(self, server: LibmodbusServer) -> Callable[[], object]:
        return server.stop
