"""Somebody is at the meter or its bus: what a gateway that believes its registers can and cannot show."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus.definition import load_definition
from gateway.log.entry import Entry, Kind, points_of
from gateway.reading import Status
from tests.libmodbus import LibmodbusServer
from tests.served import TWELVE, load_config, serve
from tests.whole import RunningGateway, of_kind

MODEL, COUNTER = "eastron-sdm630", "import_total"
Contents = tuple[tuple[int, int, int], ...]
#: Binary32 of 1.0, which is far below what the definition's vector says, and of 1,000,000.0, which is far above.
LOWER, HIGHER = (0x3F80, 0x0000), (0x4974, 0x2400)


def _with_counter(words: tuple[int, int]) -> Contents:
    """Another meter of the same model: the same registers, but for its counter."""
    point = load_definition(MODEL).point(COUNTER)
    places = {(point.fc, point.address + index): word for index, word in enumerate(words)}
    return tuple((fc, at, places.get((fc, at), word)) for fc, at, word in serve(MODEL).contents)


def _statuses(entries: list[Entry]) -> list[Status]:
    """What the log says of the counter, reading by reading; a poll while no meter was connected says nothing of it."""
    index = TWELVE.index(COUNTER)
    statuses = [points_of(entry.body)[index].status for entry in of_kind(entries, Kind.READING)]
    return [status for status in statuses if status is not Status.TIMEOUT]


def _swap(folder: Path, other: Contents, *, restart: bool) -> list[Status]:
    """A gateway reads a meter; another takes its place on the same address. What is said of the counter."""
    with LibmodbusServer(contents=serve(MODEL).contents) as meter:
        gateway = RunningGateway(folder, load_config(meter.port, meters=1))
        with gateway:
            gateway.wait_size(8)
            if restart:
                assert gateway.stop() == 0
            meter.stop()
            with LibmodbusServer(contents=other, port=meter.port):
                if restart:
                    gateway.start()
                told = gateway.status()["log"]["size"]
                gateway.wait_size(told + 5)
                gateway.wait_status(lambda told: told["meters"][0]["state"] == "online", "readings go on")
                gateway.wait_size(gateway.status()["log"]["size"] + 5)
                assert gateway.stop() == 0
        return _statuses(gateway.entries())


@pytest.mark.parametrize("restart", [False, True], ids=["running", "stopped"])
def test_a_swapped_meter_shows_where_its_counter_is_lower(tmp_path: Path, restart: bool) -> None:
    """The first value of the other meter is stored as read and flagged, also when the gateway was off meanwhile."""
    statuses = _swap(tmp_path, _with_counter(LOWER), restart=restart)
    assert statuses.count(Status.FELL) == 1
    assert set(statuses) == {Status.OK, Status.FELL}


def test_a_swapped_meter_shows_where_its_counter_is_higher_than_can_be(tmp_path: Path) -> None:
    """While the gateway runs it knows how much time has passed, and how much the meter can count in that."""
    statuses = _swap(tmp_path, _with_counter(HIGHER), restart=False)
    assert statuses.count(Status.JUMPED) == 1


def test_a_swapped_meter_that_goes_on_where_the_other_was_does_not_show(tmp_path: Path) -> None:
    """The same registers, the serial number among them, are the same meter to everybody."""
    statuses = _swap(tmp_path, serve(MODEL).contents, restart=False)
    assert set(statuses) == {Status.OK}


def test_a_higher_counter_after_a_stop_does_not_show(tmp_path: Path) -> None:
    """Nobody knows how long the gateway was off, so no rate is judged across a start."""
    statuses = _swap(tmp_path, _with_counter(HIGHER), restart=True)
    assert set(statuses) == {Status.OK}
