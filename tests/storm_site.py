"""What storms are made in: a site whose worker never pauses, where its process may end, what an end point may tell."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.chain.sender import Limits
from gateway.chain.worker import ChainWorker, Pace
from tests.chain_nodes import CHAIN_ID
from tests.chain_site import ChainSite, Crash
from tests.lying_endpoint import tell

GWEI = 10**9
CONFIRMATIONS = 4
CAP = 60 * GWEI
#: Where a process may end: in the client, in the ledger, in the job.
CRASHES = {
    "_client": [
        *("send", "balance", "fees", "estimate", "transaction_known", "receipt", "agreed_receipt"),
        *("head", "block", "nonces", "nonce", "logs"),
    ],
    "_ledger": ["put", "revive", "forget"],
    "job": ["settled", "due"],
}


def away(_params: list[Any], _truth: Callable[[], Any]) -> Any:
    raise RuntimeError("the connection ends")


def _behind(_params: list[Any], truth: Callable[[], Any]) -> Any:
    return hex(max(0, int(truth(), 16) - 1))


#: What an end point tells at times; with a second one beside it that is honest.
LIES: dict[str, list[Any]] = {
    "eth_getTransactionReceipt": [tell(None), away],
    "eth_getTransactionByHash": [tell(None), away],
    "eth_getTransactionCount": [_behind, away, lambda _params, truth: hex(int(truth(), 16) + 1)],
    "eth_sendRawTransaction": [away],
    "eth_getLogs": [tell([]), away],
    "eth_getBlockByNumber": [away],
}


class StormSite(ChainSite):
    """As a gateway has it: the worker, and no pause behind a failure."""

    replace_s = 1e9

    def client(self) -> ChainClient:
        ticks = itertools.count()
        settings = [RpcSettings(url=end.url, deadline_s=5) for end in self.nodes]
        return ChainClient(CHAIN_ID, settings, clock=lambda: next(ticks) * 1000.0)

    def worker(self, **_: Any) -> ChainWorker:
        worker = super().worker()
        worker._pace = Pace(busy_s=0, idle_s=0, pause_s_max=0)
        worker._limits = Limits(confirmations=CONFIRMATIONS, fee_cap=CAP, replace_s=self.replace_s)
        return worker


def arm(target: Any, method: str, *, before: bool, after: int) -> None:
    """Has *method* end the process at its call number *after*, before it did anything or just behind it."""
    real, calls = getattr(target, method), itertools.count()

    if asyncio.iscoroutinefunction(real):

        async def dying(*args: Any, **named: Any) -> Any:
            last = next(calls) == after
            if last and before:
                raise Crash
            found = await real(*args, **named)
            if last:
                raise Crash
            return found

    else:

        def dying(*args: Any, **named: Any) -> Any:
            last = next(calls) == after
            if last and before:
                raise Crash
            found = real(*args, **named)
            if last:
                raise Crash
            return found

    setattr(target, method, dying)
