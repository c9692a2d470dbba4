"""A whole gateway that anchors its log on a real node, killed at random moments; a chain's troubles stay there."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.anchor import log_of
from gateway.chain.anchor_audit import Audit, audit_anchors
from gateway.chain.artefact import load
from gateway.chain.bundle_store import FOLDER, BundleStore
from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.log.entry import Kind
from gateway.log.view import LogView, find_log
from tests.chain_nodes import CHAIN_ID, Anvil, deploy, funded_key
from tests.whole import ORIGIN, RunningGateway, of_kind, until


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


class Anchoring:
    """A gateway with a simulated meter and an account on the node."""

    def __init__(self, folder: Path, node: Anvil, *, form: str = "growing", rpc: str = "", coins: int = 10) -> None:
        self.node, self.contract = node, deploy(node, load().bytecode).lower()
        (folder / "state").mkdir()
        uri, self.account = funded_key(folder / "state", node, coins * 10**18)
        self.gateway = RunningGateway(
            folder,
            "log: {commit: {seconds: 0}, checkpoint: {seconds: 0.1}}\n"
            "buses: [{name: b, simulator: true}]\n"
            "meters: [{name: main, model: eastron-sdm630, bus: b, unit: 1, every: 0.1}]\n"
            f"chains: [{{name: ewc, chain_id: {CHAIN_ID}, rpc: ['{rpc or node.url}'], account: '{uri}', "
            f"confirmations: 1, anchor: {{contract: '{self.contract}', form: {form}, every: 1}}}}]\n",
        )

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


@pytest.mark.parametrize("form", ["growing", "event"])
def test_a_gateway_anchors_its_log(tmp_path: Path, node: Anvil, form: str) -> None:
    """Several checkpoints, each once, ever larger; the audit finds no difference, and one where the log was changed."""
    site = Anchoring(tmp_path, node, form=form)
    with site.gateway as gateway:
        until(lambda: site.audit().anchors >= 3, "three anchors")
        (chain,) = gateway.status()["chains"]
        assert chain["account"] == site.account
        assert gateway.stop() == 0
    audit = site.audit()
    assert audit.findings == []
    assert audit.agreeing == audit.anchors == node.nonce(site.account)
    (segment,) = find_log(gateway.state_dir).glob("*.seg")
    victim = next(LogView(segment.parent).entries(audit.size_max - 1))
    data = segment.read_bytes()
    assert data.count(victim) == 1
    segment.write_bytes(data.replace(victim, victim[:-1] + bytes([victim[-1] ^ 1])))
    difference = site.audit().first_difference
    assert difference is not None
    # A changed byte breaks its frame as well, so the log ends before it.
    assert (difference.kind, difference.size) == ("beyond-log", audit.size_max)


def test_random_kills_anchor_each_checkpoint_at_most_once(tmp_path: Path, node: Anvil) -> None:
    """The gateway is killed at random moments; sizes grow strictly, no nonce is left out, the audit is green."""
    rng = random.Random(20261126)
    site = Anchoring(tmp_path, node, form="event")
    with site.gateway as gateway:
        for _ in range(6):
            before = site.audit().anchors
            until(lambda before=before: site.audit().anchors > before, "one more anchor")
            time.sleep(rng.random() * 0.5)
            gateway.kill()
            gateway.start()
        assert gateway.stop() == 0
    audit = site.audit()
    assert audit.findings == []
    assert audit.anchors == node.nonce(site.account) >= 6


def test_a_dead_chain_costs_no_reading(tmp_path: Path, node: Anvil) -> None:
    """A node that hangs, an account without a coin: states in status; the meters are read meanwhile, and it stops."""
    site = Anchoring(tmp_path, node, coins=0)
    with site.gateway as gateway:
        until(lambda: gateway.status()["chains"][0]["state"] == "low-balance", "the empty account is told")
        assert site.account in gateway.status()["chains"][0]["last_error"]
        node.pause()
        try:
            size = gateway.status()["log"]["size"]
            gateway.wait_size(size + 20)
            assert gateway.stop() == 0
        finally:
            node.resume()
    codes = [entry.body[0] for entry in of_kind(gateway.entries(), Kind.EVENT)]
    assert codes.count("chain-low-balance") == 1
