"""An endpoint before a real node: it hands on what it is asked, tells what a test wants instead, and accuses misuse."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from tests.chain_nodes import ChainNode, NodeError
from tests.mosquitto import Certificates

#: How many parameters each method has: the client asks nothing else.
METHODS = {
    "eth_chainId": 0,
    "eth_getBlockByNumber": 2,
    "eth_getTransactionCount": 2,
    "eth_getBalance": 2,
    "eth_gasPrice": 0,
    "eth_maxPriorityFeePerGas": 0,
    "eth_getCode": 2,
    "eth_call": 2,
    "eth_estimateGas": 2,
    "eth_sendRawTransaction": 1,
    "eth_getTransactionByHash": 1,
    "eth_getTransactionReceipt": 1,
    "eth_getLogs": 1,
}
#: What to tell: given the parameters and a function that asks the node. It may raise NodeError.
Lie = Callable[[list[Any], Callable[[], Any]], Any]


class LyingEndpoint:
    """Listens on loopback. As a context manager it fails the test where the client did not keep to the protocol."""

    def __init__(self, node: ChainNode, *, certificates: Certificates | None = None, path: str = "/") -> None:
        self.node = node
        self.path = path
        #: Method → what to tell of it; everything else is told as it is.
        self.lies: dict[str, Lie] = {}
        #: HTTP status → body, for the next answers instead of any of the above; the last one stays.
        self.statuses: list[tuple[int, bytes, dict[str, str]]] = []
        self.asked: list[tuple[str, list[Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.connections, self.ended = 0, 0
        self.accusations: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self.scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.server, certificates.server_key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert kind is not None or not self.accusations, self.accusations

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def label(self) -> str:
        """How messages are to name it."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """What the config says."""
        return self.label + self.path

    def count(self, method: str) -> int:
        """How often it was asked for that."""
        return sum(name == method for name, _ in self.asked)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The JSON-RPC answer."""
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        said = {"jsonrpc": "2.0", "id": request["id"]}

        def truth() -> Any:
            return self.node.rpc(method, *params)

        try:
            lie = self.lies.get(method)
            return said | {"result": truth() if lie is None else lie(params, truth)}
        except NodeError as error:
            return said | {"error": json.loads(str(error))}

    def accuse(self, handler: BaseHTTPRequestHandler, request: Any) -> None:
        """Notes what is wrong with a request."""
        method, params = request.get("method"), request.get("params")
        first = not self.asked
        for good, fault in (
            (handler.path == self.path, f"asked for the path {handler.path}"),
            (handler.headers["Content-Type"] == "application/json", f"sent {handler.headers['Content-Type']}"),
            (request.get("jsonrpc") == "2.0" and type(request.get("id")) is int, f"sent {request}"),
            (isinstance(params, list) and METHODS.get(method) == len(params), f"sent {request}"),
            (not first or method == "eth_chainId", f"asked {method} before the chain id was known"),
        ):
            if not good:
                self.accusations.append(fault)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    endpoint: LyingEndpoint

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that ends a connection is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is two small writes.
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.endpoint.connections += 1

    def finish(self) -> None:
        super().finish()
        self.server.endpoint.ended += 1

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        endpoint.headers.append(dict(self.headers))
        endpoint.accuse(self, request)
        if endpoint.statuses:
            status, body, headers = endpoint.statuses[0]
            endpoint.statuses[:1] = [] if len(endpoint.statuses) > 1 else endpoint.statuses
            endpoint.asked.append((request["method"], request["params"]))
        else:
            status, body, headers = 200, json.dumps(endpoint.answer(request)).encode(), {}
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not on the test's standard error."""


def refuse(text: str, code: int = -32000, data: Any = None) -> Lie:
    """Tells an error instead."""

    def lie(_params: list[Any], _truth: Callable[[], Any]) -> Any:
        raise NodeError({"code": code, "message": text} | ({} if data is None else {"data": data}))

    return lie


def tell(result: Any) -> Lie:
    """Tells *result*, whatever was asked."""
    return lambda _params, _truth: result


def alter(**fields: Any) -> Lie:
    """The truth, with other *fields*; callables are given the true one."""

    def lie(_params: list[Any], truth: Callable[[], Any]) -> Any:
        told = truth()
        if told is None:
            return None
        return told | {name: value(told[name]) if callable(value) else value for name, value in fields.items()}

    return lie


def later(_params: list[Any], truth: Callable[[], Any]) -> Any:
    """One more than is true."""
    return hex(int(truth(), 16) + 1)


@asynccontextmanager
async def both(
    node: ChainNode, *, liar_first: bool = False, **more: int
) -> AsyncIterator[tuple[ChainClient, LyingEndpoint]]:
    """A client of the honest node and of a liar before it."""
    with LyingEndpoint(node) as liar:
        urls = [liar.url, node.url] if liar_first else [node.url, liar.url]
        client = ChainClient(246, [RpcSettings(url=url) for url in urls], **more)  # type: ignore[arg-type]
        yield client, liar
        client.close()
