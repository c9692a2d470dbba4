"""The chain nodes of the tests do what tests rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain_nodes import WEI_PER_COIN, Anvil, ChainNode, Ganache, NodeError, deploy, funded_key

#: A contract that answers 42 to everything.
FORTY_TWO = bytes.fromhex("600a600c600039600a6000f3602a60005260206000f3")
NODES = {"anvil": Anvil, "ganache": Ganache}


def forty_two(node: ChainNode, contract: str) -> int:
    return int(node.rpc("eth_call", {"to": contract, "data": "0x"}, "latest"), 16)


def block(node: ChainNode, number: int) -> str:
    return str(node.rpc("eth_getBlockByNumber", hex(number), False)["hash"])


@pytest.mark.parametrize("kind", NODES)
def test_a_node_has_contracts_and_funded_keys(kind: str, tmp_path: Path) -> None:
    """Both nodes, chain id 246, London rules."""
    with NODES[kind]() as node:
        assert forty_two(node, deploy(node, FORTY_TWO)) == 42
        uri, account = funded_key(tmp_path, node, 7 * WEI_PER_COIN)
        assert uri == "file:account.pem"
        assert node.balance(account) == 7 * WEI_PER_COIN
        head = node.head
        node.mine(3)
        assert node.head == head + 3
        assert "baseFeePerGas" in node.rpc("eth_getBlockByNumber", "latest", False)


def test_a_reorganization_replaces_blocks_and_takes_their_transactions_away() -> None:
    """The height stays."""
    with Anvil() as node:
        node.mine(3)
        transaction = node.send(to=node.dev, value=1)
        node.mine(1)
        before = [block(node, number) for number in range(6)]
        node.reorg(2)
        after = [block(node, number) for number in range(6)]
        assert [one == other for one, other in zip(before, after, strict=True)] == [True] * 4 + [False] * 2
        assert node.receipt(transaction) is None


def test_a_node_starts_again_from_an_older_state(tmp_path: Path) -> None:
    """What came after the state is gone, what came before is there, and a second node may begin there as well."""
    with Anvil() as node:
        contract = deploy(node, FORTY_TWO)
        node.mine(2)
        state = node.save(tmp_path / "state.json")
        old = block(node, 3)
        node.mine(2)
        node.restart(state)
        assert (node.head, block(node, 3), forty_two(node, contract)) == (3, old, 42)
        with Anvil(state=state) as other:
            assert block(other, 3) == old
        node.restart()
        assert node.head == 0


def test_blocks_come_only_when_asked_for_without_mining() -> None:
    """A transaction stays pending."""
    with Anvil(mining=False) as node:
        transaction = node.send(to=node.dev, value=1)
        assert node.receipt(transaction) is None
        node.mine()
        assert node.receipt(transaction) is not None
        with pytest.raises(NodeError):
            node.rpc("eth_noSuchMethod")
