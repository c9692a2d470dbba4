"""A whole gateway on a mixed site: SML, an encrypted P1, M-Bus and Modbus side by side, each as its meters speak."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gateway.log.entry import Entry, Kind, description, points_of
from tests.mbus_bus import SimulatedBus, SimulatedMeter, on_tcp
from tests.p1_telegrams import AUTHENTICATION_KEY, KEY, encrypted, with_crc
from tests.sml_frames import entry, octets, signed, telegram, values
from tests.whole import RunningGateway, events, of_kind, until

PERIOD_S = 0.3
SML_ID, OTHER_ID = bytes.fromhex("0a01454d480000a1b2c3"), bytes.fromhex("0a01454d480000d4e5f6")


class Pusher:
    """Sends the next telegram to whoever is connected, again and again."""

    def __init__(self, telegram_of: Callable[[int], bytes]) -> None:
        self.telegram_of = telegram_of
        self.sent = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._server.settimeout(0.1)
        clients: list[socket.socket] = []
        while not self._stop.wait(PERIOD_S):
            with suppress(TimeoutError):
                clients.append(self._server.accept()[0])
            if not clients:
                continue
            data = self.telegram_of(self.sent)
            self.sent += 1
            for client in list(clients):
                try:
                    client.sendall(data)
                except OSError:
                    clients.remove(client)
        for client in clients:
            client.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._server.close()


def sml(number: int, server: bytes = SML_ID) -> bytes:
    """1.8.0 in tenths of Wh, and the power."""
    total = entry("0100010800ff", signed(1_000_000 + number, 5), unit=30, scaler=-1)
    power = entry("0100100700ff", signed(-250, 4), unit=27, scaler=0)
    return telegram(values([entry("0100600100ff", octets(server)), total, power], server))


def p1(number: int) -> bytes:
    lines = (
        "1-3:0.2.8(50)",
        f"0-0:1.0.0(2201010000{number % 60:02d}W)",
        "0-0:96.1.1(4B384547)",
        f"1-0:1.8.1({number:06d}.123*kWh)",
    )
    return encrypted(with_crc(lines), number + 1)


@contextmanager
def mbus(bus: SimulatedBus) -> Iterator[int]:
    """The line behind a TCP gateway, in an event loop of its own."""
    ready, stop = threading.Event(), asyncio.Event()
    found: list[int] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with on_tcp(bus) as port:
            found.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


CONFIG = """
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: head, tcp: "127.0.0.1:{sml}", protocol: sml}}
  - {{name: p1, tcp: "127.0.0.1:{p1}", protocol: dsmr}}
  - {{name: heat, tcp: "127.0.0.1:{mbus}", protocol: mbus}}
  - {{name: lan, simulator: true}}
meters:
  - {{name: main, bus: head, every: 0.5}}
  - {{name: house, bus: p1, every: 0.5, keys: ["file:p1-key"]}}
  - {{name: cellar, bus: heat, unit: 7, every: 0.5}}
  - {{name: attic, bus: heat, id: "12345678", every: 0.5}}
  - {{name: solar, bus: lan, model: eastron-sdm120, unit: 1, every: 0.5}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[RunningGateway, Pusher]]:
    cellar, attic = SimulatedMeter(7, "00000007", value=70), SimulatedMeter(8, "12345678", value=80)
    head, port = Pusher(sml), Pusher(p1)
    with mbus(SimulatedBus(cellar, attic)) as line:
        config = CONFIG.format(sml=head.port, p1=port.port, mbus=line)
        gateway = RunningGateway(tmp_path / "near", config)
        key = gateway.state_dir / "p1-key"
        key.parent.mkdir(parents=True)
        key.write_text(f"{KEY.hex()}:{AUTHENTICATION_KEY.hex()}\n")
        key.chmod(0o600)
        with gateway:
            yield gateway, head
    head.close()
    port.close()


def readings(gateway: RunningGateway, meter: str) -> list[dict[str, str]]:
    """Each reading of that meter, by point name."""
    entries = gateway.entries()
    described = {one.seq: description(one.body) for one in of_kind(entries, Kind.DEFINITION)}
    return [
        _values(described[one.body[0]].points, one)
        for one in of_kind(entries, Kind.READING)
        if described[one.body[0]].name == meter
    ]


def _values(specs: tuple, one: Entry) -> dict[str, str]:
    pairs = zip(specs, points_of(one.body), strict=True)
    return {spec.name: f"{point.value} {spec.unit}" for spec, point in pairs if point.value is not None}


def test_every_meter_is_read_in_its_own_way(site: tuple[RunningGateway, Pusher]) -> None:
    """Values are exact, each telegram is read once, and the log verifies."""
    gateway, _ = site
    names = ("main", "house", "cellar", "attic", "solar")
    until(lambda: all(len(readings(gateway, name)) >= 4 for name in names), "four readings of each", 60)
    assert gateway.stop() == 0
    main = readings(gateway, "main")
    assert [one["power_total"] for one in main] == ["-250 W"] * len(main)
    totals = [one["import_total"] for one in main]
    assert len(set(totals)) == len(totals)
    assert all(total.endswith(" Wh") and total.startswith("1000") for total in totals)
    house = [one["import_t1"] for one in readings(gateway, "house")]
    assert len(set(house)) == len(house)
    assert all(total.endswith(".123 kWh") for total in house)
    assert {one["energy"] for one in readings(gateway, "cellar")} == {"70 Wh"}
    assert {one["energy"] for one in readings(gateway, "attic")} == {"80 Wh"}
    assert gateway.cli("log", "verify").returncode == 0
    secret = KEY.hex()
    assert secret not in gateway.cli("log", "show", "--json").stdout.lower()


def test_another_meter_under_the_head_is_an_exchange(site: tuple[RunningGateway, Pusher]) -> None:
    """Its counter is another one: the first value of it is not compared with the last of the other."""
    gateway, head = site
    until(lambda: len(readings(gateway, "main")) >= 2, "two readings", 60)
    head.telegram_of = lambda number: sml(number - 1_000_000, OTHER_ID)
    until(lambda: "meter-exchanged" in events(gateway.entries()), "the event", 60)
    assert gateway.stop() == 0
    [event] = [one for one in of_kind(gateway.entries(), Kind.EVENT) if one.body[0] == "meter-exchanged"]
    assert "1EMH0010597059" in event.body[3]
    statuses = {point.status.text for one in of_kind(gateway.entries(), Kind.READING) for point in points_of(one.body)}
    assert "fell" not in statuses


def test_what_cannot_be_read_is_a_gap_with_its_reason(site: tuple[RunningGateway, Pusher]) -> None:
    """Broken telegrams give no values, and the meter on the next bus does not notice."""
    gateway, head = site
    until(lambda: len(readings(gateway, "main")) >= 2, "two readings", 60)
    head.telegram_of = lambda number: sml(number)[:-1] + b"\0"
    told = gateway.wait_status(
        lambda status: next(one for one in status["meters"] if one["name"] == "main")["state"] == "offline",
        "the meter is offline",
        60,
    )
    solar = next(one for one in told["meters"] if one["name"] == "solar")
    assert solar["state"] == "online"
    assert "sml: " in next(one for one in told["meters"] if one["name"] == "main")["error"]
    assert gateway.stop() == 0
