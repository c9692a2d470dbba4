"""A whole gateway that anchors on a real node, and is killed at random moments until there are enough anchors."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.chain.anchors.artefact import load
from gateway.chain.anchors.audit import Audit, audit_anchors
from gateway.chain.anchors.bundle_store import FOLDER, BundleStore
from gateway.chain.anchors.contract import log_of
from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.log.view import LogView, find_log
from tests.chain_nodes import CHAIN_ID, Anvil, deploy, funded_key
from tests.whole import ORIGIN, RunningGateway

#: The longest life of a gateway behind its start, in seconds.
LIFE_S_MAX = 2.5


class Anchoring:
    """A gateway with a simulated meter and an account on the node."""

    def __init__(self, folder: Path, node: Anvil, *, form: str = "growing", rpc: str = "", coins: int = 10) -> None:
        self.node, self.contract = node, deploy(node, load().bytecode).lower()
        (folder / "state").mkdir(parents=True)
        uri, self.account = funded_key(folder / "state", node, coins * 10**18)
        self.gateway = RunningGateway(
            folder,
            "log: {commit: {seconds: 0}, checkpoint: {seconds: 0.1}}\n"
            "buses: [{name: b, simulator: true}]\n"
            "meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1, every: 0.1}]\n"
            f"chains: [{{name: ewc, chain_id: {CHAIN_ID}, rpc: ['{rpc or node.url}'], account: '{uri}', "
            f"confirmations: 1, anchor: {{contract: '{self.contract}', form: {form}, every: 1}}}}]\n",
        )

    @property
    def anchors(self) -> int:
        """How many transactions of the account are in blocks."""
        return self.node.nonce(self.account)

    def audit(self) -> Audit:
        """The chain against the log on the disk."""
        return asyncio.run(self._audit())

    async def _audit(self) -> Audit:
        client = ChainClient(CHAIN_ID, [RpcSettings(url=self.node.url)])
        try:
            view = LogView(find_log(self.gateway.state_dir))
            bundles = BundleStore(self.gateway.state_dir / FOLDER)
            log_id, blocks = log_of(self.account, ORIGIN), (0, (await client.head()).number)
            return await audit_anchors(client, self.contract, log_id, view, blocks, bundles=bundles)
        finally:
            client.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """What came of it."""

    kills: int
    #: Transactions of the account that are in blocks, with those that failed.
    transactions: int
    audit: Audit
    seconds: float


def kill_until(site: Anchoring, anchors: int, seed: int) -> Lived:
    """Kills the gateway at random moments until that many anchors are in blocks, then stops it cleanly."""
    rng, began_s, kills, pause = random.Random(seed), time.monotonic(), 0, threading.Event()
    with site.gateway as gateway:
        while site.anchors < anchors:
            pause.wait(rng.random() * LIFE_S_MAX)
            gateway.kill()
            kills += 1
            gateway.start()
        assert gateway.stop() == 0
    return Lived(kills=kills, transactions=site.anchors, audit=site.audit(), seconds=time.monotonic() - began_s)
