"""The log over HTTP while the gateway runs: C2SP tlog-tiles, the same files as ``log export`` writes.

==========================  =========================================================================================
path                        answer
==========================  =========================================================================================
``/checkpoint``             the newest signed checkpoint, text/plain; never to be cached
``/minimum-index``          of a pruned log: where it begins, text/plain; never to be cached
``/tile/…``                 a tile or a bundle (``gateway.log.tiles``), application/octet-stream; it never changes,
                            so it may be kept for ever, partial ones too: their width is part of the name
anything else               404, as for what was pruned; other methods than GET and HEAD 405; what is no request 400,
                            413, 431 or 505; too many connections or a log that cannot be read 503
==========================  =========================================================================================

Only what the newest durable checkpoint covers is served. Nothing can be changed or asked for but files, so there is no
login; whoever reaches the port reads the log. It costs nothing where it is not configured.

It runs in the gateway's event loop, where a connection that waits costs a few kilobytes, a thread each would cost more.
What reads the disk runs in one thread of its own, so that polling never waits for it. A client has 10 s to ask, 30 s to
take each 64 KiB of an answer, and 8 clients are served at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.config.model import ServeConfig
from gateway.errors import GatewayError, PrunedError
from gateway.http_request import MAX_HEAD, BadRequest, Request, parse_head
from gateway.log.note import parse_checkpoint
from gateway.log.proving import node_sources
from gateway.log.tile_source import TileSource
from gateway.log.tiles import MINIMUM_INDEX
from gateway.log.view import LogView
from gateway.task import Progress

_log = logging.getLogger(__name__)

#: How soon a port that was taken is tried again.
RETRY_S = 30.0
_MAX_REQUESTS = 1000
_SLICE = 64 * 1024
_LINGER_READS = 16
#: struct linger of socket(7): on, for no time.
_NO_LINGER = struct.pack("ii", 1, 0)
_BACKLOG = 16
_TEXT, _BYTES = "text/plain; charset=utf-8", "application/octet-stream"
_NEVER, _FOR_EVER = "no-cache", "public, max-age=31536000, immutable"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much patience a client meets, and how many are served at once."""

    #: From the connection, or the answer before, to the end of a request's head.
    head_s: float = 10.0
    #: For each 64 KiB of an answer to be taken.
    slice_s: float = 30.0
    connections: int = 8


class Published(Protocol):
    """What may be told of the log; ``gateway.log.log.Log`` is one."""

    @property
    def newest_checkpoint(self) -> bytes | None:
        """The newest durable signed checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A response without its transport."""

    status: int
    body: bytes
    content_type: str = _TEXT
    caching: str = _NEVER


class LogServer:
    """Answers requests for the files of one log."""

    def __init__(self, log: Published, directory: Path, limits: Limits = Limits()) -> None:
        """*directory* is the log directory of *log*."""
        self._log = log
        self._directory = directory
        self._limits = limits
        self._writers: set[asyncio.StreamWriter] = set()
        self._disk = ThreadPoolExecutor(1, "http")
        self._view: LogView | None = None
        self._tiles: TileSource | None = None
        self._trouble = ""

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Opens the port. Raises OSError."""
        return await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD, backlog=_BACKLOG)

    def close(self) -> None:
        """Ends all connections, and the thread; what it does is finished first."""
        for writer in self._writers:
            _reset(writer)
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # So that drain() returns when the kernel has everything: a slow client is met here, with a deadline.
        writer.transport.set_write_buffer_limits(0)
        self._writers.add(writer)
        try:
            if len(self._writers) > self._limits.connections:
                await self._send(writer, _refusal(503, "too many connections; try again"), keep=False)
            else:
                await self._converse(reader, writer)
            writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            # The client left, or is too slow: nothing more can be said to it.
            _reset(writer)
        finally:
            self._writers.discard(writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(1, _MAX_REQUESTS + 1):
            try:
                async with asyncio.timeout(self._limits.head_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                request = parse_head(head)
            except asyncio.LimitOverrunError:
                await self._refuse(reader, writer, BadRequest(431, f"a head of more than {MAX_HEAD} bytes"))
                return
            except BadRequest as error:
                await self._refuse(reader, writer, error)
                return
            keep = request.keep_alive and number < _MAX_REQUESTS
            await self._send(writer, await self.answer(request), head_only=request.method == "HEAD", keep=keep)
            if not keep:
                return

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, why: BadRequest) -> None:
        await self._send(writer, _refusal(why.status, str(why)), keep=False)
        writer.write_eof()
        # What is on its way is taken: a connection closed over unread bytes is reset, and the answer may be lost.
        async with asyncio.timeout(self._limits.head_s):
            for _ in range(_LINGER_READS):
                if not await reader.read(MAX_HEAD):
                    return

    async def _send(
        self, writer: asyncio.StreamWriter, answer: _Answer, *, keep: bool, head_only: bool = False
    ) -> None:
        data = _head(answer, keep=keep) + (b"" if head_only else answer.body)
        for start in range(0, len(data), _SLICE):
            writer.write(data[start : start + _SLICE])
            async with asyncio.timeout(self._limits.slice_s):
                await writer.drain()

    async def answer(self, request: Request) -> _Answer:
        """What a request gets."""
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "only GET and HEAD are answered")
        note = self._log.newest_checkpoint
        if note is None:
            return _refusal(404, "nothing is signed yet")
        if request.path == "/checkpoint":
            return _Answer(status=200, body=note)
        if not request.path.startswith("/tile/") and request.path != f"/{MINIMUM_INDEX}":
            return _refusal(404, "the files are /checkpoint and /tile/...")
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._disk, self._file, request.path[1:], note)
        except PrunedError as error:
            return _refusal(404, str(error))
        except GatewayError as error:
            self._tell(str(error))
            return _refusal(503, "the log cannot be read now")
        if found is None:
            return _refusal(404, "the log of the newest checkpoint has no such file")
        self._trouble = ""
        if request.path == f"/{MINIMUM_INDEX}":
            return _Answer(status=200, body=found)
        return _Answer(status=200, body=found, content_type=_BYTES, caching=_FOR_EVER)

    def _file(self, name: str, note: bytes) -> bytes | None:
        checkpoint = parse_checkpoint(note)
        if self._view is None or self._tiles is None:
            view = self._view = LogView(self._directory)
            self._tiles = TileSource(view.entries, lambda: node_sources(view))
        elif self._view.size < checkpoint.size:
            self._view.refresh()
        if name == MINIMUM_INDEX:
            minimum = self._view.pruned().minimum_index
            return f"{minimum}\n".encode() if minimum else None
        return self._tiles.file(name, checkpoint)

    def _tell(self, trouble: str) -> None:
        """Once for each trouble: a client that asks again and again fills no log."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("http: %s", trouble)


def _refusal(status: int, text: str) -> _Answer:
    return _Answer(status=status, body=f"{text}\n".encode())


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once; otherwise the kernel would go on sending to a client that takes nothing."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


def _head(answer: _Answer, *, keep: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        f"Cache-Control: {answer.caching}",
        "X-Content-Type-Options: nosniff",
        f"Connection: {'keep-alive' if keep else 'close'}",
        *(["Allow: GET, HEAD"] if answer.status == 405 else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def serve_log(config: ServeConfig, log: Published, directory: Path, progress: Progress) -> None:
    """Serves until it is cancelled; a port that is taken is tried again."""
    server = LogServer(log, directory)
    try:
        listening = await _listen(server, config)
        progress.mark()
        try:
            # It serves by itself; asyncio's serve_forever() would wait at its end for clients that stay.
            await asyncio.get_running_loop().create_future()
        finally:
            listening.close()
    finally:
        server.close()


async def _listen(server: LogServer, config: ServeConfig) -> asyncio.Server:
    told = ""
    while True:
        try:
            listening = await server.listen(config.host, config.port)
        except OSError as error:
            fault = error.strerror or str(error)
            if fault != told:
                _log.error("http: %s:%d cannot be served: %s; is it taken?", config.host, config.port, fault)
            told = fault
            await asyncio.sleep(RETRY_S)
        else:
            _log.info("http: the log is served at http://%s:%d/checkpoint", config.host, config.port)
            return listening
