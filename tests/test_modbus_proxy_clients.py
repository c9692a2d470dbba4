"""Clients of the proxy that flood, stall, babble or leave: each meets its bound, and the others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frame import READ_FUNCTIONS
from drivers.modbus.proxy import ModbusProxy
from drivers.modbus.proxy_desk import Limits
from drivers.modbus.proxy_frame import OutOfStep, Refusal, parse_header, parse_request
from gateway.errors import MeterProtocolError, MeterRefused
from tests.parts import free_port
from tests.proxied import Raw, proxied


class SlowBus:
    """A bus that answers when it is told to; it accuses two exchanges at once."""

    def __init__(self, *, held: bool = False) -> None:
        self.asked: list[tuple[int, int, int, int]] = []
        self.fault: Exception | None = None
        self._may = asyncio.Semaphore(0)
        self._held = held
        self._busy = False

    def let(self, exchanges: int) -> None:
        for _ in range(exchanges):
            self._may.release()

    async def read_as_guest(self, unit: int, fc: int, address: int, count: int, patience_s: float) -> bytes:
        assert not self._busy, "one exchange at a time"
        assert fc in READ_FUNCTIONS
        self.asked.append((unit, fc, address, count))
        self._busy = True
        try:
            if self._held:
                await self._may.acquire()
        finally:
            self._busy = False
        if self.fault:
            raise self.fault
        return address.to_bytes(2, "big") * count


async def until_asked(bus: SlowBus, number: int) -> None:
    async with asyncio.timeout(10):
        while len(bus.asked) < number:
            await asyncio.sleep(0)


async def is_served(port: int) -> bool:
    async with Raw(port) as client:
        client.ask_registers(77, 1, 7)
        return await client.answer() == (77, 1, b"\x03\x02\x00\x07")


@pytest.fixture
def slow() -> SlowBus:
    return SlowBus(held=True)


async def test_clients_take_turns_whatever_each_asks_for(slow: SlowBus) -> None:
    """One with four requests under way gets every other turn beside one that asks again and again for one."""
    async with proxied(slow) as (_, port), Raw(port) as many, Raw(port) as one:
        for number in range(4):
            many.ask_registers(number, 1, number)
        await until_asked(slow, 1)
        for number in range(3):
            one.ask_registers(number, 2, 100 + number)
            await asyncio.sleep(0.02)  # the request arrives: nobody shows that it has
            slow.let(2)
            assert (await one.answer())[0] == number
        assert [unit for unit, *_ in slow.asked] == [1, 2, 1, 2, 1, 2, 1]


async def test_more_than_a_clients_share_is_busy(slow: SlowBus) -> None:
    """The fifth request at once is refused, the four are answered, and then the client may go on."""
    async with proxied(slow) as (_, port), Raw(port) as client:
        for number in range(6):
            client.ask_registers(number, 1, number)
        assert [await client.answer() for _ in range(2)] == [(4, 1, b"\x83\6"), (5, 1, b"\x83\6")]
        slow.let(5)
        assert [(await client.answer())[0] for _ in range(4)] == [0, 1, 2, 3]
        client.ask_registers(9, 1, 9)
        assert await client.answer() == (9, 1, b"\x03\x02\x00\x09")


async def test_a_full_queue_is_busy_for_everybody(slow: SlowBus) -> None:
    """Its size bounds what the proxy holds, however many clients there are."""
    async with proxied(slow, limits=Limits(queue=3)) as (_, port), Raw(port) as first, Raw(port) as second:
        for number in range(3):
            first.ask_registers(number, 1, number)
        await until_asked(slow, 1)
        async with asyncio.timeout(10):
            while True:
                second.ask_registers(50, 1, 0)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        assert (await second.answer())[2] == b"\x83\6"
                        break


@pytest.mark.parametrize(
    ("fault", "code"),
    [(MeterRefused("", code=4), 4), (MeterRefused("", code=11), 11), (MeterProtocolError("garbled"), 11)],
)
async def test_what_the_bus_says_becomes_a_code(fault: Exception, code: int) -> None:
    """A meter's exception is passed through; garbled is no answer."""
    bus = SlowBus()
    bus.fault = fault
    async with proxied(bus) as (_, port), Raw(port) as client:
        client.ask_registers(1, 1, 0)
        assert await client.answer() == (1, 1, bytes([0x83, code]))


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes.fromhex("010300000001840a"),
        bytes(64),
        b"\xff" * 64,
        bytes.fromhex("000100000001 01"),
        bytes.fromhex("0001000000ff 01"),
    ],
)
async def test_garbage_ends_the_connection_and_nothing_else(bytes_: bytes) -> None:
    """A browser, TLS, RTU frames, zeroes: the stream is out of step; others are served."""
    bus = SlowBus()
    async with proxied(bus) as (proxy, port), Raw(port) as client:
        client.writer.write(bytes_)
        assert await client.ended()
        assert proxy.status.cut_off == 1
        assert await is_served(port)
        assert len(bus.asked) == 1


async def test_a_frame_that_never_ends_is_cut_off(slow: SlowBus) -> None:
    """Half a header, a byte now and then, a header without its request: each has the same time."""
    frame = bytes.fromhex("000100000006010300000001")
    async with proxied(SlowBus(), limits=Limits(frame_s=0.3)) as (proxy, port):
        async with Raw(port) as half, Raw(port) as headed, Raw(port) as dripping:
            half.writer.write(frame[:3])
            headed.writer.write(frame[:7])
            drip = asyncio.create_task(_drip(dripping, frame))
            assert await half.ended()
            assert await headed.ended()
            assert await dripping.ended()
            drip.cancel()
            assert await is_served(port)
        assert proxy.status.cut_off == 3
        assert proxy.status.requests == 1


async def _drip(client: Raw, frame: bytes) -> None:
    for byte in frame[:-1]:
        client.writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def test_an_idle_client_is_cut_off() -> None:
    """After its time between two frames."""
    async with proxied(SlowBus(), limits=Limits(idle_s=0.2)) as (_, port), Raw(port) as client:
        client.ask_registers(1, 1, 0)
        await client.answer()
        assert await client.ended()


async def test_frames_may_come_in_any_pieces() -> None:
    """Byte by byte, and many at once."""
    frames = b"".join(bytes.fromhex(f"000{number}0000000601030000000{number}") for number in (1, 2, 3))
    async with proxied(SlowBus()) as (_, port), Raw(port) as client:
        client.writer.write(frames)
        for byte in frames:
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert [(await client.answer())[0] for _ in range(6)] == [1, 2, 3, 1, 2, 3]


async def test_one_client_too_many_is_turned_away_unless_another_is_idle() -> None:
    """A place is not kept by who does nothing with it."""
    two = Limits(clients=2, yield_s=0.3)
    async with proxied(SlowBus(), limits=two) as (proxy, port), Raw(port) as first, Raw(port) as second:
        for number, client in enumerate((first, second)):
            client.ask_registers(number, 1, 0)
            await client.answer()
        async with Raw(port) as third:
            assert await third.ended()
        assert proxy.status.turned_away == 1
        async with asyncio.timeout(10):
            while not await _found_a_place(port, second):
                pass
        assert await first.ended()
        second.ask_registers(9, 1, 0)
        assert (await second.answer())[0] == 9


async def _found_a_place(port: int, busy: Raw) -> bool:
    """Tries to be served while *busy* goes on asking."""
    busy.ask_registers(8, 1, 0)
    await busy.answer()
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
        return await is_served(port)
    return False


async def test_who_takes_no_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers of a client that only sends fill a bounded buffer."""
    monkeypatch.setattr("drivers.modbus.proxy._REFUSED_S", 0)
    async with proxied(SlowBus()) as (proxy, port):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", port))
            deaf.setblocking(False)
            request = bytes.fromhex("00010000000601030000007d")
            async with asyncio.timeout(60):
                while not proxy.status.cut_off:
                    with contextlib.suppress(BlockingIOError, ConnectionError):
                        deaf.send(request * 4)
                    await asyncio.sleep(0)
            assert await is_served(port)


async def test_who_floods_is_read_from_slowly() -> None:
    """Refusals cost the processor little, and others are served meanwhile."""
    async with proxied(SlowBus()) as (proxy, port), Raw(port) as flood:
        flood.writer.write(bytes.fromhex("000100000002010f") * 5000)
        for _ in range(20):
            assert await is_served(port)
        assert proxy.status.exceptions[1] < 100


async def test_a_port_that_is_taken_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Told once; when it is free, the proxy listens, and its end closes the port and the connections."""
    monkeypatch.setattr("drivers.modbus.proxy.RETRY_S", 0.01)
    port, listens = free_port(), asyncio.Event()
    proxy = ModbusProxy("cabinet", SlowBus())
    with socket.socket() as other, caplog.at_level(logging.ERROR):
        other.bind(("127.0.0.1", port))
        other.listen()
        task = asyncio.create_task(proxy.serve("127.0.0.1", port, listens.set))
        while not caplog.records:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    await asyncio.wait_for(listens.wait(), 10)
    assert [record.getMessage() for record in caplog.records] == [
        f"proxy cabinet: 127.0.0.1:{port} cannot be served: Address already in use; is it taken?"
    ]
    assert proxy.status.listening == f"127.0.0.1:{port}"
    async with Raw(port) as client:
        client.ask_registers(1, 1, 0)
        await client.answer()
        client.ask(2, 1, b"\x05")  # it is in its pause after a refusal when the end comes
        await client.answer()
        task.cancel()
        assert await client.ended()
    await asyncio.gather(task, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1, "nothing is left to be cancelled"
    assert proxy.status.listening == ""
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_only_reads_of_registers_ever_become_a_request(unit: int, pdu: bytes) -> None:
    """Whatever comes, it is a read within the address space or a refusal with a code."""
    code = 0
    try:
        assert parse_request(unit, pdu).pdu == pdu
    except Refusal as error:
        code = error.code
    assert code in (1, 2, 3) or pdu[0] in READ_FUNCTIONS


@given(st.binary(min_size=7, max_size=7))
def test_a_header_states_a_length_that_is_one(data: bytes) -> None:
    """Or the stream is out of step."""
    try:
        header = parse_header(data)
    except OutOfStep:
        assert data[2:4] != b"\0\0" or not 2 <= int.from_bytes(data[4:6], "big") <= 254
    else:
        assert 1 <= header.size <= 253
