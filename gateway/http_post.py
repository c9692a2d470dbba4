"""Posts to an HTTP server within one deadline for all of it: name look-up, connection, TLS, request, whole answer.

The blocking parts run in daemon threads of their own, so that no server, however slow, holds up anything else; at the
deadline the socket is shut down, which ends the thread. Redirections are not followed, no proxy is used, and an answer
is at most as large as its request allows. TLS is that of ``gateway.sinks.dial``: certificate and name are always
checked, and a failure is an error.

A connection can be kept for the next request (RFC 9112, section 9.3), for a few seconds only: behind the address
translation of a mobile network an idle one dies without a word. Where the server closed it meanwhile, the request is
sent once more on a new one; so only requests that may arrive twice belong on kept connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse

from gateway.errors import UnavailableError
from gateway.sinks.dial import Address, dial

#: Without TLS and with it.
_PORTS = (80, 443)


class AnswerTooLarge(UnavailableError):  # noqa: N818
    """The answer is larger than the request allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request."""

    path: str
    body: bytes
    content_type: str
    #: The answer's body may have that many bytes.
    answer_max: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server answered."""

    status: int
    content_type: str
    body: bytes


class HttpPeer:
    """One server. Requests may run side by side, each on a connection of its own."""

    def __init__(self, address: Address, *, keep_s: float = 0.0) -> None:
        """Keeps a connection open for *keep_s* after an answer, where that is above 0."""
        self._address = address
        self._keep_s = keep_s
        self._kept: HTTPConnection | None = None
        self._closing: asyncio.TimerHandle | None = None

    async def post(self, request: Post, deadline_s: float) -> Reply:
        """The answer, whatever its status. Raises UnavailableError, at the latest after *deadline_s*."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + deadline_s
        late = f"{self._address.label} did not answer within {deadline_s:g} s"
        kept = self._take()
        if kept is not None:
            with contextlib.suppress(_Stale):
                return await self._ask(_Exchange(self._address.label, kept, request, kept=True), end_s, late)
        connection = HTTPConnection(self._address.host, self._address.port)
        connection.default_port = _PORTS[self._address.tls is not None]
        connection.sock = await dial(self._address, max(0.001, end_s - loop.time()))
        exchange = _Exchange(self._address.label, connection, request, keep=self._keep_s > 0)
        return await self._ask(exchange, end_s, late)

    def close(self) -> None:
        """Closes what is kept open."""
        kept = self._take()
        if kept is not None:
            kept.close()

    async def _ask(self, exchange: _Exchange, end_s: float, late: str) -> Reply:
        sock = exchange.connection.sock
        answer = _in_thread(exchange.run, exchange.label)
        try:
            async with asyncio.timeout_at(end_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise UnavailableError(late) from None
        finally:
            if not answer.done():
                # Not SSLSocket.shutdown, which changes the object under the thread's hands.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
                await asyncio.wait({answer})
            # Whatever it raised after the deadline is nobody's news.
            if answer.exception() is None and exchange.reusable:
                self._keep(exchange.connection)
            else:
                exchange.connection.close()

    def _take(self) -> HTTPConnection | None:
        kept, self._kept = self._kept, None
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        return kept

    def _keep(self, connection: HTTPConnection) -> None:
        self.close()
        self._kept = connection
        self._closing = asyncio.get_running_loop().call_later(self._keep_s, self.close)


class _Stale(Exception):  # noqa: N818
    """The server had closed the kept connection before it answered."""


class _Exchange:
    """One request and its answer, blocking: whoever waits for it has the deadline, and shuts the socket down."""

    def __init__(
        self, label: str, connection: HTTPConnection, request: Post, *, keep: bool = False, kept: bool = False
    ) -> None:
        self.label = label
        self.connection = connection
        self._request = request
        self._keep = keep or kept
        self._kept = kept
        #: The answer has come whole, and the server leaves the connection open.
        self.reusable = False

    def run(self) -> Reply:
        """Raises UnavailableError, and _Stale."""
        self.connection.sock.setblocking(True)
        try:
            response = self._response()
            body = self._body(response)
        except HTTPException as error:
            raise UnavailableError(
                f"{self.label}: what it answered is no HTTP ({type(error).__name__}); correct its url"
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnavailableError(f"{self.label}: the connection broke: {reason}") from error
        self.reusable = self._keep and not response.will_close
        return Reply(status=response.status, content_type=response.getheader("Content-Type") or "", body=body)

    def _response(self) -> HTTPResponse:
        asked = self._request
        headers = {
            "Content-Type": asked.content_type,
            "Connection": "keep-alive" if self._keep else "close",
            "User-Agent": "meter-gateway",
        }
        try:
            self.connection.request("POST", asked.path, asked.body, headers | dict(asked.headers))
            return self.connection.getresponse()
        except OSError as error:
            if self._kept:
                raise _Stale from error
            raise

    def _body(self, response: HTTPResponse) -> bytes:
        limit, told = self._request.answer_max, response.length
        # One byte more shows that it is too large; a body that tells its length need not be read for that.
        body = response.read(limit + 1) if told is None or told <= limit else bytes(limit + 1)
        if len(body) > limit:
            raise AnswerTooLarge(f"{self.label}: its answer is larger than {limit} bytes; correct its url")
        if told is not None and len(body) < told:
            raise UnavailableError(f"{self.label}: its answer ends after {len(body)} of {told} bytes")
        return body


def _in_thread(work: Callable[[], Reply], label: str) -> asyncio.Future[Reply]:
    """Runs *work* in a daemon thread, which does not hold up the end of the process as a pool's would."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Reply] = loop.create_future()

    def settle(found: Reply | Exception) -> None:
        if isinstance(found, Reply):
            answer.set_result(found)
        else:
            answer.set_exception(found)

    def run() -> None:
        found: Reply | Exception = UnavailableError(f"{label}: asking it failed; the traceback says why")
        try:
            found = work()
        except (UnavailableError, _Stale) as error:
            found = error
        finally:
            # The event loop may have been closed while this thread waited for the network.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=run, name=f"http {label}", daemon=True).start()
    return answer
