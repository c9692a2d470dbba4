"""A proxy under test, and clients of it that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import struct
from collections.abc import AsyncIterator
from typing import Self

from pymodbus.client import AsyncModbusTcpClient
from pyModbusTCP.client import ModbusClient

from drivers.modbus.proxy import ModbusProxy
from drivers.modbus.proxy_desk import UNITS, USUAL, GuestBus, Limits
from tests.parts import free_port, missing


@contextlib.asynccontextmanager
async def proxied(
    bus: GuestBus, units: frozenset[int] = UNITS, limits: Limits = USUAL
) -> AsyncIterator[tuple[ModbusProxy, int]]:
    """A proxy and its port."""
    proxy, port, listens = ModbusProxy("cabinet", bus, units, limits), free_port(), asyncio.Event()
    task = asyncio.create_task(proxy.serve("127.0.0.1", port, listens.set))
    await asyncio.wait_for(listens.wait(), 10)
    try:
        yield proxy, port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Raw:
    """A client that sends any bytes. Use as ``async with``."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def ask(self, transaction: int, unit: int, pdu: bytes) -> None:
        self.writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)

    def ask_registers(self, transaction: int, unit: int, address: int, count: int = 1, fc: int = 3) -> None:
        self.ask(transaction, unit, struct.pack(">BHH", fc, address, count))

    async def answer(self) -> tuple[int, int, bytes]:
        """Transaction, unit, PDU."""
        async with asyncio.timeout(20):
            transaction, _, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ended(self) -> bool:
        """Whether the server ends the connection, with no more to say."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                return not await self.reader.read(1)
        return True


async def by_pymodbus(port: int, unit: int, address: int, count: int) -> list[int]:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=10)
    await client.connect()
    found = await client.read_holding_registers(address, count=count, device_id=unit)
    client.close()
    return list(found.registers)


async def by_pymodbustcp(port: int, unit: int, address: int, count: int) -> list[int]:
    client = ModbusClient("127.0.0.1", port, unit, timeout=10)
    found = await asyncio.to_thread(client.read_holding_registers, address, count)
    await asyncio.to_thread(client.close)
    return list(found or [])


async def by_libmodbus(port: int, unit: int, address: int, count: int) -> list[int]:
    return await asyncio.to_thread(_by_libmodbus, port, unit, address, count)


def _by_libmodbus(port: int, unit: int, address: int, count: int) -> list[int]:
    try:
        library = ctypes.CDLL("libmodbus.so.5")
    except OSError:
        missing("libmodbus; sh tests/install-peers.sh installs it")
    library.modbus_new_tcp.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    library.modbus_set_response_timeout(context, 10, 0)
    registers = (ctypes.c_uint16 * count)()
    try:
        assert library.modbus_set_slave(context, unit) == 0
        assert library.modbus_connect(context) == 0
        assert library.modbus_read_registers(context, address, count, registers) == count
    finally:
        library.modbus_close(context)
        library.modbus_free(context)
    return list(registers)
