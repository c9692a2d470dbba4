"""A bus that listens: each telegram is read once, never again; a line that is lost is opened anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from drivers.obis import quantity
from drivers.stream import StreamBus, StreamMeter
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint
from drivers.telegram_points import TelegramMeterSettings
from drivers.transport import LinkLost
from gateway.errors import MeterUnavailable
from gateway.reading import Moment, Scaled, Status


class HandLink:
    """A line whose bytes come when the test says so."""

    def __init__(self) -> None:
        self.is_open = False
        self.opened = 0
        self.away = ""
        self._bytes: asyncio.Queue[bytes] = asyncio.Queue()

    async def open(self) -> None:
        if self.away:
            raise LinkLost(self.away)
        self.is_open, self.opened = True, self.opened + 1

    def send(self, data: bytes) -> None:
        raise AssertionError("a bus that listens sends nothing")

    async def receive(self, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                data = await self._bytes.get()
        except TimeoutError:
            return b""
        if data == b"":
            self.is_open = False
            raise LinkLost("line: the far end closed it")
        return data

    def put(self, data: bytes) -> None:
        self._bytes.put_nowait(data)

    def close(self) -> None:
        self.is_open = False


class LineDecoder:
    """Lines ``METER CODE=VALUE UNIT …``, such as ``m1 1-0:1.8.0=12 Wh``; ``?`` is broken."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Telegram | BrokenTelegram]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [self._line(line) for line in lines]

    def end(self) -> list[Telegram | BrokenTelegram]:
        return []

    @staticmethod
    def _line(line: bytes) -> Telegram | BrokenTelegram:
        if line == b"?":
            return BrokenTelegram(protocol="lines", error="a question mark", raw=line)
        meter, *words = line.decode().split(" ")
        points = []
        for code_value, unit in zip(words[::2], words[1::2], strict=True):
            code, value = code_value.split("=")
            scaled = Scaled(mantissa=int(value), exponent=0) if value != "-" else None
            fault = "" if scaled else "no number"
            points.append(TelegramPoint(code=code, unit=unit, value=scaled, raw=value.encode(), fault=fault))
        return Telegram(protocol="lines", meter=meter, time_ms=7, points=tuple(points), raw=line)


class HandClock:
    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> Moment:
        self.ns += 1
        return Moment(boottime_ns=self.ns, wall_ms=0, quality="U", error_ms=-1)


Make = Callable[..., tuple[HandLink, StreamBus]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    buses: list[StreamBus] = []

    def made(*meters: TelegramMeterSettings, timeout_s: float = 60.0) -> tuple[HandLink, StreamBus]:
        link = HandLink()
        bus = StreamBus(
            "head",
            link,
            LineDecoder,
            meters or (TelegramMeterSettings(name="m", model="lines"),),
            HandClock(),
            timeout_s,
        )
        buses.append(bus)
        return link, bus

    yield made
    for bus in buses:
        await bus.close()


def values(meter: StreamMeter, reading: object) -> dict[str, str | None]:
    points = reading.points  # type: ignore[attr-defined]
    return {
        spec.name: None if point.value is None else f"{point.value} {spec.unit}"
        for spec, point in zip(meter.description.points, points, strict=True)
    }


async def test_the_first_telegram_says_what_the_meter_has(make: Make) -> None:
    """Known codes get names, others keep theirs; counters are known as such."""
    link, bus = make()
    [meter] = bus.meters
    assert meter.description.points == ()
    link.put(b"m1 1-0:1.8.0=12 Wh 1-0:36.7.0=-5 W 1-0:99.9.9=1 \n")
    reading = await meter.read()
    assert values(meter, reading) == {"import_total": "12 Wh", "power_l1": "-5 W", "1-0:99.9.9": "1 "}
    assert [spec.monotonic for spec in meter.description.points] == [True, False, False]
    assert (reading.meter_ms, reading.meter_id) == (7, "m1")


async def test_a_telegram_is_read_once_and_the_newest_counts(make: Make) -> None:
    """Peers publish old values under new times: here a read waits for the next telegram."""
    link, bus = make(timeout_s=0.05)
    [meter] = bus.meters
    link.put(b"m1 1-0:1.8.0=1 Wh\n")
    first = await meter.read()
    with pytest.raises(MeterUnavailable, match=r"^m: no telegram in 0.05 s; check the head"):
        await meter.read()
    link.put(b"m1 1-0:1.8.0=2 Wh\nm1 1-0:1.8.0=3 Wh\n")
    while meter._newest is None or meter._newest[0].points[0].raw != b"3":
        await asyncio.sleep(0)
    second = await meter.read()
    assert values(meter, second) == {"import_total": "3 Wh"}
    assert second.moment.boottime_ns > first.moment.boottime_ns


async def test_each_meter_takes_its_own_telegrams(make: Make) -> None:
    one, two = (TelegramMeterSettings(name=name, model="lines", id=name) for name in ("m1", "m2"))
    link, bus = make(one, two, timeout_s=0.05)
    first, second = bus.meters
    link.put(b"m2 1-0:1.8.0=2 Wh\nm1 1-0:1.8.0=1 Wh\n")
    assert values(first, await first.read()) == {"import_total": "1 Wh"}
    assert values(second, await second.read()) == {"import_total": "2 Wh"}


async def test_an_id_that_nobody_has_is_told_with_those_that_send(make: Make) -> None:
    link, bus = make(TelegramMeterSettings(name="m", model="lines", id="m9"), timeout_s=0.05)
    link.put(b"m1 1-0:1.8.0=1 Wh\n")
    with pytest.raises(MeterUnavailable, match=r"no telegram of m9 in 0.05 s, but of m1; correct id"):
        await bus.meters[0].read()


async def test_points_are_chosen_by_name_or_code(make: Make) -> None:
    """What is chosen and not sent has no value, and says so once it was known; the rest is left out."""
    wanted = TelegramMeterSettings(name="m", model="lines", points=("import_total", "1-0:16.7.0"))
    link, bus = make(wanted)
    [meter] = bus.meters
    link.put(b"m1 1-0:1.8.0=1 Wh 1-0:2.8.0=2 Wh 1-0:16.7.0=3 W\n")
    assert values(meter, await meter.read()) == {"import_total": "1 Wh", "power_total": "3 W"}
    link.put(b"m1 1-0:1.8.0=1 Wh\n")
    reading = await meter.read()
    assert [point.status for point in reading.points] == [Status.OK, Status.UNSUPPORTED]


async def test_a_value_without_number_or_in_another_unit_is_invalid_or_a_new_definition(make: Make) -> None:
    link, bus = make()
    [meter] = bus.meters
    link.put(b"m1 1-0:1.8.0=1 Wh\n")
    await meter.read()
    before = meter.description
    link.put(b"m1 1-0:1.8.0=- Wh\n")
    assert [point.status for point in (await meter.read()).points] == [Status.INVALID]
    assert meter.description == before
    link.put(b"m1 1-0:1.8.0=1 kWh\n")
    assert values(meter, await meter.read()) == {"import_total": "1 kWh"}
    assert meter.description != before


async def test_a_broken_telegram_is_the_reason_of_the_silence(make: Make) -> None:
    link, bus = make(timeout_s=0.05)
    link.put(b"?\n")
    with pytest.raises(MeterUnavailable, match="m: lines: a question mark"):
        await bus.meters[0].read()


async def test_a_line_that_is_lost_is_opened_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.stream.REOPEN_S", 0.0)
    link, bus = make()
    [meter] = bus.meters
    link.put(b"m1 1-0:1.8.0=1 Wh\n")
    await meter.read()
    link.put(b"")
    link.put(b"m1 1-0:1.8.0=2 Wh\n")
    assert values(meter, await meter.read()) == {"import_total": "2 Wh"}
    assert link.opened == 2
    await bus.close()
    assert not link.is_open


async def test_a_decoder_that_fails_is_told_and_tried_again(make: Make) -> None:
    """None should; where one does, the fault is in the system log and in status, and the next telegram is read."""
    link, bus = make(timeout_s=0.05)
    link.put(b"m1 nonsense\n")
    with pytest.raises(MeterUnavailable, match="the decoder failed: ValueError"):
        await bus.meters[0].read()
    link.put(b"m1 1-0:1.8.0=2 Wh\n")
    assert values(bus.meters[0], await bus.meters[0].read()) == {"import_total": "2 Wh"}


async def test_a_port_that_is_away_is_told(make: Make) -> None:
    link, bus = make(timeout_s=0.05)
    link.away = "/dev/x cannot be opened: No such file or directory"
    with pytest.raises(MeterUnavailable, match="m: /dev/x cannot be opened"):
        await bus.meters[0].read()


@pytest.mark.parametrize(
    ("code", "name", "monotonic"),
    [
        ("1-0:1.8.0", "import_total", True),
        ("1-0:2.8.2", "export_t2", True),
        ("1-0:1.8.0*01", "1-0:1.8.0*01", False),
        ("1-0:21.8.0", "import_l1", True),
        ("1-0:62.7.0", "power_export_l3", False),
        ("1-0:52.7.0", "voltage_l2", False),
        ("1-0:71.7.0", "current_l3", False),
        ("1-0:16.7.0", "power_total", False),
        ("1-3:16.7.0", "power_total_3", False),
        ("0-1:24.2.1", "0-1:24.2.1", False),
        ("energy", "energy", True),
        ("flow", "flow", False),
    ],
)
def test_codes_have_the_names_of_modbus_definitions(code: str, name: str, monotonic: bool) -> None:
    """So one meter can follow another of another kind, and a report goes on."""
    found = quantity(code)
    assert (found.name, found.monotonic) == (name, monotonic)
