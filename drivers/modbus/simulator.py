"""Simulated meters behind a real Modbus server (pymodbus): TCP, RTU over TCP, or RTU on a serial port.

One unit id is one meter. Registers are computed when they are asked for, so two reads a second apart differ as they
would with a meter. Over TCP a unit that is not there is answered with exception 11 (gateway target failed to respond),
as a gateway does; on a serial line it stays silent, as a missing meter does. Only reads are served.

Time never goes back here: if the wall clock is set back, the meters stand still until it has caught up, so that no
counter falls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from drivers.house import House
from drivers.modbus.definition import Definition
from drivers.modbus.virtual_meter import ILLEGAL_FUNCTION, VirtualMeter
from gateway.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    import asyncio

    from pymodbus.constants import ExcCodes
    from pymodbus.server import ModbusSerialServer, ModbusTcpServer
    from pymodbus.simulator import SimDevice

READ_FUNCTIONS = (3, 4)
GATEWAY_TARGET_SILENT = 11
UNIT_MAX = 247


class Simulator:
    """Meters by unit id (1 to 247). Unit *n* measures a house of its own, the same one every time."""

    def __init__(self, units: Mapping[int, Definition], wall_ms: Callable[[], int]) -> None:
        wrong = [unit for unit in units if not 1 <= unit <= UNIT_MAX]
        if wrong:
            raise ConfigError(f"unit id {wrong[0]} cannot be simulated; choose one from 1 to {UNIT_MAX}")
        self._meters = {
            unit: VirtualMeter(definition, _house(unit, definition), unit) for unit, definition in units.items()
        }
        self._wall_ms = wall_ms
        self._latest_ms = 0
        self._server: ModbusTcpServer | ModbusSerialServer | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, rtu: bool = False) -> tuple[str, int]:
        """Serves on a TCP port, 0 for any free one; returns where. Raises UnavailableError when it is taken."""
        # Imported late, here and below: only a simulation needs pymodbus.
        from pymodbus import FramerType
        from pymodbus.server import ModbusTcpServer

        framer = FramerType.RTU if rtu else FramerType.SOCKET
        server = ModbusTcpServer([*self._devices(), _others()], framer=framer, address=(host, port))
        await self._serve(server, f"{host}:{port}")
        # The transport of a listening server is an asyncio.Server, whatever its annotation says.
        listening = cast("asyncio.Server", server.transport).sockets[0].getsockname()
        return str(listening[0]), int(listening[1])

    async def start_serial(self, device: str, *, baud: int = 9600, parity: str = "none", stop_bits: int = 1) -> None:
        """Serves on a serial port. Raises UnavailableError when it cannot be opened."""
        from pymodbus import FramerType
        from pymodbus.server import ModbusSerialServer

        server = ModbusSerialServer(
            [*self._devices(), _others()],
            framer=FramerType.RTU,
            trace_packet=self._hold_tongue,
            port=device,
            baudrate=baud,
            parity=parity[:1].upper(),
            stopbits=stop_bits,
        )
        await self._serve(server, device)

    async def stop(self) -> None:
        """Stops serving and frees the port."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    async def _serve(self, server: ModbusTcpServer | ModbusSerialServer, where: str) -> None:
        # "Server listening." from a library says nothing to somebody who reads the gateway's own messages.
        logging.getLogger("pymodbus").setLevel(logging.WARNING)
        try:
            await server.serve_forever(background=True)
        except (OSError, RuntimeError) as error:
            raise UnavailableError(f"{where}: the simulator cannot listen there ({error}); is it in use?") from error
        self._server = server

    def _devices(self) -> list[SimDevice]:
        return [_device(unit, meter, self._now) for unit, meter in self._meters.items()]

    def _now(self) -> int:
        self._latest_ms = max(self._latest_ms, self._wall_ms())
        return self._latest_ms

    def _hold_tongue(self, sending: bool, packet: bytes) -> bytes:  # noqa: FBT001  (pymodbus calls it)
        """Lets answers of units that are not there vanish."""
        return b"" if sending and packet[:1] and packet[0] not in self._meters else packet


def _house(unit: int, definition: Definition) -> House:
    three = any(point.obis.startswith(("1-0:52.", "1-0:56.", "1-0:41.")) for point in definition.points)
    return House(unit, 3 if three else 1)


def _device(unit: int, meter: VirtualMeter, now: Callable[[], int]) -> SimDevice:
    """A meter in the terms of pymodbus: blocks of empty registers, and a function that fills them before each read."""
    from pymodbus.constants import ExcCodes
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def fill(fc: int, start: int, address: int, count: int, registers: list[int], new: object) -> ExcCodes | None:
        if fc not in READ_FUNCTIONS or new is not None:
            return ExcCodes(ILLEGAL_FUNCTION)
        answer = meter.read(fc, address, count, now())
        if isinstance(answer, int):
            return ExcCodes(answer)
        registers[address - start : address - start + count] = answer
        return None

    def block(fc: int) -> list[SimData]:
        span = meter.spans.get(fc, range(1))
        return [SimData(span.start, count=len(span), values=0, datatype=DataType.REGISTERS)]

    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    return SimDevice(unit, (bits, list(bits), block(3), block(4)), action=fill)


def _others() -> SimDevice:
    """The answer for every unit id that is no meter."""
    from pymodbus.constants import ExcCodes
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def refuse(*_request: object) -> ExcCodes:
        return ExcCodes(GATEWAY_TARGET_SILENT)

    return SimDevice(0, SimData(0, count=0x10000, values=0, datatype=DataType.REGISTERS), action=refuse)
