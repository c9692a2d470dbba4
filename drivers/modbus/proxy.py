"""A read-only Modbus TCP server in front of a bus, so that others read its meters while the gateway owns the line.

What a client gets
==========================  =========================================================================================
registers                   as the meter sends them, asked for in this very moment
exception 1, 2, 3           no read of registers; a read beyond the last address; a read that is none (``proxy_frame``)
the meter's own exception   passed through
exception 6, busy           more requests under way than a client may have, or than the queue holds; or the gateway's
                            own polls left no time within ``Limits.turn_s``
exception 10, no path       a unit id that is not offered; the port or the far server is away
exception 11, no reply      the meter was silent for the bus's time-out, or is in its pause after that, or its reply was
                            garbled
==========================  =========================================================================================

The gateway's own polls go first (``drivers/modbus/turns.py``): one exchange of a client is what they wait for at most.
How clients share what is left is in ``drivers/modbus/proxy_desk.py``.

Bounds. A client has ``Limits.frame_s`` for a frame that it began, and ``Limits.idle_s`` between two. Who sends what is
no Modbus TCP, or takes no answers, is cut off; who is refused is read from more slowly. When all places are taken, a
new client gets that of the one idle longest, if it was idle for ``Limits.yield_s``. There is no login: whoever reaches
the port can read the meters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable

from drivers.modbus.proxy_desk import UNITS, USUAL, Desk, GuestBus, Limits, ProxyStatus
from drivers.modbus.proxy_frame import HEADER_SIZE, OutOfStep, parse_header

_log = logging.getLogger(__name__)

#: How soon a port that is taken is tried again.
RETRY_S = 5.0
#: What a client that is refused has to wait before its next frame is read.
_REFUSED_S = 0.02
#: Answers that a client has not taken, in bytes, before it is cut off.
_UNTAKEN_MAX = 16 * 1024
_PDU_MAX = 253
#: struct linger of socket(7): on, for no time.
_NO_LINGER = struct.pack("ii", 1, 0)


class _Connection:
    """A ``proxy_desk.Client``."""

    def __init__(self, writer: asyncio.StreamWriter, status: ProxyStatus) -> None:
        self._writer = writer
        self._status = status
        self.heard_at = _now()

    @property
    def gone(self) -> bool:
        return self._writer.transport.is_closing()

    def say(self, frame: bytes) -> None:
        """See ``proxy_desk.Client``."""
        if self.gone:
            return
        self._writer.write(frame)
        if self._writer.transport.get_write_buffer_size() > _UNTAKEN_MAX:
            self.cut_off()

    def cut_off(self) -> None:
        self._status.cut_off += 1
        self.reset()

    def reset(self) -> None:
        """Ends the connection at once; otherwise the kernel would go on sending to a client that takes nothing."""
        with contextlib.suppress(OSError):
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()


class ModbusProxy:
    """The server of one bus. *units* are the unit ids that it offers."""

    def __init__(self, name: str, bus: GuestBus, units: frozenset[int] = UNITS, limits: Limits = USUAL) -> None:
        self.status = ProxyStatus(name=name)
        self._limits = limits
        self._desk = Desk(bus, units, limits, self.status)
        self._connections: set[_Connection] = set()
        self._conversations: set[asyncio.Task[None]] = set()

    async def serve(self, host: str, port: int, marked: Callable[[], None] = lambda: None) -> None:
        """Serves until it is cancelled; a port that is taken is tried again. *marked* is called when it listens."""
        server = await self._listen(host, port)
        address = server.sockets[0].getsockname()
        self.status.listening = f"{address[0]}:{address[1]}"
        marked()
        try:
            await self._desk.serve()
        finally:
            self.status.listening = ""
            server.close()
            for connection in self._connections:
                connection.reset()
            # They end by themselves now. One that the loop had to cancel would be told as an error.
            await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _listen(self, host: str, port: int) -> asyncio.Server:
        told = ""
        while True:
            try:
                return await asyncio.start_server(self._connected, host, port, limit=HEADER_SIZE + _PDU_MAX, backlog=16)
            except OSError as error:
                fault = os.strerror(error.errno) if error.errno else str(error)
                if fault != told:
                    _log.error(
                        "proxy %s: %s:%d cannot be served: %s; is it taken?", self.status.name, host, port, fault
                    )
                told = fault
                await asyncio.sleep(RETRY_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(self._serve_client(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self.status)
        if not self._has_room():
            self.status.turned_away += 1
            connection.reset()
            return
        self._connections.add(connection)
        self.status.clients = len(self._connections)
        try:
            await self._converse(connection, reader)
            writer.close()
        except (OutOfStep, TimeoutError):
            connection.cut_off()
        except (OSError, asyncio.IncompleteReadError):
            connection.reset()  # the client left
        finally:
            self._connections.discard(connection)
            self._desk.forget(connection)
            self.status.clients = len(self._connections)

    def _has_room(self) -> bool:
        """Whether one more client fits, if need be in the place of an idle one."""
        if len(self._connections) < self._limits.clients:
            return True
        idle = [each for each in self._connections if not self._desk.outstanding(each)]
        longest = min(idle, key=lambda each: each.heard_at, default=None)
        if longest is None or _now() - longest.heard_at < self._limits.yield_s:
            return False
        self._connections.discard(longest)
        longest.cut_off()
        return True

    async def _converse(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        """Takes frames until the client leaves. Raises OutOfStep, TimeoutError, IncompleteReadError or OSError."""
        while not connection.gone:
            async with asyncio.timeout(self._limits.idle_s):
                first = await reader.read(1)
            if not first:
                return
            async with asyncio.timeout(self._limits.frame_s):
                header = parse_header(first + await reader.readexactly(HEADER_SIZE - 1))
                pdu = await reader.readexactly(header.size)
            connection.heard_at = _now()
            taken = self._desk.ask(connection, header, pdu)
            # One that floods would otherwise keep everybody else from the processor.
            await asyncio.sleep(0 if taken else _REFUSED_S)


def _now() -> float:
    return asyncio.get_running_loop().time()
