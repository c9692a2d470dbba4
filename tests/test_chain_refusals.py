"""What nodes mean by their errors, as real ones say them and as their sources have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from coincurve import PrivateKey

from gateway.chain.client import ChainClient
from gateway.chain.refusals import REFUSALS, is_busy, is_too_wide, refusal_kind, revert_reason
from gateway.chain.rpc import RpcRefused, RpcSettings
from gateway.chain.transaction import Fees, Transaction
from gateway.chain.values import WEI_PER_GWEI, Call
from gateway.errors import CallReverted, TransactionRefused
from gateway.signing.evm import address, keccak256
from tests.chain_nodes import Anvil, ChainNode, Ganache, deploy
from tests.lying_endpoint import LyingEndpoint, refuse

KEY = PrivateKey(b"\x11" * 32)
ACCOUNT = address(KEY.public_key.format(compressed=False))
TO = "0x" + "22" * 20


def signed(
    nonce: int = 0, *, gwei: int = 3, tip: int = 1, gas: int = 21_000, value: int = 0, chain_id: int = 246
) -> bytes:
    """A transaction of KEY's account."""
    fees = Fees(fee_max=gwei * WEI_PER_GWEI, priority_max=tip * WEI_PER_GWEI)
    call = Call(to=TO, data=b"", value=value)
    transaction = Transaction(chain_id=chain_id, nonce=nonce, fees=fees, gas=gas, call=call)
    return transaction.signed(KEY.sign_recoverable(keccak256(transaction.unsigned), hasher=None))


async def kind(client: ChainClient, raw: bytes) -> str:
    """Why it was refused; "" where it was taken."""
    try:
        await client.send(raw)
    except TransactionRefused as error:
        return error.kind
    return ""


async def test_anvil_refuses_each_in_its_words() -> None:
    """No funds, wrong chain, below the base fee, gas, again, replaced, gap, too low."""
    with Anvil(mining=False) as node:
        client = ChainClient(246, [RpcSettings(url=node.url)])
        assert await kind(client, signed()) == "no-funds"
        node.fund(ACCOUNT)
        assert await kind(client, signed(chain_id=1)) == "wrong-chain"
        assert await kind(client, signed(gwei=0, tip=0)) == "underpriced"
        assert await kind(client, signed(gas=20_000)) == "gas-limit"
        assert await kind(client, signed(gas=50_000_000)) == "gas-limit"
        assert await kind(client, signed()) == ""
        assert await kind(client, signed()) == "", "having it already is what was wanted"
        assert await kind(client, signed(value=1)) == "replacement-underpriced"
        assert await kind(client, signed(gwei=4, tip=2)) == ""
        assert await kind(client, signed(7)) == "", "anvil keeps what is not yet due"
        node.mine()
        assert node.nonce(ACCOUNT) == 1
        assert await kind(client, signed(value=2)) == "nonce-too-low"
        client.close()


async def test_ganache_refuses_each_in_its_words() -> None:
    """It refuses less, and says it otherwise."""
    with Ganache(options=("--miner.blockTime", "1000")) as node:
        client = ChainClient(246, [RpcSettings(url=node.url)])
        assert await kind(client, signed()) == "no-funds"
        node.fund(ACCOUNT)
        assert await kind(client, signed(chain_id=1)) == "wrong-chain"
        assert await kind(client, signed(gas=20_000)) == "gas-limit"
        assert await kind(client, signed(gas=50_000_000)) == "gas-limit"
        assert await kind(client, signed()) == ""
        assert await kind(client, signed()) == ""
        client.close()


#: What go-ethereum, Nethermind (before and since), OpenEthereum, Besu and hardhat say.
WORDS = {
    "already known": "known",
    "AlreadyKnown": "known",
    "known transaction: 0x12": "known",
    "Transaction with the same hash was already imported.": "known",
    "replacement transaction underpriced": "replacement-underpriced",
    "ReplacementNotAllowed, Transaction fee is too low": "replacement-underpriced",
    "OwnNonceAlreadyUsed": "replacement-underpriced",
    "Transaction gas price 5wei is too low. There is another transaction with same nonce in the queue with gas price: "
    "7wei. Try increasing the gas price or incrementing the nonce.": "replacement-underpriced",
    "nonce too low: next nonce 5, tx nonce 3": "nonce-too-low",
    "OldNonce, Current nonce: 5, nonce of rejected tx: 3": "nonce-too-low",
    "Transaction nonce is too low. Try incrementing the nonce.": "nonce-too-low",
    "nonce too high: address 0x12, tx: 7 state: 5": "nonce-gap",
    "NonceGap, Future nonce. Expected nonce: 5": "nonce-gap",
    "nonce too far in future": "nonce-gap",
    "Transaction nonce is too distant from current sender nonce": "nonce-gap",
    "transaction underpriced: gas tip cap 0, minimum needed 1": "underpriced",
    "max fee per gas less than block base fee: address 0x12, maxFeePerGas: 0, baseFee: 7": "underpriced",
    "maxFeePerGas (0) is less than the block's baseFeePerGas": "underpriced",
    "FeeTooLow, MaxFeePerGas too low": "underpriced",
    "FeeTooLowToCompete": "underpriced",
    "Gas price below configured minimum gas price": "underpriced",
    "Transaction gas price is too low. It does not satisfy your node's minimal gas price (minimal: 9, got: 5). Try "
    "increasing the gas price.": "underpriced",
    "There are too many transactions in the queue. Your transaction was dropped due to limit.": "underpriced",
    "insufficient funds for gas * price + value: balance 0, tx cost 5": "no-funds",
    "InsufficientFunds, Account balance: 0, cumulative cost: 5": "no-funds",
    "Insufficient funds. The account you tried to send transaction from does not have enough funds. Required 5 and "
    "got: 0.": "no-funds",
    "Upfront cost exceeds account balance": "no-funds",
    "invalid sender": "wrong-chain",
    "invalid sender: invalid chain id for signer: have 1 want 246": "wrong-chain",
    "Invalid, InvalidTxChainId: Expected 246, got 1.": "wrong-chain",
    "Invalid chain id.": "wrong-chain",
    "only replay-protected (EIP-155) transactions allowed over RPC": "wrong-chain",
    "intrinsic gas too low: gas 20000, minimum needed 21000": "gas-limit",
    "IntrinsicGasTooLow: Gas limit is too low.": "gas-limit",
    "exceeds block gas limit": "gas-limit",
    "GasLimitExceeded, Gas limit: 6000000": "gas-limit",
    "Transaction cost exceeds current gas limit. Limit: 6000000, got: 9000000.": "gas-limit",
    "Transaction gas is too low. There is not enough gas to cover minimal cost of the transaction": "gas-limit",
    "Supplied gas is beyond limit.": "gas-limit",
    "Sender is banned in local queue.": "other",
    "txpool is full": "other",
    "": "other",
}


@pytest.mark.parametrize("text", WORDS)
def test_the_words_of_other_nodes_have_kinds(text: str) -> None:
    """Whatever is not known is "other"."""
    assert refusal_kind(text) == WORDS[text]
    assert WORDS[text] in REFUSALS


def reverting(data: bytes) -> bytes:
    """Bytecode of a contract that reverts with *data*."""
    size = f"61{len(data):04x}"
    runtime = bytes.fromhex(f"{size}600e600039{size}6000fd") + data
    size = f"61{len(runtime):04x}"
    return bytes.fromhex(f"{size}600e600039{size}6000f3") + runtime


def word(number: int) -> str:
    return number.to_bytes(32, "big").hex()


HELLO = bytes.fromhex("08c379a0" + word(32) + word(5) + b"hello".hex().ljust(64, "0"))
REVERTS: dict[str, tuple[bytes, str]] = {
    "error": (HELLO, "hello"),
    "panic": (bytes.fromhex("4e487b71" + word(0x11)), "a number left its range (panic 0x11)"),
    "custom": (bytes.fromhex("deadbeef" + word(42)), "error 0xdeadbeef of its own"),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize("make", [Anvil, Ganache])
async def test_a_revert_has_its_reason_and_its_data(make: Callable[[], ChainNode]) -> None:
    """From a call and from an estimate, in the different shapes of both nodes."""
    with make() as node:
        client = ChainClient(246, [RpcSettings(url=node.url)])
        for data, reason in REVERTS.values():
            call = Call(to=deploy(node, reverting(data)), data=b"")
            for asking in (client.read(call), client.estimate(call, node.dev)):
                with pytest.raises(CallReverted, match="refused the call") as caught:
                    await asking
                assert caught.value.data == data
                assert caught.value.reason == reason if reason else "revert" in caught.value.reason
        # Neither is it a revert by its code, nor has it data.
        call = Call(to=deploy(node, bytes.fromhex("6001600c60003960016000f3fe")), data=b"")
        with pytest.raises(CallReverted, match=r"(?i)invalid"):
            await client.read(call)
        client.close()


SHAPES: dict[str, tuple[str, int, object]] = {
    "go-ethereum": ("execution reverted: hello", 3, "0x" + HELLO.hex()),
    "OpenEthereum": ("VM execution error.", -32015, "Reverted 0x" + HELLO.hex()),
    "Nethermind": ("VM execution error.", -32015, "0x" + HELLO.hex()),
    "OpenEthereum, in other words": ("Transaction execution error.", -32015, "Reverted 0x" + HELLO.hex()),
    "hardhat": ("Error: reverted", -32603, {"message": "x", "data": "0x" + HELLO.hex()}),
    "older ganache": ("VM Exception", -32000, {"0x12": {"return": "0x" + HELLO.hex(), "reason": "hello"}, "name": "x"}),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_the_shapes_of_other_nodes_are_read(name: str) -> None:
    """Code, words and data as their sources have them."""
    text, code, data = SHAPES[name]
    with Anvil() as node, LyingEndpoint(node) as endpoint:
        endpoint.lies["eth_call"] = refuse(text, code, data)
        client = ChainClient(246, [RpcSettings(url=endpoint.url)])
        with pytest.raises(CallReverted) as caught:
            await client.read(Call(to=TO, data=b""))
        assert (caught.value.data, caught.value.reason) == (HELLO, "hello")
        client.close()


async def test_another_trouble_of_the_node_is_no_revert() -> None:
    """The contract has said nothing, so nothing may be concluded."""
    with Anvil() as node, LyingEndpoint(node) as endpoint:
        client = ChainClient(246, [RpcSettings(url=endpoint.url)])
        for text in ("header not found", "missing trie node", "execution aborted (timeout = 5s)"):
            endpoint.lies["eth_call"] = refuse(text)
            with pytest.raises(RpcRefused, match="refused eth_call"):
                await client.read(Call(to=TO, data=b""))
        assert client.describe()[0]["state"] == "ready"
        client.close()


def test_what_a_contract_gives_back_is_fit_for_a_message() -> None:
    """Whatever bytes it takes."""
    nasty = b"\x1b[2J\xe2\x80\xae"
    text = bytes.fromhex("08c379a0" + word(32) + word(len(nasty)) + nasty.hex().ljust(64, "0"))
    assert revert_reason(text).isprintable()
    assert revert_reason(HELLO[:40]).startswith("bytes that are no error: 0x08c379a0")
    assert revert_reason(bytes.fromhex("4e487b71") + b"\xff" * 31).startswith("bytes that are no error")
    assert revert_reason(bytes.fromhex("4e487b71" + word(0x99))) == "a panic (panic 0x99)"
    assert revert_reason(b"abc") == ""


WIDE = (
    "query returned more than 10000 results",
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
    "eth_getLogs is limited to a 10,000 range",
    "Requested range exceeds maximum RPC range limit",
    "block range is too wide",
    "query timeout exceeded",
    "Too many logs requested. Max logs per response is 20000.",
)
BUSY = (
    "daily request count exceeded, request rate limited",
    "Too Many Requests",
    "exceeded its compute units per second",
)


def test_too_many_events_are_told_from_too_many_requests() -> None:
    """One asks for fewer blocks, the other for patience."""
    for text in WIDE:
        assert is_too_wide(RpcRefused("", code=-32005, text=text, data=None)), text
    for text in BUSY:
        error = RpcRefused("", code=-32005, text=text, data=None)
        assert is_busy(error), text
        assert not is_too_wide(error), text
