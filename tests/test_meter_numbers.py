"""A meter that was exchanged: noticed by its number, in one run or over a restart, and its counters start anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.meter_numbers import MeterNumbers
from gateway.reading import PointReading, Reading, Scaled, Status
from gateway.state import State
from tests.test_poller import AWAY, Bench


class NumberedMeter:
    """Says ``(number, counter)``, or fails; with a remark if it has one."""

    def __init__(self, bench: Bench, *script: tuple[str, int] | Exception, remark: str = "") -> None:
        self._bench, self._script, self._remark = bench, list(script), remark
        self.description = bench.meter.description

    async def read(self) -> Reading:
        said = self._script.pop(0)
        if isinstance(said, Exception):
            raise said
        point = PointReading(status=Status.OK, raw=b"\0\1", value=Scaled(mantissa=said[1], exponent=-1))
        remarks = (self._remark,) if self._remark else ()
        return Reading(moment=self._bench.clock(), points=(point,), meter_id=said[0], remarks=remarks)


async def told(bench: Bench, *script: tuple[str, int] | Exception, remark: str = "") -> list[tuple[str, str]]:
    """What the log says of the meter after these polls."""
    bench.poller._meter = NumberedMeter(bench, *script, remark=remark)
    for _ in script:
        await bench.poller.poll()
        bench.clock.ms += 1_000
    events = bench.entries(Kind.EVENT)
    return [(event.body[0], event.body[3]) for event in events if event.body[0].startswith("meter-")]


def statuses(bench: Bench) -> list[int]:
    return [entry.body[2][0][0] for entry in bench.entries(Kind.READING)]


async def test_another_number_is_another_meter(tmp_path: Path) -> None:
    """Its lower counter is no fault; silence between the two, and readings without a number, change nothing."""
    bench = Bench(tmp_path)
    events = await told(bench, ("A1", 5000), ("", 5001), AWAY, ("A1", 5002), ("B7", 3), ("B7", 4))
    assert events[0] == ("meter-number", "this is the meter A1")
    assert events[-1] == ("meter-exchanged", "the meter A1 was followed by the meter B7")
    assert [name for name, _ in events].count("meter-exchanged") == 1
    assert statuses(bench) == [int(Status.OK)] * 5


async def test_the_exchange_is_noticed_over_a_restart(tmp_path: Path) -> None:
    """A meter is mostly exchanged while everything is off."""
    first, second, third = (Bench(tmp_path / name) for name in ("one", "two", "three"))
    for bench, number in ((first, "A1"), (second, "A1"), (third, "B7")):
        bench.poller.numbers = MeterNumbers(State(tmp_path / "state.json"))
        await told(bench, (number, 10))
    assert [event.body[0] for event in second.entries(Kind.EVENT)] == []
    assert [event.body[0] for event in third.entries(Kind.EVENT)] == ["meter-exchanged"]


async def test_a_concealed_meter_keeps_its_number_and_its_words_to_itself(tmp_path: Path) -> None:
    """The exchange is told, what it said is not."""
    bench = Bench(tmp_path)
    bench.poller.conceal = True
    events = await told(bench, ("A1", 5000), ("B7", 3), remark="B7 sent 0102")
    assert [name for name, _ in events] == ["meter-remark", "meter-exchanged"]
    assert not any("A1" in text or "B7" in text for _, text in events)


@pytest.mark.parametrize("content", [{"main": 7}, {"main": None}, {}])
def test_a_state_of_something_else_is_no_number(tmp_path: Path, content: dict[str, object]) -> None:
    """It is taken for the first number."""
    state = State(tmp_path / "state.json")
    for key, value in content.items():
        state.set("meter-number", key, value)
    assert MeterNumbers(state).told("main", "A1") == ""


def test_numbers_are_known_where_they_cannot_be_kept(tmp_path: Path) -> None:
    """A disk that takes nothing costs the memory over restarts, no reading."""
    folder = tmp_path / "gone"
    folder.mkdir()
    state = State(folder / "state.json")
    folder.rmdir()
    numbers = MeterNumbers(state)
    assert [numbers.told("main", number) for number in ("A1", "A1", "B7")] == ["", None, "A1"]
