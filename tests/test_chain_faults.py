"""What an endpoint can do wrong besides lying: each is a state with its reason, within the deadline, and no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.endpoint import BLOCK_ANSWER_MAX
from gateway.chain.rpc import ANSWER_MAX, RpcEndpoint, RpcRefused, RpcSettings
from gateway.errors import ChainUnavailable
from tests.chain_nodes import Anvil
from tests.lying_endpoint import LyingEndpoint, tell
from tests.mosquitto import Certificates, make_certificates

NESTED = b"[" * 100_000


def http(body: bytes, head: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def saying(data: bytes) -> AsyncIterator[str]:
    """The URL of a server that says *data* to each request, and closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        # What is left unread would end the connection with a reset.
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        yield node


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


GARBAGE = {
    "nothing": (b"", "is no HTTP"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "is no HTTP"),
    "no JSON": (http(b"<html>welcome</html>"), "eth_chainId is no JSON: '<html>welcome</html>'"),
    "bytes that are no UTF-8": (http(b'"\xff"'), "is no JSON"),
    "half a JSON": (http(b'{"jsonrpc": "2.0", "id": 1, "res'), "is no JSON"),
    "brackets without end": (http(NESTED), "is no JSON"),
    "a number without end": (http(b'{"jsonrpc":"2.0","id":1,"result":' + b"9" * 5000 + b"}"), "is no JSON"),
    "a list": (http(b"[]"), "is no JSON-RPC 2.0"),
    "another version": (http(b'{"jsonrpc":"1.0","id":1,"result":"0xf6"}'), "is no JSON-RPC 2.0"),
    "another request's answer": (http(b'{"jsonrpc":"2.0","id":7,"result":"0xf6"}'), "belongs to another request"),
    "an id that is a text": (http(b'{"jsonrpc":"2.0","id":"1","result":"0xf6"}'), "belongs to another request"),
    "an id that is true": (http(b'{"jsonrpc":"2.0","id":true,"result":"0xf6"}'), "belongs to another request"),
    "no result": (http(b'{"jsonrpc":"2.0","id":1}'), "has neither result nor error"),
    "an error that is a text": (http(b'{"jsonrpc":"2.0","id":1,"error":"no"}'), "error without code or message"),
    "an error without code": (http(b'{"jsonrpc":"2.0","id":1,"error":{"message":"no"}}'), "error without code"),
    "cut": (http(b'{"jsonrpc":"2.0","id":1,"result":"0xf6"}')[:-9], "its answer ends after 31 of 40 bytes"),
    "cut between chunks": (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"jso\r\n', "is no HTTP"),
    "too large": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", f"larger than {ANSWER_MAX} bytes"),
    "too large, unannounced": (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (ANSWER_MAX + 1), "larger than"),
    "too large in chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 17,
        "larger than",
    ),
    "endless headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, "is no HTTP"),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_an_answer_that_is_none_is_told_with_the_endpoint(name: str) -> None:
    """Endpoint, fault and value; nothing of it is taken for an answer."""
    data, fault = GARBAGE[name]
    async with saying(data) as url:
        with pytest.raises(ChainUnavailable) as caught:
            await RpcEndpoint(RpcSettings(url=url)).call("eth_chainId")
    assert fault in str(caught.value)
    assert str(caught.value).startswith(f"{url}: ")


STATUSES = {
    301: "points elsewhere, which is not followed",
    307: "points elsewhere, which is not followed",
    401: "does not accept the credentials",
    403: "does not accept the credentials",
    404: "nothing at this path",
    429: "asked too often",
    500: "it failed",
    503: "it failed",
}


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_is_told_in_words(status: int, node: Anvil) -> None:
    """Also where a good answer comes with it: no status but 200 has one."""
    bodies = [b"<html>", b'{"jsonrpc": "2.0", "id": 1, "result": "0xf6"}']
    if status in (401, 403, 429):
        bodies.append(b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}}')
    for body in bodies:
        with LyingEndpoint(node) as endpoint, LyingEndpoint(node) as elsewhere:
            endpoint.statuses = [(status, body, {"Location": elsewhere.url})]
            with pytest.raises(ChainUnavailable, match=rf"{STATUSES[status]}.*\(HTTP {status}\)"):
                await RpcEndpoint(RpcSettings(url=endpoint.url)).call("eth_chainId")
            assert elsewhere.connections == 0


async def test_an_error_of_the_node_counts_with_any_status(node: Anvil) -> None:
    """Some nodes tell their errors with HTTP 400 or 500, one of a request that it could not read without an id."""
    with LyingEndpoint(node) as endpoint:
        for status, number in ((200, "1"), (400, "2"), (500, "3"), (400, "null")):
            body = f'{{"jsonrpc":"2.0","id":{number},"error":{{"code":-32000,"message":"header not found"}}}}'
            endpoint.statuses = [(status, body.encode(), {})]
            rpc = RpcEndpoint(RpcSettings(url=endpoint.url))
            rpc._id = 0 if number == "null" else int(number) - 1
            with pytest.raises(RpcRefused, match="header not found"):
                await rpc.call("eth_chainId")


@pytest.mark.parametrize("trickle", [b"", b"H"])
async def test_an_answer_that_does_not_end_ends_with_the_deadline(trickle: bytes) -> None:
    """Silence, or a byte now and then: one deadline for all of it."""
    tasks: set[asyncio.Task[None]] = set()

    async def dawdle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        while await reader.read(1):
            writer.write(trickle)

    server = await asyncio.start_server(dawdle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(ChainUnavailable, match=rf"{url} did not answer within 0\.2 s"):
        await RpcEndpoint(RpcSettings(url=url, deadline_s=0.2)).call("eth_chainId")
    await asyncio.gather(*tasks, return_exceptions=True)
    server.close()


async def test_a_node_that_hangs_is_replaced_and_then_left_alone(node: Anvil) -> None:
    """A stopped process takes connections and says nothing; once found out, it is not waited for again."""
    with Anvil() as hung:
        client = ChainClient(246, [RpcSettings(url=hung.url, deadline_s=1), RpcSettings(url=node.url)])
        await client.transaction_known(bytes(32))
        hung.pause()
        assert (await client.receipt(bytes(32))) is None
        told = client.describe()
        assert [one["state"] for one in told] == ["away", "ready"]
        assert "did not answer within 1 s" in told[0]["error"]
        hung.resume()
        client.close()


async def test_tls_is_checked_and_never_left_out(node: Anvil, certificates: Certificates, tmp_path: Path) -> None:
    """The right authority is served; another authority, another name, and plain HTTP to it get nothing."""
    with LyingEndpoint(node, certificates=certificates) as endpoint:
        here, plain = f"https://127.0.0.1:{endpoint.port}", f"http://127.0.0.1:{endpoint.port}"
        for url, ca, fault in (
            (here, certificates.other_ca, "its certificate is not accepted"),
            (here, None, "its certificate is not accepted"),
            (f"https://localhost:{endpoint.port}", certificates.ca, "its certificate is not accepted"),
            (here, tmp_path / "missing.pem", "No such file"),
            (plain, None, "no HTTP|broke"),
        ):
            with pytest.raises(ChainUnavailable, match=fault):
                await RpcEndpoint(RpcSettings(url=url, ca=ca)).call("eth_chainId")
        assert endpoint.asked == []
        assert await RpcEndpoint(RpcSettings(url=here, ca=certificates.ca)).call("eth_chainId") == "0xf6"


MALFORMED = {
    "eth_chainId": (246, "0xF6 ", "0x00f6", "", None, "0x" + "1" * 65, ["0xf6"]),
    "eth_getBalance": ("1", "0x", "0x01", "-0x1", 1.5, True, {"wei": "0x1"}),
    "eth_getCode": ("0x1", "60", None, "0xzz"),
    "eth_getTransactionByHash": ("0x", {}, {"hash": "0x" + "22" * 32}, []),
    "eth_getTransactionReceipt": ("0x", {}, {"transactionHash": "0x" + "00" * 32, "blockNumber": "0x1"}, []),
    "eth_getBlockByNumber": (None, "0x1", {"number": None}, {"number": "0x1", "hash": "0x12"}),
    "eth_getLogs": (None, {}, [None], [{"address": "0x12", "topics": []}]),
}


@pytest.mark.parametrize("method", MALFORMED)
async def test_a_result_that_is_malformed_puts_the_endpoint_aside(method: str, node: Anvil) -> None:
    """Its answer cannot be used, so the next endpoint is asked; alone, it is a state."""
    with LyingEndpoint(node) as bad:
        for value in MALFORMED[method]:
            bad.lies = {method: tell(value)}
            client = ChainClient(246, [RpcSettings(url=bad.url)])
            with pytest.raises(ChainUnavailable, match=f"{bad.label}: "):
                await ask(client, method)
            assert client.describe()[0]["state"] == "away"
            both = ChainClient(246, [RpcSettings(url=bad.url), RpcSettings(url=node.url)])
            await ask(both, method)
            client.close()
            both.close()


async def ask(client: ChainClient, method: str) -> object:
    if method == "eth_getBalance":
        return await client.balance("0x" + "11" * 20)
    if method == "eth_getCode":
        return await client.code("0x" + "11" * 20)
    if method == "eth_getTransactionByHash":
        return await client.transaction_known(bytes(32))
    if method == "eth_getTransactionReceipt":
        return await client.receipt(bytes(32))
    if method == "eth_getLogs":
        return await client.logs("0x" + "11" * 20, [], 0, 0)
    return await client.head()


async def test_an_answer_is_bounded_by_what_was_asked(node: Anvil) -> None:
    """A range of events may be asked for in parts, so its limit is small; one block's may not."""
    with LyingEndpoint(node) as endpoint:
        client = ChainClient(246, [RpcSettings(url=endpoint.url)])
        head = (await client.head()).number
        endpoint.statuses = [(200, b" " * (BLOCK_ANSWER_MAX + 1), {})]
        with pytest.raises(ChainUnavailable, match=f"larger than {BLOCK_ANSWER_MAX} bytes"):
            await client.logs("0x" + "11" * 20, [], head, head)
        client.close()
