"""A real mosquitto of its own for a test: loopback, own port, own persistence, own certificates, stopped by its pid."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.parts import free_port, need

START_S_MAX = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files: a CA, the server's and the client's certificate and key, and a client certificate of another CA."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_ca: Path
    stranger: Path
    stranger_key: Path


def make_certificates(folder: Path, *, host: str = "127.0.0.1") -> Certificates:
    """A fresh CA in *folder*; the server's certificate is for *host* (an address or a name) only."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, other = _Authority(folder, "ca"), _Authority(folder, "other-ca")
    server, server_key = ca.issue("server", host)
    client, client_key = ca.issue("client", None)
    stranger, stranger_key = other.issue("stranger", None)
    return Certificates(
        ca=ca.path,
        server=server,
        server_key=server_key,
        client=client,
        client_key=client_key,
        other_ca=other.path,
        stranger=stranger,
        stranger_key=stranger_key,
    )


class Broker:
    """One mosquitto process. ``start`` waits until it listens; a restart keeps port, sessions and retained messages."""

    def __init__(
        self,
        folder: Path,
        *,
        certificates: Certificates | None = None,
        client_certificates: bool = False,
        login: tuple[str, str] | None = None,
        settings: tuple[str, ...] = (),
    ) -> None:
        """*settings* are further lines of mosquitto.conf(5). With *certificates* the only listener is TLS."""
        self.folder = folder
        self.port = free_port()
        self.lines: list[str] = []
        #: How many lines there were when the running process began.
        self.started = 0
        self._news = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(self._configuration(certificates, client_certificates, login, settings)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The running process, if any."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """Host and port as in a channel's URL, without the scheme."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        assert self._process is None, "already running"
        self.started = len(self.lines)
        # -v: each connection and packet is a line, for wait_line.
        command = [need("mosquitto"), "-v", "-c", str(self._config)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read_lines, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_line(r"mosquitto version \S+ running", after=self.started)

    def stop(self) -> None:
        """Ends it cleanly: sessions and retained messages are saved."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: whatever it did not save is gone, and clients see a reset."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops it cleanly and starts it again on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it is there, and answers nothing, as behind a link that died without FIN."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on after ``pause``."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def wait_line(self, pattern: str, *, after: int = 0, deadline_s: float = START_S_MAX) -> str:
        """Waits for a log line (from index *after* on) that *pattern* is found in, and returns it."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.lines[after:] if re.search(pattern, line)]
            return bool(found) or (self._process is not None and self._process.poll() is not None)

        with self._news:
            self._news.wait_for(there, deadline_s)
        if not found:
            raise AssertionError(f"mosquitto never said {pattern!r}; it said:\n" + "\n".join(self.lines[-20:]))
        return found[0]

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        process.wait(timeout=START_S_MAX)
        assert self._reader is not None
        self._reader.join(timeout=START_S_MAX)

    def _read_lines(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.decode(errors="replace").rstrip())
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _configuration(
        self,
        certificates: Certificates | None,
        client_certificates: bool,
        login: tuple[str, str] | None,
        settings: tuple[str, ...],
    ) -> list[str]:
        lines = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            "log_dest stderr",
            "connection_messages true",
        ]
        if os.geteuid() == 0:
            # Otherwise it becomes the user mosquitto, who cannot write to a test's folder.
            lines.append("user root")
        if certificates is not None:
            lines += [f"cafile {certificates.ca}", f"certfile {certificates.server}"]
            lines += [f"keyfile {certificates.server_key}"]
            lines += [f"require_certificate {'true' if client_certificates else 'false'}"]
        if login is None:
            return [*lines, "allow_anonymous true", *settings, ""]
        passwords = self.folder / "passwords"
        subprocess.run([need("mosquitto_passwd"), "-b", "-c", str(passwords), *login], check=True, capture_output=True)
        return [*lines, "allow_anonymous false", f"password_file {passwords}", *settings, ""]


class _Authority:
    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key.public_key()).add_extension(constraint, critical=True)
        self.path = folder / f"{name}.pem"
        self._write_certificate(self.path, certificate)

    def issue(self, name: str, host: str | None) -> tuple[Path, Path]:
        """Certificate and key files for *name*, usable as a server only with a *host*."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key.public_key())
        if host is not None:
            address = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        self._write_certificate(path, builder)
        pkcs8 = serialization.PrivateFormat.PKCS8
        key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()))
        key_path.chmod(0o600)
        return path, key_path

    def _builder(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        return builder.not_valid_after(now + dt.timedelta(days=30))

    def _write_certificate(self, path: Path, builder: x509.CertificateBuilder) -> None:
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def eventually(
    condition: Callable[[], object], *, deadline_s: float = START_S_MAX, what: str = "the condition"
) -> None:
    """Waits until the callable *condition* is true. For states that nothing announces, such as another process's."""
    end = time.monotonic() + deadline_s
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {deadline_s} s"
        waiting.wait(0.02)
