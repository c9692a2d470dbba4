"""A real swtpm of its own for a test: loopback, own ports, own state, stopped by its pid."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from gateway.signing import KeyRequest
from tests.parts import need

START_S_MAX = 20.0


class Swtpm:
    """One swtpm process. A restart keeps port and state; another *state* is another TPM, or a cleared one."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self._fixed = port
        self.port = port or _free_pair()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def uri(self, place: str) -> str:
        """The tpm2: URI of *place* in this TPM."""
        return f"tpm2:{place}?tcti={self.tcti}"

    def start(self, state: str = "state") -> Swtpm:
        """Waits until it takes commands. Its control port is the next one, where tpm2-tools look for it."""
        (self.folder / state).mkdir(parents=True, exist_ok=True)
        for _ in range(20):
            self._process = subprocess.Popen(
                [
                    *(need("swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={self.folder / state}"),
                    *("--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1"),
                    *("--ctrl", f"type=tcp,port={self.port + 1},bindaddr=127.0.0.1"),
                    *("--flags", "not-need-init,startup-clear"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._listens():
                return self
            self.port = self._fixed or _free_pair()
        raise AssertionError(f"swtpm does not listen on port {self.port}")

    def _listens(self) -> bool:
        """Tries to connect again and again, since nothing tells when the port is open."""
        assert self._process is not None
        deadline = time.monotonic() + START_S_MAX
        pause = threading.Event()
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                pause.wait(0.005)
            else:
                return True
        self.kill()
        return False

    def signal(self, number: int) -> None:
        """SIGSTOP hangs it, SIGCONT lets it go on."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once, as a pulled plug does."""
        if self._process is not None:
            if self._process.poll() is None:
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def is_dead(self) -> bool:
        return self._process is None

    def tool(self, name: str, *arguments: str | Path, text: str | None = None, check: bool = True) -> str:
        """What the tpm2-tools program *name* prints about this TPM."""
        done = subprocess.run(
            [need(name), *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "TPM2TOOLS_TCTI": self.tcti, "TPM2OPENSSL_TCTI": self.tcti},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or done.returncode == 0, f"{name}: {done.stderr}"
        return done.stdout

    def request(self, place: str, *, more: str = "", **wanted: object) -> KeyRequest:
        """What opens *place* in this TPM."""
        return KeyRequest(uri=self.uri(place) + more, base=self.folder, **wanted)  # type: ignore[arg-type]


@contextmanager
def running_swtpm(folder: Path) -> Iterator[Swtpm]:
    """A TPM that is killed at the end."""
    need("swtpm")
    tpm = Swtpm(folder).start()
    try:
        yield tpm
    finally:
        tpm.kill()


def _free_pair() -> int:
    """A loopback port that was free a moment ago, as was the next one; not of those that connections are given."""
    while True:
        port = random.randrange(20_000, 32_000, 2)
        with suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
            return port


class Relay:
    """Stands on a port of its own before a TPM, and acts before a command goes on, or before its answer goes back."""

    def __init__(
        self,
        tpm: Swtpm,
        *,
        before: Callable[[int], None] = lambda _code: None,
        after: Callable[[int], None] = lambda _code: None,
    ) -> None:
        """*before* and *after* are given the command's code: "it did not happen", and "we were not told"."""
        self._tpm = tpm
        self._before, self._after = before, after
        #: The codes of all commands that came.
        self.seen: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def tcti(self) -> str:
        return f"swtpm:host=127.0.0.1,port={self.port}"

    def request(self, place: str, **wanted: object) -> KeyRequest:
        """What opens *place* through this relay."""
        return KeyRequest(uri=f"tpm2:{place}?tcti={self.tcti}", base=self._tpm.folder, **wanted)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(START_S_MAX)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with near, suppress(OSError), socket.create_connection(("127.0.0.1", self._tpm.port)) as far:
                while command := _whole(near):
                    code = int.from_bytes(command[6:10], "big")
                    self.seen.append(code)
                    self._before(code)
                    far.sendall(command)
                    answer = _whole(far)
                    self._after(code)
                    if not answer or self._tpm.is_dead:
                        break
                    near.sendall(answer)


def _whole(source: socket.socket) -> bytes:
    """One command or response; empty at the end."""
    data = b""
    while len(data) < 10 or len(data) < int.from_bytes(data[2:6], "big"):
        chunk = source.recv(4096)
        if not chunk:
            return b""
        data += chunk
    return data
