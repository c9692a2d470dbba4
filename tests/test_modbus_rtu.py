"""The bus rules on a serial line that takes its time: what a meter does to us, and what we make of it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator

import pytest

from gateway.errors import MeterProtocolError, MeterRefused, MeterUnavailable
from gateway.reading import Reading
from tests.modbus_meters import definition, held, meter, point, raws, serial_bus, statuses
from tests.paced_bus import PacedBus

#: Three requests of three shapes: registers 0 and 1, 100, 200 to 202.
WIDE = definition(*(point(at) for at in (0, 1, 100, 200, 201, 202)))
WIDE_HELD = (0, 1, 100, 200, 201, 202)
NARROW = definition(point(7))


@pytest.fixture
def line() -> Iterator[PacedBus]:
    with PacedBus(baud=115200, units={1: {}, 2: {}, 3: {}}) as line:
        yield line


async def outcome(reading: asyncio.Future[Reading]) -> str:
    try:
        await reading
    except MeterUnavailable as error:
        return str(error)
    return "read"


async def test_values_are_exact_and_raw_words_are_as_on_the_wire(line: PacedBus) -> None:
    """Points of both functions and several widths, each from its own registers."""
    what = definition(point(0), point(3, kind="i32"), point(5, fc=4, kind="u32", word_order="cdab", scale10=-1))
    bus = serial_bus(line.device, meter(3, what))
    reading = await bus.meters[0].read()
    assert raws(reading) == [held(3, 0)[0], "".join(held(3, 3, 4)), "".join(held(3, 5, 6, fc=4))]
    high, low = struct.unpack(">HH", reading.points[2].raw)
    assert str(reading.points[2].value) == f"{low << 16 | high}"[:-1] + "." + f"{low << 16 | high}"[-1]
    assert reading.moment.boottime_ns == 2 * 10**9, "the clock was read when each reply came, and the last counts"
    await bus.close()


async def test_points_in_one_request_cost_one_request(line: PacedBus) -> None:
    """Six registers in three groups are three requests, not six."""
    bus = serial_bus(line.device, meter(1, WIDE))
    await bus.meters[0].read()
    assert line.stats()["requests"] == 3
    await bus.close()


@pytest.mark.parametrize("fault", ["flip", "cut", "stranger", "twice"])
async def test_a_garbled_reply_is_asked_for_again_and_never_used(line: PacedBus, fault: str) -> None:
    """A flipped bit, a lost tail, another unit's id, a second copy: the values are right in the end."""
    line.change(1, script=["ok", fault, "ok", "ok", "ok"])
    bus = serial_bus(line.device, meter(1, WIDE), late_ms=60)
    for _ in range(3):
        reading = await bus.meters[0].read()
        assert raws(reading) == held(1, *WIDE_HELD)
    await bus.close()


async def test_a_reply_garbled_twice_has_no_value_and_the_rest_goes_on(line: PacedBus) -> None:
    """The points of that request say so; the other requests are read."""
    line.change(1, script=["ok", "flip", "cut", "ok"])
    bus = serial_bus(line.device, meter(1, WIDE), late_ms=60)
    reading = await bus.meters[0].read()
    assert statuses(reading) == ["ok", "ok", "garbled", "ok", "ok", "ok"]
    assert raws(reading)[2] == ""
    await bus.close()


async def test_only_garbled_replies_are_a_protocol_error(line: PacedBus) -> None:
    """A meter that answers nothing but noise is not silent: its wiring is at fault."""
    line.change(1, script=["flip"] * 2)
    bus = serial_bus(line.device, meter(1, NARROW), late_ms=60)
    with pytest.raises(MeterProtocolError, match="m1: unit 1 fc3 0x0007"):
        await bus.meters[0].read()
    await bus.close()


async def test_after_a_time_out_the_rest_of_the_poll_is_skipped(line: PacedBus) -> None:
    """One time-out per poll; what came before it counts, and the silent request goes last next time."""
    line.change(1, script=["ok", "mute"])
    bus = serial_bus(line.device, meter(1, WIDE), timeout_ms=40, late_ms=60)
    reading = await bus.meters[0].read()
    assert statuses(reading) == ["ok", "ok", "timeout", "timeout", "timeout", "timeout"]
    assert line.stats()["requests"] == 2
    line.change(1, script=["ok", "ok", "mute"])
    reading = await bus.meters[0].read()
    assert statuses(reading) == ["ok", "ok", "timeout", "ok", "ok", "ok"]
    await bus.close()


async def test_a_busy_meter_keeps_its_other_points(line: PacedBus) -> None:
    """Exception 6 concerns this request now; it is not remembered."""
    line.change(1, script=["ok", "busy"])
    bus = serial_bus(line.device, meter(1, WIDE))
    assert statuses(await bus.meters[0].read()) == ["ok", "ok", "refused", "ok", "ok", "ok"]
    assert statuses(await bus.meters[0].read()) == ["ok"] * 6
    await bus.close()


async def test_a_refused_request_is_split_and_the_split_remembered(line: PacedBus) -> None:
    """A hole and a request limit cost refusals in the first poll only; a missing point is unsupported."""
    what = definition(*(point(at) for at in (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)))
    line.change(1, holes=[[4, 5], [8, 9]], max_registers=3)
    bus = serial_bus(line.device, meter(1, what))
    expected = ["ok"] * 6 + ["unsupported"] + ["ok"] * 3
    assert statuses(await bus.meters[0].read()) == expected
    await bus.meters[0].read()
    before = line.stats()["requests"]
    reading = await bus.meters[0].read()
    assert statuses(reading) == expected
    assert [raw for raw in raws(reading) if raw] == held(1, 0, 1, 2, 3, 6, 7, 9, 10, 11)
    assert line.stats()["requests"] - before <= 5
    await bus.close()


async def test_a_meter_that_refuses_everything_is_a_wrong_model(line: PacedBus) -> None:
    """It is asked once a minute, not at every poll."""
    line.change(1, holes=[[0, 1000]])
    bus = serial_bus(line.device, meter(1, WIDE))
    with pytest.raises(MeterRefused, match="illegal data address"):
        await bus.meters[0].read()
    before = line.stats()["requests"]
    with pytest.raises(MeterProtocolError, match="check the model"):
        await bus.meters[0].read()
    assert line.stats()["requests"] == before
    await bus.close()


async def test_a_dead_meter_is_set_aside_and_the_others_do_not_notice(line: PacedBus) -> None:
    """After three seconds and two polls it costs nothing; a probe brings it back."""
    line.change(2, dead=True)
    bus = serial_bus(line.device, meter(1, WIDE), meter(2, WIDE), timeout_ms=50, late_ms=60)
    alive, dead = bus.meters
    deadline = asyncio.get_running_loop().time() + 20
    while "offline" not in (why := await outcome(asyncio.ensure_future(dead.read()))):
        assert asyncio.get_running_loop().time() < deadline
        assert raws(await alive.read()) == held(1, *WIDE_HELD)
    assert "unit 2 on bus" in why
    asked = line.stats()["requests"]
    for _ in range(5):
        assert "offline" in await outcome(asyncio.ensure_future(dead.read()))
    assert line.stats()["requests"] == asked
    await bus.close()


async def test_a_line_that_never_falls_silent_is_an_error_not_a_hang(line: PacedBus) -> None:
    """Bounded in time, and told as what it is."""
    with PacedBus(baud=115200, ports=2) as noisy:
        bus = serial_bus(noisy.device, meter(1, NARROW))
        with open(noisy.devices[1], "wb", buffering=0) as babbler:
            babbler.write(b"\x55" * 4095)
            stop = asyncio.create_task(asyncio.to_thread(_babble, babbler))
            with pytest.raises((MeterProtocolError, MeterUnavailable)):
                await bus.meters[0].read()
            await bus.close()
        await stop


def _babble(babbler: object) -> None:
    try:
        for _ in range(30):
            babbler.write(b"\x55" * 4095)  # type: ignore[attr-defined]
    except (OSError, ValueError):
        pass
