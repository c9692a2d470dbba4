"""The main job, whole: real servers, the gateway, a real broker, the far side; and values that a document states."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.far_side import FarSide
from tests.libmodbus import LibmodbusServer
from tests.mosquitto import Broker
from tests.served import Served, serve
from tests.whole import ORIGIN, RunningGateway, cli, objects, raw_entries

MODELS = ("eastron-sdm630", "carlo-gavazzi-em340", "sunspec-203")
SIZE = 60


def _config(served: list[Served], ports: list[int], channels: str) -> str:
    lines = ["log: {commit: {seconds: 0.2, entries: 64}, checkpoint: {seconds: 1, entries: 256}}", "buses:"]
    lines += [
        f'  - {{name: {meter.model}, tcp: "127.0.0.1:{port}"}}' for meter, port in zip(served, ports, strict=True)
    ]
    lines.append("meters:")
    for unit, meter in enumerate(served, 1):
        points = ", ".join(meter.values)
        where = f"bus: {meter.model}, unit: {unit}, every: 0.1"
        lines.append(f"  - {{name: {meter.model}, model: {meter.model}, {where}, points: [{points}]}}")
    return "\n".join([*lines, "channels:", channels, ""])


def _readings(directory: Path) -> list[dict]:
    shown = objects(cli("log", "show", str(directory), "--json"))
    return [entry for entry in shown if entry["kind"] == "reading"]


def _check_values(readings: list[dict], served: list[Served]) -> None:
    for meter in served:
        own = [reading for reading in readings if reading["meter"] == meter.model]
        assert own, f"no reading of {meter.model}"
        for reading in own:
            found = {name: (point["value"], point["raw"]) for name, point in reading["points"].items()}
            assert found == meter.values
            assert {point["status"] for point in reading["points"].values()} == {"ok"}


@pytest.mark.parametrize("way", ["mqtt", "directory"])
def test_what_the_meters_serve_is_what_the_far_side_proves(tmp_path: Path, way: str) -> None:
    """Three families on foreign servers: exact decimals and raw words arrive, verified with the public key only."""
    served = [serve(model) for model in MODELS]
    with ExitStack() as stack:
        servers = [stack.enter_context(LibmodbusServer(contents=meter.contents)) for meter in served]
        url, channel = str(tmp_path / "channel"), f"  - {{name: far, directory: {tmp_path / 'channel'}}}"
        if way == "mqtt":
            broker = stack.enter_context(Broker(tmp_path / "broker"))
            url = f"mqtt://{broker.url}/meters/roof-7"
            channel = f'  - {{name: far, mqtt: "mqtt://{broker.url}", topic: meters/roof-7}}'
        ports = [server.port for server in servers]
        gateway = stack.enter_context(RunningGateway(tmp_path / "near", _config(served, ports, channel)))
        vkey = objects(gateway.cli("key", "show", "--json"))[0]["vkeys"][0]
        store = tmp_path / "store"
        far_side = stack.enter_context(FarSide(url, "--vkey", vkey, "--store", store, "--until-size", SIZE))
        assert far_side.end() == 0, far_side
        assert far_side.findings == []
        done = far_side.objects[-1]
        assert done["done"]
        assert done["size"] >= SIZE
        assert gateway.stop() == 0
    verified = objects(cli("log", "verify", str(store), "--vkey", vkey, "--json"))[0]
    assert verified["ok"]
    assert verified["origin"] == ORIGIN
    assert verified["size"] >= SIZE
    _check_values(_readings(store), served)
    own = raw_entries(gateway.state_dir / "log")
    theirs = raw_entries(store)
    assert own[: len(theirs)] == theirs
    assert not gateway.errors.lines, "a good day has nothing to say on standard error"
