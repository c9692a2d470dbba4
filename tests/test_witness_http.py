"""The witness's HTTP against clients that are wrong, slow, many, or all at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.witness.protocol import MAX_REQUEST
from gateway.witness.server import MAX_CONNECTIONS, MAX_HEAD, WitnessServer
from tests.log_keys import log_key
from tests.whole import DEADLINE_S
from tests.witness_desk import Desk
from tests.witness_side import OwnWitness, post, raw, request_at


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A witness that knows one log."""
    return Desk(tmp_path / "witness")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnWitness]:
    """Our witness as a process, which knows one log."""
    witness = OwnWitness(tmp_path_factory.mktemp("own") / "witness")
    witness.trust(log_key().text)
    with witness:
        yield witness


HTTP_FAULTS = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (bytes.fromhex("16030100a5010000a10303") + bytes(180) + b"\r\n\r\n", 400),
    "another version": (b"GET / HTTP/2.0\r\n\r\n", 400),
    "a request line that is too long": (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\n\r\n", 400),
    "headers that are too long": (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEAD + b"\r\n", 400),
    "headers that do not end": (b"GET / HTTP/1.1\r\na: b\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nhost\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n", 400),
    "no length": (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", 411),
    "chunks": (b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    "two lengths": (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a length that is none": (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: +1\r\n\r\na", 400),
    "a length of thousands of digits": (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a body that is too long": (
        b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_REQUEST + 1),
        413,
    ),
    "a body that is cut": (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", 400),
}


@pytest.mark.parametrize("name", HTTP_FAULTS)
def test_what_is_no_request_of_http_is_answered_and_ends_the_connection(own: OwnWitness, name: str) -> None:
    """And the next client is served."""
    data, status = HTTP_FAULTS[name]
    answer = raw(own.port, data)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert b"Connection: close" in answer
    assert post(own.port, b"").status == 400


def test_a_connection_may_be_used_again(own: OwnWitness) -> None:
    """Two requests at once on one connection, two answers in order (RFC 9112 section 9.3)."""
    one = b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    answers = raw(own.port, one + b"GET /nothing HTTP/1.1\r\n\r\n" + b"GET / HTTP/1.0\r\n\r\n")
    assert [line.split(b" ")[1] for line in answers.split(b"HTTP/1.1")[1:]] == [b"400", b"404", b"404"]


async def test_bytes_that_trickle_in_end_with_the_deadline(desk: Desk) -> None:
    """A client that never finishes its request holds its own connection only, and not for long."""
    server = WitnessServer(desk.service, request_s=0.2, idle_s=0.2)
    port = await server.start("127.0.0.1", 0)
    try:
        silent_reader, _ = await asyncio.open_connection("127.0.0.1", port)
        slow_reader, slow_writer = await asyncio.open_connection("127.0.0.1", port)
        slow_writer.write(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\nold")
        async with asyncio.timeout(DEADLINE_S):
            assert (await asyncio.to_thread(post, port, request_at(0, 5))).status == 200
            assert (await slow_reader.read()).startswith(b"HTTP/1.1 408 ")
            assert await silent_reader.read() == b""
    finally:
        await server.stop()


async def test_connections_are_counted(desk: Desk) -> None:
    """One more than there may be is told to come again; with one less it is served."""
    server = WitnessServer(desk.service)
    port = await server.start("127.0.0.1", 0)
    try:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
        async with asyncio.timeout(DEADLINE_S):
            # Each of the accepting tasks has to have its turn.
            while len(server._connections) < MAX_CONNECTIONS:
                await asyncio.sleep(0)
            assert (await asyncio.to_thread(post, port, request_at(0, 5))).status == 503
            idle[0][1].close()
            while len(server._connections) == MAX_CONNECTIONS:
                await asyncio.sleep(0)
            assert (await asyncio.to_thread(post, port, request_at(0, 5))).status == 200
    finally:
        await server.stop()


def test_many_clients_at_once_get_one_history(own: OwnWitness) -> None:
    """Each of them asks for another next size at the same moment: one is cosigned, the others are told which."""
    answer = own.post(request_at(0, 1))
    known = 1 if answer.status == 200 else int(answer.body)
    if known >= 280:
        pytest.fail("the module's witness has no sizes left")
    sizes = range(known + 1, known + 13)
    connections = [socket.create_connection(("127.0.0.1", own.port), timeout=DEADLINE_S) for _ in sizes]
    bodies = [request_at(known, size) for size in sizes]
    for connection, body in zip(connections, bodies, strict=True):
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
    for connection, body in zip(connections, bodies, strict=True):
        connection.sendall(body)
    answers = [connection.recv(4096) for connection in connections]
    for connection in connections:
        connection.close()
    cosigned = [size for size, said in zip(sizes, answers, strict=True) if said.startswith(b"HTTP/1.1 200 ")]
    assert len(cosigned) == 1
    assert all(said.endswith(b"\r\n\r\n%d\n" % cosigned[0]) for said in answers if b" 409 " in said)
