"""What a server can do wrong: slow, cut off, too much, no HTTP; each ends at the deadline, and no thread is left."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from drivers.http.exchange import BODY_MAX
from drivers.http.port import HttpPort, HttpSettings
from gateway.errors import MeterProtocolError, MeterUnavailable
from tests.http_device import Asked, Device, certificates, ok, secret
from tests.parts import free_port

Make = Callable[..., Device]


@pytest.fixture
def make() -> Iterator[Make]:
    devices: list[Device] = []

    def made(tls: ssl.SSLContext | None = None, **more: object) -> Device:
        devices.append(Device(tls, **more))  # type: ignore[arg-type]
        return devices[-1]

    yield made
    for device in devices:
        device.close()


async def test_plain_http_where_tls_was_expected_and_the_reverse(make: Make) -> None:
    tls = make(certificates().server(), bodies={"/": b"1"})

    def port(scheme: str, number: int) -> HttpPort:
        return HttpPort(HttpSettings(url=f"{scheme}://127.0.0.1:{number}", deadline_s=20), secret)

    raw = make_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    try:
        with pytest.raises(
            MeterUnavailable, match="does not speak TLS on this port; check the port, or whether it is http"
        ):
            await port("https", raw.getsockname()[1]).get("/")
    finally:
        raw.close()
    with pytest.raises((MeterProtocolError, MeterUnavailable), match=r"https://|broke the connection"):
        await port("http", tls.port).get("/")


def make_raw(answer: bytes) -> socket.socket:
    """Sends *answer* to whoever connects, whatever he says."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            sock, _ = listener.accept()
            with sock:
                sock.recv(4096)
                sock.sendall(answer)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(4096)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    return listener


def dripping(before: bytes) -> Callable[[Asked, socket.socket], None]:
    """Sends *before*, and then a byte now and then, without an end."""

    def answer(_asked: Asked, sock: socket.socket) -> None:
        sock.sendall(before)
        event = threading.Event()
        for _ in range(2000):
            sock.sendall(b"x")
            event.wait(0.01)

    return answer


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
async def test_a_slow_answer_ends_at_the_deadline(make: Make, before: bytes, tls: bool) -> None:
    """Each byte comes in time, and the whole does not: it is the whole that counts. No thread is left."""
    device = make(certificates().server() if tls else None, answer=dripping(before))
    port = device.http_port(deadline_s=0.5)
    start = time.monotonic()
    with pytest.raises(MeterUnavailable, match=r"no whole answer within 0.5 s"):
        await port.get("/")
    assert time.monotonic() - start < 5
    await ended("http 127.0.0.1")


async def test_who_accepts_and_says_nothing_ends_at_the_deadline() -> None:
    """Also in the middle of the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        for scheme in ("http", "https"):
            port = HttpPort(HttpSettings(url=f"{scheme}://127.0.0.1:{number}", deadline_s=0.2), secret)
            with pytest.raises(MeterUnavailable, match=r"no whole answer within 0.2 s|did not answer in time"):
                await port.get("/")
        await ended("http 127.0.0.1")


async def ended(name: str) -> None:
    """Waits until no thread of that name is left."""
    async with asyncio.timeout(20):
        while any(thread.name.startswith(name) for thread in threading.enumerate()):
            await asyncio.sleep(0)


async def test_a_cancelled_request_leaves_no_thread(make: Make) -> None:
    device = make(answer=dripping(b""))
    task = asyncio.create_task(device.http_port().get("/"))
    while not device.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended("http 127.0.0.1")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "cut off: 5 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "cut off: 10 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", "was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n123", "was cut off|no HTTP"),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_MAX + 1}\r\n\r\n".encode(), "more than 1048576 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_MAX + 1), "more than 1048576 bytes"),
        (ok(b"x", "Content-Encoding: gzip"), "it packed its answer"),
        (b"SSH-2.0-OpenSSH_9\r\n", "no HTTP .BadStatusLine.; check the port, or whether it is https"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "no HTTP .HTTPException"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", "no HTTP .LineTooLong"),
        (b"", "it closed the connection without an answer"),
    ],
)
async def test_what_is_not_whole_or_too_much_is_no_answer(make: Make, answer: bytes, told: str) -> None:
    device = make(answer=lambda _asked, _sock: answer)
    with pytest.raises((MeterProtocolError, MeterUnavailable), match=told):
        await device.http_port().get("/")


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"x" * BODY_MAX),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + b"x" * BODY_MAX + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * BODY_MAX,
    ],
)
async def test_the_largest_answer_comes_whole(make: Make, answer: bytes) -> None:
    device = make(certificates().server(), answer=lambda _asked, _sock: answer)
    assert await device.http_port().get("/") == b"x" * BODY_MAX


async def test_nobody_there_and_no_such_name() -> None:
    port = HttpPort(HttpSettings(url=f"http://127.0.0.1:{free_port()}"), secret)
    with pytest.raises(MeterUnavailable, match=r"127.0.0.1:\d+: nothing listens there"):
        await port.get("/")
    nobody = HttpPort(HttpSettings(url="https://no-such-host.invalid"), secret)
    with pytest.raises(MeterUnavailable, match=r"no-such-host.invalid: its name is not known here"):
        await nobody.get("/")


async def test_a_host_that_is_no_name_is_told() -> None:
    port = HttpPort(HttpSettings(url="https://a..b"), secret)
    with pytest.raises(MeterUnavailable, match=r"a..b: the host is no name; correct it|not known here"):
        await port.get("/")


async def test_who_breaks_the_connection_is_told() -> None:
    """A reset, during the handshake and after the request."""
    for scheme in ("http", "https"):
        listener = resetting()
        number = listener.getsockname()[1]
        with pytest.raises(MeterUnavailable, match=r"broke the connection|closed the connection|TLS failed"):
            await HttpPort(HttpSettings(url=f"{scheme}://127.0.0.1:{number}", deadline_s=20), secret).get("/")
        listener.close()


def resetting() -> socket.socket:
    """Resets whoever connects, when he has said something."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        sock.recv(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener


async def test_many_requests_at_once_all_come(make: Make) -> None:
    device = make(certificates().server(), bodies={"/": b"1"})
    port = device.http_port()
    assert await asyncio.gather(*(port.get("/") for _ in range(20))) == [b"1"] * 20
    tasks = [asyncio.create_task(port.get("/")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert await port.get("/") == b"1"
    await ended("http 127.0.0.1")


async def test_a_name_server_that_never_answers_costs_a_few_threads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """getaddrinfo cannot be broken off; its threads are left behind, and no more of them than four."""
    release = threading.Event()

    def hang(*_arguments: object, **_more: object) -> list[object]:
        release.wait(60)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    port = HttpPort(HttpSettings(url="http://slow.example.org", deadline_s=0.05), secret)
    for _ in range(4):
        with pytest.raises(MeterUnavailable, match=r"within 0.05 s"):
            await port.get("/")
    with pytest.raises(MeterUnavailable, match="the name server still owes answers"):
        await port.get("/")
    release.set()
    await ended("http slow.example.org")
    with pytest.raises(MeterUnavailable, match=r"Temporary failure|within"):
        await port.get("/")


async def test_the_next_address_is_tried_when_one_is_dead(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    device = make(bodies={"/": b"1"})
    stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    both = [(*stream, ("127.0.0.1", free_port())), (*stream, ("127.0.0.1", device.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: both)
    assert await device.http_port().get("/") == b"1"
