"""What systemd is told, on a real notify socket."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterator

import pytest

from gateway import notify
from tests.config_text import HOUSE
from tests.whole import RunningGateway


@pytest.fixture(params=["a path", "abstract"])
def listener(request, tmp_path, monkeypatch) -> Iterator[socket.socket]:
    """What systemd listens on, named in $NOTIFY_SOCKET; a leading @ stands for an abstract socket."""
    name = str(tmp_path / "notify") if request.param == "a path" else f"@meter-gateway-test-{uuid.uuid4()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(10)
        yield listener


def test_each_message_has_the_assignments_of_sd_notify(listener):
    """READY with a status, RELOADING with its time, WATCHDOG and STOPPING, each in a datagram of its own."""
    notify.ready("3 meters")
    assert listener.recv(4096) == b"READY=1\nSTATUS=3 meters"
    notify.reloading()
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*", listener.recv(4096))
    notify.watchdog()
    assert listener.recv(4096) == b"WATCHDOG=1"
    notify.stopping()
    assert listener.recv(4096) == b"STOPPING=1"


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
    with RunningGateway(tmp_path, HOUSE, environment={"WATCHDOG_USEC": "1000000"}) as gateway:
        assert "STATUS=3 meters" in gateway.notify.seen[-1]
        gateway.notify.wait("WATCHDOG=1")
        gateway.reload()
        assert gateway.stop() == 0
        gateway.notify.wait("STOPPING=1")


def test_a_reload_of_a_wrong_config_keeps_the_old_one(tmp_path):
    """The gateway says what is wrong, line by line, and goes on with what it has."""
    with RunningGateway(tmp_path, HOUSE) as gateway:
        gateway.write_config(HOUSE.replace("unit: 1 ", "unit: 0 "))
        assert "STATUS=3 meters" in gateway.reload()
        assert gateway.stop() == 0
        said = "\n".join(gateway.errors.lines)
    assert "meters[0].unit: found 0; wanted a whole number from 1 to 247" in said
    assert "Traceback" not in said
