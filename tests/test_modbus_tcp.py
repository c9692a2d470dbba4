"""Modbus TCP and RTU over TCP: real servers, and servers that lie."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from pyModbusTCP.server import DataBank, ModbusServer

from drivers.modbus.frame import rtu_frame, tcp_frame
from gateway.errors import MeterProtocolError, MeterRefused, MeterUnavailable
from tests.libmodbus import LibmodbusServer, words
from tests.modbus_meters import definition, meter, point, raws, statuses, tcp_bus
from tests.parts import free_port

#: The bytes a lying server sends for a request (MBAP and PDU, or RTU frame); None closes the connection.
Answer = Callable[[bytes], bytes | None]


@asynccontextmanager
async def liar(answer: Answer, size: int = 12) -> AsyncIterator[tuple[int, list[int]]]:
    """A server that answers as told: its port, and how many connections it had."""
    connections = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[0] += 1
        try:
            while (reply := answer(await reader.readexactly(size))) is not None:
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections


def right(request: bytes, word: int = 0xBEEF) -> bytes:
    transaction, _, _, unit, fc, _, count = struct.unpack(">HHHBBHH", request)
    return tcp_frame(transaction, unit, bytes([fc, 2 * count]) + word.to_bytes(2, "big") * count)


ONE = definition(point(7))


async def test_libmodbus_and_the_bus_agree_about_every_register_asked() -> None:
    """Both functions, from the smallest to the largest request."""
    with LibmodbusServer() as server:
        bus = tcp_bus(server.port)
        for fc, address, count in [(3, 0, 1), (4, 77, 2), (3, 65535, 1), (4, 65411, 125), (3, 1000, 60)]:
            assert await bus.read_registers(1, fc, address, count) == words(address, count)
        await bus.close()


async def test_libmodbus_refusals_are_learned() -> None:
    """libmodbus refuses what lies beyond its last register; the points before it are read."""
    what = definition(*(point(at) for at in range(90, 110, 2)))
    with LibmodbusServer(registers=101) as server:
        bus = tcp_bus(server.port, meter(1, what))
        for _ in range(2):
            assert statuses(await bus.meters[0].read()) == ["ok"] * 6 + ["unsupported"] * 4
        with pytest.raises(MeterRefused) as refused:
            await bus.read_registers(1, 3, 101, 1)
        assert refused.value.code == 2
        await bus.close()


async def test_pymodbustcp_is_read_as_well() -> None:
    """A second server that nobody here wrote."""
    bank = DataBank()
    bank.set_holding_registers(100, list(range(40)))
    bank.set_input_registers(100, list(range(1000, 1040)))
    server = ModbusServer(host="127.0.0.1", port=free_port(), no_block=True, data_bank=bank)
    server.start()
    try:
        bus = tcp_bus(server.port, meter(1, definition(point(105), point(130), point(139, fc=4))))
        assert [str(each.value) for each in (await bus.meters[0].read()).points] == ["5", "30", "1039"]
        await bus.close()
    finally:
        server.stop()


async def test_a_server_that_restarts_is_found_again() -> None:
    """The broken connection costs nothing but its own reopening."""
    port = free_port()
    with LibmodbusServer(port=port):
        bus = tcp_bus(port, meter(1, ONE))
        await bus.meters[0].read()
    with LibmodbusServer(port=port):
        assert raws(await bus.meters[0].read()) == [words(7, 1).hex()]
    with pytest.raises(MeterUnavailable, match=f"m1: 127.0.0.1:{port}"):
        await bus.meters[0].read()
    await bus.close()


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (lambda request: tcp_frame(0x7777, 1, right(request)[7:]), "never asked"),
        (lambda request: right(request)[:2] + b"\0\1" + right(request)[4:], "no Modbus TCP header"),
        (lambda request: right(request)[:4] + b"\xff\xff" + right(request)[6:], "no Modbus TCP header"),
        (lambda request: right(request)[:6] + b"\x09" + right(request)[7:], "unit 9 answered"),
        (lambda request: right(request)[:7] + b"\x04" + right(request)[8:], "does not fit"),
        (lambda request: right(request)[:5] + b"\x07" + right(request)[6:8] + b"\x04" + bytes(4), "does not fit"),
        (lambda request: bytes(300), "no Modbus TCP header"),
    ],
    ids=["transaction", "protocol", "length", "unit", "function", "count", "zeroes"],
)
async def test_a_reply_that_does_not_fit_is_refused_and_the_connection_closed(lie: Answer, fault: str) -> None:
    """Each field of the header and of the reply counts; the second try uses a new connection."""
    async with liar(lie) as (port, connections):
        bus = tcp_bus(port, meter(1, ONE))
        with pytest.raises(MeterProtocolError, match=fault):
            await bus.meters[0].read()
        assert connections == [2]
        await bus.close()


async def test_no_noise_on_the_connection_becomes_a_value() -> None:
    """Random bytes, random cuts and random changes of a right reply: the right value, or an error."""
    chance = random.Random(4)

    def noise(request: bytes) -> bytes | None:
        reply = bytearray(right(request))
        for _ in range(chance.randrange(3)):
            reply[chance.randrange(9)] = chance.randrange(256)
        cut = bytes(reply[: chance.randrange(len(reply) + 1)])
        return chance.choice([bytes(reply), cut, chance.randbytes(chance.randrange(1, 600)), None])

    async with liar(noise) as (port, _):
        bus = tcp_bus(port, timeout_ms=10)
        outcomes = set()
        for _ in range(200):
            try:
                assert await bus.read_registers(1, 3, 0, 1) == b"\xbe\xef"
                outcomes.add("value")
            except (MeterProtocolError, MeterUnavailable) as error:
                outcomes.add(type(error).__name__)
        assert {"value", "BadReply", "NoReply"} <= outcomes
        await bus.close()


async def test_late_replies_carry_their_number_and_are_dropped() -> None:
    """The reply to a request that was given up arrives before the next reply, and is not taken for it."""
    replies: list[bytes] = []

    def one_behind(request: bytes) -> bytes:
        replies.append(right(request, word=len(replies)))
        return b"" if len(replies) == 1 else b"".join(replies)

    async with liar(one_behind) as (port, connections):
        bus = tcp_bus(port, timeout_ms=50)
        with pytest.raises(MeterUnavailable):
            await bus.read_registers(1, 3, 0, 1)
        assert await bus.read_registers(1, 3, 0, 1) == b"\0\1"
        assert connections == [1]
        await bus.close()


async def test_a_connection_that_owes_too_much_is_closed() -> None:
    """Requests given up on one connection are bounded."""
    async with liar(lambda request: b"") as (port, connections):
        bus = tcp_bus(port, timeout_ms=20)
        for _ in range(12):
            with pytest.raises(MeterUnavailable):
                await bus.read_registers(1, 3, 0, 1)
        assert connections == [3]
        await bus.close()


async def test_a_gateway_whose_target_is_silent_counts_as_a_silent_meter() -> None:
    """Exception 11 is the gateway's word for a time-out: no value, and no split."""

    def gateway(request: bytes) -> bytes:
        return tcp_frame(struct.unpack_from(">H", request)[0], request[6], bytes([request[7] | 0x80, 11]))

    async with liar(gateway) as (port, _):
        bus = tcp_bus(port, meter(1, ONE))
        with pytest.raises(MeterUnavailable, match="gateway target gave no reply"):
            await bus.meters[0].read()
        await bus.close()


async def test_rtu_over_tcp_is_rtu_to_the_last_byte() -> None:
    """The same frames as on a serial line, in one connection, reopened when the far side closes it between polls."""
    served = [0]

    def device(request: bytes) -> bytes | None:
        served[0] += 1
        if served[0] % 3 == 0:
            return None
        return rtu_frame(request[0], bytes([request[1], 2]) + request[2:4])

    async with liar(device, size=8) as (port, connections):
        bus = tcp_bus(port, meter(1, ONE), kind="rtu_over_tcp", late_ms=20)
        for _ in range(4):
            assert raws(await bus.meters[0].read()) == ["0007"]
        assert connections[0] >= 2
        await bus.close()
