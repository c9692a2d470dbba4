"""A whole gateway that anchors its log on a real node, killed at random moments; a chain's troubles stay there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.log.entry import Kind
from gateway.log.view import LogView, find_log
from tests.anchor_lab import Anchoring, kill_until
from tests.chain_nodes import Anvil
from tests.whole import of_kind, until


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as running:
        yield running


@pytest.mark.parametrize("form", ["growing", "event"])
def test_a_gateway_anchors_its_log(tmp_path: Path, node: Anvil, form: str) -> None:
    """Several checkpoints, each once, ever larger; the audit finds no difference, and one where the log was changed."""
    site = Anchoring(tmp_path / "board", node, form=form)
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


@pytest.mark.parametrize("form", ["growing", "event"])
def test_random_kills_anchor_each_checkpoint_at_most_once(tmp_path: Path, form: str) -> None:
    """The gateway is killed at random moments; sizes grow strictly, no nonce is left out, the audit is green."""
    with Anvil(block_time_s=1) as node:
        lived = kill_until(Anchoring(tmp_path / "board", node, form=form), anchors=3, seed=6)
    assert lived.kills > 0
    assert lived.audit.findings == []
    assert lived.audit.anchors == lived.audit.agreeing == lived.transactions >= 3


def test_a_dead_chain_costs_no_reading(tmp_path: Path, node: Anvil) -> None:
    """A node that hangs, an account without a coin: states in status; the meters are read meanwhile, and it stops."""
    site = Anchoring(tmp_path / "board", node, coins=0)
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
