"""A gateway as systemd would start it: a process of its own, told about a notify socket, on the example's house."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.config_text import EXAMPLE

#: Long enough for a busy machine; nothing waits this long when all is well.
DEADLINE_S = 60


class NotifySocket:
    """What systemd listens on (sd_notify(3)); *name* may begin with @ for an abstract socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._socket.settimeout(DEADLINE_S)
        self.messages: list[dict[str, str]] = []

    def receive(self) -> dict[str, str]:
        """The next message as its assignments. Raises TimeoutError."""
        lines = self._socket.recv(4096).decode().splitlines()
        self.messages.append(dict(line.split("=", 1) for line in lines))
        return self.messages[-1]

    def wait_for(self, key: str) -> dict[str, str]:
        """The next message that assigns *key*; others are passed over, for they repeat."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            message = self.receive()
            if key in message:
                return message
        raise TimeoutError(f"no {key} on the notify socket; seen: {self.messages}")

    def close(self) -> None:
        self._socket.close()


class RunningGateway:
    """``meter-gateway run`` on a copy of the example in *folder*, by way of the command *wrapper*."""

    def __init__(
        self, folder: Path, notify: NotifySocket, wrapper: Sequence[str] = (), environment: Mapping[str, str] = {}
    ) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(EXAMPLE.read_text())
        self.output = folder / "output"
        command = [*wrapper, sys.executable, "-m", "gateway", "--config", str(self.config), "run"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NOTIFY_SOCKET": notify.name, **environment},
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Stops it as systemd does; its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def end(self) -> None:
        """For the end of a test, whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE_S)
