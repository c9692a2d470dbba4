"""Walking through registers that no definition describes."""

from __future__ import annotations

import struct
from functools import partial

import pytest

from drivers.modbus.bus import ModbusBus
from drivers.modbus.walk import NOT_ASKED, SILENT, Guess, Walked, walk
from gateway.errors import MeterRefused
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import serial_bus, tcp_bus
from tests.paced_bus import PacedBus


def f32(fc: int, address: int, value: float, order: str = "abcd") -> list[tuple[int, int, int]]:
    words = struct.unpack(">HH", struct.pack(">f", value))
    return [(fc, address + index, word) for index, word in enumerate(words if order == "abcd" else words[::-1])]


async def walked(bus: ModbusBus, addresses: range, unit: int = 1) -> Walked:
    found = await walk(partial(bus.read_registers, unit), addresses)
    await bus.close()
    return found


def said(guesses: tuple[Guess, ...]) -> list[tuple[int, int, str, str]]:
    return [(each.fc, each.address, each.how, f"{each.value} {each.unit}".rstrip()) for each in guesses]


@pytest.mark.parametrize("order", ["abcd", "cdab"])
async def test_floats_of_a_meter_that_nobody_knows_are_guessed(order: str) -> None:
    """Through libmodbus: voltages and frequency by their size, the energy by standing among them."""
    contents = [(fc, address, 0) for fc in (3, 4) for address in range(0x40)]
    for address, value in [(0, 230.2), (2, 231.5), (4, 229.75), (0x10, 1234.56), (0x12, -17.5), (0x30, 50.01)]:
        contents += f32(4, address, value, order)
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with LibmodbusServer(registers=0x40, contents=contents) as server:
        bus = tcp_bus(server.port)
        found = await walk(partial(bus.read_registers, 1), range(0x48), step)
        await bus.close()
    assert steps == 2 * 0x48
    assert list(found.runs()) == [(3, 0, 0x3F, None), (3, 0x40, 0x47, 2), (4, 0, 0x3F, None), (4, 0x40, 0x47, 2)]
    how = f"f32 {order} scale10 0"
    assert said(found.guesses) == [
        (4, 0, how, "230.2 V"),
        (4, 2, how, "231.5 V"),
        (4, 4, how, "229.75 V"),
        (4, 0x10, how, "1234.56"),
        (4, 0x12, how, "-17.5"),
        (4, 0x30, how, "50.01 Hz"),
    ]


async def test_integers_are_hints() -> None:
    """Tenths and hundredths of a volt, and a 32-bit value in millivolts; nothing is told of what is no usual value."""
    contents = [(fc, address, 0) for fc in (3, 4) for address in range(16)]
    contents += [(3, 0, 2302), (3, 1, 23150), (3, 2, 4998), (3, 4, 230_400 >> 16), (3, 5, 230_400 & 0xFFFF), (3, 7, 7)]
    contents += [(3, 9, 4001)]
    with LibmodbusServer(registers=16, contents=contents) as server:
        found = await walked(tcp_bus(server.port), range(16))
    assert said(found.guesses) == [
        (3, 0, "u16 abcd scale10 -1", "230.2 V"),
        (3, 1, "u16 abcd scale10 -2", "231.50 V"),
        (3, 2, "u16 abcd scale10 -2", "49.98 Hz"),
        (3, 4, "u32 abcd scale10 -3", "230.400 V"),
        (3, 9, "u16 abcd scale10 -1", "400.1 V"),
    ]


async def test_holes_refusals_and_silence_are_told_apart() -> None:
    """On a serial line; a meter that falls silent is not asked 512 times more."""
    with PacedBus(baud=115200, units={1: {"holes": [[3, 6], [9, 10]]}}) as line:
        found = await walked(serial_bus(line.device, timeout_ms=30, delay_ms=20, late_ms=20), range(12))
        runs = [(3, 0, 2, None), (3, 3, 5, 2), (3, 6, 8, None), (3, 9, 9, 2), (3, 10, 11, None)]
        assert list(found.runs()) == [*runs, *((4, *rest) for _, *rest in runs)]
        line.change(1, dead=True)
        before = line.stats()["requests"]
        found = await walked(serial_bus(line.device, timeout_ms=30, delay_ms=20, late_ms=20), range(100))
        assert list(found.runs()) == [
            (3, 0, 7, SILENT), (3, 8, 99, NOT_ASKED), (4, 0, 7, SILENT), (4, 8, 99, NOT_ASKED)
        ]  # fmt: skip
        assert line.stats()["requests"] - before == 16


class Paired:
    """Gives its values in pairs only, one function alone; accuses a third register."""

    def __init__(self) -> None:
        self.asked = 0

    async def read(self, fc: int, address: int, count: int) -> bytes:
        self.asked += 1
        assert count <= 2
        if fc == 3:
            raise MeterRefused("", code=1)
        if count == 1 or address % 2:
            raise MeterRefused("", code=2)
        return struct.pack(">f", 230.0 + address + self.asked / 1000)


async def test_values_that_come_in_pairs_only_are_read_in_pairs() -> None:
    """And a function that is refused altogether is asked for once; a guess is what the pair held when read together."""
    meter = Paired()
    found = await walk(meter.read, range(4))
    assert list(found.runs()) == [(3, 0, 0, 1), (3, 1, 3, NOT_ASKED), (4, 0, 3, None)]
    assert [each.address for each in found.guesses] == [0, 2]
    assert meter.asked == 4 + 1 + 2
    assert found.guesses[0].value == f"{struct.unpack('>f', struct.pack('>f', 230.006))[0]:.3f}"
