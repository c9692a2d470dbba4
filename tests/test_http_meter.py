"""Meters behind one HTTP server: the contract, over real TLS; never an old value under a new time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from drivers.asked import AskedBus, AskedMeter
from drivers.http.asker import http_bus
from drivers.http.port import Auth
from drivers.telegram_points import TelegramMeterSettings
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable
from gateway.reading import Reading, Status
from tests.contract_meter import MeterContract
from tests.http_device import Asked, Device, HandClock, certificates, ok, status
from tests.parts import vectors

SECOND_NS = 1_000_000_000


class Eumel(Device):
    """A logger whose clock is a second later at each reply."""

    def __init__(self) -> None:
        self.seconds = 0
        self.more = ""
        super().__init__(certificates().server(), answer=self._answer)

    def _answer(self, asked: Asked, _sock: object) -> bytes:
        if asked.headers.get("authorization") != "Basic YWRhOmFiYy5kZWY=":
            return status(401)
        if asked.path != "/wizard/public/api/rest":
            return status(404)
        self.seconds += 1
        values = f'<p id="TotWhExp">11277.41</p><p id="W">-0.00</p><p id="Evt">0</p>{self.more}'
        head = f'<d man="VERBUND" sn="S1" t="2018-03-08T18:{self.seconds // 60:02}:{self.seconds % 60:02}Z">'
        return ok(f'<SunSpecData v="">{head}<m id="211">{values}</m></d></SunSpecData>'.encode())


@pytest.fixture
async def device() -> AsyncIterator[Eumel]:
    found = Eumel()
    yield found
    found.close()


AUTH = Auth(user="ada", password="file:token")


def made(device: Device, *meters: TelegramMeterSettings, clock: HandClock | None = None, auth: Auth = AUTH) -> AskedBus:
    """A bus; the meters' model is its protocol."""
    return http_bus("roof", meters[0].model, device.http_port(auth=auth), meters, clock or HandClock())


def meter_of(protocol: str, id_: str = "", points: tuple[str, ...] = (), name: str = "main") -> TelegramMeterSettings:
    return TelegramMeterSettings(name=name, model=protocol, id=id_, points=points)


def eumel(id_: str = "", points: tuple[str, ...] = ()) -> TelegramMeterSettings:
    return meter_of("eumel-2", id_, points)


def shown(meter: AskedMeter, reading: Reading) -> dict[str, str]:
    return {
        spec.name: f"{point.value} {spec.unit}" if point.value else point.status.text
        for spec, point in zip(meter.description.points, reading.points, strict=True)
    }


class TestHttpMeter(MeterContract):
    @pytest.fixture
    async def bus(self, device: Eumel) -> AskedBus:
        bus = made(device, eumel())
        # The first reply says what the meter has; the contract is about the description from then on.
        await bus.meters[0].read()
        return bus

    @pytest.fixture
    def meter(self, bus: AskedBus) -> AskedMeter:
        return bus.meters[0]

    @pytest.fixture
    def silence(self, device: Eumel) -> Callable[[], object]:
        def silent() -> None:
            device.answer = lambda _asked, _sock: None

        return silent


async def test_the_first_reply_says_what_the_meter_has(device: Eumel) -> None:
    bus = made(device, eumel("S1"))
    [meter] = bus.meters
    assert meter.description.points == ()
    assert (meter.description.model, meter.description.location) == ("eumel-2", "roof S1")
    reading = await meter.read()
    assert shown(meter, reading) == {"export_total": "11277.41 Wh", "power_total": "0.00 W"}
    assert (reading.meter_id, reading.meter_ms) == ("S1", 1520532001000)
    assert [point.raw for point in reading.points] == [b"11277.41", b"-0.00"]
    [export, power] = meter.description.points
    assert (export.obis, export.monotonic, export.register) == ("1-0:2.8.0", True, "telegram 1-0:2.8.0")
    assert not power.monotonic


async def test_points_may_be_chosen_by_name_or_code(device: Eumel) -> None:
    """Also those without an OBIS code; one that is not sent is not there, and comes when it is sent."""
    bus = made(device, eumel(points=("export_total", "Evt", "import_total")))
    [meter] = bus.meters
    assert shown(meter, await meter.read()) == {"export_total": "11277.41 Wh", "Evt": "0 "}
    device.more = '<p id="TotWhImp">5.00</p>'
    assert shown(meter, await meter.read())["import_total"] == "5.00 Wh"
    device.more = '<p id="TotWhImp">-</p>'
    assert shown(meter, await meter.read())["import_total"] == "invalid"
    device.more = ""
    reading = await meter.read()
    assert reading.points[2].status == Status.UNSUPPORTED


async def test_a_reply_whose_time_has_not_advanced_is_no_reading(device: Eumel) -> None:
    [meter] = made(device, eumel()).meters
    await meter.read()
    device.seconds -= 1
    with pytest.raises(MeterUnavailable, match=r"^main: the reply repeats the reply of 2018-03-08T18:00:01Z"):
        await meter.read()
    assert (await meter.read()).meter_ms == 1520532002000


async def test_a_clock_that_was_set_back_costs_one_reading_and_an_old_reply_is_never_read_twice(device: Eumel) -> None:
    [meter] = made(device, eumel()).meters
    device.seconds = 3000
    await meter.read()
    device.seconds = 100
    with pytest.raises(
        MeterUnavailable, match=r"of 2018-03-08T18:01:41Z, before 2018-03-08T18:50:01Z; it is old, or the"
    ):
        await meter.read()
    device.seconds = 3000
    with pytest.raises(MeterUnavailable, match="repeats the reply of 2018-03-08T18:50:01Z"):
        await meter.read()
    device.seconds = 100
    with pytest.raises(MeterUnavailable, match="it is old, or the device"):
        await meter.read()
    assert (await meter.read()).meter_ms == 1520532102000


async def test_another_device_is_not_read(device: Eumel) -> None:
    [meter] = made(device, eumel("S2")).meters
    with pytest.raises(MeterUnavailable, match=r"^main: the reply is of S1, not of S2; correct id"):
        await meter.read()


async def test_what_goes_wrong_names_the_meter_and_the_server(device: Eumel) -> None:
    port = device.port
    with pytest.raises(MeterUnavailable, match=rf"^main: 127.0.0.1:{port}: /wizard/public/api/rest: status 401"):
        await made(device, eumel(), auth=Auth()).meters[0].read()
    device.answer = lambda _asked, _sock: ok(b"<html/>")
    with pytest.raises(MeterProtocolError, match=r"^main: 127.0.0.1:\d+: eumel-2: its root is 'html'"):
        await made(device, eumel()).meters[0].read()
    device.answer = lambda _asked, _sock: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"
    with pytest.raises(MeterProtocolError, match=rf"^main: 127.0.0.1:{port}: its answer was cut off"):
        await made(device, eumel()).meters[0].read()


@pytest.mark.parametrize("code", [429, 503])
async def test_a_server_that_asks_to_wait_is_not_asked_before(device: Eumel, code: int) -> None:
    clock = HandClock()
    bus = made(device, eumel(), meter_of("eumel-2", "S1", name="other"), clock=clock)
    answer, device.answer = device.answer, lambda _asked, _sock: status(code, "Retry-After: 30")
    with pytest.raises(MeterUnavailable, match="it asks to wait 30 s"):
        await bus.meters[0].read()
    device.answer = answer
    for meter in bus.meters:
        with pytest.raises(MeterUnavailable, match=r"asked not to be asked; 30 s are left"):
            await meter.read()
    assert len(device.asked) == 1
    clock.ns = 31 * SECOND_NS
    assert (await bus.meters[0].read()).points


async def test_the_meters_of_a_server_take_turns() -> None:
    """A device that answers one request at a time sees one at a time."""
    at_once: list[int] = []

    def answer(asked: Asked, _sock: object) -> bytes:
        at_once.append(1)
        assert sum(at_once) == 1
        number = asked.path.partition("DeviceId=")[2].partition("&")[0]
        body = {
            "Head": {"Status": {"Code": 0}, "Timestamp": "2024-06-21T13:05:09+02:00"},
            "Body": {
                "Data": {"TOTAL_ENERGY": {"Unit": "Wh", "Value": int(number)}, "PAC": {"Unit": "W", "Value": None}}
            },
        }
        at_once.pop()
        return ok(json.dumps(body).encode())

    device = Device(answer=answer)
    try:
        meters = [meter_of("fronius", f"inverter/{n}", name=f"m{n}") for n in range(1, 4)]
        bus = made(device, *meters, auth=Auth())
        readings = await asyncio.gather(*(meter.read() for meter in bus.meters))
        assert [shown(meter, one) for meter, one in zip(bus.meters, readings, strict=True)] == [
            {"export_total": f"{n} Wh"} for n in range(1, 4)
        ]
    finally:
        device.close()


async def test_intervals_come_once_each_and_are_no_counter() -> None:
    told = {"serial_number": "9", "energy_unit": "watt_hour", "is_accumulated": False}
    items = [{"energy": n, "measurement_time": f"2024-06-21T12:{n:02}:00Z"} for n in (5, 10, 15)]
    device = Device(bodies={"/produced/1": json.dumps({"device": told, "measuredEnergy": items}).encode()})
    try:
        bus = made(device, meter_of("energy-api-2", "produced/1"), auth=Auth())
        [meter] = bus.meters
        for n in (5, 10, 15):
            assert shown(meter, await meter.read()) == {"export_interval": f"{n} Wh"}
        assert not meter.description.points[0].monotonic
        with pytest.raises(MeterUnavailable, match=r"^main: .*it has no new measurement"):
            await meter.read()
    finally:
        device.close()


async def test_a_meter_without_a_clock_is_read_each_time() -> None:
    body = b'{"StatusSNS":{"Time":"2021-02-03T15:12:52","ENERGY":{"Total":1.5}}}'
    device = Device(bodies={"/cm": body})
    try:
        [meter] = made(device, meter_of("tasmota"), auth=Auth()).meters
        first, second = await meter.read(), await meter.read()
        assert (first.meter_ms, first.points) == (None, second.points)
    finally:
        device.close()


async def test_remarks_of_a_reply_are_those_of_the_reading(device: Eumel) -> None:
    device.answer = lambda _asked, _sock: ok((vectors("eumel") / "EumelXMLv1.xml").read_bytes())
    reading = await made(device, eumel()).meters[0].read()
    assert len(reading.points) == 52
    assert reading.remarks[0].endswith("stands more than once; the first counts")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            meter_of("eumel"),
            "^protocol 'eumel' is none of eumel-1, eumel-2, fronius",
        ),
        (meter_of("fronius"), "^id '': fronius wants inverter/1, meter/0 or site"),
    ],
)
def test_a_meter_that_cannot_be_is_refused_at_the_start(settings: TelegramMeterSettings, told: str) -> None:
    device = Device()
    try:
        with pytest.raises(ConfigError, match=told):
            made(device, settings, auth=Auth())
    finally:
        device.close()
