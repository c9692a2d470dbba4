"""A real js-ipfs with its HTTP API for a test, in a network namespace of its own, and the gate in front of it.

The node listens on a Unix socket: where it runs there is no network at all. The gate takes TCP on loopback, with TLS
if it has a certificate, as the proxy in front of a node does, and can change or cut what goes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Self

from tests.parts import ROOT, need, node_modules
from tests.whole import Lines

STOP_S_MAX = 20.0


class IpfsServer:
    """One node with an empty repository in *folder*; ``with`` starts it, and ends it by its process id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "api"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        isolated = [need("unshare"), "--net", *(() if os.geteuid() == 0 else ("--map-root-user",))]
        script = [need("node"), str(ROOT / "tests/peers/ipfs_server.mjs"), str(self.socket), str(self.folder / "repo")]
        self._process = subprocess.Popen(
            [*isolated, *script], cwd=node_modules().parent, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        Lines(self._process.stdout).wait(lambda line: line == "ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(STOP_S_MAX)

    def ask(self, command: str) -> bytes:
        """What its API answers to a command without a file, such as ``block/get?arg=CID``."""
        connection = HTTPConnection("ipfs")
        connection.sock = socket(AF_UNIX)
        connection.sock.connect(str(self.socket))
        with contextlib.closing(connection):
            connection.request("POST", f"/api/v0/{command}")
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == 200, body
        return body

    def pinned(self, cid: str) -> bool:
        """Whether it keeps the file, and all of it. A CID that it does not have is an AssertionError."""
        return bool(json.loads(self.ask(f"pin/ls?arg={cid}&cid-base=base32"))["Keys"][cid]["Type"] == "recursive")


class Gate:
    """Takes one request per connection to *server*, and hands its answer back; ``async with`` opens it."""

    def __init__(self, server: IpfsServer, *, tls: tuple[Path, Path] | None = None) -> None:
        self._server = server
        self._tls = tls
        self._open: asyncio.Server | None = None
        self.port = 0
        #: The heads of the requests, and the node's answers.
        self.heads: list[str] = []
        self.answers: list[bytes] = []
        #: Replaced in the request's head on the way to the node.
        self.replace = (b"", b"")
        #: The answer ends after so many bytes of it; None: whole.
        self.cut: int | None = None

    async def __aenter__(self) -> Self:
        context = None
        if self._tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
        self._open = await asyncio.start_server(self._pass, "127.0.0.1", 0, ssl=context)
        self.port = self._open.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._open is not None
        self._open.close()
        await self._open.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            inner, outer = await asyncio.open_unix_connection(self._server.socket)
            outer.write(head.replace(*self.replace) + body)
            answer = await inner.read()
            self.answers.append(answer)
            outer.close()
            writer.write(answer if self.cut is None else answer[: self.cut])
            await writer.drain()
        writer.close()
