"""One request to a witness: answers that are no HTTP, do not end, or come over TLS that cannot be trusted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import UnavailableError
from gateway.witness.post import MAX_ANSWER, add_checkpoint, endpoint
from tests.log_keys import log_key
from tests.mosquitto import make_certificates
from tests.witness_side import OwnWitness, request_at

ANSWERS = {
    "nothing": (b"", "no HTTP"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
    "too much": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (MAX_ANSWER + 1), "larger than"),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, "no HTTP"),
    "a length that is none": (b"HTTP/1.1 abc OK\r\n\r\n", "no HTTP"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_that_is_no_http_is_told(name: str) -> None:
    """With the witness's name, and within bounds."""
    data, words = ANSWERS[name]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(UnavailableError, match=words) as caught:
        await add_checkpoint(endpoint("w", f"http://127.0.0.1:{port}", None), b"x")
    assert str(caught.value).startswith("witness w: ")
    server.close()


@pytest.mark.parametrize("trickle", [b"", b"H"])
async def test_an_answer_that_does_not_end_ends_with_the_deadline(trickle: bytes) -> None:
    """Silence, or a byte now and then: one deadline for all of it."""
    tasks: set[asyncio.Task[None]] = set()

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        while await reader.read(1):
            writer.write(trickle)

    server = await asyncio.start_server(dawdle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        await add_checkpoint(endpoint("w", f"http://127.0.0.1:{port}", None), b"x", 0.2)
    await asyncio.gather(*tasks, return_exceptions=True)
    server.close()


async def test_tls_is_checked_and_never_left_out(tmp_path: Path) -> None:
    """The right authority gets a cosignature; another authority, another name, and plain HTTP to it get nothing."""
    files = make_certificates(tmp_path / "certificates")
    witness = OwnWitness(tmp_path / "witness")
    witness.trust(log_key().text)
    witness.use_tls(files.server, files.server_key)
    body, port = request_at(0, 5), witness.port
    with witness:
        for url, ca, fault in (
            (f"https://127.0.0.1:{port}", files.other_ca, "its certificate is not accepted"),
            (f"https://127.0.0.1:{port}", None, "its certificate is not accepted"),
            (f"https://localhost:{port}", files.ca, "its certificate is not accepted"),
            (f"http://127.0.0.1:{port}", None, "no HTTP|broke"),
        ):
            with pytest.raises(UnavailableError, match=fault):
                await add_checkpoint(endpoint("w", url, ca), body)
        answer = await add_checkpoint(endpoint("w", f"https://127.0.0.1:{port}", files.ca), body)
        assert answer.status == 200
