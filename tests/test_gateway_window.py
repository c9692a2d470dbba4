"""Looking at a running gateway: its status socket, its log shown, proved and exported while it goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.libmodbus import LibmodbusServer
from tests.parts import ROOT
from tests.served import load_config, serve
from tests.whole import ORIGIN, Lines, RunningGateway, cli, objects


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("window")
    with LibmodbusServer(contents=serve("eastron-sdm630").contents) as server:
        channel = f"channels:\n  - {{name: local, directory: {folder / 'channel'}}}"
        with RunningGateway(folder / "gateway", load_config(server.port, meters=3, rest=channel)) as gateway:
            gateway.wait_status(lambda told: told["checkpoint"]["size"] > 20, "a checkpoint")
            yield gateway
            assert gateway.stop() == 0
            assert gateway.errors.lines == []


def test_status_has_what_the_contract_names(gateway: RunningGateway) -> None:
    """And says that all is well with exit code 0."""
    (told,) = objects(gateway.cli("status", "--json"))
    assert told["origin"] == ORIGIN
    assert told["log"]["size"] >= told["log"]["durable_size"] >= told["checkpoint"]["size"] > 0
    assert [meter["name"] for meter in told["meters"]] == ["m1", "m2", "m3"]
    assert all(meter["state"] == "online" and meter["last_seq"] > 0 for meter in told["meters"])
    (sink,) = told["sinks"]
    assert sink["name"] == "local"
    assert sink["state"] == "connected"
    assert sink["acked_seq"] + 1 + sink["backlog"] <= told["log"]["size"]
    assert told["process"]["rss_bytes"] > 1_000_000
    assert told["process"]["pid"] == gateway.pid


def test_the_status_socket_is_a_window_and_no_door(gateway: RunningGateway) -> None:
    """Others may not connect; who connects and says nothing, or much, or goes, changes nothing."""
    path = gateway.state_dir / "gateway.sock"
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    crowd = []
    for _ in range(50):
        crowd.append(socket.socket(socket.AF_UNIX))
        crowd[-1].connect(str(path))
        crowd[-1].setblocking(False)
    for one in crowd[::2]:
        one.close()
    assert gateway.status()["origin"] == ORIGIN
    for one in crowd:
        one.close()


def test_entries_are_shown_as_the_contract_says(gateway: RunningGateway) -> None:
    """Hashes in hex that chain, times with milliseconds, values as exact text beside their raw words."""
    shown = objects(gateway.cli("log", "show", "--to", "20", "--json"))
    assert [entry["seq"] for entry in shown] == list(range(21))
    assert [entry["kind"] for entry in shown[:3]] == ["genesis", "boot", "config"]
    assert all(after["prev"] == before["hash"] for before, after in pairwise(shown))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]) for entry in shown)
    assert {entry["quality"] for entry in shown} <= {"U", "I", "S", "R"}
    reading = next(entry for entry in shown if entry["kind"] == "reading")
    assert reading["meter"] in {"m1", "m2", "m3"}
    assert reading["points"]["voltage_l1"] == {
        "value": "230.2", "unit": "V", "obis": "1-0:32.7.0", "raw": "43663333", "status": "ok"
    }  # fmt: skip


def test_following_the_log_ends_with_130(gateway: RunningGateway) -> None:
    """New entries appear while it runs; Ctrl-C is told apart from an end."""
    command = [sys.executable, "-m", "gateway", "--config", str(gateway.config), "log", "show", "--follow", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    lines, errors = Lines(process.stdout), Lines(process.stderr)
    size = gateway.status()["log"]["size"]
    lines.wait(lambda line: json.loads(line)["seq"] > size)
    while process.poll() is None:
        # More than once: Python drops an interrupt that happens to land in a finaliser.
        os.kill(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
    assert process.returncode == 130
    assert not any("Traceback" in line for line in errors.end())


def test_one_entry_is_proved_to_who_has_the_key_only(gateway: RunningGateway, tmp_path: Path) -> None:
    """The proof verifies offline; another key, or a changed entry, is 4; what no checkpoint covers yet is 3."""
    (key,) = objects(gateway.cli("key", "show", "--json"))
    proof = tmp_path / "proof"
    assert gateway.cli("log", "prove", "9", "-o", str(proof)).returncode == 0
    shown = cli("verify", str(proof), "--vkey", key["vkeys"][0])
    assert shown.returncode == 0, shown.stderr
    lines = proof.read_text().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if line.startswith("extra "))
    lines[at] = lines[at][:30] + ("A" if lines[at][30] != "A" else "B") + lines[at][31:]
    changed = tmp_path / "changed"
    changed.write_text("".join(lines))
    assert cli("verify", str(changed), "--vkey", key["vkeys"][0]).returncode == 4
    assert gateway.cli("log", "prove", "999999").returncode == 3


def test_an_export_verifies_as_the_log_does(gateway: RunningGateway, tmp_path: Path) -> None:
    """Also when it is extended later; one byte of it changed is 4."""
    (key,) = objects(gateway.cli("key", "show", "--json"))
    target, sizes = tmp_path / "export", []
    for _ in range(2):
        size = gateway.status()["checkpoint"]["size"]
        gateway.wait_status(lambda told, size=size: told["checkpoint"]["size"] > size, "a newer checkpoint")
        assert gateway.cli("log", "export", str(target)).returncode == 0
        (found,) = objects(cli("log", "verify", str(target), "--vkey", key["vkeys"][0], "--json"))
        assert found["ok"]
        sizes.append(found["size"])
    assert sizes[0] < sizes[1]
    bundle = next(path for path in sorted((target / "tile" / "entries").rglob("*")) if path.is_file())
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    assert cli("log", "verify", str(target), "--vkey", key["vkeys"][0]).returncode == 4
