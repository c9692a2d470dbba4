"""Witnesses as child processes: our own server and the one from PyPI; and requests to them as raw bytes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from gateway.log.note import checkpoint_text, sign_note
from gateway.log.tree import HashStore, consistency_proof, leaf_hash
from gateway.witness.protocol import Answer, encode_request
from tests.log_keys import ORIGIN, Ed25519Signer, entry_bytes
from tests.parts import ROOT, free_port, need_peer
from tests.whole import DEADLINE_S, Lines, cli

NAME = "witness.example.org/w1"
#: The tree over entries of tests.log_keys.
STORE = HashStore(leaf_hash(entry_bytes(seq)) for seq in range(300))
#: Another history under the same key.
FORK = HashStore(leaf_hash(b"other" + entry_bytes(seq)) for seq in range(300))


def note_at(size: int, store: HashStore = STORE, *, origin: str = ORIGIN, seed: int = 7) -> bytes:
    """The checkpoint of that size, signed by the log."""
    return sign_note(checkpoint_text(origin, size, store.root(size)), ORIGIN, Ed25519Signer(seed))


def request_at(old: int, size: int, store: HashStore = STORE, **note: object) -> bytes:
    """A request with the right proof."""
    proof = consistency_proof(store.node, old, size) if 0 < old < size else []
    return encode_request(old, proof, note_at(size, store, **note))  # type: ignore[arg-type]


class OwnWitness:
    """``meter-gateway witness serve`` on a directory; ``with`` starts it, and kills it if it still runs at the end."""

    def __init__(self, directory: Path, name: str = NAME, program: Sequence[str] = ("-m", "gateway")) -> None:
        self.directory = directory
        self._program = list(program)
        listen = f"127.0.0.1:{free_port()}"
        #: Where it listens, also while it does not run.
        self.url = f"http://{listen}"
        made = cli("witness", "init", str(directory), "--name", name, "--listen", listen, "--json")
        assert made.returncode == 0, made.stderr
        self.vkey = str(json.loads(made.stdout)["vkey"])
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[Lines] = []

    def trust(self, *vkeys: str) -> None:
        """Adds a log; a witness that runs takes it with the next start."""
        done = cli("witness", "add-log", str(self.directory), *vkeys)
        assert done.returncode == 0, done.stderr

    def use_tls(self, certificate: Path, key: Path) -> None:
        """From the next start on it speaks TLS only."""
        file = self.directory / "witness.conf"
        file.write_text(f"{file.read_text()}tls {certificate} {key}\n")
        self.url = self.url.replace("http://", "https://")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it and waits until it listens."""
        command = [sys.executable, *self._program, "witness", "serve", str(self.directory)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self._lines = [Lines(self._process.stdout), Lines(self._process.stderr)]
        self._lines[0].wait(lambda line: f" on {self.url}," in line)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process."""
        assert self._process is not None
        return self._process

    @property
    def errors(self) -> Lines:
        """What it says on standard error."""
        return self._lines[1]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def kill(self) -> int:
        """SIGKILL; returns the exit code."""
        self.process.kill()
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def reload(self) -> None:
        """SIGHUP, and what it says of it."""
        before = len(self.errors.lines)
        self.process.send_signal(signal.SIGHUP)
        self.errors.wait(lambda line: "witness.conf" in line, after=before)

    def post(self, body: bytes) -> Answer:
        """The answer to one request."""
        return post(self.port, body)

    def status(self) -> tuple[int, dict]:
        """Exit code and content of ``witness status``."""
        done = cli("witness", "status", str(self.directory), "--json")
        return done.returncode, json.loads(done.stdout) if done.stdout else {}


class ForeignWitness:
    """The witness of PyPI's aics-witness on loopback."""

    def __init__(self, folder: Path, name: str = "foreign.example.org/w") -> None:
        self._program = need_peer("aics-witness")
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "witness.json"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.vkey = self._run("init", "--name", name, "--listen", f"127.0.0.1:{self.port}").stdout.strip()
        self._process: subprocess.Popen[str] | None = None

    def trust(self, origin: str, vkey: str) -> None:
        """Adds a log."""
        self._run("add-log", "--origin", origin, "--vkey", vkey)

    def evidence(self) -> list[dict]:
        """What it kept of forks."""
        return list(json.loads(self._run("evidence").stdout))

    def __enter__(self) -> Self:
        command = [self._program, "serve", "--config", str(self._config)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._errors = Lines(self._process.stderr)
        self._errors.wait(lambda line: "listening on" in line)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(DEADLINE_S)

    def post(self, body: bytes) -> Answer:
        """The answer to one request."""
        return post(self.port, body)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self._program, arguments[0], "--config", str(self._config), *arguments[1:]]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)


def raw(port: int, data: bytes) -> bytes:
    """What comes back for bytes on a connection of their own, up to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def post(port: int, body: bytes) -> Answer:
    """Posts a body as a client that knows nothing but HTTP."""
    head = f"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return parsed(raw(port, head.encode() + body))


def get(port: int, path: str) -> Answer:
    """Gets a path."""
    return parsed(raw(port, f"GET {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n".encode()))


def parsed(response: bytes) -> Answer:
    """One whole HTTP response. Raises ConnectionError where it is cut off."""
    head, blank, body = response.partition(b"\r\n\r\n")
    if not blank:
        raise ConnectionError("the response was cut off")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if int(headers["content-length"]) != len(body):
        raise ConnectionError("the response was cut off")
    return Answer(status=int(line.split(" ")[1]), body=body, content_type=headers["content-type"])
