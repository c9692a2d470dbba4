"""Pulse meters: the contract of every meter, and a count that survives (drivers/s0/meter.py)."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from drivers.s0.gpio import GpioLine, LineSettings
from drivers.s0.meter import S0Bus, S0Meter, S0Settings
from drivers.s0.pulse import MS, Constant
from gateway.errors import MeterUnavailable
from gateway.reading import Moment, Reading, Scaled, Status
from tests.contract_meter import MeterContract

CHIP = "/dev/gpiochip9"


class FakeChip:
    """Lines that are pipes; accuses who opens a line twice."""

    def __init__(self) -> None:
        self.now_ns = 10**12
        self.is_gone = False
        self._writer = -1
        self._number = 0

    def open_line(self, settings: LineSettings) -> GpioLine:
        if self.is_gone:
            raise MeterUnavailable(f"{settings}: No such file or directory")
        self.unplug_line()
        reader, self._writer = os.pipe()
        self._number = 0
        return GpioLine(reader, str(settings))

    def edge(self, *, closed: bool, after_ms: int) -> None:
        self.now_ns += after_ms * MS
        self._number += 1
        data = struct.pack("=Q IIII 24x", self.now_ns, 1 if closed else 2, 17, self._number, self._number)
        os.write(self._writer, data)

    def pulse(self, after_ms: int = 1000) -> None:
        self.edge(closed=True, after_ms=after_ms - 30)
        self.edge(closed=False, after_ms=30)

    def unplug_line(self) -> None:
        if self._writer >= 0:
            os.close(self._writer)
        self._writer = -1

    def unplug(self) -> None:
        self.is_gone = True
        self.unplug_line()


class FakeStore:
    """Keeps the count in memory; accuses a count that falls."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.is_broken = False
        self.stores = 0

    def load(self) -> int:
        return self.count

    def store(self, count: int) -> None:
        if self.is_broken:
            raise MeterUnavailable("the disk is full")
        assert count > self.count
        self.count = count
        self.stores += 1


def clock() -> Moment:
    return Moment(boottime_ns=time.monotonic_ns(), wall_ms=0, quality="U", error_ms=-1)


@pytest.fixture
def chip() -> Iterator[FakeChip]:
    found = FakeChip()
    yield found
    found.unplug()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def make(chip: FakeChip, store: FakeStore, start: Scaled | None = None) -> S0Bus:
    line = LineSettings(chip=CHIP, line=17)
    settings = S0Settings(name="boiler", line=line, constant=Constant(impulses=800), start=start)
    return S0Bus("pulses", [(settings, store)], clock, open_line=chip.open_line, monotonic_ns=lambda: chip.now_ns)


def said(reading: Reading) -> list[str]:
    return [str(point.value) if point.value is not None else point.status.text for point in reading.points]


class TestS0Meter(MeterContract):
    @pytest.fixture
    async def bus(self, chip: FakeChip, store: FakeStore) -> S0Bus:
        return make(chip, store)

    @pytest.fixture
    async def meter(self, bus: S0Bus) -> S0Meter:
        return bus.meters[0]

    @pytest.fixture
    def silence(self, chip: FakeChip) -> Callable[[], object]:
        return chip.unplug


async def test_pulses_become_energy_and_power(chip: FakeChip, store: FakeStore) -> None:
    """From the meter's display on; power from the second pulse on."""
    bus = make(chip, store, start=Scaled(mantissa=1234567, exponent=-2))
    (meter,) = bus.meters
    assert said(await meter.read()) == ["12345.67000", "0", "invalid", "0", "0"]
    chip.pulse()
    assert said(await meter.read()) == ["12345.67125", "1", "invalid", "0", "0"]
    chip.pulse(4500)
    reading = await meter.read()
    assert said(reading) == ["12345.67250", "2", "1000", "0", "0"]
    assert reading.points[0].raw.hex() == "0000000000000002"
    assert int.from_bytes(reading.points[2].raw, "big") == 4500 * MS
    chip.now_ns += 6000 * MS
    late = await meter.read()
    assert late.points[2].status is Status.INVALID
    await bus.close()


async def test_the_count_is_stored_before_it_is_given_out(chip: FakeChip, store: FakeStore) -> None:
    """Once for each new count, and never when nothing came."""
    bus = make(chip, store)
    (meter,) = bus.meters
    await meter.read()
    assert store.stores == 0
    for _ in range(3):
        chip.pulse()
    assert said(await meter.read())[1] == "3"
    assert store.count == 3
    await meter.read()
    assert store.stores == 1
    store.is_broken = True
    chip.pulse()
    with pytest.raises(MeterUnavailable, match="disk is full"):
        await meter.read()
    store.is_broken = False
    assert said(await meter.read())[1] == "4"
    await bus.close()


async def test_a_restart_goes_on_from_the_stored_count(chip: FakeChip, store: FakeStore) -> None:
    """After a power cut the pulses behind the last read are missing, and nothing else."""
    (meter,) = make(chip, store).meters
    await meter.read()
    for _ in range(5):
        chip.pulse()
    await meter.read()
    chip.pulse()
    meter.release()
    (after,) = make(chip, store).meters
    assert said(await after.read())[1] == "5"
    chip.pulse()
    assert said(await after.read())[1] == "6"
    await after.close()


async def test_an_orderly_stop_loses_no_pulse_that_was_counted(chip: FakeChip, store: FakeStore) -> None:
    """Closing stores what came behind the last read; a store that fails then stops nothing."""
    bus = make(chip, store)
    await bus.meters[0].read()
    chip.pulse()
    await bus.close()
    assert store.count == 1
    await bus.meters[0].read()
    chip.pulse()
    store.is_broken = True
    await bus.close()
    assert store.count == 1


async def test_edges_are_taken_when_they_come(chip: FakeChip, store: FakeStore) -> None:
    """Not only when somebody reads: the kernel keeps few."""
    bus = make(chip, store)
    await bus.meters[0].read()
    for _ in range(1000):
        chip.pulse()
        await asyncio.sleep(0)
    reading = await bus.meters[0].read()
    assert said(reading)[1] == "1000"
    assert said(reading)[3:] == ["0", "0"]
    await bus.close()


async def test_a_chip_that_went_away_is_told_once_and_counted_on(chip: FakeChip, store: FakeStore) -> None:
    """The count from before is kept."""
    bus = make(chip, store)
    (meter,) = bus.meters
    await meter.read()
    chip.pulse()
    await meter.read()
    chip.unplug_line()
    with pytest.raises(MeterUnavailable, match="boiler: /dev/gpiochip9 line 17"):
        await meter.read()
    await meter.read()
    chip.pulse()
    assert said(await meter.read())[1] == "2"
    await bus.close()


async def test_a_chip_that_stays_away_is_told_each_time(chip: FakeChip, store: FakeStore) -> None:
    """With the meter, the line and what the kernel said."""
    bus = make(chip, store)
    chip.unplug()
    for _ in range(2):
        with pytest.raises(MeterUnavailable, match="boiler: /dev/gpiochip9 line 17: No such file"):
            await bus.meters[0].read()
    assert bus.name == "pulses"
    await bus.close()


def test_the_description_says_what_a_pulse_is_worth(chip: FakeChip, store: FakeStore) -> None:
    """A reader can derive the energy from the raw count."""
    description = make(chip, store, start=Scaled(mantissa=5, exponent=-1)).meters[0].description
    assert description.points[0].register == "pulses / 800 imp/kWh, from 0.5 kWh"
    assert description.location == "/dev/gpiochip9 line 17"
    other = S0Settings(name="x", line=LineSettings(chip=CHIP, line=1), constant=Constant(impulses=96))
    assert (
        S0Bus("p", [(other, store)], clock)
        .meters[0]
        .description.points[0]
        .register.startswith("pulses / 96 imp/kWh, cut")
    )
