"""A bus whose meters are simulated by a real Modbus TCP server in this process, and read through a real socket."""

from __future__ import annotations

from collections.abc import Sequence

from drivers.modbus.bus import BusSettings, ModbusBus, Wrap, open_bus
from drivers.modbus.meter import MeterSettings, ModbusMeter
from drivers.modbus.simulator import Simulator
from gateway.reading import Clock


class SimulatedBus:
    """``gateway.reading.Bus`` that stops its server when it is closed."""

    def __init__(self, bus: ModbusBus, simulator: Simulator) -> None:
        self._bus = bus
        self._simulator = simulator

    @property
    def name(self) -> str:
        """See ``gateway.reading.Bus``."""
        return self._bus.name

    @property
    def meters(self) -> Sequence[ModbusMeter]:
        """See ``gateway.reading.Bus``."""
        return self._bus.meters

    async def read_as_guest(self, unit: int, fc: int, address: int, count: int, patience_s: float) -> bytes:
        """See ``ModbusBus``."""
        return await self._bus.read_as_guest(unit, fc, address, count, patience_s)

    async def close(self) -> None:
        """Closes the connection, then the server."""
        await self._bus.close()
        await self._simulator.stop()


async def open_simulated_bus(
    name: str, meters: Sequence[MeterSettings], clock: Clock, wrap: Wrap = lambda link: link
) -> SimulatedBus:
    """Starts the server on a free loopback port, with one unit for each meter, and opens a bus to it."""
    simulator = Simulator({meter.unit: meter.definition for meter in meters}, lambda: clock().wall_ms)
    host, port = await simulator.start()
    settings = BusSettings(name=name, kind="tcp", host=host, port=port)
    return SimulatedBus(open_bus(settings, meters, clock, wrap), simulator)
