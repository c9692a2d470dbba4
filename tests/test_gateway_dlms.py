"""A whole gateway that asks DLMS meters of others' making, over TCP and over a serial line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.log.entry import Kind, description, points_of
from tests.dlms_meter import AK, EK, MeterProcess
from tests.whole import RunningGateway, events, of_kind, until

PASSWORD, WRONG = "Gurux1", "never-shown"
MOMENT_MS = 1_768_478_400_000
READ = {"import_total": "12345678.9 Wh", "voltage_l1": "230.1 V"}
CONFIG = """
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: lan, tcp: "127.0.0.1:{tcp}", protocol: dlms-tcp, timeout: 2}}
  - {{name: line, serial: {line}, protocol: dlms-hdlc, timeout: 1}}
meters:
  - {{name: main, bus: lan, client: 1, authentication: high-gmac, keys: ["file:key"], every: 0.3}}
  - {{name: attic, bus: line, id: 1, client: 2, authentication: low, password_file: password, every: 0.3}}
  - {{name: cellar, bus: line, id: 2/17, client: 2, authentication: low, password_file: password, every: 0.3,
      points: ["1-0:1.8.0"]}}
  - {{name: shed, bus: line, id: 3, client: 2, authentication: low, password_file: wrong, every: 0.3}}
"""


class Site:
    """The gateway, and the meter at its TCP port."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.heard = folder / "heard"
        self.main = stack.enter_context(MeterProcess(framing="wrapper", keys=[EK, AK], counters=str(self.heard)))
        line = stack.enter_context(MeterProcess(framing="hdlc", device=True, servers=[1, 2, 3], password=PASSWORD))
        self.gateway = RunningGateway(folder / "near", CONFIG.format(tcp=self.main.place, line=line.place))
        self.gateway.state_dir.mkdir(parents=True)
        for name, secret in (("key", f"{EK}:{AK}"), ("password", PASSWORD), ("wrong", WRONG)):
            self.put(name, secret)
        stack.enter_context(self.gateway)

    def put(self, name: str, secret: str) -> None:
        file = self.gateway.state_dir / name
        file.write_text(f"{secret}\n")
        file.chmod(0o600)

    def readings(self, meter: str) -> list[tuple[int | None, dict[str, str]]]:
        """The meter's own time and the values of each reading."""
        entries = self.gateway.entries()
        described = {one.seq: description(one.body) for one in of_kind(entries, Kind.DEFINITION)}
        found = []
        for one in of_kind(entries, Kind.READING):
            known = described[one.body[0]]
            if known.name == meter:
                pairs = zip(known.points, points_of(one.body), strict=True)
                shown = {spec.name: f"{point.value} {spec.unit}" for spec, point in pairs if point.value is not None}
                found.append((one.body[1], shown))
        return found

    def remarks(self, meter: str) -> list[str]:
        told = [one.body for one in of_kind(self.gateway.entries(), Kind.EVENT) if one.body[0] == "meter-remark"]
        return [body[3] for body in told if body[2] == meter]

    def told(self, meter: str, state: str, text: str) -> dict[str, Any]:
        """The status of that meter, once it is in *state* with *text* in its error."""

        def find(status: dict[str, Any]) -> dict[str, Any]:
            return next(one for one in status["meters"] if one["name"] == meter)

        def fits(status: dict[str, Any]) -> bool:
            return find(status)["state"] == state and text in (find(status)["error"] or "")

        return find(self.gateway.wait_status(fits, f"{meter} is {state}: {text}"))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def test_each_meter_is_read_in_its_own_way(site: Site) -> None:
    """Values are exact, what is missing is remarked once, one that refuses harms no other, and the log verifies."""
    refused = site.told("shed", "offline", "refuses the association")
    assert "check the authentication, the password or the keys, and the client address" in refused["error"]
    until(lambda: all(len(site.readings(name)) >= 4 for name in ("main", "attic", "cellar")), "four readings of each")
    assert site.gateway.stop() == 0
    assert {str(values) for _, values in site.readings("main")} == {str(READ)}
    assert {str(values) for _, values in site.readings("attic")} == {str(READ)}
    assert {str(values) for _, values in site.readings("cellar")} == {str({"import_total": "12345678.9 Wh"})}
    assert site.readings("shed") == []
    [remark] = site.remarks("main")
    assert remark.startswith("the meter has no 1-0:2.8.0, ")
    assert site.remarks("cellar") == []
    assert site.gateway.cli("log", "verify").returncode == 0
    shown = site.gateway.cli("log", "show", "--json").stdout + "\n".join(site.gateway.errors.lines)
    assert WRONG in (site.gateway.state_dir / "wrong").read_text()
    assert not any(secret.lower() in shown.lower() for secret in (EK, AK, PASSWORD, WRONG))


def test_a_meter_that_is_killed_is_offline_and_comes_back(site: Site) -> None:
    """A gap with its reason, and readings again without a restart; the meters of the line do not notice."""
    until(lambda: len(site.readings("main")) >= 2, "two readings")
    site.main.kill()
    site.told("main", "offline", "cannot connect")
    before = len(site.readings("attic"))
    until(lambda: len(site.readings("attic")) > before + 1, "the line is read on")
    site.main.start()
    site.told("main", "online", "")
    known = len(site.readings("main"))
    until(lambda: len(site.readings("main")) > known, "readings again")
    assert site.gateway.stop() == 0
    codes = events(site.gateway.entries())
    assert codes.index("meter-offline") < len(codes) - 1 - codes[::-1].index("meter-online")


def test_a_wrong_key_is_told_until_it_is_corrected(site: Site) -> None:
    """The next poll fetches it again."""
    until(lambda: len(site.readings("main")) >= 1, "a reading")
    site.put("key", f"{'11' * 16}:{AK}")
    site.told("main", "offline", "check ")
    site.put("key", f"{EK}:{AK}")
    site.told("main", "online", "")
    assert site.gateway.stop() == 0


def test_no_restart_and_no_second_process_uses_a_counter_twice(site: Site) -> None:
    """Killed twice, and ``read`` beside the service; the meter never meets a counter that it knows."""
    for _ in range(2):
        known = len(site.readings("main"))
        until(lambda known=known: len(site.readings("main")) > known + 1, "two more readings")  # type: ignore[misc]
        site.gateway.kill()
        site.gateway.start()
    known = len(site.readings("main"))
    until(lambda: len(site.readings("main")) > known, "a reading after the last start")
    site.gateway.cli("read", "main", "--json")
    assert site.gateway.stop() == 0
    lines = site.heard.read_text().splitlines()
    assert len(set(lines)) == len(lines) > 20
    assert len({line.split()[0] for line in lines}) == 1
    assert {str(values) for _, values in site.readings("main")} == {str(READ)}


def test_the_meters_time_stands_in_the_log(site: Site) -> None:
    """As ``log show`` gives it."""
    until(lambda: len(site.readings("attic")) >= 1, "a reading")
    assert site.gateway.stop() == 0
    shown = site.gateway.cli("log", "show", "--json").stdout
    assert "2026-01-15T12:00:00.000Z" in shown
