"""The serial bus at 9600 baud, eleven bits a byte, ten meters of twelve points, on a paced line in another process.

The wire's own time for a request is its bytes, the reply's bytes, and the two silences of 3.5 characters that the
specification demands; meters answer without thinking. The plain loop beside ours is pymodbus, one request per point,
as its documentation shows it, on the same line with the same chances.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from drivers.modbus.bus import BusSettings, ModbusBus, open_bus
from drivers.modbus.definition import load_definition
from drivers.modbus.meter import MeterSettings, ModbusMeter
from drivers.transport import SerialSettings
from gateway.errors import MeterProtocolError, MeterUnavailable
from gateway.reading import Moment
from tests.paced_bus import PacedBus
from tests.paced_line import word

BAUD = 9600
CHAR_S = 11 / BAUD
UNITS = range(1, 11)
DEAD = 10
MODEL = load_definition("eastron-sdm630")
NAMES = tuple(
    [f"{what}_l{phase}" for what in ("voltage", "current", "power") for phase in (1, 2, 3)]
    + ["power_total", "import_total", "export_total"]
)
POINTS = tuple(MODEL.point(name) for name in NAMES)
SECONDS = 60.0


@dataclass(slots=True)
class Tally:
    """What one run delivered."""

    seconds: float = 0.0
    #: Right values per unit.
    values: dict[int, int] | None = None
    wrong: int = 0
    #: Requests answered, and the time that the wire needs for them.
    requests: int = 0
    wire_s: float = 0.0
    line: dict[str, int] | None = None

    def rate(self, units: Iterable[int] = UNITS) -> float:
        """Right values per second of *units*."""
        return sum((self.values or {}).get(unit, 0) for unit in units) / self.seconds

    def add(self, unit: int, point: int, raw: bytes) -> None:
        """Counts one value, right or wrong."""
        address = POINTS[point].address
        right = b"".join(word(unit, 4, at).to_bytes(2, "big") for at in (address, address + 1))
        if raw == right:
            self.values = self.values or {}
            self.values[unit] = self.values.get(unit, 0) + 1
        else:
            self.wrong += 1


def no_clock() -> Moment:
    return Moment(boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME), wall_ms=0, quality="U", error_ms=-1)


class Counting:
    """A line that notes what its answered requests cost on the wire."""

    def __init__(self, line: Any, tally: Tally) -> None:
        self._line, self._tally = line, tally

    async def exchange(self, request: Any, delay_s: float) -> Any:
        reply = await self._line.exchange(request, delay_s)
        self._tally.requests += 1
        self._tally.wire_s += (8 + 5 + 2 * request.count + 7) * CHAR_S
        return reply

    def close(self) -> None:
        self._line.close()


@asynccontextmanager
async def bus_on(device: str, tally: Tally, timeout_ms: int | None) -> AsyncIterator[ModbusBus]:
    serial = SerialSettings(device=device, baud=BAUD, stop_bits=2)
    settings = BusSettings(name="bench", kind="serial", serial=serial, timeout_ms=timeout_ms)
    meters = [MeterSettings(name=f"m{unit}", definition=MODEL, unit=unit, points=NAMES) for unit in UNITS]
    bus = open_bus(settings, meters, no_clock)
    object.__setattr__(bus._port, "line", Counting(bus._port.line, tally))
    yield bus
    await bus.close()


async def poll(meter: ModbusMeter, unit: int, tally: Tally, end: float) -> None:
    """Reads one meter as fast as it goes."""
    while time.monotonic() < end:
        try:
            reading = await meter.read()
        except MeterUnavailable:
            await asyncio.sleep(0.2)
        except MeterProtocolError:
            continue
        else:
            for index, point in enumerate(reading.points):
                if point.raw:
                    tally.add(unit, index, point.raw)


async def ours(seconds: float, timeout_ms: int | None = None, **line: Any) -> Tally:
    tally = Tally()
    with PacedBus(baud=BAUD, **line) as paced:
        async with bus_on(paced.device, tally, timeout_ms) as bus:
            start = time.monotonic()
            polls = [poll(each, unit, tally, start + seconds) for unit, each in zip(UNITS, bus.meters, strict=True)]
            await asyncio.gather(*polls)
            tally.seconds = time.monotonic() - start
        tally.line = paced.stats()
    return tally


async def plain(seconds: float, retries: int = 3, **line: Any) -> Tally:
    """The loop that most people write; three retries are the library's default."""
    from pymodbus.client import AsyncModbusSerialClient
    from pymodbus.exceptions import ModbusException

    logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)
    tally = Tally()
    with PacedBus(baud=BAUD, **line) as paced:
        client = AsyncModbusSerialClient(paced.device, baudrate=BAUD, stopbits=1, timeout=0.5, retries=retries)
        await client.connect()
        start = time.monotonic()
        while (now := time.monotonic()) < start + seconds:
            for unit in UNITS:
                for index, point in enumerate(POINTS):
                    try:
                        reply = await client.read_input_registers(point.address, count=2, device_id=unit)
                    except ModbusException:
                        if not client.connected:
                            await client.connect()
                        continue
                    if not reply.isError():
                        tally.add(unit, index, b"".join(each.to_bytes(2, "big") for each in reply.registers))
        tally.seconds = now - start
        client.close()
        tally.line = paced.stats()
    return tally


async def measure(seconds: float) -> list[dict[str, Any]]:
    healthy = {unit: {} for unit in UNITS}
    clean = await ours(seconds / 2, units=healthy)
    clean_plain = await plain(seconds / 4, units=healthy)
    noisy = {"units": {unit: {"dead": unit == DEAD} for unit in UNITS}, "noise_permille": 10}
    dead, dead_plain = await ours(seconds, **noisy), await plain(seconds / 2, **noisy)
    late = {"units": {unit: {"late_permille": 20} for unit in UNITS}}
    slow = await ours(seconds, 500, **late)
    plains = await asyncio.gather(plain(seconds, 0, **late), plain(seconds, **late))
    return [full(clean, clean_plain), faulty(clean, dead, dead_plain), lagging(clean, slow, *plains)]


def full(clean: Tally, other: Tally) -> dict[str, Any]:
    share = clean.wire_s / clean.seconds
    return {
        "figure": "RTU 9600 baud, 10 meters × 12 points, as fast as possible",
        "goal": "wire time ≥ 95 % of the time taken, 0 wrong",
        "measured": f"{share:.1%}, {clean.rate():.0f} values/s, {clean.wrong} wrong",
        "comparison": f"plain pymodbus loop {other.rate():.0f} values/s, {other.wrong} wrong",
        "met": share >= 0.95 and not clean.wrong,
    }


def faulty(clean: Tally, dead: Tally, other: Tally) -> dict[str, Any]:
    alive = [unit for unit in UNITS if unit != DEAD]
    share, plain_share = (each.rate(alive) / clean.rate(alive) for each in (dead, other))
    alone = dead.rate(alive) / (clean.rate() or 1)
    assert dead.line is not None
    return {
        "figure": "the same, one meter dead, 1 % of frames corrupted",
        "goal": "healthy meters ≥ 90 % of their rate, 0 wrong",
        "measured": f"{share:.1%} ({alone:.1%} of what nine alone would get), {dead.wrong} wrong, "
        f"{dead.line['spoiled']} frames spoiled",
        "comparison": f"plain pymodbus loop {other.rate(alive):.0f} values/s ({plain_share:.1%}), {other.wrong} wrong",
        "met": share >= 0.9 and not dead.wrong,
    }


def lagging(clean: Tally, slow: Tally, once: Tally, retried: Tally) -> dict[str, Any]:
    """The waiting is the time from each late request to its reply."""
    assert slow.line is not None
    assert once.line is not None
    waiting = slow.line["late"] * 0.7 / slow.seconds
    fall = 1 - slow.rate() / clean.rate()
    return {
        "figure": "the same, 2 % of replies 700 ms late, time-out 500 ms",
        "goal": "0 wrong; rate falls by no more than the waiting",
        "measured": f"{slow.wrong} wrong, {slow.line['late']} late, rate down {fall:.1%}, waiting {waiting:.1%}",
        "comparison": f"plain pymodbus loop without retries {once.wrong} wrong ({once.line['late']} late), "
        f"with its three {retried.wrong}; {once.rate():.0f} and {retried.rate():.0f} values/s, ours {slow.rate():.0f}",
        "met": not slow.wrong and fall <= waiting + 0.01,
    }


def rows(seconds: float = SECONDS) -> list[dict[str, Any]]:
    return asyncio.run(measure(seconds))


def main() -> None:
    for row in rows():
        print(row)


if __name__ == "__main__":
    main()
