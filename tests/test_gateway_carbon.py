"""A whole gateway with WattTime beside a meter: its values are in the log, and its faults are nobody else's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.log.entry import Entry, Kind, description, points_of
from tests.http_device import Asked, Device, certificates, ok, status
from tests.test_http_watttime import TOKEN, Service
from tests.whole import RunningGateway, events, objects, of_kind, until

PASSWORD, HEADER = "abc.def", "YWRhOmFiYy5kZWY="
#: The first reply of the service is of the second after this.
START_MS = 1_718_971_200_000
CONFIG = """
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: lan, simulator: true}}
  - {{name: carbon, http: "https://127.0.0.1:{port}", protocol: watttime-3, timeout: 60,
     user: ada, password_file: watttime-password, ca: {ca}}}
meters:
  - {{name: grid, bus: carbon, id: forecast/CAISO_NORTH, every: {grid}}}
  - {{name: solar, bus: lan, model: eastron-sdm120, unit: 1, every: {solar}}}
"""


class Site:
    """The service, and a gateway that asks it each *grid* seconds."""

    def __init__(self, folder: Path, *, grid: float, solar: float) -> None:
        self.service = Service(certificates().server())
        config = CONFIG.format(port=self.service.port, ca=certificates().ca, grid=grid, solar=solar)
        self.gateway = RunningGateway(folder, config)
        password = self.gateway.state_dir / "watttime-password"
        password.parent.mkdir(parents=True)
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o600)

    def meter(self, name: str) -> dict[str, Any]:
        return meter_of(self.gateway.status(), name)

    def readings(self, name: str) -> list[tuple[Entry, dict[str, str]]]:
        """Each reading of that meter, with its values by point name."""
        entries = self.gateway.entries()
        described = {one.seq: description(one.body) for one in of_kind(entries, Kind.DEFINITION)}
        return [
            (one, values(described[one.body[0]].points, one))
            for one in of_kind(entries, Kind.READING)
            if described[one.body[0]].name == name
        ]

    def gaps(self, name: str) -> list[Entry]:
        return [one for one in of_kind(self.gateway.entries(), Kind.GAP) if one.body[0] == name]

    def fails(self, told: str) -> None:
        """Waits until the status of the source says *told*."""
        self.gateway.wait_status(lambda found: told in meter_of(found, "grid")["error"], told)
        assert self.meter("grid")["state"] == "offline"

    def recovers(self) -> None:
        """Waits for a value that was not there before."""
        before = len(self.readings("grid"))
        until(lambda: len(self.readings("grid")) > before, "another value")
        self.gateway.wait_status(lambda found: meter_of(found, "grid")["state"] == "online", "online")


def meter_of(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in told["meters"] if one["name"] == name)


def values(specs: tuple, one: Entry) -> dict[str, str]:
    pairs = zip(specs, points_of(one.body), strict=True)
    return {spec.name: f"{point.value} {spec.unit}" for spec, point in pairs}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def make(**more: float) -> Site:
        sites.append(Site(tmp_path / "near", **more))
        sites[-1].gateway.start()
        return sites[-1]

    yield make
    for site in sites:
        site.gateway.__exit__()
        site.service.close()


class Hanging:
    """Takes requests and answers none, until it is released."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        service.answer = self._answer

    def _answer(self, asked: Asked, sock: socket.socket) -> bytes | None:
        self.asked.release()
        assert self.release.wait(60)
        return self.service.usual(asked, sock)


def test_values_are_in_the_log_exactly_and_with_the_time_that_they_are_of(made: Callable[..., Site]) -> None:
    site = made(grid=0.2, solar=1)
    until(lambda: len(site.readings("grid")) >= 4, "four values")
    assert site.gateway.stop() == 0
    found = site.readings("grid")
    expected = {"moer": "870.5 lb/MWh", "carbon_intensity": "394.852158085 g/kWh"}
    assert [one for _, one in found] == [expected] * len(found)
    assert [entry.body[1] for entry, _ in found] == [[START_MS + 1000 * n] for n in range(1, len(found) + 1)]
    assert site.service.tokens == 1
    shown = [one for one in objects(site.gateway.cli("log", "show", "--json")) if one.get("meter") == "grid"]
    first = next(one for one in shown if one["kind"] == "reading")
    assert first["meter_time"] == "2024-06-21T12:00:01.000Z"
    assert (first["points"]["carbon_intensity"]["raw"], first["points"]["moer"]["raw"]) == (b"870.5".hex(),) * 2
    assert site.gateway.cli("log", "verify").returncode == 0


def test_a_service_that_hangs_costs_the_meter_beside_it_no_slot(made: Callable[..., Site]) -> None:
    """One request is under way for longer than several intervals of both; a stop does not wait for it either."""
    site = made(grid=0.5, solar=2)
    until(lambda: site.readings("grid"), "a value")
    hanging = Hanging(site.service)
    assert hanging.asked.acquire(timeout=60)
    solar, grid = len(site.readings("solar")), len(site.readings("grid"))
    until(lambda: len(site.readings("solar")) >= solar + 4, "four readings of the meter")
    assert len(site.readings("grid")) == grid
    assert not hanging.asked.acquire(blocking=False)
    assert (site.meter("solar")["missed"], site.gaps("solar")) == (0, [])
    hanging.release.set()
    site.recovers()
    late = [gap for gap in site.gaps("grid") if "the poll before took too long" in gap.body[4]]
    assert max(gap.body[3] for gap in late) >= 8
    hanging = Hanging(site.service)
    assert hanging.asked.acquire(timeout=60)
    assert site.gateway.stop() == 0
    assert site.gaps("solar") == []
    hanging.release.set()


def test_a_token_that_expired_is_had_anew_and_nobody_notices(made: Callable[..., Site]) -> None:
    site = made(grid=0.2, solar=1)
    until(lambda: site.readings("grid"), "a value")
    site.service.tokens = 40
    until(lambda: site.service.tokens > 40, "a login")
    site.recovers()
    assert site.gateway.stop() == 0
    assert site.service.tokens == 41
    assert "meter-offline" not in events(site.gateway.entries())
    assert not [gap for gap in site.gaps("grid") if "status" in gap.body[4]]


def test_each_fault_is_a_state_an_event_and_a_gap_and_its_end_another_value(made: Callable[..., Site]) -> None:
    """Whom the gateway does not trust gets neither password nor token; neither is in anything that it writes."""
    site = made(grid=0.2, solar=1)
    service, good = site.service, site.service.tls
    until(lambda: site.readings("grid"), "a value")
    elsewhere = Device(bodies={"/v3/forecast": b"{}"})
    location = f"Location: http://127.0.0.1:{elsewhere.port}/v3/forecast?token=x"
    whole = ok(b'{"data": [], "meta": {"units": "lbs_co2_per_mwh"}}')
    faults = (
        (status(401), "/login: status 401: it wants another user, password or token"),
        (status(302, location), "redirects are not followed; write the address that it names in the config"),
        (whole[:-9], "its answer was cut off"),
        (whole, "watttime-3: it has no data"),
    )
    for fails, told in faults:
        service.fails = fails
        site.fails(told)
        service.fails = None
        site.recovers()
    elsewhere.close()
    assert elsewhere.asked == []
    service.tls = certificates().server("wrong-name")
    site.fails("its certificate is not accepted: IP address mismatch")
    asked, missed = len(service.asked), site.meter("grid")["missed"]
    site.gateway.wait_status(lambda found: meter_of(found, "grid")["missed"] >= missed + 3, "three more polls")
    assert len(service.asked) == asked
    service.tls = good
    site.recovers()
    assert site.gateway.stop() == 0
    found = [
        one for one in of_kind(site.gateway.entries(), Kind.EVENT) if one.body[0] in ("meter-offline", "meter-online")
    ]
    assert [tuple(one.body[::2]) for one in found] == [("meter-offline", "grid"), ("meter-online", "grid")] * 5
    assert all(any(told in gap.body[4] for gap in site.gaps("grid")) for _, told in faults)
    _told_nowhere(site.gateway, PASSWORD, HEADER, TOKEN)


def _told_nowhere(gateway: RunningGateway, *secrets: str) -> None:
    files = [path for path in gateway.state_dir.rglob("*") if path.is_file() and path.name != "watttime-password"]
    assert files
    written = [path.read_bytes() for path in files] + [line.encode() for line in gateway.errors.end()]
    written.append(gateway.cli("log", "show", "--json").stdout.encode())
    for secret in secrets:
        assert not [one for one in written if secret.encode() in one]
