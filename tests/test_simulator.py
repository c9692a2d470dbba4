"""The simulator (drivers/modbus/simulator.py): every definition served, and read back; wrong requests refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from drivers.house import ANCHOR_MS
from drivers.modbus.definition import list_definitions, load_definition
from drivers.modbus.meter import MeterSettings
from drivers.modbus.simulator import Simulator
from gateway.errors import ConfigError, MeterProtocolError, UnavailableError
from gateway.reading import Reading, Status
from tests.modbus_meters import serial_bus, tcp_bus
from tests.parts import need

MODELS = list_definitions()
START_MS = ANCHOR_MS + 700 * 86_400_000


class Wall:
    """Wall-clock time that a test sets."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def wall() -> Wall:
    return Wall()


def meter(model: str, unit: int) -> MeterSettings:
    return MeterSettings(name=model, definition=load_definition(model), unit=unit)


def simulator(wall: Wall, *models: str) -> Simulator:
    return Simulator({unit: load_definition(model) for unit, model in enumerate(models, start=1)}, wall)


def counters(model: str, reading: Reading) -> list[int]:
    """What only rises, in units of 10**-12."""
    points = zip(load_definition(model).default_points, reading.points, strict=True)
    values = [found.value for point, found in points if point.monotonic]
    assert None not in values
    return [value.at(-12) for value in values if value is not None]


async def exchange(port: int, request: str) -> str:
    """What the server answers to a Modbus TCP request, both in hex; without transaction id and length."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = bytes.fromhex(request)
    writer.write(b"\0\1\0\0" + len(body).to_bytes(2, "big") + body)
    header = await asyncio.wait_for(reader.readexactly(6), 10)
    answer = await asyncio.wait_for(reader.readexactly(int.from_bytes(header[4:], "big")), 10)
    writer.close()
    await writer.wait_closed()
    return answer.hex()


@pytest.fixture
async def sdm630(wall: Wall) -> AsyncIterator[int]:
    """The port of a simulator with one SDM630 as unit 1."""
    served = simulator(wall, "eastron-sdm630")
    _, port = await served.start()
    yield port
    await served.stop()


async def test_every_definition_is_read_back_and_its_counters_rise(wall: Wall) -> None:
    """All models on one bus: good values, and a day later no counter is lower and some are higher."""
    served = simulator(wall, *MODELS)
    _, port = await served.start()
    bus = tcp_bus(port, *(meter(model, unit) for unit, model in enumerate(MODELS, start=1)))
    try:
        first = [await each.read() for each in bus.meters]
        wall.ms += 86_400_000
        second = [await each.read() for each in bus.meters]
    finally:
        await bus.close()
        await served.stop()
    for model, before, after in zip(MODELS, first, second, strict=True):
        assert {point.status for point in before.points} == {Status.OK}, model
        pairs = list(zip(counters(model, before), counters(model, after), strict=True))
        assert all(old <= new for old, new in pairs), model
        assert any(old < new for old, new in pairs) or not pairs, model


async def test_a_restart_and_a_clock_set_back_lower_no_counter(wall: Wall) -> None:
    """The meters stand still until the clock has caught up, and a new process goes on from the same values."""
    served = simulator(wall, "eastron-sdm120")
    _, port = await served.start()
    bus = tcp_bus(port, meter("eastron-sdm120", 1))
    first = await bus.meters[0].read()
    wall.ms -= 7_200_000
    second = await bus.meters[0].read()
    await bus.close()
    await served.stop()
    wall.ms += 7_200_000
    served = simulator(wall, "eastron-sdm120")
    _, port = await served.start()
    bus = tcp_bus(port, meter("eastron-sdm120", 1))
    third = await bus.meters[0].read()
    await bus.close()
    await served.stop()
    assert first.points == second.points == third.points


@pytest.mark.parametrize(
    ("request_hex", "answer"),
    [
        ("010400000034", "018403"),  # 52 registers: one value more than the meter's 50
        ("010400010002", "018402"),  # starts within a value
        ("010400000003", "018402"),  # ends within a value
        ("010401660002", "018402"),  # beyond the last register
        ("010300000002", "018302"),  # holding registers: there are none but the serial number
        ("0106fc000001", "018601"),  # a write
        ("0110fc000001020000", "019001"),  # a write of several
        ("010100000001", "018101"),  # coils
        ("090400000002", "09840b"),  # a unit that is not there
    ],
)
async def test_a_simulated_meter_refuses_what_a_meter_refuses(sdm630: int, request_hex: str, answer: str) -> None:
    """Reads that are too long, cut a value or lie outside, and every write, get the exception of the real meter."""
    assert await exchange(sdm630, request_hex) == answer


async def test_the_sdm630_answers_fifty_registers(sdm630: int) -> None:
    """The longest read that all units of the family take is served whole."""
    assert (await exchange(sdm630, "010400000032")).startswith("010464")


async def test_the_em340_tells_its_model_code(wall: Wall) -> None:
    """Register 0x000b read alone answers 341, and a read of 21 registers is refused."""
    served = simulator(wall, "carlo-gavazzi-em340")
    _, port = await served.start()
    assert await exchange(port, "0104000b0001") == "0104020155"
    assert await exchange(port, "010400000014") != "018403"
    assert await exchange(port, "010400000015") == "018403"
    await served.stop()


async def test_rtu_over_tcp_is_served_and_read(wall: Wall) -> None:
    """The same meters answer RTU frames on a TCP connection."""
    served = simulator(wall, "janitza-umg96rm")
    _, port = await served.start(rtu=True)
    bus = tcp_bus(port, meter("janitza-umg96rm", 1), kind="rtu_over_tcp")
    try:
        assert {point.status for point in (await bus.meters[0].read()).points} == {Status.OK}
    finally:
        await bus.close()
        await served.stop()


async def test_a_serial_line_is_served_and_a_missing_unit_stays_silent(wall: Wall, tmp_path: object) -> None:
    """Over a serial pair the meter answers; a unit id that is no meter gives no answer at all."""
    near, far = f"{tmp_path}/near", f"{tmp_path}/far"
    pair = await asyncio.create_subprocess_exec(
        need("socat"), "-d", "-d", f"pty,raw,echo=0,link={near}", f"pty,raw,echo=0,link={far}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert pair.stderr is not None
    while b"starting data transfer" not in await asyncio.wait_for(pair.stderr.readline(), 10):
        pass
    served = simulator(wall, "eastron-sdm230")
    await served.start_serial(far, baud=115_200)
    bus = serial_bus(near, meter("eastron-sdm230", 1), meter("eastron-sdm120", 2))
    try:
        assert {point.status for point in (await bus.meters[0].read()).points} == {Status.OK}
        with pytest.raises((UnavailableError, MeterProtocolError), match="eastron-sdm120"):
            await bus.meters[1].read()
    finally:
        await bus.close()
        await served.stop()
        pair.terminate()
        await pair.wait()


async def test_a_taken_port_is_a_clear_error(wall: Wall) -> None:
    """Somebody else's port, a missing serial port and a bad unit id are named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}: the simulator cannot listen there"):
            await simulator(wall, "eastron-sdm120").start(port=port)
    with pytest.raises(UnavailableError, match="nowhere: the simulator cannot listen there"):
        await simulator(wall, "eastron-sdm120").start_serial("/dev/nowhere")
    with pytest.raises(ConfigError, match="unit id 248 cannot be simulated"):
        Simulator({248: load_definition("eastron-sdm120")}, wall)
