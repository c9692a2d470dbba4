"""A whole gateway that serves its log over HTTP: what strangers' clients fetch is what an export holds."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.note import VerifierKey
from gateway.log.verify import INTACT, Demands, verify_tiles
from tests.parts import free_port, need
from tests.whole import RunningGateway

CONFIG = """
key: {uri: 'file:device-key.pem'}
log: {commit: {seconds: 0.1, entries: 16}, checkpoint: {seconds: 0.5, entries: 16}}
buses: [{name: bench, simulator: true}]
meters: [{name: main, model: eastron-sdm120, bus: bench, unit: 1, every: 0.1}]
channels: [{name: local, directory: channel}]
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def gateway(tmp_path: Path, port: int) -> Iterator[RunningGateway]:
    """A gateway with one simulated meter that serves its log."""
    with RunningGateway(tmp_path, f"{CONFIG}serve: {{http: {port}}}\n") as gateway:
        yield gateway


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return bytes(answer.read())


def _export(gateway: RunningGateway, target: Path) -> dict[str, bytes]:
    gateway.wait_status(lambda told: (told["checkpoint"]["size"] or 0) > 20, "a checkpoint")
    assert gateway.cli("log", "export", str(target)).returncode == 0
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_all_files_over_http_are_those_of_the_export(gateway: RunningGateway, tmp_path: Path, port: int) -> None:
    """Byte for byte, while the gateway goes on; the checkpoint is the same or a newer one."""
    files = _export(gateway, tmp_path / "export")
    fetched = {name: _get(port, f"/{name}") for name in files}
    newer, older = fetched.pop("checkpoint"), files.pop("checkpoint")
    assert fetched == files
    assert int(newer.split(b"\n")[1]) >= int(older.split(b"\n")[1])
    size = gateway.status()["log"]["durable_size"]
    gateway.wait_size(size + 5)
    assert gateway.stop() == 0


def test_what_curl_fetches_verifies_with_the_public_key_alone(
    gateway: RunningGateway, tmp_path: Path, port: int
) -> None:
    """A directory made by a client that we did not write."""
    need("curl")
    names = [name for name in _export(gateway, tmp_path / "export") if name != "checkpoint"]
    target = tmp_path / "fetched"
    urls = [word for name in names for word in ("-o", str(target / name), f"http://127.0.0.1:{port}/{name}")]
    subprocess.run(["curl", "--silent", "--fail", "--create-dirs", *urls], check=True, timeout=60)
    note = (tmp_path / "export" / "checkpoint").read_bytes()
    (target / "checkpoint").write_bytes(note)
    keys = [VerifierKey.parse(text) for text in gateway.status()["key"]["vkeys"]]
    report = verify_tiles(target, note, Demands(keys=keys))
    assert (report.verdict, report.checkpoints) == (INTACT, 1)


def test_a_reload_can_end_and_begin_the_serving(gateway: RunningGateway, port: int) -> None:
    """A client that stays connected does not hold up the reload."""
    gateway.wait_status(lambda told: told["checkpoint"]["size"], "a checkpoint")
    with socket.create_connection(("127.0.0.1", port), timeout=30):
        gateway.write_config(CONFIG)
        gateway.reload()
    with pytest.raises(urllib.error.URLError):
        _get(port, "/checkpoint")
    said = len(gateway.errors.lines)
    gateway.write_config(f"{CONFIG}serve: {{http: {port}}}\n")
    gateway.reload()
    gateway.errors.wait(lambda line: f"served at http://127.0.0.1:{port}" in line, after=said)
    assert _get(port, "/checkpoint").count(b"\n") >= 5


def test_a_port_that_is_taken_keeps_no_meter_from_being_read(tmp_path: Path, port: int) -> None:
    """It is said, and everything else runs."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with RunningGateway(tmp_path, f"{CONFIG}serve: {{http: {port}}}\n") as gateway:
            gateway.errors.wait(lambda line: f"http: 127.0.0.1:{port} cannot be served" in line)
            gateway.wait_size(10)
            assert gateway.stop() == 0
            assert not [line for line in gateway.errors.end() if "Traceback" in line]


def _listening(pid: int) -> set[str]:
    """Local addresses, as proc(5) writes them, of the TCP sockets that a process listens on."""
    own = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a descriptor closed since it was listed
            own.add(link.readlink().name)
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}


def test_without_the_key_no_port_is_opened(gateway: RunningGateway, port: int) -> None:
    """Beside the simulated meters' own, the configured port is the only one, and on loopback."""
    served = f"0100007F:{port:04X}"
    gateway.wait_status(lambda _told: served in _listening(gateway.pid), "the port")
    simulators = _listening(gateway.pid) - {served}
    gateway.write_config(CONFIG)
    gateway.reload()
    assert len(simulators) == 1
    gateway.wait_status(lambda _told: len(_listening(gateway.pid)) == 1, "the port closed")
    assert served not in _listening(gateway.pid)
