"""One HTTP request to a witness, within one deadline for all of it: name look-up, connection, TLS, request, answer.

The blocking parts run in threads, so that no witness, however slow, holds up anything else; at the deadline the socket
is shut down, which ends the thread. Redirections are not followed, and an answer is at most 64 KiB. TLS is that of
``gateway.sinks.dial``: certificate and name are always checked, and a failure is an error.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from gateway.errors import UnavailableError
from gateway.sinks.dial import Address, TlsSettings, dial
from gateway.witness.protocol import ADD_CHECKPOINT, Answer

DEADLINE_S = 30.0
MAX_ANSWER = 65_536
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a witness listens."""

    address: Address
    #: The URL's path, without a slash at its end.
    prefix: str


def endpoint(name: str, url: str, ca: Path | None) -> Endpoint:
    """The end point of the witness *name*; *url* has been checked when the config was read."""
    parts = urlsplit(url)
    tls = TlsSettings(ca=ca) if parts.scheme == "https" else None
    port = parts.port or _PORTS[parts.scheme]
    address = Address(label=f"witness {name}", host=parts.hostname or "", port=port, tls=tls)
    return Endpoint(address=address, prefix=parts.path.rstrip("/"))


async def add_checkpoint(target: Endpoint, body: bytes, deadline_s: float = DEADLINE_S) -> Answer:
    """Posts *body*. Raises UnavailableError, at the latest after *deadline_s*, with what was wrong."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + deadline_s
    sock = await dial(target.address, deadline_s)
    exchange = asyncio.create_task(asyncio.to_thread(_exchange, target, sock, body, deadline_s))
    try:
        async with asyncio.timeout_at(end_s):
            return await asyncio.shield(exchange)
    except TimeoutError:
        raise UnavailableError(f"{target.address.label} did not answer within {deadline_s:g} s") from None
    finally:
        # Not SSLSocket.shutdown, which changes the object under the thread's hands.
        _end(sock)
        await asyncio.wait({exchange})
        # Whatever it raised after the deadline is nobody's news.
        exchange.cancelled() or exchange.exception()


def _end(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        # The thread was done with it, or the far side was.
        return


def _exchange(target: Endpoint, sock: socket.socket, body: bytes, timeout_s: float) -> Answer:
    label = target.address.label
    sock.settimeout(timeout_s)
    connection = HTTPConnection(target.address.host, target.address.port)
    connection.sock = sock
    headers = {"Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
    try:
        connection.request("POST", target.prefix + ADD_CHECKPOINT, body, headers)
        response = connection.getresponse()
        data = response.read(MAX_ANSWER + 1)
        kind = response.getheader("Content-Type") or ""
    except HTTPException as error:
        raise UnavailableError(
            f"{label}: what it answered is no HTTP ({type(error).__name__}); correct its url"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnavailableError(f"{label}: the connection broke: {reason}") from error
    finally:
        connection.close()
    if len(data) > MAX_ANSWER:
        raise UnavailableError(f"{label}: its answer is larger than {MAX_ANSWER} bytes; correct its url")
    return Answer(status=response.status, body=data, content_type=kind)
