"""One endpoint: what is asked and answered, connections kept, and credentials that nobody sees."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.rpc import RpcEndpoint, RpcRefused, RpcSettings, RpcTooLarge
from gateway.errors import ChainUnavailable, ConfigError
from gateway.http_post import HttpPeer, Post
from gateway.sinks.dial import Address
from tests.chain_nodes import Anvil
from tests.lying_endpoint import LyingEndpoint, refuse, tell
from tests.mosquitto import eventually, make_certificates

SECRET = "kEy-0123456789"


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        yield node


async def test_a_result_is_given_as_it_was_told(node: Anvil) -> None:
    """Null, false and texts are results like others."""
    endpoint = RpcEndpoint(RpcSettings(url=node.url))
    assert await endpoint.call("eth_chainId") == "0xf6"
    assert await endpoint.call("eth_syncing") is False
    assert await endpoint.call("eth_getTransactionByHash", "0x" + "11" * 32) is None
    endpoint.close()


async def test_an_error_of_the_node_is_told_with_its_words(node: Anvil) -> None:
    """Endpoint, method, text and code."""
    endpoint = RpcEndpoint(RpcSettings(url=node.url))
    with pytest.raises(RpcRefused) as caught:
        await endpoint.call("eth_noSuchMethod")
    assert str(caught.value) == f"{node.url} refused eth_noSuchMethod: Method not found (code -32601)"
    assert caught.value.code == -32601
    endpoint.close()


async def test_requests_share_a_connection_one_after_the_other(node: Anvil) -> None:
    """Twenty requests, one connection; with TLS it saves most of the time."""
    with LyingEndpoint(node) as before:
        endpoint = RpcEndpoint(RpcSettings(url=before.url))
        for _ in range(20):
            assert await endpoint.call("eth_chainId") == "0xf6"
        endpoint.close()
        assert before.connections == 1


async def test_requests_side_by_side_get_their_own_answers(node: Anvil) -> None:
    """Each on a connection of its own, each by its id."""
    node.mine(30)
    with LyingEndpoint(node) as before:
        endpoint = RpcEndpoint(RpcSettings(url=before.url))
        await endpoint.call("eth_chainId")
        told = await asyncio.gather(*(endpoint.call("eth_getBlockByNumber", hex(n), False) for n in range(30)))
        assert [int(block["number"], 16) for block in told] == list(range(30))
        endpoint.close()


async def test_a_kept_connection_that_the_server_closed_costs_nothing(node: Anvil) -> None:
    """The request is sent again on a new one."""
    endpoint = RpcEndpoint(RpcSettings(url=node.url))
    assert await endpoint.call("eth_chainId") == "0xf6"
    node.restart()
    assert await endpoint.call("eth_chainId") == "0xf6"
    node.kill()
    with pytest.raises(ChainUnavailable, match="nothing listens there"):
        await endpoint.call("eth_chainId")


async def test_a_connection_is_kept_for_a_while_only(node: Anvil) -> None:
    """It ends by itself when nobody asks, and with the endpoint."""
    with LyingEndpoint(node) as before:
        address = Address(label="x", host="127.0.0.1", port=before.port, tls=None)
        body = b'{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}'
        post = Post(path="/", body=body, content_type="application/json", answer_max=100)
        for keep_s in (0, 0.05):
            assert (await HttpPeer(address, keep_s=keep_s).post(post, 10)).status == 200
            await asyncio.to_thread(eventually, lambda: before.ended == before.connections)
        endpoint = RpcEndpoint(RpcSettings(url=before.url))
        await endpoint.call("eth_chainId")
        endpoint.close()
        await asyncio.to_thread(eventually, lambda: before.ended == before.connections == 3)


async def test_an_answer_may_have_just_the_allowed_size(node: Anvil) -> None:
    """One byte more is too much, and told without reading it all."""
    with LyingEndpoint(node) as before:
        endpoint = RpcEndpoint(RpcSettings(url=before.url))
        await endpoint.call("eth_chainId")
        before.statuses = [(200, b'{"jsonrpc": "2.0", "id": 2, "result": "x"}', {})]
        assert await endpoint.call("eth_gasPrice", answer_max=42) == "x"
        with pytest.raises(RpcTooLarge, match="eth_gasPrice is larger than 41 bytes"):
            await endpoint.call("eth_gasPrice", answer_max=41)


@pytest.mark.parametrize("where", ["path", "query", "password", "token"])
async def test_credentials_are_sent_and_never_shown(node: Anvil, where: str) -> None:
    """Not even where the far side repeats them in an error, in garbage or in a status."""
    path = {"path": f"/v3/{SECRET}", "query": f"/?apikey={SECRET}"}.get(where, "/")
    with LyingEndpoint(node, path=path) as before:
        url = before.url.replace("//", f"//user:{SECRET}@") if where == "password" else before.url
        settings = RpcSettings(url=url, token=SECRET.encode if where == "token" else None)
        endpoint = RpcEndpoint(settings)
        assert await endpoint.call("eth_chainId") == "0xf6"
        login = base64.b64encode(f"user:{SECRET}".encode()).decode() if where == "password" else SECRET
        wanted = {"password": f"Basic {login}", "token": f"Bearer {SECRET}"}.get(where)
        assert before.headers[0].get("Authorization") == wanted
        said = [repr(settings)]
        before.lies["eth_gasPrice"] = refuse(f"no such plan: {SECRET} {login} {path}")
        for status in ([], [(200, f"<html>{SECRET}, {login}".encode(), {})], [(401, SECRET.encode(), {})]):
            before.statuses = status
            with pytest.raises(ChainUnavailable) as caught:
                await endpoint.call("eth_gasPrice")
            said.append(str(caught.value))
        assert all(before.label in line for line in said[1:])
        assert not [line for line in said if SECRET in line or login in line]
        endpoint.close()


URLS = {
    "": "begins with ''",
    "rpc.example.org": "begins with ''",
    f"ws://rpc.example.org/{SECRET}": "begins with 'ws'",
    f"http:///{SECRET}": "write https://HOST",
    f"https://h:{SECRET}/": "is none",
    f"https://rpc.example.org/{SECRET}#x": "https://rpc.example.org: what follows the host",
    f"https://rpc.example.org/a b{SECRET}": "what follows the host",
    f"http://user:{SECRET}@rpc.example.org": "http://rpc.example.org: would get its credentials without TLS",
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_cannot_be_asked_is_an_error_without_its_secret(url: str) -> None:
    """The operator is told what is wrong with it, and not what is in it."""
    with pytest.raises(ConfigError, match=URLS[url]) as caught:
        RpcEndpoint(RpcSettings(url=url))
    assert SECRET not in str(caught.value)


def test_settings_that_contradict_are_errors(tmp_path: Path) -> None:
    """An authority without TLS, two credentials, a token that anybody could read on the way."""
    for settings, fault in (
        (RpcSettings(url="http://127.0.0.1:1", ca=tmp_path / "ca.pem"), "ca means nothing"),
        (RpcSettings(url=f"https://u:{SECRET}@h", token=SECRET.encode), "give only one"),
        (RpcSettings(url="http://192.0.2.1", token=SECRET.encode), "without TLS"),
    ):
        with pytest.raises(ConfigError, match=fault):
            RpcEndpoint(settings)


async def test_a_token_that_no_header_may_have_is_told(node: Anvil) -> None:
    """A file with a newline in it, say."""
    endpoint = RpcEndpoint(RpcSettings(url=node.url, token=lambda: b"two\nlines"))
    with pytest.raises(ChainUnavailable, match="token has characters"):
        await endpoint.call("eth_chainId")


async def test_tls_keeps_connections_too(node: Anvil, tmp_path: Path) -> None:
    """With the authority of the config only."""
    certificates = make_certificates(tmp_path)
    with LyingEndpoint(node, certificates=certificates) as before:
        before.lies["eth_gasPrice"] = tell("0x1")
        endpoint = RpcEndpoint(RpcSettings(url=before.url, ca=certificates.ca))
        await endpoint.call("eth_chainId")
        for _ in range(5):
            assert await endpoint.call("eth_gasPrice") == "0x1"
        endpoint.close()
        assert before.connections == 1
