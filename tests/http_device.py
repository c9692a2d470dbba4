"""A device with a web server, real TLS included: what it answers is a function that a test sets."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from drivers.http.port import Auth, HttpPort, HttpSettings
from drivers.http.tls import TlsSettings
from gateway.reading import Moment
from tests.parts import ROOT

REPLIES = ROOT / "tests" / "data" / "http"
DEADLINE_S = 20.0


def recorded(name: str) -> bytes:
    """A recorded reply."""
    return (REPLIES / name).read_bytes()


def ok(body: bytes, *headers: str) -> bytes:
    """A whole answer with status 200."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def status(code: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {code} Said", "Content-Length: 0", *headers, "", ""]).encode()


@dataclass
class Asked:
    """One request, as it came."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


#: What is sent for a request: bytes, or pieces with the device doing as it likes between them.
Answer = Callable[[Asked, socket.socket], bytes | None]


@dataclass
class Device:
    """Serves one connection per thread until it is closed."""

    tls: ssl.SSLContext | None = None
    #: Path, without the query → body; consulted where there is no *answer*.
    bodies: dict[str, bytes] = field(default_factory=dict)
    answer: Answer | None = None
    asked: list[Asked] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        try:
            with sock:
                sock.settimeout(10)
                if self.tls is not None:
                    with self.tls.wrap_socket(sock, server_side=True) as wrapped:
                        self._converse(wrapped)
                        wrapped.unwrap()
                else:
                    self._converse(sock)
        except OSError:
            # What a test wants to happen to a connection is its own affair.
            return

    def _converse(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(4096)
            if not piece:
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        while len(body) < int(headers.get("content-length", "0")):
            body += sock.recv(4096)
        asked = Asked(line, headers, body)
        self.asked.append(asked)
        sent = self.answer(asked, sock) if self.answer else self._stored(asked)
        if sent:
            sock.sendall(sent)

    def _stored(self, asked: Asked) -> bytes:
        path = asked.path.partition("?")[0]
        return ok(self.bodies[path]) if path in self.bodies else status(404)

    def http_port(
        self, *, prefix: str = "", host: str = "127.0.0.1", auth: Auth | None = None, deadline_s: float = DEADLINE_S
    ) -> HttpPort:
        """A port to it; with TLS it trusts the test's authority."""
        tls = TlsSettings(ca=certificates().ca) if self.tls is not None else TlsSettings()
        return self.http_port_with(tls, prefix=prefix, host=host, auth=auth, deadline_s=deadline_s)

    def http_port_with(
        self,
        tls: TlsSettings,
        *,
        prefix: str = "",
        host: str = "127.0.0.1",
        auth: Auth | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> HttpPort:
        url = f"{'https' if self.tls is not None else 'http'}://{host}:{self.port}{prefix}"
        return HttpPort(HttpSettings(url=url, tls=tls, auth=auth or Auth(), deadline_s=deadline_s), secret)


def secret(name: str) -> bytes:
    """The secrets of the tests."""
    return {"file:password": "geheim ü".encode(), "file:token": b"abc.def", "file:bad": b"a\nb"}[name]


class HandClock:
    """A clock that a test sets; each look is a nanosecond later."""

    def __init__(self) -> None:
        self.ns = 0
        self.wall_ms = 1_718_972_706_000

    def __call__(self) -> Moment:
        self.ns += 1
        return Moment(boottime_ns=self.ns, wall_ms=self.wall_ms, quality="U", error_ms=-1)


@dataclass(frozen=True)
class Certificates:
    """An authority and what it issued, as files."""

    folder: Path
    ca: Path
    #: Of good, wrong-name, expired.
    pins: dict[str, str]

    def server(self, name: str = "good") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem")
        return context


@cache
def certificates() -> Certificates:
    """Made once for all tests."""
    folder = Path(mkdtemp(prefix="http-certificates-"))
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    _issue(folder, "ca", key, name, name, key, names=[], days=30)
    pins = {}
    for file, names, days in (
        ("good", ["127.0.0.1"], 30),
        ("wrong-name", ["192.0.2.9"], 30),
        ("expired", ["127.0.0.1"], 0),
    ):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file)])
        pins[file] = _issue(folder, file, generate_private_key(SECP256R1()), subject, name, key, names=names, days=days)
    return Certificates(folder, folder / "ca.pem", pins)


def _issue(
    folder: Path,
    file: str,
    own: EllipticCurvePrivateKey,
    subject: x509.Name,
    issuer: x509.Name,
    signer: EllipticCurvePrivateKey,
    *,
    names: list[str],
    days: int,
) -> str:
    start = datetime.now(UTC) - timedelta(days=2)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days + 1))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        addresses = [x509.IPAddress(ip_address(one)) for one in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    made = builder.sign(signer, SHA256())
    key_pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{file}.pem").write_bytes(made.public_bytes(Encoding.PEM) + (key_pem if names else b""))
    return hashlib.sha256(made.public_bytes(Encoding.DER)).hexdigest()
