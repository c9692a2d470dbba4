"""Garbage in any file of the state directory: the gateway starts, says so, and reads its meters."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from tests.backlog import write_backlog
from tests.libmodbus import LibmodbusServer
from tests.served import load_config, serve
from tests.whole import ORIGIN, RunningGateway, events, objects, of_kind

GARBAGE = random.Random(5).randbytes(5000)


#: What JSON can say, and this gateway never does.
ODD_STATE = b'{"config": {"1": {"key": "sha256", "value": 7}}, "cursors": {"1": {"key": "local %s", "value": "x"}}}'


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        channel = f"channels:\n  - {{name: local, directory: {tmp_path / 'channel'}}}"
        config = load_config(server.port, meters=3, rest=channel)
        yield config.replace("checkpoint: {seconds: 1,", "checkpoint: {seconds: 0.2,")


def _run(gateway: RunningGateway) -> list[str]:
    """One run on what is there: it logs, signs, delivers, and ends well. What it said."""
    gateway.start()
    size = gateway.status()["log"]["size"]
    gateway.wait_size(size + 12)
    gateway.wait_status(lambda told: told["checkpoint"]["size"] > size, "a checkpoint")
    gateway.wait_status(lambda told: told["sinks"][0]["acked_seq"] > size, "delivery")
    assert gateway.stop() == 0
    said = gateway.errors.end()
    assert not any("Traceback" in line for line in said), said
    return said


def test_garbage_beside_the_log_costs_nothing(tmp_path: Path, config: str) -> None:
    """The log goes on, whole; what can be made again is made again, and a state that is lost is said to be."""
    gateway = RunningGateway(tmp_path / "gateway", config)
    _run(gateway)
    files = ("signer.state", "lock", "gateway.sock", "log/spare", "state.json")
    for name, garbage in [*((name, GARBAGE) for name in files), ("state.json", ODD_STATE % ORIGIN.encode())]:
        before = gateway.entries()
        (gateway.state_dir / name).write_bytes(garbage)
        said = _run(gateway)
        after = gateway.entries()
        assert after[: len(before)] == before, name
        report = objects(gateway.cli("log", "verify", "--json"))[0]
        assert report["ok"], (name, report)
        assert report["origin"] == ORIGIN, name
        assert bool(said) == (name == "state.json"), (name, said)
    gateway.notify.close()


@pytest.mark.parametrize("offset", [0, 4100])
def test_a_changed_log_is_closed_and_a_new_epoch_begins(tmp_path: Path, config: str, offset: int) -> None:
    """Header or entries below a signature: evidence is kept as it is, an alarm says so, the meters are read."""
    gateway = RunningGateway(tmp_path / "gateway", config)
    _run(gateway)
    (segment,) = (gateway.state_dir / "log").glob("*.seg")
    data = segment.read_bytes()
    segment.write_bytes(data[:offset] + GARBAGE[:64] + data[offset + 64 :])
    changed = segment.read_bytes()
    said = _run(gateway)
    gateway.notify.close()
    found = gateway.entries()
    (genesis,) = of_kind(found, Kind.GENESIS)
    assert genesis.body[0] == f"{ORIGIN}/epoch-2"
    assert "log-closed" in events(found)
    assert any("the log before was closed" in line for line in said), said
    (kept,) = (gateway.state_dir / "closed").glob("*/*.seg*")
    assert kept.read_bytes() == changed
    assert objects(gateway.cli("log", "verify", "--json"))[0]["ok"]
    assert gateway.cli("log", "verify", str(kept.parent)).returncode == 4


def test_an_older_segment_that_changed_is_an_alarm_and_no_reason_to_stop(tmp_path: Path, config: str) -> None:
    """A start reads the newest segment only; what it wants of an older one, and cannot have, it does without."""
    gateway = RunningGateway(tmp_path / "gateway", config.replace("channels:", "").split("  - {name: local")[0])
    vkey = objects(gateway.cli("key", "new", "file:device-key.pem", "--json"))[0]["vkeys"][0]
    write_backlog(gateway.state_dir, vkey, 400, segment_bytes=16 * 1024)
    with gateway:
        gateway.wait_status(lambda told: told["checkpoint"]["size"] > 400, "a checkpoint")
        assert gateway.stop() == 0
        second = sorted((gateway.state_dir / "log").glob("*.seg"))[1]
        data = second.read_bytes()
        second.write_bytes(data[:8192] + GARBAGE + data[8192 + len(GARBAGE) :])
        gateway.start()
        gateway.wait_size(430)
        gateway.wait_status(lambda told: told["checkpoint"]["unsigned"] < 10, "a checkpoint")
        assert gateway.stop() == 0
        assert any("log-changed" in line for line in gateway.errors.lines)
        assert not any("Traceback" in line for line in gateway.errors.lines)
    assert "log-changed" in events(gateway.entries(400))
    assert gateway.cli("log", "verify").returncode == 4
