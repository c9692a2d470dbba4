"""Late replies: a serial line gives them no number, and still none is taken for another register's value."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from drivers.modbus.bus import ModbusBus
from gateway.errors import MeterUnavailable
from tests.modbus_meters import definition, held, meter, point, raws, serial_bus, statuses
from tests.paced_bus import PacedBus

#: Each register of each unit holds another word, and all requests have one shape: the worst case.
SAME_SHAPE = definition(*(point(at) for at in (0, 100, 200, 300, 400)))
ADDRESSES = (0, 100, 200, 300, 400)


def wrong(bus: ModbusBus, unit: int, got: list[str]) -> list[str]:
    return [raw for raw, right in zip(got, held(unit, *ADDRESSES), strict=True) if raw not in {"", right}]


async def test_two_percent_late_by_700_ms_deliver_no_wrong_value() -> None:
    """The figures of the field: time-out 500 ms, several units polled as fast as they answer, for 300 values."""
    plans = {unit: {"late_permille": 20, "late_ms": 700, "delay_ms": 1} for unit in (1, 2, 3, 4)}
    with PacedBus(baud=115200, units=plans, seed=7) as line:
        bus = serial_bus(line.device, *(meter(unit, SAME_SHAPE) for unit in plans), timeout_ms=500)
        values = 0
        for turn in count():
            unit = 1 + turn % 4
            try:
                reading = await bus.meters[unit - 1].read()
            except MeterUnavailable:
                continue
            assert not wrong(bus, unit, raws(reading))
            values += statuses(reading).count("ok")
            if values >= 300:
                break
        assert line.stats()["late"] >= 3
        await bus.close()


@pytest.mark.parametrize("late_ms", [55, 80, 120, 300])
async def test_replies_of_any_lateness_deliver_no_wrong_value(late_ms: int) -> None:
    """Every fifth reply late, time-out 50 ms, waited for until 150 ms; 300 ms is beyond all that is waited for.

    What comes even later meets a request of another unit, or one of another shape, first: a meter answers in order.
    """
    what = definition(*(point(at) for at in ADDRESSES), point(500), point(501))
    addresses = (*ADDRESSES, 500, 501)
    with PacedBus(baud=115200, units={1: {"late_ms": late_ms, "late_permille": 200}, 2: {}}, seed=late_ms) as line:
        bus = serial_bus(line.device, meter(1, what), meter(2, what), timeout_ms=50, late_ms=100)
        deadline = asyncio.get_running_loop().time() + 4
        good = 0
        while good < 60 and asyncio.get_running_loop().time() < deadline:
            for unit in (1, 2):
                try:
                    reading = await bus.meters[unit - 1].read()
                except MeterUnavailable:
                    continue
                for raw, right in zip(raws(reading), held(unit, *addresses), strict=True):
                    assert raw in {"", right}
                good += statuses(reading).count("ok")
        assert good > 20
        await bus.close()


async def test_a_cancelled_read_leaves_no_reply_behind() -> None:
    """Its reply comes when nobody waits for it; the next request is another address of the same shape."""
    with PacedBus(baud=115200, units={1: {"delay_ms": 20}}) as line:
        bus = serial_bus(line.device)
        for address in range(0, 1000, 100):
            task = asyncio.create_task(bus.read_registers(1, 3, address + 50, 1))
            while line.stats()["requests"] <= address // 50:
                await asyncio.sleep(0)
            task.cancel()
            assert (await bus.read_registers(1, 3, address, 1)).hex() == held(1, address)[0]
        await bus.close()
