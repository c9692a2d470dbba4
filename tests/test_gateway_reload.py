"""Reload, stop and start of a whole gateway: a wrong config changes nothing, a clean stop leaves nothing unsigned."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from tests.whole import RunningGateway, cli, events, objects, of_kind

CONFIG = """
log: {{commit: {{seconds: 0.2}}, checkpoint: {{seconds: 1}}}}
buses:
  - {{name: bench, simulator: true}}
meters:
  - {{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.2}}
{more}channels:
  - {{name: local, directory: channel}}
"""
SECOND = "  - {name: roof, model: eastron-sdm230, bus: bench, unit: 2, every: 0.2}\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path / "near", CONFIG.format(more="")) as running:
        yield running


def states(told: dict) -> dict[str, str]:
    return {meter["name"]: meter["state"] for meter in told["meters"]}


def test_a_good_config_is_taken_without_a_restart(gateway: RunningGateway) -> None:
    """The new meter is read, the log goes on, and a config entry holds both hashes."""
    gateway.wait_status(lambda told: states(told) == {"main": "online"}, "main is online")
    pid = gateway.pid
    gateway.write_config(CONFIG.format(more=SECOND))
    assert "2 meters" in gateway.reload()
    gateway.wait_status(lambda told: states(told) == {"main": "online", "roof": "online"}, "both are online")
    assert gateway.pid == pid
    assert gateway.stop() == 0
    entries = gateway.entries()
    first, second = of_kind(entries, Kind.CONFIG)
    assert second.body[1] == first.body[0] != second.body[0]
    assert "config-taken" in events(entries)
    assert [entry.seq for entry in entries] == list(range(len(entries)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("unit: 1,", "did you mean"),
        ("model: eastron-sdm120", "eastron-sdm129"),
        ("simulator: true", "simulator"),
    ],
)
def test_a_wrong_config_changes_nothing(gateway: RunningGateway, wrong: str, said: str) -> None:
    """Each fault is told with its place; what ran goes on, and the log says that a config was refused."""
    replacements = {"unit: 1,": "unti: 1,", "model: eastron-sdm120": "model: eastron-sdm129", "simulator: true": "x: 1"}
    good = CONFIG.format(more="")
    gateway.write_config(good.replace(wrong, replacements[wrong]))
    assert "1 meters" in gateway.reload()
    seen = gateway.status()["log"]["size"]
    gateway.wait_status(lambda told: told["log"]["size"] > seen + 2, "readings go on")
    assert states(gateway.status()) == {"main": "online"}
    assert gateway.stop() == 0
    assert said in "\n".join(gateway.errors.lines)
    assert "config.yaml:" in "\n".join(gateway.errors.lines)
    assert "config-refused" in events(gateway.entries())


def test_the_origin_cannot_change_while_it_runs(gateway: RunningGateway) -> None:
    """An origin names a log for ever."""
    gateway.config.write_text(gateway.config.read_text().replace("origin: ", "origin: other."))
    gateway.reload()
    assert gateway.stop() == 0
    assert "origin cannot change while the gateway runs" in "\n".join(gateway.errors.lines)


def test_another_origin_on_the_same_log_is_refused(gateway: RunningGateway) -> None:
    """At a start, too: exit code 2, and the log is left alone."""
    assert gateway.stop() == 0
    size = len(gateway.entries())
    gateway.config.write_text(gateway.config.read_text().replace("origin: ", "origin: other."))
    gateway.spawn()
    assert gateway.wait_end() == 2
    assert "an origin names a log for ever" in "\n".join(gateway.errors.lines)
    assert len(gateway.entries()) == size


def test_a_clean_stop_leaves_nothing_unsigned(gateway: RunningGateway) -> None:
    """The last entry says so, the last checkpoint covers it, the next start knows it."""
    gateway.wait_size(8)
    assert gateway.stop() == 0
    assert events(gateway.entries())[-1] == "shutdown"
    report = objects(cli("log", "verify", str(gateway.state_dir), "--json"))[0]
    assert report["ok"]
    assert report["signed_size"] == report["size"] == len(gateway.entries())
    gateway.start()
    assert gateway.stop() == 0
    assert [entry.body[2] for entry in of_kind(gateway.entries(), Kind.BOOT)] == ["first", "clean"]


@pytest.mark.parametrize("name", ["state.json", "signer.state", "log/spare", "lock", "gateway.sock"])
def test_it_starts_whatever_its_own_files_hold(gateway: RunningGateway, name: str) -> None:
    """Garbage in a state file is never a reason not to start, and never a traceback."""
    gateway.wait_size(6)
    assert gateway.stop() == 0
    size = len(gateway.entries())
    (gateway.state_dir / name).write_bytes(os.urandom(10_000))
    gateway.start()
    gateway.wait_size(size + 4)
    assert gateway.stop() == 0
    assert "Traceback" not in "\n".join(gateway.errors.lines)
    assert objects(cli("log", "verify", str(gateway.state_dir), "--json"))[0]["ok"]
    if name == "state.json":
        assert "state-lost" in events(gateway.entries())
