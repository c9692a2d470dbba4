"""Several endpoints asked at once: whose word counts where none lies, and where one does that must not matter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.refusals import LogsRefused
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import WEI_PER_GWEI, Call
from gateway.errors import CallReverted, ChainUnavailable, EndpointsDisagree
from tests.chain_nodes import Anvil, deploy
from tests.lying_endpoint import LyingEndpoint, alter, both, later, refuse, tell
from tests.test_chain_refusals import ACCOUNT, HELLO, TO

CALL = Call(to=TO, data=b"")


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        node.mine(2)
        yield node


async def test_nonces_tells_each_word(node: Anvil) -> None:
    """Who knows more, such as the ledger, may find the true one among them; of those pending the lowest counts."""
    async with both(node) as (client, liar):
        liar.lies["eth_getTransactionCount"] = later
        assert await client.nonces(ACCOUNT) == [0, 1]
        assert await client.nonces(ACCOUNT, block=1) == [0, 1]
        assert await client.nonce(ACCOUNT, pending=True) == 0


async def test_fees_are_the_lowest_told(node: Anvil) -> None:
    """A liar cannot make us pay more."""
    async with both(node) as (client, liar):
        honest = await client.fees()
        liar.lies = {"eth_gasPrice": tell("0xffffffffffff"), "eth_maxPriorityFeePerGas": tell("0xffffffffffff")}
        assert await client.fees() == honest
        liar.lies["eth_maxPriorityFeePerGas"] = tell("0x1")
        assert (honest.priority_fee, (await client.fees()).priority_fee) == (WEI_PER_GWEI, 1)


async def test_the_highest_of_estimates_that_are_close_counts(node: Anvil) -> None:
    """Nodes search for it in steps: a little more costs nothing, a little less would fail."""
    async with both(node) as (client, liar):
        for told, counts in (("0x5300", 0x5300), ("0x5100", 21_000)):
            liar.lies["eth_estimateGas"] = tell(told)
            assert await client.estimate(CALL, ACCOUNT) == counts


async def test_a_revert_that_all_tell_is_one(node: Anvil) -> None:
    """With the reason of the first."""
    async with both(node) as (client, liar):
        contract = deploy(node, bytes.fromhex("6005600c60003960056000f360006000fd"))
        call = Call(to=contract, data=b"")
        for asking in (client.read(call), client.estimate(call, ACCOUNT)):
            with pytest.raises(CallReverted):
                await asking
        liar.lies["eth_call"] = refuse("execution reverted", 3, "0x" + HELLO.hex())
        with pytest.raises(EndpointsDisagree, match=r"a revert \(hello\)"):
            await client.read(call)


@pytest.mark.parametrize("stuck_first", [False, True])
async def test_one_that_is_stuck_is_left_aside_with_a_note(stuck_first: bool, node: Anvil) -> None:
    """Its newest block is of an hour ago, the other's is of now: it holds up nobody."""
    with LyingEndpoint(node) as stuck:
        stuck.lies["eth_getBlockByNumber"] = alter(number="0x1", timestamp=lambda told: hex(int(told, 16) - 3600))
        urls = [stuck.url, node.url] if stuck_first else [node.url, stuck.url]
        client = ChainClient(246, [RpcSettings(url=url) for url in urls])
        assert (await client.head()).number == 2
        assert await client.nonce(ACCOUNT) == 0
        assert "s old" in client.describe()[0 if stuck_first else 1]["note"]
        client.close()


async def test_with_a_wrong_clock_nobody_is_left_aside(node: Anvil) -> None:
    """The boards have no clock that survives a power cut: then both are old, and both count."""
    async with both(node, now_s=lambda: 0) as (client, liar):  # type: ignore[arg-type]
        assert await client.balance(ACCOUNT) == 0
        liar.lies["eth_getBalance"] = later
        with pytest.raises(EndpointsDisagree):
            await client.balance(ACCOUNT)


async def test_where_two_must_agree_one_is_not_enough(node: Anvil) -> None:
    """Without that, the word of the one that is left counts."""
    for agree_min in (1, 2):
        async with both(node, agree_min=agree_min) as (client, liar):
            await client.head()
            liar.statuses = [(503, b"", {})]
            transaction = bytes.fromhex(node.send(to=TO)[2:])
            for asking in (
                client.balance(ACCOUNT),
                client.agreed_receipt(transaction),
                client.logs(TO, [], 0, 2),
                client.block(1),
                client.estimate(CALL, ACCOUNT),
                client.fees(),
                client.read(CALL),
                client.read(CALL, block=1),
            ):
                if agree_min == 1:
                    await asking
                    continue
                with pytest.raises(ChainUnavailable, match=f"must tell the same; only {node.url} can"):
                    await asking


@pytest.mark.parametrize("liar_first", [False, True])
async def test_one_that_wants_fewer_blocks_is_not_left_out(liar_first: bool, node: Anvil) -> None:
    """Or a liar with wider limits would be the only one to be asked."""
    async with both(node, liar_first=liar_first) as (client, strict):
        strict.lies["eth_getLogs"] = refuse("eth_getLogs is limited to a 1 block range")
        with pytest.raises(LogsRefused):
            await client.logs(TO, [], 0, 2)
        strict.lies = {}
        assert await client.logs(TO, [], 2, 2) == []


async def test_side_by_side_questions_do_not_mix(node: Anvil) -> None:
    """Each has its own answers, whatever else is asked meanwhile."""
    async with both(node) as (client, _liar):
        asked = [client.block(number % 3) for number in range(12)]
        told = await asyncio.gather(*asked, client.balance(ACCOUNT), client.head())
        assert [block.number for block in told[:12]] == [0, 1, 2] * 4  # type: ignore[union-attr]
