"""What every implementation of ``gateway.reading.Meter`` owes; run it against yours.

Subclass ``MeterContract`` as ``Test…`` and give it the fixtures ``meter`` (a Meter that answers), ``bus`` (the Bus it
hangs on) and ``silence`` (a function after whose call the meter no longer answers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import MeterUnavailable
from gateway.reading import Bus, Meter, Reading


class MeterContract:
    """The obligations, one test each."""

    async def test_a_reading_has_every_point_of_the_description_in_order(self, meter: Meter) -> None:
        """One PointReading per PointSpec; a value exactly where the status says so."""
        reading = await meter.read()
        assert isinstance(reading, Reading)
        assert len(reading.points) == len(meter.description.points)
        for point in reading.points:
            assert point.status.has_value == (point.value is not None)
            assert point.raw or not point.status.has_value

    async def test_the_description_is_complete_and_never_changes(self, meter: Meter) -> None:
        """It is what the log's definition entry will say about every reading."""
        before = meter.description
        await meter.read()
        assert meter.description == before
        assert before.name
        assert before.model
        assert before.location
        assert len(before.digest) == 32
        names = [point.name for point in before.points]
        assert len(set(names)) == len(names)
        assert all(point.register for point in before.points)

    async def test_a_reading_is_of_the_moment_its_last_reply_came(self, meter: Meter) -> None:
        """Each read has its own, later moment."""
        first, second = await meter.read(), await meter.read()
        assert second.moment.boottime_ns > first.moment.boottime_ns

    async def test_reads_asked_for_together_all_come(self, meter: Meter) -> None:
        """Callers need not take turns themselves."""
        readings = await asyncio.gather(*(meter.read() for _ in range(5)))
        assert len({reading.moment.boottime_ns for reading in readings}) == 5

    async def test_a_silent_meter_is_unavailable_and_named(self, meter: Meter, silence: Callable[[], object]) -> None:
        """No reply is no reading: never an old value, never a zero."""
        await meter.read()
        silence()
        with pytest.raises(MeterUnavailable, match=meter.description.name):
            await meter.read()

    async def test_a_closed_bus_opens_again_by_itself(self, meter: Meter, bus: Bus) -> None:
        """Closing releases the port; a later read opens it."""
        await meter.read()
        await bus.close()
        await bus.close()
        assert (await meter.read()).points

    async def test_a_cancelled_read_does_no_harm(self, meter: Meter) -> None:
        """The read after it is complete and right."""
        expected = await meter.read()
        task = asyncio.create_task(meter.read())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        again = await meter.read()
        assert [point.raw for point in again.points] == [point.raw for point in expected.points]
