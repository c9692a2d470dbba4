"""The read API over HTTP: every file of an export byte for byte, and every way of asking wrongly."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http_request import MAX_HEAD, BadRequest, parse_head
from gateway.log.note import parse_checkpoint
from gateway.log.tile_reader import read_entries
from gateway.log.tiles import write_tiles
from gateway.serve import Limits
from tests.log_dir import Station
from tests.log_over_http import Serving, read_all
from tests.whole import until

HOST = b"Host: board\r\n"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """600 entries in several segments, signed, and 20 durable ones that are not."""
    station = Station(tmp_path_factory.mktemp("log"))
    station.start()
    station.read_meter(598)
    station.log.commit()
    station.sign()
    station.read_meter(20)
    station.log.commit()
    yield station
    station.log.close()


@pytest.fixture
def serving(station: Station) -> Iterator[Serving]:
    with Serving(station.log, station.directory) as serving:
        yield serving


def _export(station: Station, directory: Path) -> dict[str, bytes]:
    note = station.log.newest_checkpoint or b""
    entries = station.entries()
    write_tiles(directory, station.log.origin, lambda start: entries[start:], note)
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_every_file_of_an_export_is_served_byte_for_byte(station: Station, serving: Serving, tmp_path: Path) -> None:
    """With the type and the caching that C2SP asks for."""
    files = _export(station, tmp_path)
    assert len(files) == 3 + 3 + 1 + 1
    for name, data in files.items():
        status, headers, body = serving.get(f"/{name}")
        assert (status, body) == (200, data), name
        if name == "checkpoint":
            assert headers["content-type"] == "text/plain; charset=utf-8"
            assert headers["cache-control"] == "no-cache"
        else:
            assert headers["content-type"] == "application/octet-stream"
            assert "immutable" in headers["cache-control"]


def test_what_was_fetched_is_a_log_that_verifies(station: Station, serving: Serving, tmp_path: Path) -> None:
    """A reader that knows only the port and the names of the format gets every signed entry."""
    names = ["checkpoint", "tile/1/000.p/2"]
    names += [f"tile/{kind}/{place}" for kind in ("0", "entries") for place in ("000", "001", "002.p/88")]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(serving.get(f"/{name}")[2])
    checkpoint = parse_checkpoint((tmp_path / "checkpoint").read_bytes())
    assert list(read_entries(tmp_path, checkpoint)) == station.entries()[:600]


def test_what_is_durable_but_not_signed_is_not_there(station: Station, serving: Serving) -> None:
    """Nor is anything under another name."""
    assert station.log.durable_size == 620
    for path in (
        "/tile/entries/002.p/89",
        "/tile/entries/002.p/108",
        "/tile/0/002",
        "/tile/0/003",
        "/tile/2/000.p/1",
        "/tile/0/0",
        "/tile/0/x000/000",
        "/tile/0/000.p/256",
        "/tile/0/000?",
        "/tile/../checkpoint",
        "//checkpoint",
        "/checkpoint/",
        "/checkpoint?x=1",
        "/",
        "/signer",
    ):
        status, headers, body = serving.get(path)
        assert (status, headers["cache-control"]) == (404, "no-cache"), path
        assert body.endswith(b"\n")
    assert serving.get("/tile/entries/002.p/87")[0] == 200


def test_new_entries_are_served_once_they_are_signed(tmp_path: Path) -> None:
    """The server follows the log; before the first checkpoint there is nothing."""
    station = Station(tmp_path / "state")
    station.start()
    station.log.commit()
    with Serving(station.log, station.directory) as serving:
        assert serving.get("/checkpoint")[0] == 404
        assert serving.get("/tile/entries/000.p/1")[0] == 404
        for _ in range(3):
            station.fill(4, entries=30)
            files = _export(station, tmp_path / "export")
            assert {name: serving.get(f"/{name}")[2] for name in files} == files
    station.log.close()


def test_a_log_that_was_changed_is_not_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bit on the disk: 503, an error for the operator, once, and the checkpoint is still told."""
    station = Station(tmp_path / "state")
    station.start()
    station.fill(40, entries=10)
    path = station.files()[0]
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with Serving(station.log, station.directory) as serving:
        for _ in range(2):
            assert serving.get("/tile/entries/000")[0] == 503
        assert serving.get("/checkpoint")[0] == 200
    assert len([record for record in caplog.records if "http:" in record.message]) == 1
    station.log.close()


def test_head_has_the_headers_of_get_and_no_body(serving: Serving) -> None:
    """For files and for what is not there."""
    for path in ("/checkpoint", "/tile/0/000", "/nothing"):
        got, asked = serving.get(path), serving.get(path, "HEAD")
        assert asked[0] == got[0]
        assert asked[2] == b""
        assert asked[1] | {"date": ""} == got[1] | {"date": ""}
        assert int(got[1]["content-length"]) == len(got[2])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"])
def test_other_methods_are_405(serving: Serving, method: str) -> None:
    """With those that are answered."""
    status, headers, _ = serving.get("/checkpoint", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_connection_serves_many_requests_and_pipelined_ones(serving: Serving) -> None:
    """In order; the last one says close."""
    one = b"GET /checkpoint HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /nothing HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert _statuses(serving.say(one * 3 + last)) == [200, 200, 200, 404]
    assert _statuses(serving.say(b"GET /checkpoint HTTP/1.0\r\n\r\n")) == [200]
    assert _statuses(
        serving.say(b"GET http://board/checkpoint HTTP/1.1\r\n" + HOST + b"Connection: CLOSE\r\n\r\n")
    ) == [200]


def _statuses(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb"^HTTP/1\.1 ([0-9]{3}) ", data, flags=re.MULTILINE)]


REFUSED = {
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST * 2 + b"\r\n": 400,
    b"GET /\r\n" + HOST + b"\r\n": 400,
    b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n": 400,
    b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n": 400,
    b"GET / HTTP/2.0\r\n" + HOST + b"\r\n": 505,
    b"GET checkpoint HTTP/1.1\r\n" + HOST + b"\r\n": 400,
    b"GET * HTTP/1.1\r\n" + HOST + b"\r\n": 400,
    b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n": 400,
    b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n": 400,
    b"GET / HTTP/1.1\n" + HOST + b"\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b" folded: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"name : x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"x: a\rb\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"x: a\0b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello": 413,
    b"GET / HTTP/1.1\r\n" + HOST + b"x: y\r\n" * 64 + b"\r\n": 431,
    b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\n" + HOST + b"\r\n": 431,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
}


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_no_request_is_refused_and_the_connection_ends(serving: Serving, number: int) -> None:
    """Each rule of the head, broken once; the answer arrives although more was sent."""
    data, status = list(REFUSED.items())[number]
    with serving.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert _statuses(read_all(connection)) == [status]


def test_random_heads_end_in_a_request_or_a_refusal() -> None:
    """Whatever bytes come, the parser says one of the two."""
    rng = random.Random(8067)
    start = b"GET /checkpoint HTTP/1.1\r\n"
    pieces = [b"GET ", start, HOST, b"Connection: close\r\n", b"Accept: */*\r\n", b": ", b"\n", b"\0", b"\xff "]
    refused = []
    for _ in range(5000):
        head = start + b"".join(rng.choice(pieces) for _ in range(rng.randrange(5))) + b"\r\n"
        try:
            parse_head(head)
        except BadRequest as refusal:
            refused.append(refusal.status)
    assert set(refused) <= {400, 431, 505}
    assert 3000 < len(refused) < 5000


def test_a_client_that_says_nothing_is_let_go(station: Station) -> None:
    """Nor does half a request hold a place for ever."""
    with Serving(station.log, station.directory, Limits(head_s=0.05)) as serving:
        for data in (b"", b"GET /check", b"GET /checkpoint HTTP/1.1\r\n" + HOST):
            with serving.connect() as connection:
                connection.sendall(data)
                assert read_all_or_reset(connection) == b""


def test_a_client_that_takes_nothing_is_let_go(tmp_path: Path) -> None:
    """It gets a reset once its patience is over, and the next one is served."""
    station = Station(tmp_path / "state", segment_bytes=1 << 20)
    station.start()
    station.read_meter(254, points=200)
    station.log.commit()
    station.sign()
    limits = Limits(slice_s=0.05, connections=1)
    with Serving(station.log, station.directory, limits) as serving:
        length = len(serving.get("/tile/entries/000")[2])
        assert length > 400_000
        with serving.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall((b"GET /tile/entries/000 HTTP/1.1\r\n" + HOST + b"\r\n") * 20)
            # Only reading would tell when it is over: the next client is refused until then.
            until(lambda: serving.get("/checkpoint")[0] == 200, "a free place")
            assert len(read_all_or_reset(connection)) < 20 * length
    station.log.close()


def read_all_or_reset(connection: socket.socket) -> bytes:
    try:
        return read_all(connection)
    except ConnectionResetError:
        return b""


def test_too_many_clients_are_told_so(station: Station) -> None:
    """The places are counted, and free again when their clients leave."""
    with Serving(station.log, station.directory, Limits(connections=2)) as serving:
        held = [serving.connect() for _ in range(2)]
        for connection in held:
            connection.sendall(b"GET /checkpoint HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert serving.get("/checkpoint")[0] == 503
        for connection in held:
            connection.close()
        until(lambda: serving.get("/checkpoint")[0] == 200, "a free place")
