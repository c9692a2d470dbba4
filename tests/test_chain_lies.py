"""What one lying endpoint beside an honest one comes to: the table of ``gateway.chain.client``, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import Call
from gateway.errors import EndpointsDisagree, TransactionRefused
from gateway.signing.evm import keccak256
from tests.chain_nodes import Anvil, deploy
from tests.lying_endpoint import Lie, alter, both, later, refuse, tell
from tests.mosquitto import eventually
from tests.test_chain_client import ABSENT, EMITTER
from tests.test_chain_refusals import ACCOUNT, TO, signed

OTHER_HASH = "0x" + "ab" * 32
CALL = Call(to=TO, data=b"")


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        node.mine(2)
        yield node


LIES: dict[str, tuple[str, Lie, Callable[[ChainClient], Any]]] = {
    "nonce": ("eth_getTransactionCount", later, lambda client: client.nonce(ACCOUNT)),
    "balance": ("eth_getBalance", later, lambda client: client.balance(ACCOUNT)),
    "code": ("eth_getCode", tell("0x60"), lambda client: client.code(TO)),
    "result": ("eth_call", tell("0x01"), lambda client: client.read(CALL)),
    "result of a block": ("eth_call", tell("0x01"), lambda client: client.read(CALL, block=1)),
    "revert": ("eth_call", refuse("execution reverted", 3, "0x"), lambda client: client.read(CALL)),
    "revert of an estimate": ("eth_estimateGas", refuse("execution reverted", 3), lambda c: c.estimate(CALL, ACCOUNT)),
    "gas": ("eth_estimateGas", tell("0xffffff"), lambda client: client.estimate(CALL, ACCOUNT)),
    "little gas": ("eth_estimateGas", tell("0x1"), lambda client: client.estimate(CALL, ACCOUNT)),
    "block": ("eth_getBlockByNumber", alter(hash=OTHER_HASH), lambda client: client.block(1)),
    "base fee": ("eth_getBlockByNumber", alter(baseFeePerGas="0xffffffffff"), lambda client: client.fees()),
    "height": ("eth_getBlockByNumber", alter(number="0xffff"), lambda client: client.head()),
}


@pytest.mark.parametrize("liar_first", [False, True])
@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_a_contradiction(name: str, liar_first: bool, node: Anvil) -> None:
    """Both endpoints are named, nobody is believed, and without the lie all is well."""
    method, lie, ask = LIES[name]
    async with both(node, liar_first=liar_first) as (client, liar):
        await ask(client)
        liar.lies[method] = lie
        with pytest.raises(EndpointsDisagree) as caught:
            await ask(client)
        assert node.url in str(caught.value)
        assert liar.label in str(caught.value)
        liar.lies = {}
        await ask(client)


@pytest.mark.parametrize("liar_first", [False, True])
async def test_a_receipt_that_is_not_is_not_agreed(liar_first: bool, node: Anvil) -> None:
    """Invented, moved to another block, turned from failure to success, or with another event."""
    contract = deploy(node, EMITTER)
    transaction = bytes.fromhex(node.send(to=contract)[2:])
    true = node.receipt(transaction)
    assert true is not None
    event = true["logs"][0]
    lies: list[dict[str, Any]] = [
        {"blockNumber": "0x1"},
        {"blockHash": OTHER_HASH, "logs": []},
        {"status": "0x0"},
        {"gasUsed": "0x1"},
        {"logs": []},
        {"logs": [event | {"data": "0x" + "00" * 32}]},
        {"logs": [event | {"address": TO}]},
    ]
    async with both(node, liar_first=liar_first) as (client, liar):
        told = await client.agreed_receipt(transaction)
        assert told is not None
        for lie in lies:
            liar.lies["eth_getTransactionReceipt"] = alter(**lie)
            with pytest.raises(EndpointsDisagree, match="transaction 0x"):
                await client.agreed_receipt(transaction)
        liar.lies["eth_getTransactionReceipt"] = tell(true | {"transactionHash": "0x" + ABSENT.hex(), "logs": []})
        with pytest.raises(EndpointsDisagree, match="that it is in no block"):
            await client.agreed_receipt(ABSENT)


@pytest.mark.parametrize("liar_first", [False, True])
async def test_a_receipt_that_is_hidden_is_found(liar_first: bool, node: Anvil) -> None:
    """The next one tells it, and that they contradict is told where it counts."""
    transaction = bytes.fromhex(node.send(to=TO)[2:])
    async with both(node, liar_first=liar_first) as (client, liar):
        liar.lies["eth_getTransactionReceipt"] = tell(None)
        assert await client.receipt(transaction) is not None
        with pytest.raises(EndpointsDisagree, match="that it is in no block"):
            await client.agreed_receipt(transaction)
        liar.lies["eth_getTransactionByHash"] = tell(None)
        assert await client.transaction_known(transaction)


async def test_one_that_has_not_come_as_far_is_no_liar(node: Anvil, tmp_path: Path) -> None:
    """Another node on the same chain, three blocks behind: it cannot know the receipt."""
    with Anvil(state=node.save(tmp_path / "state.json")) as behind:
        transaction = bytes.fromhex(node.send(to=TO)[2:])
        node.mine(2)
        client = ChainClient(246, [RpcSettings(url=one.url) for one in (behind, node)])
        receipt = await client.agreed_receipt(transaction)
        assert receipt is not None
        assert receipt.block_number == 3
        # What is deep enough is so for all; what has not been reached by all is asked of those who have.
        assert (await client.head()).number == 2
        assert await client.nonce(node.dev) == 0
        assert (await client.block(5)) is not None
        assert await client.logs(TO, [], 0, 5) == []
        client.close()


async def test_two_chains_with_one_id_are_found_by_their_blocks(node: Anvil, tmp_path: Path) -> None:
    """Both nodes began with the same state and went different ways: each is a chain in good order."""
    with Anvil(state=node.save(tmp_path / "state.json")) as other:
        node.fund(ACCOUNT)
        other.fund(ACCOUNT)
        client = ChainClient(246, [RpcSettings(url=one.url) for one in (node, other)])
        assert (await client.head()).number == 2
        assert await client.balance(ACCOUNT) > 0
        raw = signed()
        await client.send(raw)
        eventually(lambda: node.nonce(ACCOUNT) == other.nonce(ACCOUNT) == 1, what="a transaction that goes to all")
        other.rpc(
            "evm_setNextBlockTimestamp", int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16) + 9
        )
        node.mine()
        other.mine()
        for asking in (client.balance(ACCOUNT), client.nonce(ACCOUNT), client.fees(), client.block(4)):
            with pytest.raises(EndpointsDisagree, match=r"block 4: .* tells 0x[0-9a-f]{64} at \d+ with a base fee of"):
                await asking
        other.reorg(2)
        with pytest.raises(EndpointsDisagree, match="transaction 0x"):
            await client.agreed_receipt(keccak256(raw))
        client.close()


@pytest.mark.parametrize("liar_first", [False, True])
async def test_events_left_out_or_added_are_a_contradiction(liar_first: bool, node: Anvil) -> None:
    """The first event that differs is named."""
    contract = deploy(node, EMITTER)
    for _ in range(3):
        node.send(to=contract)
    last = node.head

    def leave_out(_params: list[Any], truth: Callable[[], Any]) -> Any:
        told = truth()
        return told[:1] + told[2:]

    def add(_params: list[Any], truth: Callable[[], Any]) -> Any:
        told = truth()
        return [*told, told[-1] | {"logIndex": "0x9"}]

    def change(_params: list[Any], truth: Callable[[], Any]) -> Any:
        return [event | {"data": "0x"} for event in truth()]

    async with both(node, liar_first=liar_first) as (client, liar):
        assert len(await client.logs(contract, [], 0, last)) == 3
        for lie, words in (
            (leave_out, "in block 5"),
            (add, "no further event"),
            (change, "in block 4"),
            (tell([]), "no"),
        ):
            liar.lies["eth_getLogs"] = lie
            with pytest.raises(EndpointsDisagree, match=f"events of blocks 0 to {last}: .*{words}"):
                await client.logs(contract, [], 0, last)


async def test_events_that_were_not_asked_for_are_not_even_compared(node: Anvil) -> None:
    """Another contract's, of another block, twice, removed: such an answer is malformed, so the honest one counts."""
    contract = deploy(node, EMITTER)
    node.send(to=contract)
    last = node.head
    lies: list[Callable[[dict[str, Any]], list[dict[str, Any]]]] = [
        lambda event: [event | {"address": TO}],
        lambda event: [event | {"topics": [OTHER_HASH]}],
        lambda event: [event | {"topics": []}],
        lambda event: [event | {"blockNumber": hex(last + 1)}],
        lambda event: [event, event],
        lambda event: [event | {"removed": True}],
    ]
    for lie in lies:
        async with both(node) as (client, liar):
            liar.lies["eth_getLogs"] = lambda _params, truth, lie=lie: lie(truth()[0])  # type: ignore[misc]
            assert len(await client.logs(contract, [(7).to_bytes(32, "big")], 0, last)) == 1
            assert "eth_getLogs cannot be used" in client.describe()[1]["error"]


@pytest.mark.parametrize("liar_first", [False, True])
async def test_a_transaction_goes_to_all(liar_first: bool, node: Anvil) -> None:
    """One that takes and drops it, or refuses it, does not keep it from the chain."""
    node.fund(ACCOUNT)
    async with both(node, liar_first=liar_first) as (client, liar):
        raw = signed()
        liar.lies["eth_sendRawTransaction"] = tell("0x" + keccak256(raw).hex())
        await client.send(raw)
        eventually(lambda: node.nonce(ACCOUNT) == 1)
        liar.lies["eth_sendRawTransaction"] = refuse("nonce too low")
        await client.send(signed(1))
        eventually(lambda: node.nonce(ACCOUNT) == 2)
        liar.lies["eth_sendRawTransaction"] = tell(OTHER_HASH)
        await client.send(signed(2))
        assert "the hash 0xabab" in client.describe()[0 if liar_first else 1]["error"]
        liar.lies["eth_sendRawTransaction"] = refuse("nonce too low")
        with pytest.raises(TransactionRefused):
            await client.send(signed(2, value=1))
