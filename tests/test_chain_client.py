"""The client asks real nodes what it should, replaces one that is away, and comes back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.chain.client import ChainClient
from gateway.chain.endpoint import PAUSE_S_MAX
from gateway.chain.refusals import LogsRefused
from gateway.chain.rpc import RpcSettings
from gateway.chain.values import WEI_PER_COIN, WEI_PER_GWEI, Call
from gateway.errors import ChainUnavailable, ConfigError
from gateway.signing.evm import keccak256
from tests.chain_nodes import Anvil, ChainNode, Ganache, deploy
from tests.lying_endpoint import LyingEndpoint, alter, refuse, tell
from tests.mosquitto import eventually
from tests.test_chain_refusals import ACCOUNT, TO, signed

#: A contract that emits the word 42 under the topic 7 with every call.
EMITTER = bytes.fromhex("6011600c60003960116000f3602a600052600760206000a160006000f3")
TOPIC = (7).to_bytes(32, "big")
DATA = (42).to_bytes(32, "big")
ABSENT = bytes.fromhex("11" * 32)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        yield node


def client_of(*urls: str, clock: Callable[[], float] | None = None, chain_id: int = 246, **more: int) -> ChainClient:
    endpoints = [RpcSettings(url=url) for url in urls]
    return ChainClient(chain_id, endpoints, clock=clock or Clock(), **more)


@pytest.mark.parametrize("make", [Anvil, Ganache])
async def test_what_a_chain_tells_is_read(make: Callable[[], ChainNode]) -> None:
    """Blocks, accounts, contracts, transactions and events, from two kinds of node."""
    with make() as node:
        client = client_of(node.url)
        node.fund(ACCOUNT, 5 * WEI_PER_COIN)
        contract = deploy(node, EMITTER)
        transaction = bytes.fromhex(node.send(to=contract)[2:])
        head = await client.head()
        assert head.number == node.head
        before = await client.block(head.number - 1)
        assert before is not None
        assert (before.hash, head.base_fee is not None) == (head.parent, True)
        assert await client.block(head.number + 1) is None
        assert (await client.nonce(ACCOUNT), await client.balance(ACCOUNT)) == (0, 5 * WEI_PER_COIN)
        assert await client.nonce(node.dev) == await client.nonce(node.dev, pending=True) == node.nonce(node.dev)
        assert (await client.code(contract), await client.code(ACCOUNT)) == (EMITTER[12:], b"")
        assert await client.read(Call(to=contract, data=b"")) == b""
        assert 21_000 < await client.estimate(Call(to=contract, data=b""), node.dev) < 30_000
        receipt = await client.receipt(transaction)
        assert receipt is not None
        assert receipt == await client.agreed_receipt(transaction)
        assert (receipt.block_number, receipt.block_hash, receipt.succeeded) == (head.number, head.hash, True)
        assert [(log.topics, log.data, log.transaction) for log in receipt.logs] == [((TOPIC,), DATA, transaction)]
        assert await client.logs(contract, [TOPIC], 0, head.number) == list(receipt.logs)
        assert await client.logs(contract, [[ABSENT, TOPIC]], 0, head.number) == list(receipt.logs)
        assert await client.logs(contract, [ABSENT], 0, head.number) == []
        assert (await client.receipt(ABSENT), await client.agreed_receipt(ABSENT)) == (None, None)
        assert (await client.transaction_known(transaction), await client.transaction_known(ABSENT)) == (True, False)
        client.close()


async def test_another_block_than_was_asked_for_is_none(node: Anvil) -> None:
    """Good in itself, and no answer."""
    node.mine(3)
    with LyingEndpoint(node) as endpoint:
        client = client_of(endpoint.url)
        await client.head()
        endpoint.lies["eth_getBlockByNumber"] = alter(number="0x1")
        with pytest.raises(ChainUnavailable, match="was asked for block 2 and tells 1"):
            await client.block(2)
        client.close()


async def test_a_constructor_that_is_estimated_has_no_address(node: Anvil) -> None:
    """Without ``to`` the call makes a contract."""
    client = client_of(node.url)
    assert await client.estimate(Call(to=None, data=EMITTER), node.dev) > 53_000
    client.close()


async def test_fees_are_those_of_the_newest_block(node: Anvil) -> None:
    """A node without an opinion of the priority fee has one of the price; a chain may have no base fee at all."""
    with LyingEndpoint(node) as endpoint:
        client = client_of(endpoint.url)
        base = (await client.head()).base_fee
        assert base is not None
        hint = await client.fees()
        assert (hint.base_fee, hint.priority_fee, hint.gas_price) == (base, WEI_PER_GWEI, base + WEI_PER_GWEI)
        endpoint.lies = {
            "eth_maxPriorityFeePerGas": refuse("the method does not exist", -32601),
            "eth_gasPrice": tell(hex(base + 5)),
        }
        assert (await client.fees()).priority_fee == 5
        endpoint.lies["eth_getBlockByNumber"] = alter(baseFeePerGas=None)
        hint = await client.fees()
        assert (hint.base_fee, hint.gas_price) == (None, base + 5)
        client.close()


async def test_a_transaction_is_sent_and_sent_again(node: Anvil) -> None:
    """Which is no error while it waits for its block."""
    node.rpc("evm_setAutomine", False)
    node.fund(ACCOUNT)
    client = client_of(node.url)
    raw = signed(value=5)
    await client.send(raw)
    await client.send(raw)
    node.mine()
    eventually(lambda: node.nonce(ACCOUNT) == 1)
    assert node.balance(TO) == 5
    assert await client.transaction_known(keccak256(raw))
    client.close()


async def test_another_chain_is_not_asked_anything_else(node: Anvil) -> None:
    """The endpoint is out until its chain id is right; it is checked again behind each failure."""
    clock = Clock()
    with Anvil(chain_id=1) as other, LyingEndpoint(other) as endpoint:
        client = client_of(endpoint.url, clock=clock)
        with pytest.raises(ChainUnavailable, match="tells chain id 1, the config says 246"):
            await client.balance(ACCOUNT)
        assert {method for method, _ in endpoint.asked} == {"eth_chainId"}
        assert client.describe()[0]["state"] == "wrong-chain"
        endpoint.node = node
        assert await client.balance(ACCOUNT) == 0
        endpoint.statuses = [(502, b"", {})]
        with pytest.raises(ChainUnavailable, match="HTTP 502"):
            await client.balance(ACCOUNT)
        endpoint.statuses, endpoint.node = [], other
        with pytest.raises(ChainUnavailable, match="tells chain id 1"):
            await client.balance(ACCOUNT)
        client.close()


async def test_one_that_is_away_is_replaced_and_comes_back(node: Anvil) -> None:
    """It is not asked again before its pause is over, and then comes first again."""
    clock = Clock()
    with LyingEndpoint(node) as first, LyingEndpoint(node) as second:
        client = client_of(first.url, second.url, clock=clock)
        assert await client.transaction_known(ABSENT) is False
        node.send(to=TO)
        first.statuses = [(503, b"", {})]
        await client.head()
        asked = len(first.asked)
        await client.head()
        assert (len(first.asked), [one["state"] for one in client.describe()]) == (asked, ["away", "ready"])
        first.statuses = []
        clock.s += 1.5
        await client.head()
        assert (len(first.asked) > asked, [one["state"] for one in client.describe()]) == (True, ["ready", "ready"])
        client.close()


async def test_pauses_grow_and_end(node: Anvil) -> None:
    """Five minutes at most. Where nobody's pause is over, the one that ends first is not waited for."""
    clock = Clock()
    with LyingEndpoint(node) as first, LyingEndpoint(node) as second:
        client = client_of(first.url, second.url, clock=clock)
        await client.head()
        first.statuses = [(503, b"", {})]
        pauses = []
        for _ in range(12):
            await client.head()
            asked, began_s = len(first.asked), clock.s
            while len(first.asked) == asked:
                clock.s += 0.5 if clock.s - began_s < 10 else 10
                await client.head()
            pauses.append(clock.s - began_s)
        assert pauses[:4] == [1, 2, 4, 8]
        assert pauses[-1] == pauses[-2] <= PAUSE_S_MAX + 10
        second.statuses = [(503, b"", {})]
        for _ in range(3):
            with pytest.raises(ChainUnavailable, match="503"):
                await client.head()
        second.statuses = []
        assert (await client.head()).number == node.head
        client.close()


async def test_where_nobody_answers_each_one_s_reason_is_told(node: Anvil) -> None:
    """A node that refuses to tell its chain, one whose blocks are too large, one that has no opinion of fees."""
    with LyingEndpoint(node) as first, LyingEndpoint(node) as second:
        client = client_of(first.url, second.url)
        first.lies["eth_chainId"] = refuse("not for you")
        second.lies["eth_getBlockByNumber"] = tell("x" * 2_000_000)
        with pytest.raises(ChainUnavailable) as caught:
            await client.head()
        for words in (
            "no endpoint of chain 246 has an answer",
            f"{first.label} refused eth_chainId: not for you",
            f"{second.label}: its answer to eth_getBlockByNumber is larger than",
        ):
            assert words in str(caught.value)
        assert [one["state"] for one in client.describe()] == ["away", "away"]
        second.lies = {"eth_maxPriorityFeePerGas": refuse("busy with something else")}
        with pytest.raises(ChainUnavailable, match="busy with something else"):
            await client_of(second.url).fees()
        client.close()


async def test_a_killed_node_is_told_and_a_restarted_one_found(node: Anvil) -> None:
    """With one endpoint it is asked each time that somebody wants to know."""
    client = client_of(node.url)
    await client.head()
    node.kill()
    with pytest.raises(ChainUnavailable, match="nothing listens there"):
        await client.head()
    node.start()
    assert (await client.head()).number == 0
    client.close()


async def test_a_node_that_wants_patience_gets_it(node: Anvil) -> None:
    """Its error is good JSON-RPC, and yet the next one is asked for a while."""
    with LyingEndpoint(node) as first, LyingEndpoint(node) as second:
        client = client_of(first.url, second.url)
        first.lies["eth_getTransactionReceipt"] = refuse("daily request count exceeded, request rate limited", -32005)
        await client.receipt(ABSENT)
        asked = len(first.asked)
        await client.receipt(ABSENT)
        assert len(first.asked) == asked
        assert "rate limited" in client.describe()[0]["error"]
        client.close()


async def test_too_many_events_are_asked_for_in_parts(node: Anvil) -> None:
    """Whether the node says so, or its answer grows too large; one block is not divisible."""
    node.mine(9)
    with LyingEndpoint(node) as endpoint:
        client = client_of(endpoint.url)
        for lie in (refuse("query returned more than 10000 results", -32005), tell("x" * 2_000_000)):
            endpoint.lies["eth_getLogs"] = lie
            with pytest.raises(LogsRefused):
                await client.logs(TO, [], 0, 9)
            with pytest.raises(ChainUnavailable) as caught:
                await client.logs(TO, [], 9, 9)
            assert not isinstance(caught.value, LogsRefused)
        client.close()


async def test_an_endpoint_that_is_behind_tells_no_events(node: Anvil) -> None:
    """Nodes answer with what they have, as if there were nothing more: such an answer is not taken."""
    client = client_of(node.url)
    node.mine(3)
    assert await client.logs(TO, [None, TOPIC], 0, 3) == []
    with pytest.raises(ChainUnavailable, match="no endpoint that answers has reached block 4"):
        await client.logs(TO, [], 0, 4)
    client.close()


async def test_a_head_that_goes_far_back_or_is_not_of_today_has_a_note(node: Anvil) -> None:
    """It is no fault of itself, and status shows it."""
    client = ChainClient(246, [RpcSettings(url=node.url)])
    node.mine(30)
    await client.head()
    assert client.describe()[0]["note"] == ""
    node.restart()
    await client.head()
    assert client.describe()[0]["note"] == "went back from block 30 to 0"
    client.close()
    for now_s, words in ((10_000_000_000, " s old"), (0, "later than this device's clock")):
        client = ChainClient(246, [RpcSettings(url=node.url)], now_s=lambda now_s=now_s: now_s)
        await client.head()
        assert words in client.describe()[0]["note"]
        client.close()


def test_endpoints_that_cannot_agree_are_an_error() -> None:
    """None at all, or fewer than must agree."""
    for urls, agree_min in (([], 1), (["http://127.0.0.1:1"], 2), (["http://127.0.0.1:1"], 0)):
        with pytest.raises(ConfigError, match="cannot agree"):
            client_of(*urls, agree_min=agree_min)
