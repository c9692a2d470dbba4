"""What a running gateway tells about itself: one JSON object over a Unix socket in the state directory.

The socket is ``gateway.sock``; a connection gets the object and is closed. Nothing is read from it, and nothing can
be asked for: it is a window, not a door.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.errors import UnavailableError

SOCKET = "gateway.sock"
_LIMIT = 4 << 20
_DEADLINE_S = 5.0


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """The socket's path by way of /proc: a socket's path may have 107 bytes at most (unix(7))."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET}"
    finally:
        os.close(fd)


async def serve(directory: Path, describe: Callable[[], dict[str, Any]]) -> asyncio.Server:
    """Serves what *describe* returns; only the owner and the group may connect."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(json.dumps(describe()).encode())
            await writer.drain()
        writer.close()

    with _short(directory) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  (a path by way of /proc)
        server = await asyncio.start_unix_server(answer, path)
        os.chmod(path, 0o660)  # noqa: PTH101  (as above)
    return server


def ask(directory: Path) -> dict[str, Any]:
    """The status of the gateway that runs on *directory*. Raises UnavailableError when none does."""
    chunks: list[bytes] = []
    try:
        with _short(directory) as path, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_DEADLINE_S)
            connection.connect(path)
            while chunk := connection.recv(65536):
                chunks.append(chunk)
                if len(chunks) * 65536 > _LIMIT:
                    break
    except OSError as error:
        raise UnavailableError(
            f"no gateway answers in {directory}: {error.strerror or error}; is it running, and may this user ask it?"
        ) from error
    answer: dict[str, Any] = json.loads(b"".join(chunks))
    return answer
