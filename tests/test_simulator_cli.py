"""``simulate`` on the command line (gateway/cli/simulate.py)."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from drivers.modbus.definition import load_definition
from drivers.modbus.meter import MeterSettings
from gateway.cli.main import run
from gateway.cli.simulate import parse_units
from gateway.errors import ConfigError
from gateway.reading import Status
from tests.modbus_meters import tcp_bus


async def simulate(*words: str) -> tuple[Process, dict[str, object]]:
    """The running command, and what it says it serves."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "simulate", *words, "--json", stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    return process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


@pytest.mark.parametrize(("option", "kind"), [("--tcp", "tcp"), ("--rtu-over-tcp", "rtu_over_tcp")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_it_is_stopped(option: str, kind: str, number: signal.Signals) -> None:
    """The meters answer under their unit ids; Ctrl-C and SIGTERM end it cleanly with exit code 0."""
    process, says = await simulate("eastron-sdm120", "eastron-sdm630@9", option, "127.0.0.1:0")
    assert says["units"] == {"1": "eastron-sdm120", "9": "eastron-sdm630"}
    host, _, port = str(says["where"]).rpartition(":")
    assert host == "127.0.0.1"
    model = load_definition("eastron-sdm630")
    bus = tcp_bus(int(port), MeterSettings(name="m", definition=model, unit=9), kind=kind)
    reading = await bus.meters[0].read()
    await bus.close()
    assert {point.status for point in reading.points} == {Status.OK}
    process.send_signal(number)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_units_are_counted_or_given() -> None:
    """The n-th model is unit n unless MODEL@UNIT says otherwise."""
    assert parse_units(["a", "b@7", "c"]) == {1: "a", 7: "b", 3: "c"}
    for words, fault in ((["a", "b@1"], "unit 1 is a already"), (["a@x"], "'x' is no unit id"), (["a@"], "no unit id")):
        with pytest.raises(ConfigError, match=fault):
            parse_units(words)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing"], 2, "unknown meter model 'nothing'; the command meters lists all"),
        (["eastron-sdm120@0"], 2, "unit id 0 cannot be simulated; choose one from 1 to 247"),
        (["eastron-sdm120@999"], 2, "unit id 999 cannot be simulated"),
    ],
)
def test_a_wrong_request_is_exit_code_2(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown models and unit ids that no meter can have."""
    assert run(["simulate", *words, "--tcp", "127.0.0.1:0"]) == code
    assert message in capsys.readouterr().err


def test_a_port_that_cannot_be_had_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    """A serial port that is not there."""
    assert run(["simulate", "eastron-sdm120", "--serial", "/dev/nowhere"]) == 3
    assert "/dev/nowhere: the simulator cannot listen there" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:65536", ":502", "host:port"])
def test_an_address_needs_host_and_port(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No host and port are guessed for a server."""
    with pytest.raises(SystemExit) as caught:
        run(["simulate", "eastron-sdm120", "--tcp", address])
    assert caught.value.code == 2
    assert "is not HOST:PORT" in capsys.readouterr().err
