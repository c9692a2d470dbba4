"""A TCP proxy that can cut its connections, go silent without closing them, and turn away clients that speak MQTT 5."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from types import TracebackType
from typing import Self

#: CONNACK of MQTT 3.1.1: refused, unacceptable protocol version (section 3.2.2.3).
_OLD_CONNACK = bytes([0x20, 2, 0, 1])


class Gate:
    """Listens on a port of its own in front of 127.0.0.1:*target*."""

    def __init__(self, target: int, *, only_old: str = "") -> None:
        """*only_old*: what MQTT 5 clients get: ``connack`` or ``close``; empty lets them through."""
        self.port = 0
        self.turned_away = 0
        self.accepted = 0
        self._target, self._only_old = target, only_old
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Resets every connection, on both sides."""
        for writer in list(self._writers):
            writer.transport.abort()

    def hold(self) -> None:
        """From now on nothing passes, and nobody is told: a path that died without FIN."""
        self._open.clear()

    def release(self) -> None:
        """Things pass again, what was held first."""
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._pass(reader, writer)
        writer.transport.abort()
        self._writers.discard(writer)
        self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await self._connect_packet(reader)
        if self._only_old and first[_level_at(first)] == 5:
            self.turned_away += 1
            if self._only_old == "connack":
                writer.write(_OLD_CONNACK)
                await writer.drain()
            writer.close()
            return
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(far_writer)
        far_writer.write(first)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.transport.abort()
            self._writers.discard(far_writer)

    async def _connect_packet(self, reader: asyncio.StreamReader) -> bytes:
        head, length, shift = await reader.readexactly(1), 0, 0
        while True:
            byte = await reader.readexactly(1)
            head += byte
            length |= (byte[0] & 127) << shift
            shift += 7
            if byte[0] < 128:
                return head + await reader.readexactly(length)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        # One side is done: so is the other.
        raise ConnectionAbortedError


def _level_at(packet: bytes) -> int:
    """Where the protocol level stands: behind the fixed header and the protocol name."""
    at = 2
    while packet[at - 1] & 128:
        at += 1
    return at + 2 + int(struct.unpack_from(">H", packet, at)[0])
