"""A ``LogServer`` on a port of its own in a thread of its own, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from pathlib import Path
from typing import Self

from gateway.log.log import Log
from gateway.serve import Limits, LogServer

#: Nothing here takes this long on a machine that works.
DEADLINE_S = 30.0


class Serving:
    """Serves the log of *directory* while the ``with`` block runs."""

    def __init__(self, log: Log, directory: Path, limits: Limits | None = None) -> None:
        self._log, self._directory = log, directory
        self._limits = limits or Limits()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = LogServer(self._log, self._directory, self._limits)
        listening = self._server.listen("127.0.0.1", 0)
        self._listening = asyncio.run_coroutine_threadsafe(listening, self._loop).result(DEADLINE_S)
        self.port = int(self._listening.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    async def _stop(self) -> None:
        self._listening.close()
        self._server.close()
        # The connections' own tasks see the end of their connections.
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(others, timeout=DEADLINE_S) if others else None

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), DEADLINE_S)

    def say(self, data: bytes) -> bytes:
        """All that is answered to *data*, up to the end of the connection."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)
