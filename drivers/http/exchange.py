"""One HTTP/1.1 request and its answer on a connection of its own (RFC 9112), in the thread that calls it.

The blocking calls end when another thread calls ``abort``, which shuts the socket down; without one they end with the
deadline that each of them is given. What is received is at most ``BODY_MAX``, and all of it or an error: a length
that is announced must come, chunks must end, and what was packed is refused. A body that only ends with the
connection has no end of its own; its reader must find the document complete.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected

from drivers.http.status import Reply
from drivers.http.tls import TlsSettings, check_pin, context, fault
from gateway.errors import MeterProtocolError, MeterUnavailable

BODY_MAX = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to connect; *tls* None is plain HTTP."""

    host: str
    port: int
    tls: TlsSettings | None

    @property
    def label(self) -> str:
        """How messages name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls is not None else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. A *body* makes it a POST of a form, which one service wants for its login."""

    #: With the query; printable ASCII without spaces.
    path: str
    body: bytes = field(default=b"", repr=False)
    #: The whole header ``Authorization``; empty: what the port's settings say.
    authorization: str = field(default="", repr=False)


class Exchange:
    """Runs once."""

    def __init__(self, target: Target, request: Request, headers: dict[str, str], deadline_s: float) -> None:
        self._target = target
        self._request = request
        self._headers = headers
        self._end_s = time.monotonic() + deadline_s
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._aborted = False
        #: The one thing that cannot be broken off.
        self.is_looking_up = False

    def abort(self) -> None:
        """Ends what ``run`` waits for. Callable from any thread, before, during and after it."""
        with self._lock:
            self._aborted = True
            if self._sock is not None:
                _shut(self._sock)

    def run(self) -> Reply:
        """Raises MeterUnavailable where nothing usable came, MeterProtocolError for what is no answer."""
        label = self._target.label
        try:
            sock = self._connected()
        except OSError as error:
            raise MeterUnavailable(f"{label}: {fault(error)}") from error
        except MeterUnavailable as error:
            raise MeterUnavailable(f"{label}: {error}") from error
        except UnicodeError as error:
            raise MeterUnavailable(f"{label}: the host is no name; correct it") from error
        connection = HTTPConnection(self._target.host, self._target.port)
        connection.sock = sock
        try:
            return self._answer(connection)
        except RemoteDisconnected as error:
            raise MeterUnavailable(f"{label}: it closed the connection without an answer") from error
        except IncompleteRead as error:
            raise MeterProtocolError(f"{label}: its answer was cut off") from error
        except (HTTPException, ValueError) as error:
            hint = "check the port" if self._target.tls is not None else "check the port, or whether it is https://"
            raise MeterProtocolError(f"{label}: what it sent is no HTTP ({type(error).__name__}); {hint}") from error
        except OSError as error:
            raise MeterUnavailable(f"{label}: {fault(error)}") from error
        finally:
            connection.close()

    def _connected(self) -> socket.socket:
        tls = None if self._target.tls is None else (self._target.tls, context(self._target.tls))
        sock = self._dialled()
        if tls is None:
            return sock
        settings, made = tls
        try:
            wrapped = made.wrap_socket(sock, server_hostname=self._target.host, do_handshake_on_connect=False)
            self._owned(wrapped)
            wrapped.do_handshake()
            check_pin(wrapped, settings)
        except (OSError, ValueError, MeterUnavailable):
            self._drop()
            raise
        return wrapped

    def _dialled(self) -> socket.socket:
        """A TCP connection to the first address that takes one; each has its share of what is left of the time."""
        self.is_looking_up = True
        try:
            # Whoever was given up on does not begin what cannot be broken off.
            self._left_s()
            found = socket.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
        finally:
            self.is_looking_up = False
        last: OSError = OSError("it has no address")
        for left, (family, kind, protocol, _, address) in zip(range(len(found), 0, -1), found, strict=True):
            sock = socket.socket(family, kind, protocol)
            self._owned(sock)
            try:
                sock.settimeout(self._left_s() / left)
                sock.connect(address)
                sock.settimeout(self._left_s())
            except OSError as error:
                last = error
                self._drop()
            else:
                return sock
        raise last

    def _owned(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            if self._aborted:
                _shut(sock)

    def _drop(self) -> None:
        with self._lock:
            sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _left_s(self) -> float:
        left = self._end_s - time.monotonic()
        if left <= 0 or self._aborted:
            raise TimeoutError
        return left

    def _answer(self, connection: HTTPConnection) -> Reply:
        request = self._request
        connection.request("POST" if request.body else "GET", request.path, request.body or None, self._headers)
        response = connection.getresponse()
        return Reply(
            status=response.status,
            body=self._body(response),
            location=response.getheader("Location") or "",
            retry_after=response.getheader("Retry-After") or "",
        )

    def _body(self, response: HTTPResponse) -> bytes:
        label = self._target.label
        packed = (response.getheader("Content-Encoding") or "identity").strip().lower()
        if packed != "identity":
            raise MeterProtocolError(f"{label}: it packed its answer ({packed[:20]!r}) though that was not asked for")
        if response.length is not None and response.length > BODY_MAX:
            raise MeterProtocolError(f"{label}: its answer has more than {BODY_MAX} bytes; check protocol and path")
        body = response.read(BODY_MAX + 1)
        if response.length:
            raise MeterProtocolError(f"{label}: its answer was cut off: {response.length} bytes are missing")
        if len(body) > BODY_MAX:
            raise MeterProtocolError(f"{label}: its answer has more than {BODY_MAX} bytes; check protocol and path")
        return body


def _shut(sock: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown, which changes the object under the other thread's hands.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        # It is not connected yet, or not any more.
        return
