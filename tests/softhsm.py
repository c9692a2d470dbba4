"""SoftHSM for tests: tokens in a folder of their own, faults in front of them, and p11-kit's server between.

SoftHSM reads its configuration when it is initialised. A test that begins with ``SoftHsm`` finalises what a test
before it left in this process, so each has its own tokens.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from drivers.keys.pkcs11 import modules
from drivers.keys.pkcs11.cryptoki import CryptokiError, Library
from drivers.keys.pkcs11.modules import load_module
from drivers.keys.pkcs11.store import open_pkcs11_key
from drivers.keys.pkcs11.uri import parse_uri
from gateway.errors import SignerError
from gateway.signing import DeviceKey, KeyRequest, Purpose
from tests.parts import missing, need

PIN, SO_PIN = "1234", "56785678"
NOTE = b"log.example.org/main\n7\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n"
SOURCE = Path(__file__).with_name("fault_token.c")
DEADLINE_S = 60.0


@cache
def library() -> str:
    """Path of SoftHSM; a loud skip without it."""
    need("softhsm2-util")
    try:
        load_module(parse_uri("pkcs11:token=x?module-name=softhsm2", needs_object=False))
    except SignerError as error:
        missing(str(error))
    with open("/proc/self/maps") as maps:
        return next(line.split()[-1] for line in maps if line.rstrip().endswith("libsofthsm2.so"))


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fault-token-")


@cache
def fault_library() -> str:
    """Path of the compiled ``fault_token.c``."""
    target = str(Path(_folder().name) / "fault_token.so")
    subprocess.run([need("gcc"), "-shared", "-fPIC", "-O1", "-o", target, str(SOURCE), "-ldl"], check=True)
    return target


@cache
def client_library() -> str:
    """Path of p11-kit's client; a loud skip without it."""
    found = sorted(Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so"))
    if not found:
        missing("p11-kit-client.so; apt-get install p11-kit-modules")
    return str(found[0])


class SoftHsm:
    """Tokens in *folder*; a test uses it as a context manager."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.calls, self.order_file = folder / "calls", folder / "order"
        self.module = library()
        tokens = folder / "tokens"
        tokens.mkdir()
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.env = {
            "SOFTHSM2_CONF": str(conf),
            "FAULT_TOKEN_LIBRARY": self.module,
            "FAULT_TOKEN_CALLS": str(self.calls),
            "FAULT_TOKEN_ORDER": str(self.order_file),
            "P11_KIT_SERVER_ADDRESS": f"unix:path={folder / 'p11.sock'}",
        }
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)

    def __enter__(self) -> Self:
        forget(self.module)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        forget(self.module)

    def add_token(self, label: str = "meter", pin: str = PIN) -> None:
        """A new token; SoftHSM looks for tokens only when it is initialised."""
        names = ["--label", label, "--pin", pin, "--so-pin", SO_PIN]
        self.run("softhsm2-util", "--init-token", "--free", *names)
        forget(self.module)

    def run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [need(program), *arguments]
        env = {**os.environ, **self.env}
        done = subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done

    def tool(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """pkcs11-tool, which nobody here wrote, logged in to the token meter."""
        login = ("--module", self.module, "--token-label", "meter", "--login", "--pin", PIN)
        return self.run("pkcs11-tool", *login, *arguments, check=check)

    def uri(self, name: str | None = "device", *, token: str = "meter", module: str | None = None) -> str:
        path = f"token={token}" + (f";object={name}" if name else "")
        return f"pkcs11:{path}?module-path={module or self.module}&pin-source=file:/pin"

    def pinned_uri(self, name: str | None = "device", *, pin: str = PIN) -> str:
        """The same for a process of its own, which reads the PIN from a file."""
        self.write_pin(pin)
        return self.uri(name).replace("file:/pin", f"file:{self.folder / 'pin'}")

    def write_pin(self, pin: str) -> None:
        """What the file with the PIN holds from now on."""
        path = self.folder / "pin"
        path.touch(0o600)
        path.write_text(f"{pin}\n")

    def request(self, name: str = "device", *, module: str | None = None, pin: str = PIN, **more: Any) -> KeyRequest:
        uri = more.pop("uri", None) or self.uri(name, module=module)
        return KeyRequest(uri=uri, base=self.folder, **{"secret": lambda _source: pin.encode(), **more})

    def open(self, name: str = "device", **more: Any) -> DeviceKey:
        """The key *name*, made when it is missing unless ``create`` is false."""
        return open_pkcs11_key(self.request(name, **{"create": True, **more}))

    def order(self, text: str) -> None:
        """Tells the fault token what to do from now on; empty: nothing."""
        fresh = self.order_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.order_file)

    def count(self, line: str) -> int:
        """How many calls, or waits, the fault token has seen."""
        return self.calls.read_text().splitlines().count(line) if self.calls.exists() else 0


def forget(path: str) -> None:
    """Ends whatever use this process made of a PKCS#11 library, so that it reads its environment again."""
    try:
        Library(path).call("C_Finalize", None)
    except CryptokiError as error:
        assert error.name == "CKR_CRYPTOKI_NOT_INITIALIZED"  # noqa: PT017  (both ways are good)


def until(holds: Callable[[], bool]) -> None:
    """Returns when *holds*; another process or thread makes it so."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0)


class Aside(threading.Thread):
    """Work in another thread, and what came of it."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: object = None
        self.error: SignerError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except SignerError as error:
            self.error = error

    def outcome(self) -> object:
        """The result. Raises what the work raised; fails when it comes to no end."""
        self.join(DEADLINE_S)
        assert not self.is_alive(), "hangs"
        if self.error is not None:
            raise self.error
        return self.result


class Served:
    """The token meter behind ``p11-kit server``: another process, reached over a socket."""

    def __init__(self, hsm: SoftHsm, provider: str) -> None:
        self._hsm, self._provider = hsm, provider
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        socket = self._hsm.folder / "p11.sock"
        socket.unlink(missing_ok=True)
        command = [need("p11-kit"), "server", "--foreground", "--provider", self._provider, "-n", str(socket)]
        # A session of its own: the server has a child for each client, and all of them die together.
        self._process = subprocess.Popen(
            [*command, "pkcs11:token=meter"], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        assert "P11_KIT_SERVER_ADDRESS" in self._process.stdout.readline()

    def kill(self) -> None:
        """As a crash or the OOM killer does."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@contextmanager
def served(hsm: SoftHsm) -> Iterator[Served]:
    """A served fault token. p11-kit's client takes its server's address when the library is loaded, so it is anew."""
    client_library()
    modules._loaded.cache_clear()
    server = Served(hsm, fault_library())
    try:
        yield server
    finally:
        hsm.order("")
        server.kill()
        modules._loaded.cache_clear()


def sign(key: DeviceKey, message: bytes = NOTE) -> bytes:
    return key.sign(Purpose.CHECKPOINT, message)
