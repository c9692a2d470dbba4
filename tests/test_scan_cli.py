"""``scan`` as an installer uses it: what is found becomes lines of config that are taken as they are."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.addresses import hosts
from gateway.scanning import FOUND, GARBLED, Place, ScanResult, config_lines
from tests.libmodbus import LibmodbusServer
from tests.paced_bus import PacedBus
from tests.parts import ROOT, free_port
from tests.test_scan_walk import f32


def scan(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "scan", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def sdm630() -> list[list[int]]:
    """What an SDM630 is known by."""
    floats = [(0, 230.2), (2, 231.0), (4, 229.5), (70, 50.0)]
    return [list(each) for address, value in floats for each in f32(4, address, value)]


def taken(tmp_path: Path, printed: str) -> object:
    """The config that ends what ``scan`` printed."""
    path = tmp_path / "config.yaml"
    path.write_text("origin: example.org/a\nstate_dir: state\n" + printed[printed.index("# for the config") :])
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "--config", path, "check"],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_line_at_another_rate_becomes_config_that_is_taken(tmp_path: Path) -> None:
    """Nothing at 9600 baud, a known and an unknown meter at 19200; progress and hints are not on standard output."""
    with PacedBus(baud=19200, strict=True, units={1: {"contents": sdm630()}, 3: {}}) as line:
        done = scan("--serial", line.device, "--units", "1-3", "--timeout", "0.08")
        assert done.returncode == 0, done.stderr
        assert "trying other settings than" in done.stderr
        assert f"{line.device} at 19200 baud, parity even, unit   1: found: eastron-sdm" in done.stdout
        assert "unit   3: found: model not known" in done.stdout
        assert f"  - {{name: line, serial: {line.device}, baud: 19200, parity: even, stop_bits: 1}}" in done.stdout
        code, text = taken(tmp_path, done.stdout)
    assert code == 0, text


def test_json_has_the_line_with_each_unit() -> None:
    """One object per unit, as before, and the settings it answered at; what is given is not swept."""
    with PacedBus(baud=19200, strict=True, units={2: {}}) as line:
        fixed = ("--serial", line.device, "--units", "1-2", "--timeout", "0.08", "--parity", "none", "--json")
        done = scan(*fixed, "--baud", 19200)
        assert json.loads(done.stdout) == {
            "unit": 2, "state": "found", "models": [],
            "serial": line.device, "baud": 19200, "parity": "none", "stop_bits": 1, "any_unit": False,
        }  # fmt: skip
        assert scan(*fixed, "--baud", 9600).returncode == 1
        assert json.loads(scan(*fixed).stdout)["baud"] == 19200


def test_nothing_found_is_1_and_says_what_to_check() -> None:
    """A line without meters."""
    with PacedBus(baud=9600, units={}) as line:
        done = scan("--serial", line.device, "--units", "1-2", "--timeout", "0.03")
    assert done.returncode == 1
    assert "no meter answered on 2 unit ids at 18 line settings; check wiring" in done.stdout


def test_a_port_in_use_is_3_and_names_its_owner() -> None:
    """Nothing is sent on it."""
    with PacedBus(units={1: {}}) as line:
        port = os.open(line.device, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(port, fcntl.LOCK_EX)
        done = scan("--serial", line.device, "--units", "1")
        os.close(port)
        assert done.returncode == 3
        assert f"{line.device} is in use by" in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
        assert line.stats()["bytes"] == 0


def test_hosts_are_asked_for_by_name_or_as_a_range(tmp_path: Path) -> None:
    """A named host that is away is told; one of a range is not; loopback addresses are as good as any."""
    contents = [(fc, address, word) for fc, address, word in sdm630()]
    with LibmodbusServer(contents=contents) as server:
        away = free_port()
        done = scan("--tcp", f"127.0.0.1:{server.port},127.0.0.1:{away}")
        assert done.returncode == 0
        assert "eastron-sdm630 (answers to every unit id)" in done.stdout
        assert f"127.0.0.1:{away}: cannot connect" in done.stderr
        code, text = taken(tmp_path, done.stdout)
        assert code == 0, text
        done = scan("--tcp", f"127.0.0.0/29:{server.port}", "--json")
        (found,) = map(json.loads, done.stdout.splitlines())
        assert (found["tcp"], found["unit"], found["any_unit"]) == (f"127.0.0.1:{server.port}", 1, True)
        assert done.stderr == ""
    assert scan("--tcp", f"127.0.0.1:{away}").returncode == 3
    assert scan("--tcp", f"127.0.0.1-2:{away}").returncode == 1


def test_a_walk_shows_registers_and_what_could_be_in_them() -> None:
    """Of a meter that no probe knows; in JSON it belongs to the unit."""
    contents = [(fc, address, 0) for fc in (3, 4) for address in range(16)]
    contents += [*f32(3, 4, 229.5), *f32(3, 6, 1234.5)]
    with LibmodbusServer(registers=16, contents=contents) as server:
        done = scan("--tcp", f"127.0.0.1:{server.port}", "--units", 7, "--walk", "0-0x13")
        assert "fc3 0x0000 to 0x000f: answers" in done.stdout
        assert "    0x0000  0000 0000 0000 0000 4365 8000 449a 5000" in done.stdout
        assert "fc4 0x0010 to 0x0013: exception 2 (illegal data address)" in done.stdout
        assert "fc3 0x0004 f32 abcd scale10 0   229.5 V" in done.stdout
        assert "#  - {name: unit-7, model: MODEL, bus: lan, unit: 7}" in done.stdout
        (found,) = map(
            json.loads,
            scan("--tcp", f"127.0.0.1:{server.port}", "--units", 7, "--walk", "4-7", "--json").stdout.splitlines(),
        )
        assert found["walk"]["runs"][0] == {"fc": 3, "first": 4, "last": 7, "answer": "answers"}
        assert found["walk"]["words"]["fc3 0x0004"] == "4365"
        assert [guess["value"] for guess in found["walk"]["guesses"]] == ["229.5", "1234.5"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tcp", "192.0.2.0/16"], ["--tcp", "192.0.2.9-300"], ["--tcp", "192.0.2.9-3"], ["--tcp", "1.2.3/24"],
        ["--tcp", "host:0"], ["--tcp", ":502"], ["--tcp", "192.0.2.0/24,192.0.3.0/24"],
        ["--serial", "/dev/null", "--walk", "0x200-0"], ["--serial", "/dev/null", "--walk", "0-70000"],
        ["--serial", "/dev/null", "--walk", "all"], ["--serial", "/dev/null", "--parity", "mark"],
        ["--serial", "/dev/null", "--tcp", "host"], [],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_scanned_is_2(arguments: list[str]) -> None:
    """A range has at most 256 addresses."""
    assert scan(*arguments).returncode == 2


def test_addresses_are_taken_as_they_are_written() -> None:
    """One, several, a network without its two ends, a span."""
    assert hosts("meter.lan").addresses == (("meter.lan", 502),)
    assert hosts("heat-pump:5020,[::1]:502,[fe80::1]").addresses == (
        ("heat-pump", 5020), ("::1", 502), ("fe80::1", 502)
    )  # fmt: skip
    assert hosts("127.0.0.0/30:5020").addresses == (("127.0.0.1", 5020), ("127.0.0.2", 5020))
    assert hosts("192.0.2.8-10").addresses == tuple((f"192.0.2.{last}", 502) for last in (8, 9, 10))
    assert [hosts(text).is_range for text in ("a,b", "192.0.2.1", "a,127.0.0.0/30", "192.0.2.1-1")] == [
        False, False, True, True
    ]  # fmt: skip


def result(place: Place, unit: int, *models: str, state: str = FOUND) -> ScanResult:
    return ScanResult(place=place, state=state, unit=unit, models=models)


def test_config_lines_have_names_of_their_own() -> None:
    """Two hosts with the same meter at the same unit; several models that fit; an odd device name."""
    lans = [Place(host="192.0.2.1", port=502), Place(host="fe80::1", port=5020)]
    odd = Place(device="/dev/my port: #1", baud=9600)
    results = [*(result(lan, 1, "eastron-sdm120") for lan in lans), result(odd, 4, "a", "b"), result(odd, 5)]
    assert config_lines([*results, result(odd, 9, state=GARBLED)], stable=lambda device: device + "!") == [
        "buses:",
        '  - {name: line, serial: "/dev/my port: #1!", baud: 9600, parity: none, stop_bits: 1}',
        '  - {name: lan, tcp: "192.0.2.1:502"}',
        '  - {name: lan-2, tcp: "[fe80::1]:5020"}',
        "meters:",
        "  - {name: a-4, model: a, bus: line, unit: 4}  # or b",
        "#  - {name: unit-5, model: MODEL, bus: line, unit: 5}",
        "  - {name: eastron-sdm120-1, model: eastron-sdm120, bus: lan, unit: 1}",
        "  - {name: eastron-sdm120-1-2, model: eastron-sdm120, bus: lan-2, unit: 1}",
    ]
    assert config_lines([]) == []


def test_meters_of_one_line_that_are_set_differently_are_set_aside() -> None:
    """Those of the setting with most meters are config; the others are a comment that says what to do first."""
    slow, fast = (Place(device="/dev/ttyUSB0", baud=baud) for baud in (9600, 19200))
    lines = config_lines([result(slow, 1, "a"), result(fast, 2, "b"), result(fast, 3, "b")])
    assert [line for line in lines if not line.startswith("#")] == [
        "buses:",
        "  - {name: line, serial: /dev/ttyUSB0, baud: 19200, parity: none, stop_bits: 1}",
        "meters:",
        "  - {name: b-2, model: b, bus: line, unit: 2}",
        "  - {name: b-3, model: b, bus: line, unit: 3}",
    ]
    place = "/dev/ttyUSB0 at 9600 baud, parity none"
    assert f"# set these like those above first ({place}): a line has one setting" in lines


def test_unknown_meters_alone_leave_a_comment() -> None:
    """An empty list would be no config."""
    lines = config_lines([result(Place(host="h", port=502), 1)])
    assert lines[-2:] == ["# meters:", "#  - {name: unit-1, model: MODEL, bus: lan, unit: 1}"]
