"""The witness's HTTP: small, bounded, on one event loop. ``POST /add-checkpoint`` and ``GET /<hash>/checkpoint``.

HTTP/1.1 (RFC 9112) with Content-Length and keep-alive; nothing else of it is needed here. A request, line, headers and
body together, must have come within ten seconds of its first byte, so that bytes that trickle in hold nobody up; a
connection may be idle as long. With 64 open, further ones are told to come again, and with twice as many are dropped.
Headers have at most 8 KiB, a body what a request can have.
Judging and the disk run in one thread of their own, one request after the other.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from gateway.witness.protocol import ADD_CHECKPOINT, MAX_REQUEST, Answer
from gateway.witness.service import WitnessService

MAX_HEAD = 8192
MAX_CONNECTIONS = 64
REQUEST_S = 10.0
IDLE_S = 10.0
LINGER_S = 1.0
_LINGER_READS = 64
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    503: "Service Unavailable",
}
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,1000}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint")


class _Bad(Exception):  # noqa: N818  (an answer, after which the connection ends)
    """The request cannot be read on; the connection ends with this answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = Answer(status=status, body=f"{text}\n".encode())


class WitnessServer:
    """Serves one witness. ``service`` may be replaced while it runs."""

    def __init__(self, service: WitnessService, *, request_s: float = REQUEST_S, idle_s: float = IDLE_S) -> None:
        self.service = service
        self._request_s, self._idle_s = request_s, idle_s
        self._judge = ThreadPoolExecutor(1, "witness")
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Begins to listen; returns the port. Raises OSError."""
        limit = MAX_HEAD + MAX_REQUEST
        self._server = await asyncio.start_server(self._accept, host, port, ssl=context, limit=limit)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Ends all connections; a request that is being judged is judged to its end."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.to_thread(self._judge.shutdown)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            # The far side is gone or too slow, or the witness ends: nothing is left to be said.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > 2 * MAX_CONNECTIONS:
            return
        if len(self._connections) > MAX_CONNECTIONS:
            await self._part(reader, writer, Answer(status=503, body=b"too many connections; come again\n"))
            return
        keep = True
        while keep:
            async with asyncio.timeout(self._idle_s):
                first = await reader.readexactly(1)
            try:
                async with asyncio.timeout(self._request_s):
                    method, path, body, keep = await _request(reader, first)
            except _Bad as bad:
                await self._part(reader, writer, bad.answer)
                return
            except TimeoutError:
                await self._part(reader, writer, Answer(status=408, body=b"the request did not come in time\n"))
                return
            await self._send(writer, await self._answer(method, path, body), keep=keep)

    async def _answer(self, method: str, path: str, body: bytes) -> Answer:
        found = _CHECKPOINT.fullmatch(path)
        work: Callable[[], Answer]
        if path == ADD_CHECKPOINT and method == "POST":
            work = lambda: self.service.add_checkpoint(body)  # noqa: E731
        elif found is not None and method == "GET":
            name = found[1]
            work = lambda: self.service.latest(name)  # noqa: E731
        elif path == ADD_CHECKPOINT or found is not None:
            return Answer(status=405, body=b"POST /add-checkpoint, GET /HASH/checkpoint\n")
        else:
            return Answer(status=404, body=b"nothing is here\n")
        return await asyncio.get_running_loop().run_in_executor(self._judge, work)

    async def _part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
        """Sends the last answer of a connection of which not all was read."""
        await self._send(writer, answer, keep=False)
        if writer.can_write_eof():
            writer.write_eof()
        # Closed with bytes unread, the connection is reset, and the answer may be lost (RFC 9112 section 9.6).
        async with asyncio.timeout(LINGER_S):
            for _ in range(_LINGER_READS):
                if not await reader.read(MAX_REQUEST):
                    break

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer, *, keep: bool) -> None:
        head = [
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            f"Connection: {'keep-alive' if keep else 'close'}",
            *(["Allow: POST, GET"] if answer.status == 405 else []),
            *(["Retry-After: 60"] if answer.status == 503 else []),
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + answer.body)
        async with asyncio.timeout(self._request_s):
            await writer.drain()


async def _request(reader: asyncio.StreamReader, first: bytes) -> tuple[str, str, bytes, bool]:
    """(method, path, body, whether the connection stays) of the request that begins with *first*. Raises _Bad."""
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
    except (asyncio.LimitOverrunError, asyncio.IncompleteReadError) as error:
        raise _Bad(400, "this is no HTTP request") from error
    if len(head) > MAX_HEAD:
        raise _Bad(400, f"more than {MAX_HEAD} bytes of headers")
    line, *fields = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise _Bad(400, "this is no HTTP/1.1 request line")
    headers = _headers(fields)
    length = _length(headers, has_body=match[1] == b"POST")
    try:
        body = await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise _Bad(400, "the body is shorter than its Content-Length") from error
    wish = headers.get("connection", "").lower()
    keep = wish != "close" and (match[3] == b"1" or wish == "keep-alive")
    return match[1].decode(), match[2].decode(), body, keep


def _headers(fields: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in fields:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _Bad(400, "a header is not NAME: VALUE")
        name = match[1].decode().lower()
        if name in found and name in ("content-length", "transfer-encoding"):
            # Two lengths mean two requests to two readers (RFC 9112 section 11.2).
            raise _Bad(400, f"{name} is given twice")
        found[name] = match[2].decode("latin-1")
    return found


def _length(headers: dict[str, str], *, has_body: bool) -> int:
    if "transfer-encoding" in headers:
        raise _Bad(411, "Transfer-Encoding is not taken; send Content-Length")
    text = headers.get("content-length")
    if text is None:
        if has_body:
            raise _Bad(411, "send Content-Length")
        return 0
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise _Bad(400, "Content-Length is no number")
    if int(text) > MAX_REQUEST:
        raise _Bad(413, f"the body is larger than {MAX_REQUEST} bytes")
    return int(text)
