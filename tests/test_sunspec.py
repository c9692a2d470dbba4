"""SunSpec devices: the model is found wherever it is, and read where it was found."""

from __future__ import annotations

import pytest

from drivers.modbus.definition import SunSpec, load_definition
from drivers.modbus.sunspec import find_model
from gateway.errors import MeterProtocolError, MeterRefused
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import meter, statuses, tcp_bus


class Device:
    """Registers as a mapping; what is not in it is refused."""

    def __init__(self, base: int, *models: tuple[int, int], end: bool = True) -> None:
        self.words = {base: 0x5375, base + 1: 0x6E53}
        at = base + 2
        for model, length in models:
            self.words |= {at: model, at + 1: length}
            at += 2 + length
        if end:
            self.words |= {at: 0xFFFF, at + 1: 0}
        self.reads = 0

    async def read(self, fc: int, address: int, count: int) -> bytes:
        self.reads += 1
        try:
            return b"".join(self.words[at].to_bytes(2, "big") for at in range(address, address + count))
        except KeyError:
            raise MeterRefused("refused", code=2) from None


@pytest.mark.parametrize("base", [40000, 0, 50000])
async def test_a_model_is_found_at_each_base(base: int) -> None:
    """The address is that of its ID register."""
    device = Device(base, (1, 66), (103, 50), (203, 105))
    assert await find_model(device.read, SunSpec(model=203, length=105)) == base + 2 + 68 + 52


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        (Device(40000, (1, 66)), r"model 203 is not in the device \(models: 1\)"),
        (Device(40000), r"models: none"),
        (Device(40000, (203, 50)), "model 203 is not"),
        (Device(7), "no SunSpec marker at 40000, 0, 50000"),
        (Device(50000, (1, 65535)), "models: 1"),
    ],
)
async def test_a_device_without_the_model_says_what_it_has(device: Device, fault: str) -> None:
    """Also one whose chain leads out of the address space."""
    with pytest.raises(MeterProtocolError, match=fault):
        await find_model(device.read, SunSpec(model=203, length=105))


async def test_a_chain_that_never_ends_is_given_up() -> None:
    """The walk is bounded, whatever the device says."""
    device = Device(0, *[(900, 0)] * 30000, end=False)
    with pytest.raises(MeterProtocolError):
        await find_model(device.read, SunSpec(model=203, length=105))
    assert device.reads < 100


@pytest.mark.parametrize("base", [0, 40000, 50000])
async def test_a_sunspec_meter_is_read_through_libmodbus(base: int) -> None:
    """The definition's offsets count from wherever the device has its model."""
    start = base + 2 + 68
    contents = [(3, base, 0x5375), (3, base + 1, 0x6E53), (3, base + 2, 1), (3, base + 3, 66)]
    contents += [(3, start, 203), (3, start + 1, 105)]
    contents += [(3, start + at, 0x8000) for at in range(2, 107)]
    contents += [(3, start + 16, 5001), (3, start + 17, 0xFFFE)]
    with LibmodbusServer(contents=contents) as server:
        bus = tcp_bus(server.port, meter(1, load_definition("sunspec-203")))
        reading = await bus.meters[0].read()
        points = dict(zip([each.name for each in bus.meters[0].description.points], reading.points, strict=True))
        assert str(points["frequency"].value) == "50.01"
        assert set(statuses(reading)) == {"ok", "invalid"}
        await bus.close()
