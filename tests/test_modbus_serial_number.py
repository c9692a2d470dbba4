"""A Modbus meter's own number: read behind the values, from a real server, and never at their cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.modbus.definition import Definition, SerialNumber, load_definition
from drivers.modbus.serial_number import AGAIN_S, MeterNumber, number_text
from gateway.errors import ConfigError, MeterProtocolError, MeterRefused, MeterUnavailable
from tests.libmodbus import LibmodbusServer
from tests.modbus_meters import definition, meter, point, statuses, tcp_bus

NUMBER = SerialNumber(fc=3, address=0xFC00, words=2)
TEXT = SerialNumber(fc=3, address=0x5000, words=3, text=True)


@pytest.mark.parametrize(
    ("place", "content", "number"),
    [
        (NUMBER, "00bc614e", "12345678"),
        (NUMBER, "ffffffff", ""),
        (NUMBER, "00000000", ""),
        (TEXT, "414231320000", "AB12"),
        (TEXT, "414231323334", "AB1234"),
        (TEXT, "204142200000", "AB"),
        (TEXT, "000000000000", ""),
        (TEXT, "202020202020", ""),
        (TEXT, "41e231320000", ""),
        (TEXT, "41073132ffff", ""),
    ],
)
def test_contents_become_the_number_as_a_label_has_it(place: SerialNumber, content: str, number: str) -> None:
    """What is no number, such as empty or unset registers, is none."""
    assert number_text(place, bytes.fromhex(content)) == number


async def test_a_meter_tells_its_number_through_libmodbus() -> None:
    """The Eastron's two registers; the reading has it."""
    with LibmodbusServer(contents=[(3, 0xFC00, 0x00BC), (3, 0xFC01, 0x614E)]) as server:
        bus = tcp_bus(server.port, meter(1, load_definition("eastron-sdm630")))
        assert (await bus.meters[0].read()).meter_id == "12345678"
        await bus.close()


@pytest.mark.parametrize("base", [0, 40000])
async def test_a_sunspec_device_tells_it_in_the_common_model(base: int) -> None:
    """At offset 50 of model 1, wherever the chain stands."""
    start = base + 2 + 68
    contents = [(3, base, 0x5375), (3, base + 1, 0x6E53), (3, base + 2, 1), (3, base + 3, 66)]
    contents += [(3, base + 2 + 50 + at, word) for at, word in enumerate([0x534E, 0x2D34, 0x3200] + [0] * 13)]
    contents += [(3, start, 203), (3, start + 1, 105)]
    with LibmodbusServer(contents=contents) as server:
        bus = tcp_bus(server.port, meter(1, load_definition("sunspec-203")))
        assert (await bus.meters[0].read()).meter_id == "SN-42"
        await bus.close()


async def test_a_meter_that_refuses_it_is_read_all_the_same() -> None:
    """The server ends at register 100; the number lies beyond."""
    with LibmodbusServer(registers=100) as server:
        bus = tcp_bus(server.port, meter(1, definition(point(5), serial_number=NUMBER)))
        for _ in range(3):
            reading = await bus.meters[0].read()
            assert (statuses(reading), reading.meter_id) == (["ok"], "")
        await bus.close()


class Asked:
    """Answers from a script, and counts."""

    def __init__(self, *script: bytes | Exception) -> None:
        self.script = list(script)
        self.count = 0

    async def __call__(self, fc: int, address: int, count: int) -> bytes:
        assert (fc, address, count) == (NUMBER.fc, NUMBER.address, NUMBER.words)
        self.count += 1
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def numbered() -> Definition:
    return definition(point(5), serial_number=NUMBER)


async def test_it_is_asked_again_hourly_and_when_the_meter_comes_back() -> None:
    """An exchange within one outage shorter than it takes to notice is found within the hour."""
    number, asked = MeterNumber(numbered()), Asked(*(bytes([0, 0, 0, each]) for each in (1, 2, 3)))
    for now in (0.0, 1.0, AGAIN_S - 1):
        await number.refresh(asked, now)
    assert (number.text, asked.count) == ("1", 1)
    await number.refresh(asked, AGAIN_S)
    assert (number.text, asked.count) == ("2", 2)
    number.forget()
    assert number.text == ""
    await number.refresh(asked, AGAIN_S + 1)
    assert (number.text, asked.count) == ("3", 3)


@pytest.mark.parametrize(
    ("script", "polls", "asked"),
    [
        ([MeterRefused("no", code=2)], 5, 1),
        ([MeterUnavailable("silent")] * 3, 5, 3),
        ([MeterUnavailable("silent"), MeterProtocolError("noise"), bytes([0, 0, 0, 9])], 5, 3),
    ],
)
async def test_what_does_not_tell_is_not_asked_for_ever(
    script: list[bytes | Exception], polls: int, asked: int
) -> None:
    """Refused once, or silent three times."""
    number, line = MeterNumber(numbered()), Asked(*script)
    for poll in range(polls):
        await number.refresh(line, float(poll))
    assert line.count == asked
    assert number.text == ("9" if isinstance(script[-1], bytes) else "")


async def test_a_definition_without_one_asks_nothing() -> None:
    """Most definitions do not know where it stands."""
    line = Asked()
    await MeterNumber(definition(point(5))).refresh(line, 0.0)
    assert line.count == 0


def test_a_sunspec_definition_may_not_state_it(tmp_path: Path) -> None:
    """The common model does."""
    file = tmp_path / "own.yaml"
    file.write_text("id: own\nextends: sunspec-203\nserial_number: {address: 5, function: 3, words: 2}\n")
    with pytest.raises(ConfigError, match="is in the common model of a SunSpec device"):
        load_definition(file)
