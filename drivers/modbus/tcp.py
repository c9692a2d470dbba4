"""Modbus TCP as a master: one connection, one request at a time, each with its own transaction id.

A reply that comes late carries the id of a request that was given up, and is dropped. The number of those is bounded:
a connection that owes too many replies is closed. Bytes that are no Modbus TCP, an id that was never used, or a reply
that does not fit its request close the connection as well, since the stream cannot be trusted to be in step again.
"""

from __future__ import annotations

import asyncio

from drivers.door import Door
from drivers.modbus.frame import BadReply, Request, TcpReply, cut_tcp, parse_tcp, tcp_frame
from drivers.modbus.transaction import NoReply, Reply, reopening
from drivers.transport import Link, LinkLost

#: Requests given up on one connection before it is closed.
MAX_OWED = 4


class TcpLine:
    """The client of one Modbus TCP server. Implements ``transaction.Line``."""

    def __init__(self, link: Link, timeout_s: float | None) -> None:
        self._door = Door(link)
        self._link = link
        self._timeout_s = timeout_s
        self._transaction = 0
        self._owed: set[int] = set()
        self._stream = b""

    def close(self) -> None:
        """Closes the connection and forgets what it owes."""
        self._link.close()
        self._owed.clear()
        self._stream = b""

    async def exchange(self, request: Request, delay_s: float) -> Reply:
        """See ``transaction.Line``."""
        return await reopening(self._link, lambda: self._exchange(request, delay_s))

    async def _exchange(self, request: Request, delay_s: float) -> Reply:
        await self._connect()
        transaction = self._send(request)
        sent = _now()
        try:
            reply = await self._reply(request, transaction, delay_s)
            registers = parse_tcp(request, reply)
        except (BadReply, LinkLost):
            self.close()
            raise
        self._door.proved()
        return Reply(registers=registers, delay_s=_now() - sent)

    async def _connect(self) -> None:
        if not self._link.is_open or len(self._owed) > MAX_OWED:
            self.close()
        await self._door.open()
        try:
            while self._link.is_open and (data := await self._link.receive(0.0)):
                self._stream += data
                self._next_frame()
        except (BadReply, LinkLost):
            self.close()
            await self._door.open()

    def _send(self, request: Request) -> int:
        """Sends *request*; its transaction is owed a reply from now on."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._owed.add(self._transaction)
        self._link.send(tcp_frame(self._transaction, request.unit, request.pdu))
        return self._transaction

    async def _reply(self, request: Request, transaction: int, delay_s: float) -> TcpReply:
        deadline = _now() + (self._timeout_s or delay_s)
        while True:
            reply = self._next_frame()
            if reply is None:
                data = await self._link.receive(deadline)
                if not data:
                    raise NoReply(f"{request}: no reply in time; check unit id and wiring")
                self._stream += data
            elif reply.transaction == transaction:
                return reply

    def _next_frame(self) -> TcpReply | None:
        """The next reply that is owed, in the bytes received so far. Raises BadReply."""
        found = cut_tcp(self._stream)
        if found is None:
            return None
        reply, size = found
        self._stream = self._stream[size:]
        if reply.transaction not in self._owed:
            raise BadReply(f"transaction {reply.transaction} was answered, which was never asked")
        self._owed.remove(reply.transaction)
        return reply


def _now() -> float:
    return asyncio.get_running_loop().time()
