"""The way to a TPM: a character device or swtpm's TCP port, named as tpm2-tools name it (TCTI).

=======================================  ==========================================================================
device:/dev/tpmrm0                       the kernel's resource manager (tpm(4)); the default
swtpm:host=127.0.0.1,port=2321           swtpm's command port (swtpm(8), --server type=tcp), these by default
=======================================  ==========================================================================

A port is open for one operation of a few commands, with one deadline. Closing /dev/tpmrm0 flushes every object that was
loaded through it; behind swtpm nobody does, so there the operation flushes itself (``operation``). swtpm serves one
connection at a time: others wait, within their deadline. A device that hangs in the kernel may delay its close, by the
kernel's own deadlines.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from dataclasses import dataclass

from drivers.keys.tpm2.codec import HEADER_SIZE, RESPONSE_SIZE_MAX
from gateway.errors import ConfigError, SignerError

DEFAULT_TCTI = "device:/dev/tpmrm0"
_HOST, _PORT = "127.0.0.1", 2321


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcti:
    """Where a TPM is."""

    text: str
    #: The device; empty for swtpm.
    device: str = ""
    host: str = ""
    port: int = 0

    @property
    def is_managed(self) -> bool:
        """Whether closing the port flushes what was loaded through it."""
        return self.device.startswith("/dev/tpmrm")


def parse_tcti(text: str) -> Tcti:
    """The TPM that *text* names. Raises ConfigError."""
    kind, _, rest = text.partition(":")
    if kind == "device":
        device = rest or DEFAULT_TCTI.partition(":")[2]
        if not device.startswith("/") or "\0" in device:
            raise ConfigError(f"tcti {text!r}: a device is an absolute path, such as {DEFAULT_TCTI}")
        return Tcti(text=text, device=device)
    if kind != "swtpm":
        raise ConfigError(f"tcti {text!r}: is not known; known are {DEFAULT_TCTI} and swtpm:host={_HOST},port={_PORT}")
    host, port = _HOST, str(_PORT)
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key not in ("host", "port") or not value:
            raise ConfigError(f"tcti {text!r}: {item!r} is not known; write swtpm:host={_HOST},port={_PORT}")
        host, port = (value, port) if key == "host" else (host, value)
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65_536):
        raise ConfigError(f"tcti {text!r}: {port!r} is no port; it is a number from 1 to 65535")
    return Tcti(text=text, host=host, port=int(port))


class Port:
    """An open way to a TPM until *deadline* (``time.monotonic``). Methods raise SignerError."""

    def __init__(self, tcti: Tcti, deadline: float) -> None:
        self._tcti = tcti
        self._deadline = deadline
        self._socket: socket.socket | None = None
        try:
            if tcti.device:
                self._fd = os.open(tcti.device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            else:
                self._socket = socket.create_connection((tcti.host, tcti.port), max(self._left_s(), 0.001))
                self._socket.setblocking(False)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # Closed by a reset, since all answers are read by then: no port is left waiting (TIME_WAIT), of which
                # a thousand operations a second would use up all.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._fd = self._socket.fileno()
        except OSError as error:
            raise SignerError(f"TPM {tcti.text}: {_absent(tcti, error)}") from error

    def exchange(self, command: bytes, name: str) -> bytes:
        """Sends a command, called *name* in errors, and returns the whole response to it."""
        try:
            self._send(command, name)
            return self._receive(name)
        except OSError as error:
            raise SignerError(
                f"TPM {self._tcti.text}: fails at {name} ({error.strerror}); is it still there?"
            ) from error

    def _send(self, command: bytes, name: str) -> None:
        while command:
            self._await(select.POLLOUT, name)
            command = command[os.write(self._fd, command) :]

    def _receive(self, name: str) -> bytes:
        response = b""
        size = HEADER_SIZE
        while len(response) < size:
            self._await(select.POLLIN, name)
            chunk = os.read(self._fd, RESPONSE_SIZE_MAX)
            if not chunk:
                raise SignerError(f"TPM {self._tcti.text}: went away at {name}; start it again")
            response += chunk
            if len(response) >= HEADER_SIZE:
                size = max(HEADER_SIZE, int.from_bytes(response[2:6], "big"))
            if max(size, len(response)) > RESPONSE_SIZE_MAX:
                raise SignerError(f"TPM {self._tcti.text}: answers {name} with {size} bytes; no TPM answers so long")
        return response

    def _await(self, event: int, name: str) -> None:
        poll = select.poll()
        poll.register(self._fd, event)
        if not poll.poll(max(self._left_s(), 0) * 1000):
            raise SignerError(
                f"TPM {self._tcti.text}: gives no answer to {name} in time; it hangs, or another process holds it "
                "(restart the device if this lasts)"
            )

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def close(self) -> None:
        """Lets the TPM go."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)


def _absent(tcti: Tcti, error: OSError) -> str:
    if not tcti.device:
        return f"cannot be reached ({error.strerror or error}); start swtpm, or correct host and port"
    if error.errno == errno.ENOENT:
        return "there is no such device; enable the TPM in the firmware or the device tree"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "must not be opened by this user; add the user to the group tss, which may open /dev/tpmrm0"
    if error.errno == errno.EBUSY:
        return "another process holds it; name /dev/tpmrm0, which many can use"
    return f"cannot be opened ({error.strerror}); check the kernel's log"
