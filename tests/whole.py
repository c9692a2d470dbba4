"""A whole gateway as a child process: started, asked, reloaded, stopped or killed, as a service manager would do it.

It is ready when it says READY=1 on its notify socket, so nothing here waits for a guessed time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from gateway import status
from gateway.log.entry import Entry, Kind, decode
from gateway.log.view import LogView
from tests.parts import ROOT

#: Nothing here takes this long on a machine that works; what does has failed.
DEADLINE_S = 60.0
ORIGIN = "example.org/tested"


def until(met: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """What *met* returns as soon as that is true; an AssertionError that names *what* after the deadline."""
    end_s, pause = time.monotonic() + deadline_s, threading.Event()
    while not (found := met()):
        assert time.monotonic() < end_s, f"after {deadline_s:.0f} s still not: {what}"
        pause.wait(0.02)
    return found


class Lines:
    """Collects what a stream says, line by line, and lets others wait for it."""

    def __init__(self, stream: Any) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait(self, fits: Callable[[str], Any], *, after: int = 0, deadline_s: float = DEADLINE_S) -> str:
        """The first line from index *after* on that *fits*; an AssertionError when it does not come."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.lines[after:] if fits(line)][:1]
            return bool(found) or self._ended

        with self._news:
            self._news.wait_for(there, deadline_s)
        assert found, "that was never said; this was:\n" + "\n".join(self.lines[-30:])
        return found[0]

    def end(self) -> list[str]:
        """All lines, once the stream has ended."""
        self._thread.join(DEADLINE_S)
        return self.lines


class NotifySocket:
    """What systemd offers a service: a datagram socket that takes its state (sd_notify(3))."""

    def __init__(self) -> None:
        # A short path: a socket's name has 107 bytes at most.
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        self.path = str(Path(self._folder.name) / "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self.seen: list[str] = []

    def next(self, deadline_s: float = DEADLINE_S) -> str:
        """The next message. Raises TimeoutError."""
        self._socket.settimeout(deadline_s)
        self.seen.append(self._socket.recv(4096).decode())
        return self.seen[-1]

    def wait(self, start: str, deadline_s: float = DEADLINE_S) -> str:
        """The next message that begins with *start*. Raises TimeoutError."""
        end_s = time.monotonic() + deadline_s
        while not (message := self.next(max(end_s - time.monotonic(), 0.001))).startswith(start):
            pass
        return message

    def drain(self) -> None:
        """Forgets what came before, from a process that is gone."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._socket.recv(4096)

    def close(self) -> None:
        self._socket.close()
        self._folder.cleanup()


class RunningGateway:
    """One gateway on a folder of its own. ``with`` starts it, and kills it if it still runs at the end."""

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        prefix: Sequence[str] = (),
        program: Sequence[str] = ("-m", "gateway"),
        environment: dict[str, str] | None = None,
    ) -> None:
        """*config* is the config file's text but for origin and state_dir; *prefix* runs it, such as strace.

        *program* is what Python runs.
        """
        self.folder = folder
        self.state_dir = folder / "state"
        self.config = folder / "config.yaml"
        self._prefix = list(prefix)
        self._program = list(program)
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._errors: Lines | None = None
        self._pid = 0
        self.notify = NotifySocket()
        #: CLOCK_BOOTTIME of the last start.
        self.started_ns = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.write_config(config)

    def write_config(self, config: str) -> None:
        """Replaces the config file."""
        self.config.write_text(f"origin: {ORIGIN}\nstate_dir: {self.state_dir}\n{config}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs:
            self.kill()
        self.notify.close()

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The gateway's own process, also behind a prefix."""
        return self._pid

    @property
    def errors(self) -> Lines:
        """What it says on standard error."""
        assert self._errors is not None
        return self._errors

    def spawn(self) -> None:
        """Starts it without waiting for anything."""
        assert not self.runs
        self.notify.drain()
        command = [*self._prefix, sys.executable, *self._program, "--config", str(self.config), "run"]
        environment = {**os.environ, "NOTIFY_SOCKET": self.notify.path, **self._environment}
        self.started_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        self._errors = Lines(self._process.stderr)
        self._pid = 0 if self._prefix else self._process.pid

    def start(self) -> None:
        """Starts it and waits until it is ready."""
        self.spawn()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until it says that it is ready."""
        end_s = time.monotonic() + DEADLINE_S
        while self.runs and time.monotonic() < end_s:
            try:
                message = self.notify.next(0.5)
            except TimeoutError:
                continue
            if message.startswith("READY=1"):
                self._pid = self._pid or int(self.status()["process"]["pid"])
                return
        raise AssertionError("the gateway did not start; it said:\n" + "\n".join(self.errors.end()))

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, also to the prefix, which may be holding the gateway still."""
        assert self._process is not None
        if self._prefix and self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._process.kill()
            return self.wait_end()
        return self._end(signal.SIGKILL)

    def reload(self) -> str:
        """SIGHUP, and the READY=1 that ends the reload."""
        os.kill(self.pid, signal.SIGHUP)
        self.notify.wait("RELOADING=1")
        return self.notify.wait("READY=1")

    def wait_end(self) -> int:
        """Waits until it ends by itself; returns the exit code."""
        assert self._process is not None
        code = self._process.wait(DEADLINE_S)
        self.errors.end()
        return code

    def _end(self, number: int) -> int:
        assert self._process is not None
        os.kill(self.pid or self._process.pid, number)
        return self.wait_end()

    def status(self) -> dict[str, Any]:
        """What the status socket says."""
        return status.ask(self.state_dir)

    def wait_status(self, fits: Callable[[dict[str, Any]], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """The first status that *fits*."""
        seen: list[dict[str, Any]] = []

        def look() -> bool:
            seen[:] = [self.status()]
            return bool(fits(seen[0]))

        try:
            until(look, what, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the status was {seen}") from None
        return seen[0]

    def wait_size(self, size: int) -> None:
        """Waits until that many entries are durable."""
        self.wait_status(lambda told: told["log"]["durable_size"] >= size, f"{size} durable entries")

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command with this gateway's config."""
        return cli("--config", str(self.config), *arguments)

    def entries(self, start: int = 0) -> list[Entry]:
        """The entries on the disk, durable or not."""
        return entries_of(self.state_dir / "log", start)


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ``meter-gateway`` with *arguments*; it must not end with a traceback."""
    command = [sys.executable, "-m", "gateway", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The JSON objects that a command printed, one a line."""
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def raw_entries(directory: Path, start: int = 0) -> list[bytes]:
    """The bytes of the entries of a log directory, as far as they are intact."""
    return list(LogView(directory).entries(start))


def entries_of(directory: Path, start: int = 0) -> list[Entry]:
    """The entries of a log directory."""
    return [decode(data) for data in raw_entries(directory, start)]


def of_kind(entries: Sequence[Entry], kind: Kind) -> Iterator[Entry]:
    """The entries of that kind."""
    return (entry for entry in entries if entry.kind is kind)


def events(entries: Sequence[Entry]) -> list[str]:
    """The codes of the events among *entries*, in order."""
    return [entry.body[0] for entry in of_kind(entries, Kind.EVENT)]
