"""What systemd is told, on a real notify socket."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import notify
from tests.notified import NotifySocket, RunningGateway


@pytest.fixture(params=["a path", "abstract"])
def listener(request, tmp_path) -> Iterator[NotifySocket]:
    name = str(tmp_path / "notify") if request.param == "a path" else f"@meter-gateway-test-{uuid.uuid4()}"
    listener = NotifySocket(name)
    yield listener
    listener.close()


def test_each_message_has_the_assignments_of_sd_notify(listener, monkeypatch):
    """READY with a status, RELOADING with its time, WATCHDOG and STOPPING, each in a datagram of its own."""
    monkeypatch.setenv("NOTIFY_SOCKET", listener.name)
    notify.ready("3 meters")
    assert listener.receive() == {"READY": "1", "STATUS": "3 meters"}
    notify.reloading()
    message = listener.receive()
    assert message["RELOADING"] == "1"
    assert int(message["MONOTONIC_USEC"]) > 0
    notify.watchdog()
    assert listener.receive() == {"WATCHDOG": "1"}
    notify.stopping()
    assert listener.receive() == {"STOPPING": "1"}


def test_without_systemd_nothing_is_told(monkeypatch, caplog):
    """On a terminal there is no socket, and that is no fault."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready("")
    assert caplog.records == []


def test_a_socket_that_is_gone_is_a_warning(monkeypatch, caplog, tmp_path):
    """The gateway goes on reading meters, and says what it could not tell."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify.watchdog()
    assert caplog.messages == ["systemd could not be told WATCHDOG: No such file or directory"]


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "60000000"}, 30),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(monkeypatch, environment, interval_s):
    """Only where systemd asks this very process for it (sd_watchdog_enabled(3))."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert notify.watchdog_interval_s() == interval_s


def test_a_running_gateway_tells_its_whole_life(tmp_path):
    """READY, WATCHDOG while all is well, RELOADING and READY at SIGHUP, STOPPING at SIGTERM, exit code 0."""
    listener = NotifySocket(str(tmp_path / "notify"))
    gateway = RunningGateway(tmp_path, listener, environment={"WATCHDOG_USEC": "1000000"})
    try:
        assert listener.wait_for("READY")["STATUS"].startswith("3 meters")
        listener.wait_for("WATCHDOG")
        gateway.signal(signal.SIGHUP)
        listener.wait_for("RELOADING")
        listener.wait_for("READY")
        gateway.signal(signal.SIGTERM)
        listener.wait_for("STOPPING")
        assert gateway.process.wait(60) == 0, gateway.output.read_text()
    finally:
        gateway.end()
        listener.close()
    assert "Traceback" not in gateway.output.read_text()


def test_a_reload_of_a_wrong_config_keeps_the_old_one(tmp_path):
    """The gateway says what is wrong, line by line, and goes on with what it has."""
    listener = NotifySocket(str(tmp_path / "notify"))
    gateway = RunningGateway(tmp_path, listener)
    try:
        listener.wait_for("READY")
        config: Path = gateway.config
        config.write_text(config.read_text().replace("unit: 1 ", "unit: 0 "))
        gateway.signal(signal.SIGHUP)
        assert listener.wait_for("READY")["STATUS"].startswith("3 meters")
        assert gateway.stop() == 0
    finally:
        gateway.end()
        listener.close()
    output = gateway.output.read_text()
    assert "meters[0].unit: found 0; wanted a whole number from 1 to 247" in output
    assert "Traceback" not in output
